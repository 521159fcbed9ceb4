"""The land a sampler works on: rasters, the part of each that may be sampled, coordinates."""

import functools
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from shapely.affinity import translate
from torchgeo.datasets import GeoDataset

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.grid import ALIGNED, Grid
from torchgeo_ext.samplers._patches import Cut, Location, Patch

#: Pieces an outline is cut into before it is projected, so that its edges stay where they are.
_PIECES = 64


class Place:
    """The rasters of a dataset, narrowed to a region and a time.

    A dataset with ``grids`` is sampled raster by raster. Of any other, each connected part of its
    footprint is taken as one raster at the dataset's resolution.

    Args:
        dataset: The dataset.
        roi: Region in the dataset's reference system; everything if not given.
        toi: Rasters of other times are left out.

    Attributes:
        grids: One per raster.
        regions: One per raster: the smallest window that holds what may be sampled; empty if
            nothing may.
        limits: One per raster: outline of what may be sampled in pixels (column, row), None if
            that is the whole region.
        time: What patches have to name for the dataset to keep to ``toi``.

    Raises:
        BadParameter: If nothing is left by ``roi`` or ``toi``.
    """

    def __init__(
        self, dataset: GeoDataset, roi: Any | None = None, toi: pd.Interval | None = None
    ) -> None:
        self.crs = dataset.crs
        self.exact = hasattr(dataset, 'grids')
        self.grids = footprint_grids(dataset)
        self._foreign = [differ(self.crs, grid.crs) for grid in self.grids]
        self.index = dataset.index if toi is None else _within(dataset, toi)
        row_by_row = self.exact and len(dataset.index) == len(self.grids)
        self.time = None if toi is None or row_by_row else slice(toi.left, toi.right)
        kept = np.ones(len(self.grids), bool)
        if toi is not None and row_by_row:
            kept = np.asarray(dataset.index.index.overlaps(toi))
        outline = self._outline(roi, narrowed=self.time is not None)
        if outline is not None and shapely.is_empty(outline):
            raise _outside('roi', roi, dataset)
        self.limits: list[Any | None] = []
        self.regions: list[Window] = []
        for grid, wanted in zip(self.grids, kept, strict=True):
            region, limit = _narrow(grid, outline, self.crs) if wanted else (_NOTHING, None)
            self.regions.append(region)
            self.limits.append(limit)
        if not any(region.width and region.height for region in self.regions):
            raise _outside('roi', roi, dataset)

    def _outline(self, roi: Any | None, *, narrowed: bool) -> Any | None:
        """Outline all that may be sampled, in the dataset's reference system."""
        if self.exact and not narrowed:
            return roi
        covered = self.index.geometry.union_all()
        return covered if roi is None else shapely.intersection(covered, roi)

    def patch(self, cut: Cut) -> Location:
        """Make what indexes the dataset."""
        x, y = self.slices(cut.scene, cut.window)
        time = cut.time or self.time
        if not self.exact:
            return Location(x, y, time, tile_id=cut.tile_id)
        return Patch(
            x, y, time, scene=cut.scene, window=cut.window, core=cut.core, tile_id=cut.tile_id
        )

    def slices(self, scene: int, window: Window) -> tuple[slice, slice]:
        """Give the x and y of a window in the dataset's reference system.

        Across the antimeridian longitudes go on beyond 180 degrees.
        """
        left, bottom, right, top = self.grids[scene].part(window).bounds
        if self._foreign[scene]:
            left, bottom, right, top = transform_bounds(
                self.grids[scene].crs, self.crs, left, bottom, right, top
            )
            if left > right:
                right += 360
        return slice(left, right), slice(bottom, top)

    def centres(
        self, scenes: NDArray[np.int64], rows: NDArray[Any], columns: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Project pixel positions of rasters to the dataset's reference system, (n, 2)."""
        out = np.empty((len(scenes), 2))
        for scene in np.unique(scenes):
            here = scenes == scene
            grid = self.grids[scene]
            x, y = grid.transform @ (columns[here], rows[here])
            if self._foreign[scene]:
                x, y = transformer(grid.crs, self.crs).transform(x, y)
            out[here, 0], out[here, 1] = x, y
        return out

    def difference(
        self, anchor: NDArray[np.float64], others: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Subtract a position from others in the dataset's reference system, (n, 2)."""
        away = others - anchor
        if self.crs is not None and self.crs.is_geographic:
            # the shorter way round
            away[:, 0] = (away[:, 0] + 180) % 360 - 180
        return away

    def on(self, scene: int, point: shapely.Point) -> tuple[float, float]:
        """Give the pixel position (column, row) on a raster of a point of the dataset."""
        there = to_pixels(point, self.crs, self.grids[scene])
        return there.x, there.y

    def inside(
        self, scene: int, tops: NDArray[Any], lefts: NDArray[Any], size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        """Tell of windows whether their part on the raster may be sampled as a whole."""
        limit, grid = self.limits[scene], self.grids[scene]
        if limit is None:
            return np.ones(len(tops), bool)
        boxes = shapely.box(
            np.maximum(lefts, 0),
            np.maximum(tops, 0),
            np.minimum(lefts + size[1], grid.width),
            np.minimum(tops + size[0], grid.height),
        )
        shapely.prepare(limit)
        covered: NDArray[np.bool_] = shapely.covers(limit, boxes)
        return covered

    def open_cells(self, scene: int, cell: int) -> NDArray[np.int64]:
        """Count the pixels of each cell that lie in the region and touch what may be sampled.

        Args:
            scene: Which raster.
            cell: Height and width of a cell in pixels.

        Returns:
            (rows, columns) pixels, 0 where a cell must not be drawn.
        """
        grid, region = self.grids[scene], self.regions[scene]
        rows = _overlaps(grid.height, cell, region.row_off, region.row_off + region.height)
        columns = _overlaps(grid.width, cell, region.col_off, region.col_off + region.width)
        pixels = rows[:, None] * columns[None, :]
        if self.limits[scene] is not None and pixels.any():
            pixels[
                geometry_mask(
                    [self.limits[scene]], pixels.shape, Affine.scale(cell), all_touched=True
                )
            ] = 0
        return pixels


_NOTHING = Window(0, 0, 0, 0)


def footprint_grids(dataset: GeoDataset) -> tuple[Grid, ...]:
    """Give the grids a dataset is sampled on: its own, or one per part of its footprint."""
    return tuple(dataset.grids) if hasattr(dataset, 'grids') else _parts(dataset)


def cell_shape(grid: Grid, cell: int) -> tuple[int, int]:
    """Give how many rows and columns of cells a raster has."""
    return -(-grid.height // cell), -(-grid.width // cell)


@functools.lru_cache(maxsize=1024)
def differ(crs: Any | None, other: Any | None) -> bool:
    """Tell whether two reference systems, of any library, are known and not the same.

    Comparing them is slow, and rasters are many.
    """
    return crs is not None and other is not None and crs != other


@functools.lru_cache(maxsize=64)
def transformer(source: Any, target: Any) -> pyproj.Transformer:
    """Give the projection between two reference systems of any library."""
    return pyproj.Transformer.from_crs(
        pyproj.CRS.from_user_input(source), pyproj.CRS.from_user_input(target), always_xy=True
    )


def corners(grid: Grid, crs: Any | None) -> tuple[Any, Any]:
    """Give x and y of the corners of all pixels in a reference system, (h + 1, w + 1) each."""
    points: Any = tuple(np.meshgrid(np.arange(grid.width + 1), np.arange(grid.height + 1)))
    points = grid.transform @ points
    if differ(crs, grid.crs):
        points = transformer(grid.crs, crs).transform(*points)
    return points


def to_pixels(geometry: Any, crs: Any | None, grid: Grid) -> Any:
    """Bring a geometry onto a raster, in pixels (column, row) from its first one.

    Longitudes that differ by 360 degrees are the same: of a geometry the copies that lie beside
    the raster are taken.

    Args:
        geometry: A shapely geometry.
        crs: Its reference system; None if it is that of the raster.
        grid: The raster.
    """
    geographic = bool(grid.crs and grid.crs.is_geographic)
    if differ(crs, grid.crs):
        project = transformer(crs, grid.crs)
        left, bottom, right, top = geometry.bounds
        longest = max(right - left, top - bottom) / _PIECES
        if longest:
            geometry = shapely.segmentize(geometry, longest)
        geometry = shapely.transform(geometry, lambda xy: _project(project, xy, geographic))
    if geographic:
        left, _, right, _ = grid.bounds
        copies = [translate(geometry, turn) for turn in (-360, 0, 360)]
        near = [copy for copy in copies if copy.bounds[0] <= right and left <= copy.bounds[2]]
        geometry = shapely.union_all(near or [geometry])
    a, b, c, d, e, f = (~grid.transform)[:6]
    return shapely.transform(
        geometry, lambda xy: np.column_stack([xy @ (a, b) + c, xy @ (d, e) + f])
    )


def features_to_pixels(shapes: NDArray[Any], crs: Any | None, grid: Grid) -> NDArray[Any]:
    """Bring many small geometries onto a raster, in pixels (column, row) from its first one.

    Of each the copy that lies nearest to the raster is taken, as longitudes differ by 360 degrees.

    Args:
        shapes: (n,) shapely geometries.
        crs: Their reference system; None if it is that of the raster.
        grid: The raster.
    """
    xy, feature = shapely.get_coordinates(shapes, return_index=True)
    if differ(crs, grid.crs):
        xy = np.column_stack(transformer(crs, grid.crs).transform(*xy.T))
    if grid.crs and grid.crs.is_geographic:
        _, first = np.unique(feature, return_index=True)
        start = xy[first[feature], 0]
        middle = (grid.bounds.left + grid.bounds.right) / 2
        turns = 360 * np.round((middle - start) / 360)
        xy[:, 0] = start + (xy[:, 0] - start + 180) % 360 - 180 + turns
    a, b, c, d, e, f = (~grid.transform)[:6]
    pixels = np.column_stack([xy @ (a, b) + c, xy @ (d, e) + f])
    placed: NDArray[Any] = shapely.set_coordinates(shapes.copy(), pixels)
    return placed


def _project(
    project: pyproj.Transformer, xy: NDArray[np.float64], geographic: bool
) -> NDArray[np.float64]:
    x, y = project.transform(xy[:, 0], xy[:, 1])
    if geographic and len(x):
        x = x[0] + (x - x[0] + 180) % 360 - 180
    return np.column_stack([x, y])


def _narrow(grid: Grid, outline: Any | None, crs: Any) -> tuple[Window, Any | None]:
    """Give the window of a raster that an outline leaves, and the outline if it is no rectangle."""
    if outline is None:
        return grid.window, None
    drawn = shapely.intersection(
        to_pixels(outline, crs, grid), shapely.box(0, 0, grid.width, grid.height)
    )
    if drawn.area < ALIGNED:
        return _NOTHING, None
    left, top, right, bottom = drawn.bounds
    first, first_row = int(np.ceil(left - ALIGNED)), int(np.ceil(top - ALIGNED))
    end, end_row = int(np.floor(right + ALIGNED)), int(np.floor(bottom + ALIGNED))
    if end <= first or end_row <= first_row:
        return _NOTHING, None
    region = Window(first, first_row, end - first, end_row - first_row)
    is_rectangle = drawn.area > (1 - 1e-9) * (right - left) * (bottom - top)
    return region, None if is_rectangle else drawn.buffer(ALIGNED, join_style='mitre')


def _overlaps(length: int, cell: int, start: int, stop: int) -> NDArray[np.int64]:
    edges = np.arange(0, length + cell, cell)[: -(-length // cell) + 1]
    return np.maximum(0, np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start))


def _parts(dataset: GeoDataset) -> tuple[Grid, ...]:
    """Lay a grid over each connected part of a dataset's footprint, all on one lattice."""
    x, y, _ = dataset.bounds
    crs = None if dataset.crs is None else CRS.from_user_input(dataset.crs)
    whole = Affine(x.step, 0, x.start, 0, -y.step, y.stop)
    grids = []
    for part in shapely.get_parts(dataset.index.geometry.union_all()):
        left, bottom, right, top = part.bounds
        column, row = round((left - x.start) / x.step), round((y.stop - top) / y.step)
        width = max(1, round((right - left) / x.step))
        height = max(1, round((top - bottom) / y.step))
        grids.append(Grid(crs, whole @ Affine.translation(column, row), width, height))
    return tuple(grids)


def _within(dataset: GeoDataset, toi: pd.Interval) -> Any:
    index = dataset.index[dataset.index.index.overlaps(toi)]
    if index.empty:
        raise _outside('toi', toi, dataset)
    return index


def _outside(argument: str, value: Any, dataset: GeoDataset) -> BadParameter:
    x, y, t = dataset.bounds
    covered = (
        f'{t.start} to {t.stop}'
        if argument == 'toi'
        else f'x {x.start:g} to {x.stop:g}, y {y.start:g} to {y.stop:g}'
    )
    return BadParameter(
        f'{argument}: no raster of the dataset lies in {value}; it covers {covered}.',
        'Choose a time that overlaps the dataset.'
        if argument == 'toi'
        else "Choose a region that overlaps the dataset, in the dataset's reference system.",
    )
