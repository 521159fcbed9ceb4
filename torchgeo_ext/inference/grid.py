"""The output grid: integer pixel windows on a float64 affine.

Everything in this room is addressed in whole pixels of one :class:`Grid`. Geometry is never taken
from tensors: float32 coordinates are wrong by half a pixel at sub-metre resolution.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Self

import numpy as np
from affine import Affine
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput, BadParameter

#: Deviation, in pixels, below which two pixel positions are the same.
ALIGNED = 1e-3
_DEGREES = CRS.from_epsg(4326)


@dataclass(frozen=True)
class Grid:
    """A raster's pixels on the ground.

    Args:
        crs: Coordinate reference system; ``None`` when the raster has none.
        transform: From (column, row) to (x, y), in float64; may be south-up or rotated.
        width: Number of columns.
        height: Number of rows.
    """

    crs: CRS | None
    transform: Affine
    width: int
    height: int

    @classmethod
    def of(cls, dataset: Any, argument: str = 'image') -> Self:
        """Take the grid of an open raster, exactly.

        Args:
            dataset: An open rasterio dataset.
            argument: The argument the raster came from, for the message.

        Raises:
            BadInput: If the raster is only tied to the ground by control points.
        """
        if dataset.transform.is_identity and dataset.gcps[0]:
            raise BadInput(
                f'{argument}: {dataset.name} has ground control points instead of a pixel grid.',
                'Warp it first, for example with gdalwarp or "Warp (reproject)" in QGIS.',
            )
        return cls(dataset.crs, dataset.transform, dataset.width, dataset.height)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The window that holds all pixels."""
        return Window(0, 0, self.width, self.height)

    @property
    def resolution(self) -> tuple[float, float]:
        """Width and height of a pixel in units of the CRS, positive."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    @property
    def bounds(self) -> BoundingBox:
        """Smallest and largest x and y of the corners, whichever way the grid is turned."""
        corners = [self.transform @ (x, y) for x, y in product((0, self.width), (0, self.height))]
        xs, ys = zip(*corners, strict=True)
        return BoundingBox(min(xs), min(ys), max(xs), max(ys))

    @property
    def wide_bounds(self) -> BoundingBox:
        """The bounds and a pixel around them: shapes cut there keep their edges inside."""
        left, bottom, right, top = self.bounds
        x, y = self.resolution
        return BoundingBox(left - x, bottom - y, right + x, top + y)

    def middle(self, argument: str = 'image') -> tuple[float, float] | None:
        """Tell where on Earth the middle of the grid is.

        Args:
            argument: The argument the grid came from, for messages.

        Returns:
            Longitude (-180 to 180) and latitude in degrees; ``None`` without a CRS.

        Raises:
            BadInput: If no way leads from the CRS to degrees.
        """
        if self.crs is None:
            return None
        x, y = self.transform @ (self.width / 2, self.height / 2)
        longitude, latitude, *_ = _project((x, y, x, y), self.crs, _DEGREES, argument)
        return (longitude + 180) % 360 - 180, latitude

    def part(self, window: Window) -> 'Grid':
        """Return the grid of a window's pixels."""
        origin = Affine.translation(window.col_off, window.row_off)
        return Grid(self.crs, self.transform @ origin, window.width, window.height)

    def crop(
        self, extent: Sequence[float], crs: CRS | None = None, argument: str = 'extent'
    ) -> 'Grid':
        """Return the part that covers an extent, made of whole pixels of this grid.

        Args:
            extent: Smallest x, smallest y, largest x, largest y.
            crs: CRS of the extent; that of the grid if not given.
            argument: The argument the extent came from, for messages.

        Raises:
            BadParameter: If the extent is empty or lies outside of the grid.
        """
        left, bottom, right, top = extent
        if not (left < right and bottom < top):
            raise BadParameter(
                f'{argument}: {tuple(extent)} is empty.', 'Give xmin,ymin,xmax,ymax in this order.'
            )
        if crs is not None and self.crs is not None and crs != self.crs:
            left, bottom, right, top = _project(extent, crs, self.crs, argument)
        inverse = ~self.transform
        columns, rows = zip(
            *(inverse @ p for p in product((left, right), (bottom, top))), strict=True
        )
        first_column, last_column = _whole_pixels(columns, self.width)
        first_row, last_row = _whole_pixels(rows, self.height)
        if first_column >= last_column or first_row >= last_row:
            raise BadParameter(
                f'{argument}: {tuple(extent)} lies outside of the image, which covers '
                f'{tuple(self.bounds)}.',
                'Choose an extent that overlaps the image, in the CRS you name.',
            )
        return self.part(
            Window(first_column, first_row, last_column - first_column, last_row - first_row)
        )

    def coarser(self, factor: int) -> 'Grid':
        """Return the grid of pixels that many times as wide; the last ones may reach beyond."""
        return Grid(
            self.crs,
            self.transform @ Affine.scale(factor),
            -(-self.width // factor),
            -(-self.height // factor),
        )

    def windows(self, size: int) -> Iterator[Window]:
        """Yield windows of at most ``size`` x ``size`` pixels, row by row, each pixel once."""
        for row in range(0, self.height, size):
            for column in range(0, self.width, size):
                yield Window(
                    column, row, min(size, self.width - column), min(size, self.height - row)
                )

    def offset_in(self, other: 'Grid') -> tuple[int, int] | None:
        """Return the column and row in ``other`` of this grid's first pixel.

        Returns:
            The offset, or ``None`` if the pixels of the two grids do not coincide everywhere.
        """
        if self.crs != other.crs:
            return None
        to_other = ~other.transform @ self.transform
        column, row = to_other @ (0, 0)
        offset = round(column), round(row)
        for x, y in product((0, self.width), (0, self.height)):
            there = to_other @ (x, y)
            if np.abs(np.subtract(there, (x + offset[0], y + offset[1]))).max() > ALIGNED:
                return None
        return offset

    def overlaps(self, other: 'Grid') -> bool:
        """Tell whether the bounding boxes of the two grids share ground.

        Raises:
            BadInput: If the CRS of one cannot be transformed to that of the other.
        """
        ours, theirs = self.bounds, other.bounds
        if self.crs is not None and other.crs is not None and self.crs != other.crs:
            ours = BoundingBox(*_project(ours, self.crs, other.crs, 'grid'))
        across = ours.left > ours.right or (ours.left < theirs.right and theirs.left < ours.right)
        return across and ours.bottom < theirs.top and theirs.bottom < ours.top

    def tiles(self, tile_size: int, overlap: int = 0) -> 'Tiling':
        """Lay square tiles over the grid.

        Args:
            tile_size: Height and width of a tile in pixels.
            overlap: Pixels that neighbouring tiles share at least.

        Raises:
            BadParameter: If the sizes do not fit together.
        """
        check_tiling(tile_size, overlap)
        return Tiling(
            Axis(self.height, tile_size, overlap), Axis(self.width, tile_size, overlap), tile_size
        )


@dataclass(frozen=True)
class Axis:
    """Where the tiles lie along one axis.

    Tiles start every ``tile - overlap`` pixels; the last one is shifted back so that it ends with
    the raster. An axis shorter than a tile has one tile that reaches beyond it.

    Args:
        length: Pixels of the grid along the axis.
        tile: Pixels of a tile.
        overlap: Pixels that neighbours share at least.
    """

    length: int
    tile: int
    overlap: int

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First pixel of each tile, strictly increasing."""
        stride = self.tile - self.overlap
        count = 1 + max(0, math.ceil((self.length - self.tile) / stride))
        last = max(0, self.length - self.tile)
        return tuple(min(i * stride, last) for i in range(count))

    @cached_property
    def stops(self) -> tuple[int, ...]:
        """End of each tile inside of the grid."""
        return tuple(min(start + self.tile, self.length) for start in self.starts)

    @cached_property
    def owned(self) -> tuple[tuple[int, int], ...]:
        """First pixel and end of what each tile owns; neighbours share their overlap equally."""
        starts, stops = self.starts, self.stops
        cuts = [(b + a) // 2 for a, b in zip(stops[:-1], starts[1:], strict=True)]
        return tuple(zip([0, *cuts], [*cuts, self.length], strict=True))

    @cached_property
    def weights(self) -> np.ndarray:
        """Blending weights, (tiles, tile) float32: at each pixel those of all tiles sum to one.

        A weight falls linearly from the centre of its tile and is normalised over the tiles that
        share the pixel. All weights are multiples of 2**-12, so the product of the weights of two
        axes is a multiple of 2**-24 and float32 arithmetic adds them up to 1 without rounding.
        """
        ramp = np.minimum(np.arange(self.tile) + 0.5, self.tile - 0.5 - np.arange(self.tile))
        height = np.zeros(self.length)
        for start, stop in zip(self.starts, self.stops, strict=True):
            height[start:stop] += ramp[: stop - start]
        weights = np.zeros((len(self.starts), self.tile), np.float32)
        share, steps = np.zeros(self.length), np.zeros(self.length)
        for i, (start, stop) in enumerate(zip(self.starts, self.stops, strict=True)):
            # rounding the running sum instead of each share keeps the total exact
            share[start:stop] += ramp[: stop - start] / height[start:stop]
            rounded = np.rint(share[start:stop] * _STEPS)
            weights[i, : stop - start] = (rounded - steps[start:stop]) / _STEPS
            steps[start:stop] = rounded
        return weights


_STEPS = 2**12


@dataclass(frozen=True)
class Tile:
    """One tile of a :class:`Tiling`.

    Args:
        row: Number of the tile along y.
        column: Number of the tile along x.
        window: Its pixels inside of the grid; smaller than the tile only if the grid is.
    """

    row: int
    column: int
    window: Window


@dataclass(frozen=True)
class Tiling:
    """Square tiles that cover a grid, addressed by row and column.

    Args:
        y: The rows of tiles.
        x: The columns of tiles.
        tile_size: Height and width of a tile in pixels.
    """

    y: Axis
    x: Axis
    tile_size: int

    def __len__(self) -> int:
        return len(self.y.starts) * len(self.x.starts)

    def __iter__(self) -> Iterator[Tile]:
        for row, (top, bottom) in enumerate(zip(self.y.starts, self.y.stops, strict=True)):
            for column, (left, right) in enumerate(zip(self.x.starts, self.x.stops, strict=True)):
                yield Tile(row, column, Window(left, top, right - left, bottom - top))


def transform_points(transform: Affine, x: Any, y: Any) -> tuple[Any, Any]:
    """Apply an affine map to arrays of coordinates."""
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def check_tiling(tile_size: int, overlap: int) -> None:
    """Refuse sizes that make no tiling.

    Raises:
        BadParameter: If ``tile_size`` is not positive or ``overlap`` not in [0, ``tile_size``).
    """
    if tile_size < 1:
        raise BadParameter(f'tile_size: {tile_size} is not a positive number of pixels.')
    if not 0 <= overlap < tile_size:
        raise BadParameter(
            f'overlap: {overlap} is not between 0 and tile_size - 1 = {tile_size - 1}.',
            'Choose a smaller overlap or larger tiles.',
        )


def _whole_pixels(positions: Sequence[float], length: int) -> tuple[int, int]:
    first = math.floor(min(positions) + ALIGNED)
    last = math.ceil(max(positions) - ALIGNED)
    return max(0, first), min(length, last)


def _project(
    extent: Sequence[float], source: CRS, destination: CRS, argument: str
) -> tuple[float, float, float, float]:
    try:
        return transform_bounds(source, destination, *extent)
    except (CRSError, RasterioError) as error:
        raise BadInput(
            f'{argument}: {tuple(extent)} cannot be transformed from {source} to {destination}.',
            'Check that the coordinate reference systems are right.',
        ) from error
