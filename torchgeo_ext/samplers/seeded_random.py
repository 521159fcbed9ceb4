"""Random patches that are the same in every run."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import SpatialSampler

from torchgeo_ext.samplers._patches import Patch, Place


class SeededRandomSampler(SpatialSampler):
    """Draw patches at random, reproducibly, up to the outermost pixel.

    Unlike TorchGeo's ``RandomPatchSampler``, it follows the seed, reaches the rim of a raster, and
    yields its full length on rasters smaller than a patch (the patch then reaches beyond them).
    Places can be made more or less likely, or left out, by a weight per cell.

    Args:
        dataset: Dataset to sample from; with several rasters if it has ``grids``.
        size: Height and width of a patch in pixels.
        length: Patches per epoch; by default about as many as cover the rasters once.
        seed: Seed of the drawing; by default that of torch, so that ``seed_everything`` rules.
        weights: For each raster a (rows, columns) array: how likely each of its cells is. A patch
            always contains the whole of the cell it was drawn for.
        cell: Height and width of a cell in pixels, at most ``size``; by default half a patch.

    Raises:
        ValueError: If no cell has a positive weight or a cell is larger than a patch.
    """

    strategy = 'random'

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: int,
        length: int | None = None,
        seed: int | None = None,
        weights: Sequence[NDArray[Any]] | None = None,
        cell: int | None = None,
    ) -> None:
        super().__init__(dataset)
        self.size = size
        self.cell = cell or max(1, size // 2)
        if self.cell > size:
            raise ValueError(f'cell is {self.cell}, larger than a patch of {size} pixels')
        self.place = Place(dataset)
        self.seed = seed
        self.epoch = 0
        if weights is None:
            weights = [np.ones(self._cells(grid.height, grid.width)) for grid in self.place]
        self._shapes = [np.shape(array) for array in weights]
        self._cumulative = np.cumsum(np.concatenate([np.ravel(array) for array in weights]))
        if not self._cumulative.size or self._cumulative[-1] <= 0:
            raise ValueError('no cell has a positive weight')
        area = sum(grid.height * grid.width for grid in self.place)
        self._length = length or max(1, round(area / size**2))

    def set_epoch(self, epoch: int) -> None:
        """Draw other patches from now on; Lightning calls this before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Patch]:
        """Yield the patches of one epoch."""
        seed = torch.initial_seed() if self.seed is None else self.seed
        random = np.random.default_rng((seed, self.epoch))
        drawn = random.random(len(self)) * self._cumulative[-1]
        for number in np.searchsorted(self._cumulative, drawn, side='right'):
            yield self._patch(int(number), random)

    def _patch(self, number: int, random: np.random.Generator) -> Patch:
        scene = 0
        while number >= np.prod(self._shapes[scene]):
            number -= int(np.prod(self._shapes[scene]))
            scene += 1
        row, column = divmod(number, self._shapes[scene][1])
        grid = self.place.grids[scene]
        top = self._start(row, grid.height, random)
        left = self._start(column, grid.width, random)
        return self.place.patch(scene, Window(left, top, self.size, self.size))

    def _start(self, cell: int, length: int, random: np.random.Generator) -> int:
        """Choose where a patch begins so that it contains a cell and stays inside if it fits."""
        first, last = cell * self.cell, min((cell + 1) * self.cell, length)
        low = max(last - self.size, min(0, length - self.size))
        high = min(first, max(0, length - self.size))
        return int(random.integers(low, high + 1))

    def _cells(self, height: int, width: int) -> tuple[int, int]:
        return -(-height // self.cell), -(-width // self.cell)
