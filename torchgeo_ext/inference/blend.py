"""How the scores of overlapping tiles become one raster.

A merger takes the tiles of a grid row by row and gives back, for each of them, the pixels that are
now final: together these pieces cover the grid once. What is kept between calls are the pixels
that later tiles still add to.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from rasterio.windows import Window
from torch import Tensor

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.grid import Axis, Tile, Tiling

#: ``crop``: each pixel is taken from one tile. ``blend``: it is the weighted mean of all its tiles.
Merge = Literal['crop', 'blend']


@dataclass(frozen=True)
class Piece:
    """Final pixels.

    Args:
        window: Where they are in the grid.
        scores: Their scores (k, height, width); ``None`` where nothing is valid.
    """

    window: Window
    scores: Tensor | None


class Merger(Protocol):
    """Turns tiles into final pieces."""

    def add(self, tile: Tile, scores: Tensor | None) -> Piece:
        """Take the scores (k, tile, tile) of the next tile, ``None`` if it has no valid pixel."""


class Crop:
    """Each pixel is taken from one tile: neighbours share their overlap equally.

    Args:
        tiling: The tiles.
    """

    def __init__(self, tiling: Tiling) -> None:
        self._rows, self._columns = tiling.y.owned, tiling.x.owned

    def add(self, tile: Tile, scores: Tensor | None) -> Piece:
        """Return the pixels that the tile owns."""
        (top, bottom), (left, right) = self._rows[tile.row], self._columns[tile.column]
        if scores is not None:
            y, x = tile.window.row_off, tile.window.col_off
            scores = scores[:, top - y : bottom - y, left - x : right - x]
        return Piece(Window(left, top, right - left, bottom - top), scores)


class Blend:
    """Each pixel is the weighted mean of all tiles that cover it.

    The weights of a tile are the product of the weights along both axes
    (:attr:`~torchgeo_ext.inference.grid.Axis.weights`), which add up to exactly 1 at every pixel,
    so nothing has to be divided. Each tile adds to what its left and upper neighbours left open
    and leaves open what its right and lower ones cover.

    Args:
        tiling: The tiles.
        columns: The columns of tiles that will come.
    """

    def __init__(self, tiling: Tiling, columns: range) -> None:
        self._y, self._x = tiling.y, tiling.x
        self._row_weights = torch.from_numpy(tiling.y.weights)
        self._column_weights = torch.from_numpy(tiling.x.weights)
        self._left = tiling.x.starts[columns.start]
        self._width = tiling.x.stops[columns.stop - 1] - self._left
        self._first_column = columns.start
        self._open_rows: Tensor | None = None
        self._open_columns: Tensor | None = None

    def add(self, tile: Tile, scores: Tensor | None) -> Piece:
        """Return the pixels that no later tile covers."""
        height, width = _step(self._y, tile.row), _step(self._x, tile.column)
        window = Window(tile.window.col_off, tile.window.row_off, width, height)
        here = slice(window.col_off - self._left, window.col_off - self._left + width)
        if tile.column == self._first_column:
            self._open_columns = None
        if scores is None:
            # all pixels of the tile are invalid, so what its neighbours say about them is void
            self._open_columns = None
            if self._open_rows is not None:
                self._open_rows[..., here] = 0
            return Piece(window, None)
        total = self._weighted(tile, scores)
        if self._open_columns is not None:
            total[..., : self._open_columns.shape[-1]] += self._open_columns
        self._open_columns = total[..., width:].clone()
        return Piece(window, self._close_rows(tile, total[..., :width], height, here))

    def _weighted(self, tile: Tile, scores: Tensor) -> Tensor:
        rows = self._row_weights[tile.row, : tile.window.height].to(scores.device)
        columns = self._column_weights[tile.column, : tile.window.width].to(scores.device)
        return scores[:, : len(rows), : len(columns)] * (rows[:, None] * columns)

    def _close_rows(self, tile: Tile, total: Tensor, height: int, here: slice) -> Tensor:
        """Add the rows left open above and keep those to be left open below."""
        if self._open_rows is None:
            shape = len(total), max_shared(self._y), self._width
            self._open_rows = total.new_zeros(shape)
        if tile.row > 0:
            shared = self._y.stops[tile.row - 1] - self._y.starts[tile.row]
            total[:, :shared] += self._open_rows[:, :shared, here]
        rest = total[:, height:]
        self._open_rows[:, : rest.shape[1], here] = rest
        return total[:, :height]


def make_merger(merge: str, tiling: Tiling, columns: range) -> Merger:
    """Make a merger for some columns of tiles."""
    return Crop(tiling) if merge == 'crop' else Blend(tiling, columns)


def check_merge(merge: str) -> None:
    """Refuse an unknown way to merge.

    Raises:
        BadParameter: If ``merge`` is not one of :data:`Merge`.
    """
    if merge not in get_args(Merge):
        raise BadParameter(
            f'merge: {merge!r} is not a way to merge tiles.', 'Choose crop or blend.'
        )


def needed_columns(merge: str, axis: Axis, first: int, end: int) -> range:
    """Return the columns of tiles that the pixel columns ``first`` to ``end`` are made of."""
    if merge == 'crop':
        return _range_that_meets(axis.owned, first, end)
    return _range_that_meets(zip(axis.starts, axis.stops, strict=True), first, end)


def max_shared(axis: Axis) -> int:
    """Return the largest number of pixels that two neighbouring tiles share."""
    pairs = zip(axis.stops[:-1], axis.starts[1:], strict=True)
    return max((stop - start for stop, start in pairs), default=0)


def _step(axis: Axis, index: int) -> int:
    """Return the pixels from the start of a tile to that of the next, or to the end."""
    starts = axis.starts
    return (starts[index + 1] if index + 1 < len(starts) else axis.length) - starts[index]


def _range_that_meets(intervals: Iterable[tuple[int, int]], first: int, end: int) -> range:
    """Return the indexes of the intervals that share pixels with [``first``, ``end``)."""
    met = [i for i, (start, stop) in enumerate(intervals) if start < end and stop > first]
    return range(met[0], met[-1] + 1)
