"""Where grids lie in each other, also across the antimeridian.

A geographic grid may begin at 179 degrees and end at 181; its other half may be a file of its own
that begins at -180. Longitudes are therefore moved by whole turns next to what they are compared
with.
"""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform, transform_bounds
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import ALIGNED, Grid

Box = tuple[float, float, float, float]

#: Points per edge of an outline that is projected.
_POINTS = 21


def is_geographic(crs: CRS | None) -> bool:
    """Tell whether coordinates are longitudes and latitudes."""
    return crs is not None and bool(crs.is_geographic)


def turns(x: float, near: float) -> float:
    """Give the whole turns, in degrees, that bring a longitude next to another one."""
    return 360.0 * round((near - x) / 360)


def turned(grid: Grid, other: Grid) -> Grid:
    """Move a geographic grid by whole turns next to another geographic one."""
    if not (is_geographic(grid.crs) and is_geographic(other.crs)):
        return grid
    shift = turns(_middle(grid), _middle(other))
    if shift == 0:
        return grid
    moved = type(grid.transform).translation(shift, 0) @ grid.transform
    return Grid(grid.crs, moved, grid.width, grid.height)


def _middle(grid: Grid) -> float:
    return (grid.bounds.left + grid.bounds.right) / 2


def project_box(box: Box, source: CRS | None, target: CRS | None, near: float) -> Box:
    """Give the box around a box in another reference system.

    Args:
        box: Smallest x, smallest y, largest x, largest y.
        source: Its reference system.
        target: The other one.
        near: If ``target`` has longitudes, the one next to which they shall be.

    Raises:
        BadInput: If there is no way from one to the other.
    """
    left, bottom, right, top = box
    if source is not None and target is not None and source != target:
        try:
            left, bottom, right, top = transform_bounds(source, target, *box)
        except RasterioError as error:
            raise BadInput(
                f'{tuple(box)} cannot be transformed from {source} to {target}.',
                'Check that the coordinate reference systems are right.',
            ) from error
    if is_geographic(target):
        right += 360 if left > right else 0
        shift = turns((left + right) / 2, near)
        left, right = left + shift, right + shift
    return left, bottom, right, top


def window_of(grid: Grid, other: Grid) -> Window | None:
    """Give the pixels of a grid that another grid covers, at least in part; None if there are none.

    Raises:
        BadInput: If only one of them has a reference system.
    """
    if (grid.crs is None) != (other.crs is None):
        raise BadInput(
            'One of two rasters has a coordinate reference system, the other has none.',
            'Assign the right one (in QGIS: Raster > Projections > Assign projection).',
        )
    return window_in(grid, project_box(other.bounds, other.crs, grid.crs, _middle(grid)))


def window_in(grid: Grid, box: Box) -> Window | None:
    """Give the pixels of a grid that a box in its reference system touches, if there are any."""
    if not np.isfinite(box).all():
        return None
    first, first_row, end, end_row = pixel_box(grid, box)
    first, first_row = max(0, first), max(0, first_row)
    end, end_row = min(grid.width, end), min(grid.height, end_row)
    if first >= end or first_row >= end_row:
        return None
    return Window(first, first_row, end - first, end_row - first_row)


def pixel_box(grid: Grid, box: Box) -> tuple[int, int, int, int]:
    """Give first column and row, and last ones plus 1, that a box touches, also beyond a grid."""
    inverse, (left, bottom, right, top) = ~grid.transform, box
    columns, rows = zip(
        *(inverse @ point for point in product((left, right), (bottom, top))), strict=True
    )
    return _floor(min(columns)), _floor(min(rows)), _ceil(max(columns)), _ceil(max(rows))


def _floor(position: float) -> int:
    return math.floor(position + ALIGNED)


def _ceil(position: float) -> int:
    return math.ceil(position - ALIGNED)


def outline(grid: Grid, crs: CRS | None, near: float | None = None) -> shapely.Polygon:
    """Give the outline of a grid in a reference system, in one piece.

    Args:
        grid: The grid.
        crs: The reference system.
        near: If that has longitudes, the one next to which they shall be.
    """
    width, height = grid.width, grid.height
    same = crs is None or grid.crs is None or grid.crs == crs
    steps = np.linspace(0, 1, 2 if same else _POINTS)[:-1]
    ring = [
        grid.transform @ point
        for point in (
            *((s * width, 0) for s in steps),
            *((width, s * height) for s in steps),
            *(((1 - s) * width, height) for s in steps),
            *((0, (1 - s) * height) for s in steps),
        )
    ]
    x, y = (np.array(values, dtype=float) for values in zip(*ring, strict=True))
    if not same:
        x, y = (np.array(values) for values in transform(grid.crs, crs, x, y))
    if is_geographic(crs):
        # a step of more than half a turn is one across the antimeridian
        x = np.unwrap(x, period=360)
        x += 0 if near is None else turns(float(x.min() + x.max()) / 2, near)
    return shapely.Polygon(np.column_stack([x, y]))


class GridTree:
    """Finds out of many grids those that may overlap another one.

    Args:
        grids: The grids.
    """

    def __init__(self, grids: Sequence[Grid]) -> None:
        self._crs = grids[0].crs
        left, _, right, _ = outline(grids[0], self._crs).bounds
        self._near = (left + right) / 2
        self._tree = shapely.STRtree([outline(grid, self._crs, self._near) for grid in grids])

    def near(self, grid: Grid) -> list[int]:
        """Give the numbers of the grids whose boxes touch that of a grid, in order."""
        found: list[int] = self._tree.query(outline(grid, self._crs, self._near)).tolist()
        return sorted(found)
