"""Examples of classes as the user drew them: points, lines or polygons, and their pixels."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from torchgeo_ext.datasets._classes import LabelClass, make_classes
from torchgeo_ext.datasets._features import class_codes, project, read_features
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference import Grid, RasterSource
from torchgeo_ext.inference.writer import BLOCK

log = logging.getLogger(__name__)

#: Pixels taken of one example: neighbours in a field say little more than a few hundred of them.
_MOST = 400


@dataclass(frozen=True)
class Examples:
    """Pixels whose class is known.

    Args:
        legend: The classes.
        features: What is known of each pixel (n, d).
        classes: Position in the legend (n).
        places: Column and row (n, 2) of the middle of the example a pixel belongs to.
    """

    legend: tuple[LabelClass, ...]
    features: NDArray[np.float32]
    classes: NDArray[np.intp]
    places: NDArray[np.float64]


def read_examples(
    path: str, class_field: str | None, source: RasterSource, grid: Grid, fewest: int = 2
) -> Examples:
    """Read the pixels of example features.

    Args:
        path: The layer, optionally followed by ``|layername=NAME``.
        class_field: Its field with the class, text or whole numbers; None if all are of one.
        source: Raster of what is known of each pixel.
        grid: Its pixels.
        fewest: Classes there must be.

    Raises:
        BadInput: If there are fewer classes with a valid pixel, or one has none.
    """
    drawn = read_features(path, class_field, grids=[grid], argument='examples', any_geometry=True)
    if class_field is None:
        values, names = np.ones(len(drawn), np.int64), {1: 'examples'}
    else:
        _, values, names = class_codes(drawn, class_field, None)
    legend = make_classes(np.unique(values).tolist(), names)
    codes = np.searchsorted([entry.value for entry in legend], values)
    middle = grid.bounds.left + (grid.bounds.right - grid.bounds.left) / 2
    found = _pixels(project(drawn.frame.geometry, grid.crs, middle), codes, grid)
    if not found.number:
        raise BadInput(
            f'examples: none of the {drawn.number} features of {path} lies on the image.',
            'Draw them on the image, or check the reference systems.',
        )
    if beside := drawn.number - len(found.drawn):
        log.warning(
            'examples: %d of %d features of %s lie outside of the image and are left out.',
            beside, drawn.number, path,
        )  # fmt: skip
    features, valid = _values(source, grid, found)
    examples = Examples(legend, features, found.codes[valid], found.middles[found.owners[valid]])
    _check(examples, path, fewest)
    return examples


@dataclass(frozen=True)
class _Pixels:
    """Pixels of examples.

    Args:
        columns: Column of each (n).
        rows: Row of each (n).
        codes: Position of its class in the legend (n).
        owners: Number of the example it belongs to (n).
        middles: Middle column and row of each example.
        drawn: Numbers of the examples that have any pixel, those of several classes too.
    """

    columns: NDArray[np.intp]
    rows: NDArray[np.intp]
    codes: NDArray[np.intp]
    owners: NDArray[np.intp]
    middles: NDArray[np.float64]
    drawn: NDArray[np.intp]

    @property
    def number(self) -> int:
        return len(self.columns)


def _pixels(shapes: NDArray[Any], codes: NDArray[np.int64], grid: Grid) -> _Pixels:
    """Find the pixels of each example; those of several classes are left out."""
    columns, rows, owners = [], [], []
    for number, shape in enumerate(shapes):
        for column, row in _burnt(shape, grid):
            columns.append(column)
            rows.append(row)
            owners.append(np.full(len(column), number))
    middles = np.array([_middle(shape, grid) for shape in shapes])
    if not columns:
        none = np.zeros(0, np.intp)
        return _Pixels(none, none, none, none, middles, none)
    x, y, owner = np.concatenate(columns), np.concatenate(rows), np.concatenate(owners)
    places, first, group = np.unique(y * grid.width + x, return_index=True, return_inverse=True)
    code = codes[owner]
    lowest = np.full(len(places), code.max())
    highest = np.zeros(len(places), code.dtype)
    np.minimum.at(lowest, group, code)
    np.maximum.at(highest, group, code)
    clear = first[lowest == highest]
    if len(clear) < len(places):
        log.warning(
            'examples: %d pixels lie in examples of several classes and are left out',
            len(places) - len(clear),
        )
    return _Pixels(
        x[clear], y[clear], code[clear].astype(np.intp), owner[clear], middles, np.unique(owner)
    )


def _middle(shape: Any, grid: Grid) -> tuple[float, float]:
    point = shape.centroid
    column, row = ~grid.transform @ (point.x, point.y)
    return float(column), float(row)


def _burnt(shape: Any, grid: Grid) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the columns and rows of a shape's pixels, if it has any on the grid."""
    left, bottom, right, top = shapely.bounds(shape)
    corners = [~grid.transform @ (x, y) for x in (left, right) for y in (bottom, top)]
    x, y = zip(*corners, strict=True)
    first = max(0, int(np.floor(min(x)))), max(0, int(np.floor(min(y))))
    last = min(grid.width, int(max(x)) + 1), min(grid.height, int(max(y)) + 1)
    if first[0] >= last[0] or first[1] >= last[1]:
        return
    window = Window(*first, last[0] - first[0], last[1] - first[1])
    # a polygon too small for the middle of any pixel still means the pixels it touches
    for touched in [False, True] if 'Polygon' in shape.geom_type else [True]:
        part = grid.part(window)
        burnt = rasterize([shape], part.shape, transform=part.transform, all_touched=touched)
        rows, columns = np.nonzero(burnt)
        if len(rows):
            chosen = np.linspace(0, len(rows) - 1, min(_MOST, len(rows))).astype(int)
            yield columns[chosen] + window.col_off, rows[chosen] + window.row_off
            return


def _values(
    source: RasterSource, grid: Grid, pixels: _Pixels
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read what is known of pixels (valid ones, d), and which of them are valid (n)."""
    blocks = pixels.rows // BLOCK * (grid.width // BLOCK + 1) + pixels.columns // BLOCK
    valid = np.zeros(pixels.number, bool)
    with source.open(grid) as reader:
        features = np.zeros((pixels.number, len(reader.bands)), np.float32)
        # block by block, so that each is decoded once
        for block in np.unique(blocks):
            (here,) = np.nonzero(blocks == block)
            rows, columns = pixels.rows[here], pixels.columns[here]
            top, left = rows.min(), columns.min()
            window = Window(
                int(left), int(top), int(columns.max() - left + 1), int(rows.max() - top + 1)
            )
            values, known = reader.read(window)
            features[here] = values[:, rows - top, columns - left].T
            valid[here] = known[rows - top, columns - left]
    return features[valid], valid


def _check(examples: Examples, path: str, fewest: int) -> None:
    counts = np.bincount(examples.classes, minlength=len(examples.legend))
    without = [entry.name for entry, n in zip(examples.legend, counts, strict=True) if not n]
    if without:
        raise BadInput(
            f'examples: {", ".join(without)} of {path} has no pixel with data in the image that is '
            'not claimed by another class.',
            'Draw an example on the image, or delete those of this class.',
        )
    if len(examples.legend) < fewest:
        raise BadInput(
            f'examples: {path} has a single class on the image, {examples.legend[0].name}.',
            'Draw examples of at least two classes.',
        )
    for entry, n in zip(examples.legend, counts.tolist(), strict=True):
        log.info('%s: %d example pixels', entry.name, n)
