"""Comparing maps with what is known, window by window."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._labels import Labels
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference import Grid, RasterClass
from torchgeo_ext.inference.area import pixel_area
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.inference.writer import RasterWriter, class_layout
from torchgeo_ext.operations._operation import ClassEntry, StrPath, Styles
from torchgeo_ext.operations._tables import Table, hectares, write_table
from torchgeo_ext.progress import Progress

if TYPE_CHECKING:
    from torchgeo_ext.inference.outputs import ClassLike

#: Height and width of what is compared at once.
_CHUNK = 1024
#: Outcome of pixels that are not compared.
NODATA = 255

#: Reads a window of a prediction: values (h, w), and which of them count.
PredictionReader = Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]]


class Tally(Protocol):
    """Counts what was predicted and what is known."""

    @property
    def outcomes(self) -> Sequence[ClassEntry]:
        """What a compared pixel can be."""

    @property
    def compared(self) -> int:
        """Number of pixels."""

    def add(self, values: NDArray[Any], label: NDArray[np.int64], size: float) -> NDArray[np.uint8]:
        """Count pixels.

        Args:
            values: (n,) predictions.
            label: (n,) class numbers.
            size: Square metres of a pixel.

        Returns:
            (n,) the outcome of each pixel, as its value.
        """


def compare(
    prediction: Any,
    read: PredictionReader,
    known: Labels,
    grid: Grid,
    tally: Tally,
    output: StrPath | None,
    progress: Progress,
) -> Styles:
    """Compare a prediction with labels, and write a map of outcomes if it is wanted.

    Args:
        prediction: Its path, for messages.
        read: Reads it.
        known: The labels.
        grid: Pixels to compare.
        tally: Counts.
        output: The map to write, or None.
        progress: Told how far the work is.

    Returns:
        The style of the map, if there is one.

    Raises:
        BadInput: If no pixel has both a prediction and a label.
    """
    with ExitStack() as stack:
        writer = None
        if output is not None:
            writer = stack.enter_context(_outcome_map(output, grid, tally.outcomes))
        read_labels = known.on(grid)
        for window in grid.windows(_CHUNK):
            progress(window.row_off / grid.height, 'Comparing')
            values, valid = read(window)
            label = read_labels(window)
            valid = valid & (label >= 0)
            outcome = np.full(valid.shape, NODATA, np.uint8)
            if valid.any():
                size = pixel_area(grid.part(window))
                outcome[valid] = tally.add(values[valid], label[valid], size)
            if writer is not None:
                writer.write(window, outcome[None])
        if not tally.compared:
            raise BadInput(
                f'prediction: {prediction} has no pixel that has a label too.',
                'Check nodata values, extent and reference systems.',
            )
        if writer is not None:
            writer.finish()
    styles: Styles = {}
    if output is not None:
        styles['output'] = {'type': 'classes', 'classes': [*tally.outcomes]}
        write_style(output, styles['output'])
    return styles


def _outcome_map(path: StrPath, grid: Grid, outcomes: Sequence[ClassEntry]) -> RasterWriter:
    classes = [RasterClass(**entry) for entry in outcomes]
    return RasterWriter(Path(path), grid, class_layout(classes, np.dtype(np.uint8), NODATA, {}))


class MatrixRow(NamedTuple):
    """What was predicted alike.

    Attributes:
        name: The prediction.
        pixels: Pixels by class of the labels.
        areas: Square metres, likewise.
    """

    name: str
    pixels: Sequence[int]
    areas: Sequence[float]


def write_matrix(path: StrPath, classes: 'Sequence[ClassLike]', rows: Sequence[MatrixRow]) -> None:
    """Write pixels and hectares by prediction (rows) and label (columns) as CSV or HTML.

    Args:
        path: The file.
        classes: The classes of the labels.
        rows: The predictions.
    """
    names = [f'{entry.value} {entry.name}' for entry in classes]
    table = Table(
        title='Prediction and labels',
        header=['prediction', *(f'{n} ({unit})' for unit in ('pixels', 'hectares') for n in names)],
        rows=[[row.name, *map(str, row.pixels), *map(hectares, row.areas)] for row in rows],
        column_colors=[None, *2 * [entry.color for entry in classes]],
    )
    write_table(path, table, 'matrix')
