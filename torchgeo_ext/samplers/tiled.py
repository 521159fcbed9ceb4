"""Tiles that own every pixel exactly once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import SpatialSampler

from torchgeo_ext.inference.grid import Axis, check_tiling
from torchgeo_ext.samplers._patches import Patch, Place


class TiledSampler(SpatialSampler):
    """Go over the rasters tile by tile, row by row, on an exact grid of pixels.

    Unlike TorchGeo's ``GriddedPatchSampler``, tiles do not hang over the edges (unless a raster is
    smaller than one), and each pixel belongs to the ``core`` of exactly one tile, so that scores
    count it once; the rest of a tile is context.

    Args:
        dataset: Dataset to sample from; with several rasters if it has ``grids``.
        size: Height and width of a tile in pixels.
        overlap: Pixels that neighbouring tiles share at least; cores meet in the middle of them.
        weights: For each raster a (rows, columns) array of cells; tiles whose core has no cell
            with a positive weight are left out.
        cell: Height and width of a cell in pixels, needed with ``weights``.

    Raises:
        BadParameter: If ``overlap`` is not smaller than ``size``.
    """

    strategy = 'sequential'

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: int,
        overlap: int = 0,
        weights: Sequence[NDArray[Any]] | None = None,
        cell: int = 1,
    ) -> None:
        super().__init__(dataset)
        check_tiling(size, overlap)
        self.size = size
        self.overlap = overlap
        self.place = Place(dataset)
        self._weights = weights
        self._cell = cell
        self._length = sum(1 for _ in self)

    def __iter__(self) -> Iterator[Patch]:
        """Yield the tiles."""
        for scene, grid in enumerate(self.place):
            y, x = (Axis(length, self.size, self.overlap) for length in grid.shape)
            for top, (first_row, end_row) in zip(y.starts, y.owned, strict=True):
                for left, (first, end) in zip(x.starts, x.owned, strict=True):
                    core = Window(first, first_row, end - first, end_row - first_row)
                    if self._wanted(scene, core):
                        window = Window(left, top, self.size, self.size)
                        yield self.place.patch(scene, window, core)

    def _wanted(self, scene: int, core: Window) -> bool:
        if self._weights is None:
            return True
        rows, columns = (
            slice(start // self._cell, -(-stop // self._cell))
            for start, stop in (
                (core.row_off, core.row_off + core.height),
                (core.col_off, core.col_off + core.width),
            )
        )
        return bool(np.any(self._weights[scene][rows, columns] > 0))
