"""Which pixels lie in each of many polygons: counted window by window.

A pixel is in a polygon if its centre is, and in several where they overlap. A polygon that covers
no centre has the pixel it lies in. Polygons are kept in memory, pixels of one window at a time.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, NamedTuple, Self

import geopandas
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from torchgeo_ext.inference.grid import Grid, transform_points
from torchgeo_ext.inference.mask import MaskReader
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.progress import Progress, silent

Shapes = NDArray[Any]
Ints = NDArray[np.int64]

#: Height and width of what is counted at once.
_WINDOW = 1024
#: Shapely's numbers of polygons and multipolygons.
_AREAS = (3, 6)


class ZonalCounts(NamedTuple):
    """Pixels in n polygons.

    Attributes:
        pixels: All of each polygon on the grid (n,).
        values: Those of each polygon that have each of k values (n, k).
    """

    pixels: Ints
    values: Ints


class Zones:
    """Polygons on the pixels of a grid.

    Args:
        shapes: Geometries (n,); None and what is no polygon have no pixels.
        crs: Their coordinate reference system, of any kind geopandas knows.
        grid: The pixels.

    Attributes:
        grid: The pixels.
        covered: Which share of the area of each polygon lies on the grid (n,), 0 to 1.
    """

    def __init__(self, shapes: Shapes, crs: Any, grid: Grid) -> None:
        self.grid = grid
        self.covered = np.zeros(len(shapes))
        numbers, there = _polygons_in(shapes, crs, grid)
        shares = _shares_in(_outline(grid), there)
        self.covered[numbers] = shares
        doubtful = (shares < 1) | ~_surely_with_pixels(there, grid)
        self._index = _Index(np.flatnonzero(doubtful), there[doubtful])
        missed = np.setdiff1d(np.flatnonzero(doubtful), self._with_pixels())
        there[missed] = _pixels_at(shapely.point_on_surface(there[missed]), grid)
        self._index = _Index(numbers, there)

    def open(self, grid: Grid) -> MaskReader:
        """Mark the pixels that are in any of the polygons, as a mask does.

        Args:
            grid: The grid of the zones.
        """
        assert grid == self.grid, 'zones are laid on one grid'
        return _ZoneMask(self)

    def count(self, raster: Any, values: Sequence[int], progress: Progress = silent) -> ZonalCounts:
        """Count the pixels of each value in each polygon.

        Args:
            raster: Whole numbers on the grid. Pixels without data have none of the values.
            values: What to count.
            progress: Told how far the work is.
        """
        counts = np.zeros((len(self.covered), 1 + len(values)), np.int64)
        with RasterSource(str(raster), bands=(1,)).open(self.grid) as reader:
            for window in self.grid.windows(_WINDOW):
                progress(window.row_off / self.grid.height, 'Counting pixels in polygons')
                read = None
                for numbers, owner in self.owners(window):
                    read = read or reader.read_native(window)
                    (pixels,), valid = read
                    inside = owner > 0
                    codes = _codes(pixels[inside], valid[inside], values)
                    counts[numbers] += _tally(owner[inside], codes, len(numbers), len(values))
        return ZonalCounts(counts.sum(axis=1), counts[:, 1:])

    def owners(self, window: Window) -> Iterator[tuple[Ints, NDArray[np.int32]]]:
        """Tell which polygons the pixels of a window are in.

        Yields:
            Numbers of polygons (m,) that do not overlap, and for each pixel (height, width) the
            place of its polygon among these, counted from 1; 0 for none of them. Further ones where
            others overlap these; nothing where there is no polygon.
        """
        part = self.grid.part(window)
        for numbers, shapes in self._index.layers(part.bounds):
            # cutting first keeps a huge outline from being burnt anew in every window
            cut = shapely.clip_by_rect(shapes, *part.wide_bounds)
            left = ~shapely.is_empty(cut)
            if left.any():
                pairs = zip(cut[left], range(1, int(left.sum()) + 1), strict=True)
                owner = rasterize(pairs, part.shape, transform=part.transform, dtype='int32')
                yield numbers[left], owner

    def _with_pixels(self) -> Ints:
        """Give the numbers of the polygons that have a pixel."""
        found = [
            numbers[np.unique(owner[owner > 0]) - 1]
            for window in self.grid.windows(_WINDOW)
            for numbers, owner in self.owners(window)
        ]
        return np.concatenate([np.empty(0, np.int64), *found])


class _ZoneMask(nullcontext[Any]):
    def __init__(self, zones: Zones) -> None:
        super().__init__()
        self._zones = zones

    def __enter__(self) -> Self:
        return self

    def read(self, window: Window) -> NDArray[np.bool_]:
        inside = np.zeros((window.height, window.width), bool)
        for _, owner in self._zones.owners(window):
            inside |= owner > 0
        return inside


class _Index:
    """Finds polygons by place, in layers within which none meets another.

    Args:
        numbers: Number of each polygon (m,).
        shapes: The polygons (m,).
    """

    def __init__(self, numbers: Ints, shapes: Shapes) -> None:
        self._numbers, self._shapes = numbers, shapes
        self._tree = shapely.STRtree(shapes)
        self._layer = np.zeros(len(shapes), np.int64)
        one, other = self._tree.query(shapes, predicate='intersects')
        one, other = one[other < one], other[other < one]
        order = np.argsort(one, kind='stable')
        one, other = one[order], other[order]
        starts = np.flatnonzero(np.diff(one, prepend=-1))
        for start, stop in pairwise([*starts, len(one)]):
            taken = set(self._layer[other[start:stop]].tolist())
            free = (layer for layer in range(len(taken) + 1) if layer not in taken)
            self._layer[one[start]] = next(free)

    def layers(self, bounds: Sequence[float]) -> Iterator[tuple[Ints, Shapes]]:
        """Give numbers and shapes of the polygons in a box, layer by layer."""
        found = np.sort(self._tree.query(shapely.box(*bounds)))
        layer = self._layer[found]
        for wanted in np.unique(layer):
            chosen = found[layer == wanted]
            yield self._numbers[chosen], self._shapes[chosen]


def are_polygons(shapes: Shapes) -> NDArray[np.bool_]:
    """Tell which geometries are polygons or several of them."""
    return np.isin(shapely.get_type_id(shapes), _AREAS)


def _polygons_in(shapes: Shapes, crs: Any, grid: Grid) -> tuple[Ints, Shapes]:
    """Give the polygons that touch a grid, valid and in its reference system, and their numbers."""
    numbers = np.flatnonzero(are_polygons(shapes))
    there = shapes[numbers]
    if grid.crs is not None:
        there = np.array(geopandas.GeoSeries(there, crs=crs).to_crs(grid.crs.to_wkt()).values)
    left, bottom, right, top = grid.bounds
    box = shapely.bounds(there)
    # comparisons with what has no place in the reference system, infinite or NaN, are false
    near = (box[:, 0] <= right) & (box[:, 2] >= left) & (box[:, 1] <= top) & (box[:, 3] >= bottom)
    near &= np.isfinite(box).all(axis=1)
    numbers, there = numbers[near], there[near]
    broken = ~shapely.is_valid(there)
    there[broken] = shapely.make_valid(there[broken], method='structure', keep_collapsed=False)
    kept = (shapely.area(there) > 0) & shapely.intersects(there, _outline(grid))
    return numbers[kept], there[kept]


def _surely_with_pixels(shapes: Shapes, grid: Grid) -> NDArray[np.bool_]:
    """Tell of polygons without looking at pixels whether they cover the centre of one for certain.

    The largest circle in a polygon with at most one hole has at least the radius area / perimeter
    (B. Szőkefalvi-Nagy, 1959), and any circle as wide as here covers a centre.
    """
    parts, of_shape = shapely.get_parts(shapes, return_index=True)
    holes = np.bincount(of_shape, shapely.get_num_interior_rings(parts), len(shapes))
    radius = sum(grid.resolution) / 2
    return (holes < 2) & (shapely.area(shapes) > radius * shapely.length(shapes))


def _shares_in(outline: Any, shapes: Shapes) -> NDArray[np.float64]:
    """Tell which share of the area of each polygon lies in an outline."""
    shares = np.ones(len(shapes))
    shapely.prepare(outline)
    across = ~shapely.contains_properly(outline, shapes)
    common = shapely.intersection(shapes[across], outline)
    shares[across] = shapely.area(common) / shapely.area(shapes[across])
    return shares


def _outline(grid: Grid) -> Any:
    corners = np.array([(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)])
    return shapely.polygons(np.column_stack(transform_points(grid.transform, *corners.T)))


def _pixels_at(points: Shapes, grid: Grid) -> Shapes:
    """Give a small square in the middle of the pixel that each point lies in."""
    x, y = transform_points(~grid.transform, shapely.get_x(points), shapely.get_y(points))
    place = grid.transform @ Affine.translation(0.5, 0.5)
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) / 4
    squares = np.column_stack((np.floor(x), np.floor(y)))[:, None] + corners
    return shapely.polygons(
        np.stack(transform_points(place, squares[..., 0], squares[..., 1]), axis=-1)
    )


def _codes(pixels: NDArray[Any], valid: NDArray[np.bool_], values: Sequence[int]) -> Ints:
    """Give the place of each pixel's value among the values, from 1; 0 for none of them."""
    order = np.argsort(values)
    known = np.asarray(values)[order]
    place = np.searchsorted(known, pixels).clip(max=len(known) - 1)
    return np.where(valid & (known[place] == pixels), order[place] + 1, 0)


def _tally(owner: NDArray[np.int32], codes: Ints, owners: int, values: int) -> Ints:
    """Count the codes, from 0, of the pixels of each owner, from 1; (owners, values + 1)."""
    both = (owner - 1) * np.int64(values + 1) + codes
    counts = np.bincount(both, minlength=owners * (values + 1))
    return counts.reshape(owners, values + 1)
