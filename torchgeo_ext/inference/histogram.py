"""Quantiles of more values than fit into memory, from one pass over them."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Bits of a float32 that are left out; 10 of its 23 bits of mantissa stay.
_SHIFT = 13


class ValueHistogram:
    """Counts values so finely that quantiles can be told afterwards.

    Integers of 8 and 16 bits are counted each, so that quantiles are exact. Other numbers are
    counted in buckets of equal sign, exponent and first ten bits of mantissa: a bucket is at most
    1/1024 of its values wide, which bounds the relative error of a quantile. Memory grows with the
    range of values, to 0.5 MB for 16 bits and 4 MB for the whole range of float32.

    Args:
        dtype: Type of the values.

    Attributes:
        exact: Whether quantiles are exact.
        count: How many values there are.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        kind = np.dtype(dtype)
        self.exact = kind.kind in 'iub' and kind.itemsize <= 2
        self.count = 0
        self._first = 0
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, values: NDArray[np.generic]) -> None:
        """Take in finite values, (n,)."""
        if values.size == 0:
            return
        keys = values.astype(np.int64) if self.exact else _buckets(values)
        low, high = int(keys.min()), int(keys.max())
        self._reach(low, high)
        start = low - self._first
        self._counts[start : start + high - low + 1] += np.bincount(keys - low)
        self.count += values.size

    def quantile(self, share: float) -> float:
        """Tell the quantile as :func:`numpy.quantile` does, interpolating between two values.

        Args:
            share: 0 (smallest value) to 1 (largest).
        """
        rank = share * (self.count - 1)
        below = int(rank)
        value = self._value_at(below)
        if rank == below:
            return value
        return value + (self._value_at(below + 1) - value) * (rank - below)

    def _reach(self, low: int, high: int) -> None:
        if self._counts.size == 0:
            self._first = low
        before = max(0, self._first - low)
        after = max(0, high - (self._first + self._counts.size - 1))
        if before or after:
            self._counts = np.pad(self._counts, (before, after))
            self._first -= before

    def _value_at(self, rank: int) -> float:
        """The value at a position of the sorted values; in a bucket they are taken as even."""
        reached = np.cumsum(self._counts)
        place = int(np.searchsorted(reached, rank, side='right'))
        key = self._first + place
        if self.exact:
            return float(key)
        inside = self._counts[place]
        share = (rank - (reached[place] - inside) + 0.5) / inside
        low, high = _edge(key), _edge(key + 1)
        return low + (high - low) * float(share)


def _buckets(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Number the buckets so that larger values have larger numbers."""
    limit = np.finfo(np.float32).max
    bits = np.clip(values, -limit, limit).astype(np.float32).view(np.int32).astype(np.int64)
    # negative floats are ordered by their size, which is all but the sign bit
    ordered = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    return ordered >> _SHIFT


def _edge(bucket: int) -> float:
    """The lower edge of a bucket."""
    ordered = bucket << _SHIFT
    size = np.array(min(abs(ordered), 0x7F7FFFFF), np.int32).view(np.float32)
    return float(-size if ordered < 0 else size)
