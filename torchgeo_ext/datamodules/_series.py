"""Standardises the series that a batch of pairs may have besides."""

from collections.abc import Sequence
from typing import Any

from torch import nn


class StandardiseSeries(nn.Module):
    """Subtract a mean and divide by a standard deviation, per band of ``series``.

    Pixels that are 0 in all bands are missing and stay so.

    Args:
        mean: Mean of each band.
        std: Standard deviation of each band.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = list(mean), list(std)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Standardise a batch with ``series`` (b, t, c, h, w)."""
        series = batch['series']
        mean, std = (series.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        known = series.ne(0).any(dim=-3, keepdim=True)
        return batch | {'series': ((series - mean) / std).where(known, 0)}
