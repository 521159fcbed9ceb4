"""Simulated pairs of dates with a known change."""

from typing import NamedTuple

import numpy as np


class Pair(NamedTuple):
    """Two dates (c, h, w) and where they differ (h, w)."""

    before: np.ndarray
    after: np.ndarray
    changed: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """Both dates as (b, n)."""
        return np.concatenate([date.reshape(len(date), -1) for date in (self.before, self.after)])

    @property
    def names(self) -> list[str]:
        """Names of the b bands."""
        return [f'band {band + 1} of {date}' for date in ('before', 'after')
                for band in range(len(self.before))]  # fmt: skip


def simulate(bands: int = 4, size: int = 96, noise: float = 1.0, seed: int = 0) -> Pair:
    """Make correlated bands, seen twice with noise, gain and offset, and a square that changed."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(bands, bands)) * 10 + 20 * np.eye(bands)
    ground = np.tensordot(mixing, random.normal(size=(bands, size, size)), 1)
    before = 300 + ground + noise * random.normal(size=ground.shape)
    changed = np.zeros((size, size), bool)
    changed[size // 4 : size // 2, size // 4 : size // 2] = True
    other = np.tensordot(mixing, random.normal(size=(bands, size, size)), 1)
    seen = np.where(changed, other, ground) + noise * random.normal(size=ground.shape)
    gain = random.uniform(0.5, 1.5, (bands, 1, 1))
    return Pair(before, 250 + gain * seen, changed)
