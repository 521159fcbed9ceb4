"""What all our samplers share: sizes, shares of several processes, products with time, plots."""

import abc
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed
from matplotlib import pyplot as plt
from matplotlib.animation import FuncAnimation
from matplotlib.patches import Rectangle
from shapely.plotting import plot_polygon
from torch.utils.data import DistributedSampler
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import SpatialSampler, SpatioTemporalSampler, TemporalSampler, Units

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers._patches import Cut, Location
from torchgeo_ext.samplers._place import Place

#: Height and width, or one number for both.
Size = float | tuple[float, float]


class PatchSampler(SpatialSampler, DistributedSampler[Any]):
    """Base of our spatial samplers.

    Work is shared out among processes by the sampler itself: by ``rank`` and ``world_size``, else
    by :mod:`torch.distributed` once that is initialised. Being a ``DistributedSampler``, it is left
    alone by Lightning, which would wrap any other sampler and share its work out a second time.
    The workers of a ``DataLoader`` share nothing out: of map-style datasets the main process draws
    all indices.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch; the same number of pixels on every raster.
        units: Whether ``size`` is in pixels or in units of the dataset's reference system.
        roi: Region to sample from, in the dataset's reference system.
        toi: Time to sample from.
        rank: Number of this process, from 0.
        world_size: Number of processes.

    Attributes:
        size: Height and width of a patch in pixels.
        place: The rasters.

    Raises:
        BadParameter: If ``size`` is not positive, or ``roi`` or ``toi`` leave nothing.
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        units: Units = Units.PIXELS,
        roi: Any | None = None,
        toi: pd.Interval | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self.place = Place(dataset, roi, toi)
        SpatialSampler.__init__(self, dataset, roi=roi)
        self.size = pixels(size, units, dataset.res)
        if min(self.size) < 1:
            raise BadParameter(f'size: {size} is less than a pixel.')
        self.epoch = 0
        if (rank is None) != (world_size is None):
            raise BadParameter(f'rank: {rank} and world_size: {world_size} go together.')
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise BadParameter(f'rank: {rank} is not between 0 and world_size - 1.')
        self._share = None if rank is None or world_size is None else (rank, world_size)

    @property
    def share(self) -> tuple[int, int]:
        """Number of this process and number of processes."""
        return self._share or distributed_share()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning does before each."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Location]:
        """Yield this process's share of an epoch."""
        for cut in self.cuts():
            yield self.place.patch(cut)

    @abc.abstractmethod
    def cuts(self) -> Iterator[Cut]:
        """Yield the exact pixels of this process's share of an epoch."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of patches in this process's share of an epoch."""

    def __matmul__(self, other: TemporalSampler) -> SpatioTemporalSampler:
        """Combine with a temporal sampler, as TorchGeo does.

        Raises:
            BadParameter: If ``toi`` was given; that belongs to the temporal sampler then.
        """
        if self.place.time is not None:
            raise BadParameter(
                'toi: a spatial sampler that is combined with a temporal one takes no time.',
                'Give toi to the temporal sampler.',
            )
        return _Product(self, other)

    def plot(self) -> FuncAnimation:
        """Animate where patches are taken from."""
        figure, axes = plt.subplots()
        axes.set(title=type(self).__name__, xlabel='x', ylabel='y', aspect='equal')

        def start() -> list[Any]:
            return [plot_polygon(self.geometry, ax=axes, add_points=False, alpha=0.3)]

        def add(cut: Cut) -> list[Any]:
            x, y = self.place.slices(cut.scene, cut.window)
            patch = Rectangle(
                (x.start, y.start), x.stop - x.start, y.stop - y.start, color='C1', alpha=0.3
            )
            return [axes.add_patch(patch)]

        return FuncAnimation(
            figure,
            add,
            frames=self.cuts,  # type: ignore[arg-type]  # any iterator will do
            init_func=start,
            save_count=len(self),
            repeat=False,
        )


class _Product(SpatioTemporalSampler, DistributedSampler[Any]):
    """TorchGeo's product of space and time, whose spatial part shares the work out."""

    spatial_sampler: PatchSampler

    def set_epoch(self, epoch: int) -> None:
        self.spatial_sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[tuple[slice, slice, slice]]:
        # TorchGeo's own temporal samplers know no epochs
        if hasattr(self.temporal_sampler, 'begin'):
            self.temporal_sampler.begin(self.spatial_sampler.epoch, *self.spatial_sampler.share)
        return super().__iter__()


def pixels(size: Size, units: Units, res: tuple[float, float]) -> tuple[int, int]:
    """Give height and width in pixels.

    Args:
        size: (height, width) or one number for both.
        units: What ``size`` is in.
        res: Width and height of a pixel.
    """
    height, width = size if isinstance(size, tuple | list) else (size, size)
    if units == Units.CRS:
        height, width = height / res[1], width / res[0]
    return round(height), round(width)


def distributed_share() -> tuple[int, int]:
    """Give rank and world size of :mod:`torch.distributed`; 0 and 1 while it is not in use."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class Seeded:
    """Chance that is the same in every run and on every process.

    Args:
        seed: Decides on everything; if not given, ``seed_everything`` or ``torch.manual_seed`` do.
    """

    def __init__(self, seed: int | None) -> None:
        self.seed = seed

    def generator(self, epoch: int, processes: int) -> np.random.Generator:
        """Make the random numbers of an epoch.

        Raises:
            BadParameter: If several processes have no seed in common; each would draw patches of
                its own, some twice and some never.
        """
        return np.random.default_rng((self._common(processes), epoch))

    def _common(self, processes: int) -> int:
        if self.seed is not None:
            return self.seed
        if processes == 1:
            return torch.initial_seed()
        # torch's own seed may differ from process to process; seed_everything leaves this one
        common = os.environ.get('PL_GLOBAL_SEED')
        if common is None:
            raise BadParameter(
                f'seed: {processes} processes need one that they share.',
                'Give seed to the sampler or call lightning.seed_everything.',
            )
        return int(common)


def per_process(length: int, processes: int) -> int:
    """Give the equal share of each process, rounded up."""
    return math.ceil(length / processes)
