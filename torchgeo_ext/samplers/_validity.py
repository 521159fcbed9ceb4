"""Which part of a patch holds measurements."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers._cells import CellSums, kept, read_band, sum_cells
from torchgeo_ext.samplers._place import Place

#: Says for a window of a raster which pixels are valid, (h, w).
Valid = str | os.PathLike[str] | Callable[[Grid, Window], NDArray[np.bool_]]

#: Cells along the shorter side of a patch.
_CELLS = 8


class Validity:
    """Tells exactly which patches hold enough valid pixels, reading as few of them as it can.

    Valid pixels are counted per cell once. The cells within and the cells touched by a patch bound
    its number of valid pixels; a patch is read only where the bounds leave it open.

    Args:
        place: The rasters.
        size: Height and width of a patch in pixels.
        fraction: Part of a patch that has to be valid, 0 to 1; what lies beyond a raster is not.
        source: A mask raster (0 is invalid), a function, or None for the dataset's own pixels.
        dataset: Read by ``pixels(scene, window).valid`` if there is no source.
        cache: Folder to keep the counts of a mask raster in.

    Raises:
        BadParameter: If ``fraction`` is out of range, or the dataset cannot say what is valid.
    """

    def __init__(
        self,
        place: Place,
        size: tuple[int, int],
        fraction: float,
        source: Valid | None,
        dataset: GeoDataset,
        cache: str | os.PathLike[str] | None,
    ) -> None:
        if not 0 < fraction <= 1:
            raise BadParameter(f'min_valid: {fraction} is not between 0 and 1.')
        self._size = size
        self._needed = fraction * size[0] * size[1] - 1e-6
        self._grids = place.grids
        self._read = _reader(place.grids, source, dataset)
        cell = max(1, min(size) // _CELLS)
        if isinstance(source, str | os.PathLike):
            counts: Sequence[NDArray[Any]] = kept(
                cache, [str(source)], place.grids, ['valid', cell], self._counter(cell)
            )
        else:
            counts = self._counter(cell)()
        self._sums = [
            CellSums(count, cell, grid) for count, grid in zip(counts, place.grids, strict=True)
        ]

    def enough(self, scene: int, tops: NDArray[Any], lefts: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which patches, by their first rows and columns, have enough valid pixels."""
        sums = self._sums[scene]
        enough: NDArray[np.bool_] = sums.within(tops, lefts, self._size) >= self._needed
        possible = sums.touched(tops, lefts, self._size) >= self._needed
        for number in np.flatnonzero(possible & ~enough):
            enough[number] = self._count(scene, tops[number], lefts[number]) >= self._needed
        return enough

    def _count(self, scene: int, top: int, left: int) -> int:
        grid = self._grids[scene]
        first_row, first = max(0, top), max(0, left)
        height = min(grid.height, top + self._size[0]) - first_row
        width = min(grid.width, left + self._size[1]) - first
        if height <= 0 or width <= 0:
            return 0
        window = Window(int(first), int(first_row), int(width), int(height))
        return int(self._read(scene, window).sum())

    def _counter(self, cell: int) -> Callable[[], list[NDArray[Any]]]:
        return lambda: list(sum_cells(self._grids, cell, self._read))


def _reader(
    grids: Sequence[Grid], source: Valid | None, dataset: GeoDataset
) -> Callable[[int, Window], NDArray[np.bool_]]:
    if source is None:
        read_pixels = getattr(dataset, 'pixels', None)
        if read_pixels is None:
            raise BadParameter(
                f'min_valid: {type(dataset).__name__} does not tell which pixels are valid.',
                'Give valid: a mask raster or a function.',
            )
        return lambda scene, window: np.asarray(read_pixels(scene, window).valid, dtype=bool)
    if callable(source):
        return lambda scene, window: np.asarray(source(grids[scene], window), dtype=bool)
    read = read_band(str(source), grids, 'valid', 'nearest')
    return lambda scene, window: np.nan_to_num(read(scene, window)) != 0
