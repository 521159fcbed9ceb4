"""Means and covariances of the bands of many pixels, gathered block by block.

Arrays of pixels are (b, n): b bands of n pixels.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy import linalg
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Pixels in pieces (b, n) that can be gone through again and again.
Blocks = Collection[NDArray[Any]]

#: Valid pixels needed for each band; covariances found from fewer say little.
_PIXELS_PER_BAND = 10
#: Pixels computed at once, few enough for the processor's cache and for BLAS to stay in one thread:
#: on matrices of a few rows more threads gain nothing, and on a busy machine they lose a lot.
_PIECE_PIXELS = 2**13
#: A correlation matrix with a smaller eigenvalue belongs to bands that depend on each other; what
#: is found from it would have errors above 1e-5.
SINGULAR = 1e-10


class Moments:
    """Weighted means and covariances of rows of values, gathered block by block.

    Each block is centred on its own mean before products are summed, and blocks are merged with
    the update of Chan, T. F., Golub, G. H. & LeVeque, R. J. (1983), Algorithms for computing the
    sample variance, https://doi.org/10.2307/2683386. So values far from zero cost no digits, and
    the way pixels are cut into blocks does not show.

    Attributes:
        weight: Sum of all weights.
        squares: Sum of all squared weights.
        mean: Means (b,).
        scatter: Weighted sums of products of centred values (b, b).
    """

    def __init__(self, rows: int) -> None:
        self.weight = self.squares = 0.0
        self.mean: Floats = np.zeros(rows)
        self.scatter: Floats = np.zeros((rows, rows))

    @property
    def covariance(self) -> Floats:
        """Covariance matrix (b, b)."""
        return self.scatter / self.weight

    @property
    def variance(self) -> Floats:
        """Variances (b,)."""
        return np.diag(self.scatter) / self.weight

    @property
    def effective(self) -> float:
        """How many pixels of equal weight would say as much (Kish's effective sample size)."""
        return self.weight**2 / self.squares if self.weight else 0.0

    def add(self, values: Floats, weights: Floats | None = None) -> None:
        """Add a block of values (b, n) with weights (n,), all 1 if not given."""
        weight = float(values.shape[1] if weights is None else weights.sum())
        if weight == 0:
            return
        mean = values.sum(1) / weight if weights is None else values @ weights / weight
        centred = values - mean[:, None]
        scatter = centred @ (centred if weights is None else centred * weights).T
        total = self.weight + weight
        step = mean - self.mean
        self.scatter += scatter + np.outer(step, step) * (self.weight * weight / total)
        self.mean = self.mean + step * (weight / total)
        self.weight = total
        self.squares += weight if weights is None else float(weights @ weights)


def pixels_needed(rows: int) -> int:
    """Return how many pixels it takes for the covariances of so many bands."""
    return _PIXELS_PER_BAND * rows


def dependent(correlation: Floats, names: Sequence[str]) -> list[str]:
    """Name bands of which each can be computed from the others.

    Args:
        correlation: Correlation matrix (b, b).
        names: What to call the bands.

    Returns:
        Names of the bands that take part in the weakest combination, none if it is strong enough.
    """
    values, vectors = linalg.eigh(correlation)
    if values[0] >= SINGULAR:
        return []
    share = np.abs(vectors[:, 0])
    return [name for name, part in zip(names, share, strict=True) if part > 0.01]


def pieces(block: NDArray[Any]) -> Iterator[Floats]:
    """Cut a block of pixels (b, n) into pieces in float64 that are quick to compute with."""
    for start in range(0, block.shape[1], _PIECE_PIXELS):
        yield block[:, start : start + _PIECE_PIXELS].astype(np.float64)
