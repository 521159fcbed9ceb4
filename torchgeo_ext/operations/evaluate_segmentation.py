"""Say how well a map of classes agrees with what is known."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from torchgeo_ext.operations import _training as training
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
    table_of,
)
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    import numpy as np
    from rasterio.windows import Window


class EvaluateSegmentationResult(NamedTuple):
    """Result of :func:`evaluate_segmentation`.

    Attributes:
        overall_accuracy: Share of the compared pixels that have the right class.
        kappa: Cohen's kappa: agreement beyond chance.
        mean_iou: Intersection over union, 0 to 1, as the mean of the classes. Those that neither
            prediction nor labels have where both are do not count.
        mean_f1: F1, the harmonic mean of precision and recall, as the mean of the classes.
        wrong_area: Area with a wrong class, in square metres.
        compared_pixels: Pixels that have a prediction and a label.
    """

    output: str | None
    classes: str | None
    matrix: str | None
    overall_accuracy: float
    kappa: float
    mean_iou: float
    mean_f1: float
    wrong_area: float
    compared_pixels: int
    styles: Styles


@operation(
    label='Evaluate segmentation',
    group='Segmentation',
    tags=(
        'accuracy', 'assessment', 'validation', 'IoU', 'F1', 'kappa', 'confusion matrix',
        'error map', 'land cover', 'classification',
    ),
)  # fmt: skip
def evaluate_segmentation(
    prediction: Raster,
    labels: Layer,
    *,
    class_field: Annotated[str, field_of('labels')] | None = None,
    ignore_value: training.IgnoreValue | None = None,
    mapping: Annotated[list[list[Any]], table_of('prediction', 'labels')] | None = None,
    extent: Extent | None = None,
    output: Annotated[RasterOut, Label('Map of errors')] | None = None,
    classes: Annotated[StrPath, file_out('csv', 'html'), Label('Scores of the classes')]
    | None = None,
    matrix: Annotated[StrPath, file_out('csv', 'html'), Label('Confusion matrix')] | None = None,
    progress: Progress = silent,
) -> EvaluateSegmentationResult:
    """Compare a map of classes with known classes: scores, areas, a map of errors, a matrix.

    Pixels count once each and are pooled before anything is divided. Those without data in the
    prediction, and without a label, do not count. Use labels the model has not learned from.

    Args:
        prediction: Map of classes, such as that of Segment image: a raster of class numbers.
        labels: What is known: a raster of class numbers (on any grid), or polygons; what no polygon
            covers has no label.
        class_field: Field with the class of polygons.
        ignore_value: Label value that means "not labelled", besides the nodata value.
        mapping: Which class of the prediction is which of the labels, each as value or name;
            nothing for the labels leaves the pixels of a class out. Needed for classes whose name
            is not the same or, if one side has no names, whose value is not. Classes of the
            prediction that the labels do not have count as wrong.
        extent: Only this part of the prediction.
        output: Map of errors to write: 0 right, 1 wrong, 255 not compared.
        classes: Table of the scores, pixels and hectares of each class to write, as CSV or HTML.
        matrix: Table of pixels and hectares by class of the prediction (rows) and of the labels
            (columns) to write, as CSV or HTML.
        progress: Told how far the work is.

    Raises:
        BadParameter: If no class of the prediction is one of the labels.
        BadInput: If no pixel has both a prediction and a label.
    """
    from torchgeo_ext.datasets._features import FeatureLabels
    from torchgeo_ext.datasets._labels import LabelOptions, open_labels, read_labels
    from torchgeo_ext.operations._evaluation import compare
    from torchgeo_ext.operations._predict import choose_grid
    from torchgeo_ext.operations._segmentation_evaluation import ClassTally

    grid = choose_grid(prediction, extent, 'prediction')
    options = LabelOptions(class_field=class_field, ignore_value=ignore_value)
    known = open_labels(str(labels), [grid], options, progress=portion(progress, 0, 0.1))
    options = LabelOptions(argument='prediction')
    found = read_labels(str(prediction), [grid], options, progress=portion(progress, 0.1, 0.2))
    numbered = isinstance(known, FeatureLabels) and known.named
    tally = ClassTally(found.classes, known.classes, mapping or (), numbered=numbered)
    read_numbers = found.on(grid)

    def read(window: 'Window') -> 'tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]':
        numbers = tally.numbers[read_numbers(window)]
        return numbers, numbers >= 0

    styles = compare(prediction, read, known, grid, tally, output, portion(progress, 0.2, 1))
    if classes is not None:
        tally.write_classes(classes)
    if matrix is not None:
        tally.write_matrix(matrix)
    scores = tally.scores()
    return EvaluateSegmentationResult(
        output=None if output is None else str(output),
        classes=None if classes is None else str(classes),
        matrix=None if matrix is None else str(matrix),
        overall_accuracy=float(scores['oa']),
        kappa=float(scores['kappa']),
        mean_iou=float(scores['mean_iou']),
        mean_f1=float(scores['mean_f1']),
        wrong_area=tally.wrong_area,
        compared_pixels=tally.compared,
        styles=styles,
    )
