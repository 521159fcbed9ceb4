"""Random times that are the same in every run and in every time zone."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import RandomPeriodSampler, RandomTimedeltaSampler, TemporalSampler

from torchgeo_ext.errors import BadInput
from torchgeo_ext.samplers._sampler import Seeded

#: ``[xmin:xmax, ymin:ymax]`` and the same with ``tmin:tmax``.
Space = tuple[slice, slice]
SpaceTime = tuple[slice, slice, slice]

_EVERYWHERE = (slice(None), slice(None))


class _SeededTime(TemporalSampler):
    """Draws moments with a chance of its own that starts anew with every epoch."""

    def __init__(self, *args: Any, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seeded = Seeded(seed)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw other times from now on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[SpaceTime]:
        """Yield the times of one epoch."""
        self.begin(self.epoch, 0, 1)
        return super().__iter__()

    def begin(self, epoch: int, rank: int, processes: int) -> None:
        """Begin an epoch; a product with one of our spatial samplers does.

        Args:
            epoch: Which.
            rank: Each process draws times of its own for its own places.
            processes: Number of them.
        """
        self._random = self._seeded.generator(epoch, processes).spawn(processes)[rank]

    def _draw(self, left: pd.Timestamp, right: pd.Timestamp) -> pd.Timestamp:
        """Draw a moment; only differences are multiplied, so that no clock is asked."""
        return left + max(right - left, pd.Timedelta(0)) * self._random.random()

    def _intervals(self, location: Space) -> pd.IntervalIndex:
        intervals = self._init_subset(location)
        if not len(intervals):
            raise BadInput(f'no raster of the dataset covers {location} at the time asked for.')
        return intervals


class SeededTimedeltaSampler(_SeededTime, RandomTimedeltaSampler):
    """Draw windows of a given duration, reproducibly.

    Unlike TorchGeo's ``RandomTimedeltaSampler``, it follows the seed and does not shift windows by
    the difference between local time and UTC.

    Args:
        dataset: Dataset to sample from.
        delta: Duration of a window.
        length: Windows per epoch; by default about as many as cover the dataset once.
        toi: Time to sample from.
        seed: Seed of the drawing; by default that of torch, so that ``seed_everything`` rules.
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        delta: pd.Timedelta,
        length: int | None = None,
        toi: pd.Interval | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(dataset, delta=delta, length=length, toi=toi, seed=seed)

    def _iter_subset(self, location: Space = _EVERYWHERE) -> Iterator[SpaceTime]:
        intervals = self._intervals(location)
        left, right = intervals.left.min(), intervals.right.max() - self.delta
        for _ in range(len(self)):
            while True:
                start = self._draw(left, right)
                window = pd.Interval(start, start + self.delta)
                if intervals.overlaps(window).any():
                    break
            yield *location, slice(window.left, window.right)


class SeededPeriodSampler(_SeededTime, RandomPeriodSampler):
    """Draw calendar periods such as months, reproducibly.

    Unlike TorchGeo's ``RandomPeriodSampler``, it follows the seed and does not take local time for
    UTC, which near the ends of a period gives the one beside it.

    Args:
        dataset: Dataset to sample from.
        freq: A period alias of pandas, such as ``M``.
        length: Periods per epoch; by default about as many as cover the dataset once.
        toi: Time to sample from.
        seed: Seed of the drawing; by default that of torch, so that ``seed_everything`` rules.
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        freq: str,
        length: int | None = None,
        toi: pd.Interval | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(dataset, freq=freq, length=length, toi=toi, seed=seed)

    def _iter_subset(self, location: Space = _EVERYWHERE) -> Iterator[SpaceTime]:
        intervals = self._intervals(location)
        # whole periods, so that all are equally likely
        left = pd.Period(intervals.left.min(), freq=self.freq).start_time
        right = pd.Period(intervals.right.max(), freq=self.freq).end_time
        for _ in range(len(self)):
            while True:
                period = pd.Period(self._draw(left, right), freq=self.freq)
                if intervals.overlaps(pd.Interval(period.start_time, period.end_time)).any():
                    break
            yield *location, slice(period.start_time, period.end_time)
