"""Tiles that own every pixel exactly once."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import Units

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import ALIGNED, Axis, check_tiling
from torchgeo_ext.samplers._cells import CellSums, positive_cells
from torchgeo_ext.samplers._patches import Cut, Location
from torchgeo_ext.samplers._sampler import PatchSampler, Size, pixels
from torchgeo_ext.samplers._validity import Valid, Validity


class TiledSampler(PatchSampler):
    """Go over the rasters tile by tile, row by row, on an exact grid of pixels.

    Unlike TorchGeo's ``GriddedPatchSampler``, tiles do not hang over the edges (unless a raster is
    smaller than one), and each pixel belongs to the ``core`` of exactly one tile, so that scores
    count it once; the rest of a tile is context.

    Several processes go over contiguous runs of tiles that together are all tiles, none twice. The
    runs differ in length by one tile at most; do not train on them, where processes wait for each
    other at every step.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a tile.
        overlap: What neighbouring tiles share at least; cores meet in the middle of it.
        weights: For each raster a (rows, columns) array of cells; tiles whose core has no cell
            with a positive weight are left out.
        cell: Height and width of a cell in pixels, needed with ``weights``.
        units: Whether ``size`` and ``overlap`` are in pixels or in units of the dataset's reference
            system.
        roi: Tiles whose core lies outside of this region are left out.
        toi: Time to sample from: rasters of other times are left out.
        min_valid: Tiles of which a smaller part, 0 to 1, holds measurements are left out.
        valid: What is valid: a mask raster (0 is not), or a function of a grid and a window of it
            that gives booleans (h, w). By default the dataset's own ``pixels``.
        cache: Folder to keep counts of a mask raster in; by default one in the user's cache.
        rank: Number of this process; by default that of ``torch.distributed``.
        world_size: Number of processes.

    Attributes:
        tile_ids: Number of each tile of all processes, in order. A tile has the same number
            whatever is left out.

    Raises:
        BadInput: If no tile holds enough measurements.
        BadParameter: If ``overlap`` is not smaller than ``size``, or ``roi`` or ``toi`` leave
            nothing.
    """

    strategy = 'sequential'

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        overlap: Size = 0,
        weights: Sequence[NDArray[Any]] | None = None,
        cell: int = 1,
        units: Units = Units.PIXELS,
        roi: Any | None = None,
        toi: pd.Interval | None = None,
        min_valid: float = 0.0,
        valid: Valid | None = None,
        cache: str | os.PathLike[str] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(
            dataset, size=size, units=units, roi=roi, toi=toi, rank=rank, world_size=world_size
        )
        self.overlap = pixels(overlap, units, dataset.res)
        for length, shared in zip(self.size, self.overlap, strict=True):
            check_tiling(length, shared)
        self._axes = [
            tuple(
                Axis(length, tile, shared)
                for length, tile, shared in zip(grid.shape, self.size, self.overlap, strict=True)
            )
            for grid in self.place.grids
        ]
        self._starts = np.cumsum([0, *(len(y.starts) * len(x.starts) for y, x in self._axes)])
        validity = (
            Validity(self.place, self.size, min_valid, valid, dataset, cache) if min_valid else None
        )
        positive = None if weights is None else positive_cells(weights, cell, self.place.grids)
        self.tile_ids = np.concatenate(
            [
                self._starts[scene] + np.flatnonzero(self._wanted(scene, positive, validity))
                for scene in range(len(self.place.grids))
            ]
        )
        if validity is not None and not len(self.tile_ids):
            raise BadInput(
                f'min_valid: no tile of {self.size[0]} x {self.size[1]} pixels is valid by '
                f'{min_valid:g} of its pixels.',
                'Choose a smaller size or min_valid.',
            )

    def __len__(self) -> int:
        """Number of tiles in this process's share."""
        return len(self._own())

    def cuts(self) -> Iterator[Cut]:
        """Yield the exact pixels of this process's tiles."""
        for tile_id in self._own().tolist():
            yield self._cut(tile_id)

    def patch(self, tile_id: int) -> Location:
        """Give the tile with a number.

        Raises:
            BadParameter: If there is none.
        """
        return self.place.patch(self._cut(tile_id))

    def window(self, tile_id: int) -> Window:
        """Give the pixels of the tile with a number, on the raster ``patch(tile_id).scene``.

        Raises:
            BadParameter: If there is none.
        """
        return self._cut(tile_id).window

    def _own(self) -> NDArray[np.int64]:
        rank, processes = self.share
        total = len(self.tile_ids)
        return self.tile_ids[rank * total // processes : (rank + 1) * total // processes]

    def _cut(self, tile_id: int) -> Cut:
        if not 0 <= tile_id < self._starts[-1]:
            raise BadParameter(f'tile_id: {tile_id} is not between 0 and {self._starts[-1] - 1}.')
        scene = int(np.searchsorted(self._starts, tile_id, side='right')) - 1
        y, x = self._axes[scene]
        row, column = divmod(int(tile_id - self._starts[scene]), len(x.starts))
        (first_row, end_row), (first, end) = y.owned[row], x.owned[column]
        return Cut(
            scene,
            Window(x.starts[column], y.starts[row], self.size[1], self.size[0]),
            Window(first, first_row, end - first, end_row - first_row),
            tile_id,
        )

    def _wanted(
        self, scene: int, positive: Sequence[CellSums] | None, validity: Validity | None
    ) -> NDArray[np.bool_]:
        """Tell which tiles of a raster are not left out, row by row."""
        y, x = (np.array(axis.owned) for axis in self._axes[scene])
        tops, lefts = (edges.ravel() for edges in np.meshgrid(y[:, 0], x[:, 0], indexing='ij'))
        ends, rights = (edges.ravel() for edges in np.meshgrid(y[:, 1], x[:, 1], indexing='ij'))
        region, limit = self.place.regions[scene], self.place.limits[scene]
        wanted: NDArray[np.bool_] = (
            (tops < region.row_off + region.height)
            & (ends > region.row_off)
            & (lefts < region.col_off + region.width)
            & (rights > region.col_off)
        )
        if limit is not None:
            cores = shapely.box(lefts, tops, rights, ends)
            wanted &= shapely.area(shapely.intersection(limit, cores)) > 2 * ALIGNED * max(
                self.size
            )
        if positive is not None:
            wanted &= positive[scene].between(tops, ends, lefts, rights) > 0
        if validity is not None:
            starts = np.meshgrid(*(axis.starts for axis in self._axes[scene]), indexing='ij')
            tops, lefts = (edges.ravel()[wanted] for edges in starts)
            wanted[wanted] = validity.enough(scene, tops, lefts)
        return wanted
