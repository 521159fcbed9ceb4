"""Reading the tiles that a model sees: always whole, finite, and with what is valid in them."""

import logging
import math
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from types import TracebackType
from typing import Any, Self

import numpy as np
from einops import rearrange
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid, Tile, Tiling
from torchgeo_ext.inference.mask import Mask
from torchgeo_ext.inference.reader import RasterSource, WindowReader

logger = logging.getLogger(__name__)

_MEGABYTE = 2**20
#: Bounds of GDAL's cache of decoded blocks, in bytes.
_CACHE = 8 * _MEGABYTE, 256 * _MEGABYTE


@dataclass(frozen=True)
class TilePixels:
    """What was read for a tile.

    Args:
        tile: The tile.
        values: Float32 (t, c, tile, tile), or (t, tile, tile, c) for channels last; ``None`` if
            no pixel is valid. If bands are joined, t is 1 and c counts those of all rasters.
        valid: Boolean (height, width) of the part of the tile that is inside of the grid; of
            pixels of the result.
    """

    tile: Tile
    values: np.ndarray | None
    valid: np.ndarray


class TileReader:
    """Reads tiles from one or several rasters; each thread has its own handles.

    A grid smaller than a tile is continued by reflection.

    Args:
        sources: The rasters, of equally many bands unless these are joined.
        mask: What to process; everything if not given.
        grid: The grid of what is read.
        tiling: The tiles of the result.
        channels_last: Whether the bands come last in memory.
        join_bands: Whether the bands of the rasters follow each other, instead of the rasters as
            dates.
        reduction: Pixels that are read, along one side, for each pixel of the result.

    Raises:
        BadInput: If a source cannot be brought onto the grid.
        BadParameter: If the sources differ in their number of bands.
    """

    def __init__(
        self,
        sources: Sequence[RasterSource],
        mask: Mask | None,
        grid: Grid,
        tiling: Tiling,
        channels_last: bool,
        join_bands: bool = False,
        reduction: int = 1,
    ) -> None:
        self._sources, self._grid, self._reduction = sources, grid, reduction
        self._size = tiling.tile_size * reduction
        self._channels_last = channels_last
        self._local = threading.local()
        self._opening = threading.Lock()
        with ExitStack() as failing:
            self._stack = failing
            self._first: list[WindowReader] | None = self._open()
            self._mask = None if mask is None else failing.enter_context(mask.open(grid))
            counts = [reader.count for reader in self._first]
            self._layout = (1, sum(counts)) if join_bands else _dates(self._first)
            #: First band of each raster among those of all, and the one behind its last.
            self._places = list(pairwise(accumulate(counts, initial=0)))
            self.cache_bytes = sum(self._cache(reader) for reader in self._first)
            self._stack = failing.pop_all()

    @property
    def tile_bytes(self) -> int:
        """Memory of a tile's values."""
        return 4 * math.prod(self._layout) * self._size**2

    def read(self, tile: Tile) -> TilePixels:
        """Read a tile.

        Raises:
            BadInput: If a file is damaged.
        """
        window, size = self._read_window(tile), self._size
        shape = window.height, window.width
        valid = np.ones(shape, bool) if self._mask is None else self._mask.read(window)
        values, parts = self._empty(size)
        for part, reader in zip(parts, self._readers(), strict=True):
            if not valid.any():
                break
            if shape == (size, size):
                _, valid_there = reader.read(window, out=part)
            else:
                inside, valid_there = reader.read(window)
                part[...] = _reflect(inside, size)
            valid &= valid_there
        valid = _most(valid, self._reduction)
        return TilePixels(tile, values if valid.any() else None, valid)

    def _read_window(self, tile: Tile) -> Window:
        """Return the pixels to read for a tile."""
        left, top = (self._reduction * o for o in (tile.window.col_off, tile.window.row_off))
        width, height = self._grid.width - left, self._grid.height - top
        return Window(
            left,
            top,
            min(self._reduction * tile.window.width, width),
            min(self._reduction * tile.window.height, height),
        )

    def nothing_valid(self) -> BadInput:
        """Make the error that says that no tile has a valid pixel."""
        source = self._sources[0]
        masked = '' if self._mask is None else ' that the mask leaves'
        return BadInput(
            f'{source.argument}: {source.path} has no valid pixel in the area{masked}.',
            'Check nodata value, area and bands: a pixel has to be valid in all of them.',
        )

    def _empty(self, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return memory for a tile, and the part of it (c, h, w) of each raster."""
        dates, bands = self._layout
        if self._channels_last:
            values = np.empty((dates, size, size, bands), np.float32)
            bands_first = np.moveaxis(values, -1, 1)
        else:
            values = bands_first = np.empty((dates, bands, size, size), np.float32)
        if dates == len(self._sources):
            return values, list(bands_first)
        return values, [bands_first[0, first:stop] for first, stop in self._places]

    def _readers(self) -> list[WindowReader]:
        """Return this thread's readers."""
        if not hasattr(self._local, 'readers'):
            with self._opening:
                self._local.readers, self._first = self._first or self._open(), None
        readers: list[WindowReader] = self._local.readers
        return readers

    def _open(self) -> list[WindowReader]:
        return [self._stack.enter_context(s.open(self._grid)) for s in self._sources]

    def _cache(self, reader: WindowReader) -> int:
        """Return the bytes of decoded blocks to keep for the next tile.

        Blocks that lie in two rows of tiles are decoded twice rather than kept for a whole row,
        which would take memory in proportion to the width. Only strips across the whole raster
        have to be kept, as each of them belongs to all tiles of a row.
        """
        dataset: Any = reader.dataset
        height, width = dataset.block_shapes[0]
        size = self._size
        dtypes = [dataset.dtypes[band - 1] for band in reader.bands]
        pixel_bytes = sum(np.dtype(dtype).itemsize for dtype in dtypes)
        needed = (size + 2 * height) * (2 * size + 2 * width) * pixel_bytes
        if needed > _CACHE[1] and width > 2 * size:
            logger.warning(
                '%s is stored in strips across its whole width, which is slow to read in tiles; '
                'a tiled GeoTIFF reads faster',
                reader.source.path,
            )
        return min(max(needed, _CACHE[0]), _CACHE[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()


def _dates(readers: Sequence[WindowReader]) -> tuple[int, int]:
    """Return the number of rasters and that of the bands, which they have in common."""
    first = readers[0]
    for reader in readers[1:]:
        if reader.count != first.count:
            raise BadParameter(
                f'{reader.source.argument}: {reader.source.path} gives {reader.count} bands, '
                f'but {first.source.path} gives {first.count}.',
                'Choose the same bands of all images.',
            )
    return len(readers), first.count


def _most(valid: np.ndarray, reduction: int) -> np.ndarray:
    """Tell of squares of pixels (h, w) whether at least half of each is valid."""
    if reduction == 1:
        return valid
    missing = [(0, -length % reduction) for length in valid.shape]
    squares = rearrange(
        np.pad(valid, missing), '(h a) (w b) -> h w (a b)', a=reduction, b=reduction
    )
    most: np.ndarray = 2 * squares.sum(-1) >= reduction**2
    return most


def _reflect(values: np.ndarray, size: int) -> np.ndarray:
    """Continue (c, h, w) to (c, size, size) by reflection at its last row and column."""
    rows, columns = (
        np.pad(np.arange(length), (0, size - length), mode='reflect') for length in values.shape[1:]
    )
    return values[:, rows[:, None], columns]
