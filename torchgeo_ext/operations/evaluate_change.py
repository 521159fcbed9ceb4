"""Say how well a map of change agrees with what is known."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations._operation import (
    Extent,
    Label,
    Layer,
    Raster,
    RasterOut,
    StrPath,
    Styles,
    field_of,
    file_out,
    operation,
)
from torchgeo_ext.progress import Progress, silent

if TYPE_CHECKING:
    from torchgeo_ext.datasets._labels import Labels
    from torchgeo_ext.inference import Grid, RasterSource
    from torchgeo_ext.inference.writer import RasterWriter
    from torchgeo_ext.operations._evaluation import Tally

#: Height and width of what is compared at once.
_CHUNK = 1024


class EvaluateChangeResult(NamedTuple):
    """Result of :func:`evaluate_change`.

    Attributes:
        f1: F1 of the class "change", 0 to 1: harmonic mean of precision and recall.
        iou: Intersection over union of the class "change".
        precision: Share of what was found that is change.
        recall: Share of the change that was found.
        overall_accuracy: Share of the compared pixels that are right, changed or not.
        kappa: Cohen's kappa: agreement beyond chance.
        found_area: Change that was found, in square metres.
        missed_area: Change that was missed, in square metres.
        false_area: What was found but is no change, in square metres.
        compared_pixels: Pixels that have a prediction and a label.
    """

    output: str | None
    matrix: str | None
    f1: float
    iou: float
    precision: float
    recall: float
    overall_accuracy: float
    kappa: float
    found_area: float
    missed_area: float
    false_area: float
    compared_pixels: int
    styles: Styles


@operation(
    label='Evaluate change',
    group='Change detection',
    tags=('accuracy', 'assessment', 'validation', 'F1', 'kappa', 'confusion matrix', 'error map'),
)
def evaluate_change(
    prediction: Raster,
    labels: Layer,
    *,
    class_field: Annotated[str, field_of('labels')] | None = None,
    threshold: float | None = None,
    extent: Extent | None = None,
    output: Annotated[RasterOut, Label('Map of errors')] | None = None,
    matrix: Annotated[StrPath, file_out('csv'), Label('Confusion matrix')] | None = None,
    progress: Progress = silent,
) -> EvaluateChangeResult:
    """Compare a map of change with known change: scores, areas, a map of errors, a matrix.

    Pixels count once each and are pooled before anything is divided. Those without data in the
    prediction, and without a label, do not count. Use labels the model has not learned from.

    Args:
        prediction: Map of change, such as that of Detect change: 0 is unchanged, every other value
            is change.
        labels: What is known: a raster whose value 0 means unchanged (on any grid), or polygons.
            Without a class field the inside of polygons is change and all the rest is not.
        class_field: Field with the kind of change. What no polygon covers is unchanged, unless
            there are polygons of an unchanged class (0, or a word such as "unchanged"): then it
            has no label.
        threshold: For a prediction of probabilities or magnitudes: from this value on a pixel
            counts as changed.
        extent: Only this part of the prediction.
        output: Map of errors to write: 0 unchanged as known, 1 false alarm, 2 missed change,
            3 change found, 255 not compared.
        matrix: Table of pixels and hectares by value of the prediction and class of the labels to
            write (CSV).
        progress: Told how far the work is.

    Raises:
        BadInput: If no pixel has both a prediction and a label.
    """
    from torchgeo_ext.datasets._labels import LabelOptions, open_labels
    from torchgeo_ext.inference import RasterSource
    from torchgeo_ext.operations._evaluation import OUTCOMES, Tally
    from torchgeo_ext.operations._predict import choose_grid

    grid = choose_grid(prediction, extent, 'prediction')
    options = LabelOptions(class_field=class_field)
    known = open_labels(str(labels), [grid], options, change=True, progress=progress)
    tally = Tally(known.classes, threshold)
    source = RasterSource(str(prediction), bands=(1,), argument='prediction')
    _compare(source, known, grid, tally, output, progress)
    styles: Styles = {}
    if output is not None:
        from torchgeo_ext.inference.style import write_style

        styles['output'] = {'type': 'classes', 'classes': OUTCOMES}
        write_style(output, styles['output'])
    if matrix is not None:
        tally.write_matrix(matrix)
    scores = tally.scores()
    return EvaluateChangeResult(
        output=None if output is None else str(output),
        matrix=None if matrix is None else str(matrix),
        f1=scores['f1'],
        iou=scores['iou'],
        precision=scores['precision'],
        recall=scores['recall'],
        overall_accuracy=scores['oa'],
        kappa=scores['kappa'],
        found_area=tally.areas[3],
        missed_area=tally.areas[2],
        false_area=tally.areas[1],
        compared_pixels=tally.compared,
        styles=styles,
    )


def _compare(
    source: 'RasterSource',
    known: 'Labels',
    grid: 'Grid',
    tally: 'Tally',
    output: StrPath | None,
    progress: Progress,
) -> None:
    import numpy as np

    from torchgeo_ext.inference.area import pixel_area
    from torchgeo_ext.operations._evaluation import NODATA

    with ExitStack() as stack:
        reader = stack.enter_context(source.open(grid))
        writer = None if output is None else stack.enter_context(_error_map(output, grid))
        read_labels = known.on(grid)
        for window in grid.windows(_CHUNK):
            progress(window.row_off / grid.height, 'Comparing')
            values, valid = reader.read_native(window)
            label = read_labels(window)
            valid &= label >= 0
            outcome = np.full(valid.shape, NODATA, np.uint8)
            if valid.any():
                size = pixel_area(grid.part(window))
                outcome[valid] = tally.add(values[0][valid], label[valid], size)
            if writer is not None:
                writer.write(window, outcome[None])
        if not tally.compared:
            raise BadInput(
                f'prediction: {source.path} has no pixel that has a label too.',
                'Check nodata values, extent and reference systems.',
            )
        if writer is not None:
            writer.finish()


def _error_map(path: StrPath, grid: 'Grid') -> 'RasterWriter':
    import numpy as np

    from torchgeo_ext.inference import RasterClass
    from torchgeo_ext.inference.writer import RasterWriter, class_layout
    from torchgeo_ext.operations._evaluation import NODATA, OUTCOMES

    classes = [RasterClass(**entry) for entry in OUTCOMES]
    return RasterWriter(Path(path), grid, class_layout(classes, np.dtype(np.uint8), NODATA, {}))
