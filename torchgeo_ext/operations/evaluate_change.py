"""Say how well a map of change agrees with what is known."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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
    import numpy as np
    from rasterio.windows import Window


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
    from torchgeo_ext.operations._change_evaluation import ChangeTally
    from torchgeo_ext.operations._evaluation import compare
    from torchgeo_ext.operations._predict import choose_grid

    grid = choose_grid(prediction, extent, 'prediction')
    options = LabelOptions(class_field=class_field)
    known = open_labels(str(labels), [grid], options, change=True, progress=progress)
    tally = ChangeTally(known.classes, threshold)
    source = RasterSource(str(prediction), bands=(1,), argument='prediction')
    with source.open(grid) as reader:

        def read(window: 'Window') -> 'tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]':
            values, valid = reader.read_native(window)
            return values[0], valid

        styles = compare(source.path, read, known, grid, tally, output, progress)
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
