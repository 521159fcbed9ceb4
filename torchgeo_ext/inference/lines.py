"""From a raster of narrow things, such as roads or tracks of ships, to their centre lines.

The raster is thinned part by part, without seams; of all of it only the pixels of the lines are
kept.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy.ndimage import distance_transform_edt

from torchgeo_ext.inference._line_graph import LineGraph, networks, tidy
from torchgeo_ext.inference.area import pixel_area
from torchgeo_ext.inference.grid import Grid, transform_points
from torchgeo_ext.inference.lengths import step_lengths
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.thinning import reach, thin
from torchgeo_ext.progress import Progress, silent

log = logging.getLogger(__name__)

#: Height and width of what is thinned at once.
_TILE = 1024

Floats = NDArray[np.float64]
#: Tells from the values of a raster (h, w) which pixels count, and how sure that is.
Chooser = Callable[[NDArray[np.float32]], tuple[NDArray[np.bool_], NDArray[np.float32]]]


class CentreLines(NamedTuple):
    """Lines in the reference system of the raster.

    Attributes:
        shapes: (n,) lines.
        lengths: (n,) metres on the ground.
        widths: (n,) mean width in metres, to about a pixel.
        scores: (n,) mean of how sure it is.
    """

    shapes: NDArray[Any]
    lengths: Floats
    widths: Floats
    scores: Floats


@dataclass
class _Pixels:
    """Pixels of lines.

    Args:
        rows: (n,) row of each.
        columns: (n,) column of each.
        around: (n,) pixels from the middle to the nearest edge, times two.
        areas: (n,) pixels of the area that it is the nearest of.
        scores: (n,) how sure it is.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    around: Floats
    areas: NDArray[np.int64]
    scores: Floats


def centre_lines(
    source: RasterSource,
    grid: Grid,
    choose: Chooser,
    *,
    maximum_width: int = 32,
    minimum_length: float = 0.0,
    tolerance: float = 1.0,
    progress: Progress = silent,
) -> CentreLines:
    """Find the centre lines of narrow things.

    Args:
        source: The raster; its first band counts.
        grid: The part of it to look at.
        choose: Tells what belongs to lines.
        maximum_width: Pixels that lines may be wide. What is wider is left out.
        minimum_length: Leave out lines that, with all they meet, are shorter, in metres.
        tolerance: Pixels that simplified lines may be off.
        progress: Told how far the work is.

    Returns:
        The lines, which end where others begin.
    """
    pixels = _thinned(source, grid, choose, maximum_width, progress)
    graph = LineGraph(pixels.rows, pixels.columns)
    paths = tidy(graph.paths(), pixels.around)
    if not paths:
        return CentreLines(np.array([], object), *(np.zeros(0) for _ in range(3)))
    places = np.column_stack([pixels.columns, pixels.rows]) + 0.5
    lines = np.array([shapely.linestrings(places[path]) for path in paths])
    shapes = shapely.transform(
        shapely.simplify(lines, tolerance),
        lambda xy: np.column_stack(transform_points(grid.transform, *xy.T)),
    )
    lengths = ground_lengths(shapes, grid)
    pixel = grid.resolution[0] if grid.crs is None else pixel_area(grid) ** 0.5
    kept = np.zeros(len(paths), bool)
    for together in networks(paths):
        kept[together] = lengths[together].sum() >= minimum_length
    areas = np.array([pixels.areas[path].sum() for path in paths])
    widths = areas / np.maximum(shapely.length(lines), 1) * pixel
    scores = np.array([pixels.scores[path].mean() for path in paths])
    return CentreLines(shapes[kept], lengths[kept], widths[kept], scores[kept])


def ground_lengths(shapes: NDArray[Any], grid: Grid) -> Floats:
    """Measure lines on the ellipsoid, in metres; without a reference system in its units."""
    xy, line = shapely.get_coordinates(shapes, return_index=True)
    steps = step_lengths(xy[:, 0], xy[:, 1], grid.crs)
    # not from the end of a line to the beginning of the next
    inside = line[1:] == line[:-1]
    lengths: Floats = np.bincount(line[1:][inside], steps[inside], len(shapes))
    return lengths


def _thinned(
    source: RasterSource, grid: Grid, choose: Chooser, width: int, progress: Progress
) -> _Pixels:
    around, left_out = reach(width), 0
    parts: list[tuple[NDArray[Any], ...]] = []
    with source.open(grid) as reader:
        for window in grid.windows(_TILE):
            progress(window.row_off / grid.height, 'Tracing lines')
            wider = _widened(window, around, grid)
            values, valid = reader.read(wider)
            chosen, score = choose(values[0])
            line, distance, wide = thin(chosen & valid, width)
            own = Window(
                window.col_off - wider.col_off,
                window.row_off - wider.row_off,
                window.width,
                window.height,
            ).toslices()
            left_out += int(wide[own].sum())
            rows, columns = np.nonzero(line[own])
            parts.append(
                (
                    rows + window.row_off,
                    columns + window.col_off,
                    2 * distance[own][rows, columns],
                    _areas(chosen & valid & ~wide, line)[own][rows, columns],
                    score[own][rows, columns],
                )
            )
    if left_out:
        log.warning(
            '%d pixels lie in areas wider than %d pixels, which are no lines.', left_out, width
        )
    found = [np.concatenate(values) for values in zip(*parts, strict=True)]
    # in an order that the parts have no say in
    order = np.lexsort((found[1], found[0]))
    return _Pixels(*(values[order] for values in found))


def _areas(area: NDArray[np.bool_], line: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count for each pixel of a line (h, w) those of the area that it is the nearest of."""
    if not line.any():
        return np.zeros(line.shape, np.int64)
    nearest = distance_transform_edt(~line, return_distances=False, return_indices=True)
    flat = np.ravel_multi_index(tuple(nearest[:, area]), line.shape)
    return np.bincount(flat, minlength=line.size).reshape(line.shape)


def _widened(window: Window, around: int, grid: Grid) -> Window:
    left, top = max(0, window.col_off - around), max(0, window.row_off - around)
    right = min(grid.width, window.col_off + window.width + around)
    bottom = min(grid.height, window.row_off + window.height + around)
    return Window(left, top, right - left, bottom - top)
