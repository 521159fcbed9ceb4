"""A threshold between weak and strong, found from the values themselves.

Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Transactions on
Systems, Man, and Cybernetics 9(1), 62-66. https://doi.org/10.1109/TSMC.1979.4310076
"""

import numpy as np

from torchgeo_ext.inference.moments import Floats

_BINS = 4096


class Histogram:
    """Counts of values that are not negative and may have any size, gathered block by block.

    The range starts at 1 and doubles, two bins becoming one, whenever a larger value comes along.
    The result is that of a histogram with the final range from the start.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)
        self.limit = 1.0

    def add(self, values: Floats) -> None:
        """Count values (n,)."""
        while values.size and values.max() >= self.limit:
            self.limit *= 2
            self.counts = np.append(
                self.counts.reshape(-1, 2).sum(1), np.zeros(_BINS // 2, np.int64)
            )
        bins = (values * (_BINS / self.limit)).astype(np.int64)
        self.counts += np.bincount(bins, minlength=_BINS)

    def share_from(self, value: float) -> float:
        """Return the share of counted values in the bin of ``value`` and above."""
        first = min(int(value * _BINS / self.limit), _BINS)
        return float(self.counts[first:].sum() / self.counts.sum())

    def quantile(self, share: float) -> float:
        """Return the upper edge of the bin that ``share`` of the counted values do not exceed."""
        reached = np.searchsorted(np.cumsum(self.counts), share * self.counts.sum())
        return float((reached + 1) * self.limit / _BINS)

    def otsu(self) -> float:
        """Return the bin edge with the largest variance between the values below and above."""
        width = self.limit / _BINS
        centres = (np.arange(_BINS) + 0.5) * width
        below, total = np.cumsum(self.counts), self.counts.sum()
        sum_below = np.cumsum(self.counts * centres)
        # both groups have pixels at every edge but the outermost
        pixels = np.maximum(below, 1), np.maximum(total - below, 1)
        gap = (sum_below[-1] - sum_below) / pixels[1] - sum_below / pixels[0]
        between = below * (total - below) * gap**2
        # without values between the groups any edge would do: take the middle one
        return float((np.flatnonzero(between == between.max()).mean() + 1) * width)
