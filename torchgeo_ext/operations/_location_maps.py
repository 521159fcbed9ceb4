"""Maps of what is predicted from places, and the points it was learned from."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.features import FeatureWriter
from torchgeo_ext.inference.outputs import layout_of_classes
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.inference.writer import RasterLayout, class_layout
from torchgeo_ext.operations._location import PlaceEncoder, PlaceGrid, Vectors
from torchgeo_ext.operations._location_rasters import each_window, optional_raster
from torchgeo_ext.operations._operation import Style, Styles
from torchgeo_ext.operations._predict import class_table
from torchgeo_ext.operations._probing import Judged
from torchgeo_ext.operations._targets import Targets
from torchgeo_ext.operations._vector_columns import style_features
from torchgeo_ext.progress import Progress

#: Share of the values that is drawn darkest, and brightest.
_STRETCH = 0.02


def check_area(
    output: Any, extent: Any, resolution: float | None, crs: str | None, maximum_cells: int
) -> PlaceGrid | None:
    """Lay the cells of a map, if there is to be one.

    Raises:
        BadParameter: If a map is wanted without an area.
    """
    if output is None:
        return None
    if extent is None:
        raise BadParameter(
            f'extent: the map {output} needs an area.',
            'Give xmin,ymin,xmax,ymax and its reference system in brackets, or leave output out.',
        )
    return PlaceGrid.over(str(extent), resolution, crs, maximum_cells)


def write_predictions(
    path: Any,
    cells: PlaceGrid,
    encoder: PlaceEncoder,
    fitted: Any,
    targets: Targets,
    name: str,
    progress: Progress,
) -> Style:
    """Write a map of predictions and give its style.

    Args:
        path: The raster.
        cells: Its cells.
        encoder: Gives vectors.
        fitted: Predicts from them.
        targets: What it was learned from.
        name: Of the target.
        progress: Told how far the work is.
    """
    layout, values = _layout(encoder, targets, name)
    with optional_raster(path, cells, layout) as write:
        for window, vectors in each_window(cells, encoder, progress, 'Predicting'):
            predicted = np.full(vectors.shape[:2], layout.nodata, layout.dtype)
            there = ~np.isnan(vectors[..., 0])
            if there.any():
                found = fitted.predict(vectors[there])
                predicted[there] = values[found] if targets.classify else found
            write(window, predicted[None])
    style: Style
    if targets.classify:
        style = {'type': 'classes', 'classes': class_table(targets.legend)}
    else:
        style = range_style(targets.values[targets.known])
    write_style(path, style)
    return style


def _layout(
    encoder: PlaceEncoder, targets: Targets, name: str
) -> tuple[RasterLayout, NDArray[np.int64]]:
    """Choose what the raster looks like; and the pixel value of each class."""
    values = np.array([entry.value for entry in targets.legend], np.int64)
    if targets.classify:
        dtype, nodata = layout_of_classes(set(values.tolist()), None, 'output')
        return class_layout(targets.legend, dtype, nodata, encoder.tags), values
    layout = RasterLayout(1, np.dtype('float32'), np.nan, descriptions=[name], tags=encoder.tags)
    return layout, values


def range_style(values: NDArray[np.float64]) -> Style:
    """Draw values by a range that leaves out the few extreme ones."""
    low, high = np.quantile(values, [_STRETCH, 1 - _STRETCH]).tolist()
    if low == high:
        low, high = float(values.min()), float(values.max())
    return {'type': 'range', 'minimum': low, 'maximum': high, 'ramp': 'viridis'}


def write_residuals(
    path: Any, targets: Targets, vectors: Vectors, fitted: Any, judged: Judged
) -> Styles:
    """Write the points with what was predicted while their block was held out.

    Args:
        path: The layer.
        targets: The points.
        vectors: Vector of each.
        fitted: Learned from all; predicts where the target is not known.
        judged: The cross-validation.

    Returns:
        The style of the layer, if its format has any.
    """
    known, placed = targets.known, ~np.isnan(vectors[:, 0])
    predicted = np.zeros_like(targets.values)
    predicted[known] = judged.predicted
    others = placed & ~known
    if others.any():
        predicted[others] = fitted.predict(vectors[others])
    fold = np.zeros(len(known), np.int32)
    fold[known] = judged.spatial.folds + 1
    names = targets.named(predicted)
    columns = {'predicted': pa.array(names, mask=~placed)}
    if targets.classify:
        columns['correct'] = pa.array((predicted == targets.values).astype(np.int32), mask=~known)
    else:
        columns['residual'] = pa.array(targets.values - predicted, mask=~known)
    columns['fold'] = pa.array(fold, mask=~known)
    with FeatureWriter(path, 'residuals') as writer:
        called = writer.add(targets.features, columns)
    style: Style
    if targets.classify:
        classes = class_table(targets.legend)
        style = {'type': 'classes', 'field': called['predicted'], 'classes': classes}
    else:
        # red where more was measured than predicted, blue where less
        most = float(np.quantile(np.abs(targets.values - predicted)[known], 1 - _STRETCH)) or 1.0
        style = {
            'type': 'range', 'field': called['residual'], 'minimum': -most, 'maximum': most,
            'ramp': 'RdBu_r',
        }  # fmt: skip
    return style_features(path, 'residuals', style)
