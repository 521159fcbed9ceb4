"""Counting predicted and known classes."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torchgeo_ext.datasets._classes import IGNORE, LabelClass
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics import ClassScores
from torchgeo_ext.operations._evaluation import MatrixRow, write_matrix
from torchgeo_ext.operations._matching import LEFT_OUT, UNKNOWN, listed, match_numbers, nameless
from torchgeo_ext.operations._operation import ClassEntry, StrPath
from torchgeo_ext.operations._tables import Table, hectares, write_table

log = logging.getLogger(__name__)

#: What a pixel can be.
_OUTCOMES: list[ClassEntry] = [
    {'value': 0, 'name': 'right', 'color': '#1a9641'},
    {'value': 1, 'name': 'wrong', 'color': '#d7191c'},
]


class ClassTally:
    """Counts pixels and areas by predicted and known class.

    Args:
        predicted: The classes of the prediction.
        known: Those of the labels.
        mapping: Rows of a class of the prediction and one of the labels; see
            :func:`~torchgeo_ext.operations._matching.match_numbers`.
        numbered: Whether the values of the labels only number their names. Otherwise values tell
            what is the same if one side has no names.

    Attributes:
        classes: The classes of the labels, called as in the prediction if they have no names, and
            behind them those of the prediction that the labels lack: wherever one of them is
            compared, the prediction is wrong.
        numbers: For each class of the prediction its position in ``classes``, ``IGNORE`` if it is
            left out; the last entry is for pixels without prediction, which have the number -1.
        ground: Square metres by class of the labels and of the prediction (k, k).

    Raises:
        BadParameter: If no class of the prediction is one of the labels.
    """

    outcomes = _OUTCOMES

    def __init__(
        self,
        predicted: Sequence[LabelClass],
        known: Sequence[LabelClass],
        mapping: Sequence[Sequence[Any]],
        *,
        numbered: bool,
    ) -> None:
        by_value = not numbered and (nameless(predicted) or nameless(known))
        found = match_numbers(
            predicted, known, mapping, log, whose='the label layer', by_value=by_value
        )
        strange = [c for c, number in zip(predicted, found, strict=True) if number == UNKNOWN]
        if max(found) < 0:
            raise BadParameter(
                'mapping: no class of the prediction is one of the label layer: '
                f'{listed(predicted)} against {listed(known)}.',
                'Give rows with a class of the prediction and the one of the labels that means '
                'the same, or with nothing to leave its pixels out.',
            )
        if strange:
            log.warning(
                'The label layer has no class %s; their pixels count as wrong. Say in mapping what '
                'they are, or nothing to leave them out.', listed(strange),
            )  # fmt: skip
        self.classes = [*known, *strange]
        if nameless(known):
            for entry, number in reversed([*zip(predicted, found, strict=True)]):
                if number >= 0:
                    self.classes[number] = entry._replace(value=known[number].value)
        numbers = [
            self.classes.index(entry, len(known)) if number == UNKNOWN else number
            for entry, number in zip(predicted, found, strict=True)
        ]
        self.numbers = np.array([IGNORE if n == LEFT_OUT else n for n in numbers] + [IGNORE])
        self.ground = np.zeros((len(self.classes), len(self.classes)))
        self._scores = ClassScores(len(self.classes), validate_args=False)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Pixels by class of the labels and of the prediction (k, k)."""
        counts: NDArray[np.int64] = self._scores.confmat.numpy()
        return counts

    @property
    def compared(self) -> int:
        """Number of pixels."""
        return int(self.pixels.sum())

    @property
    def wrong_area(self) -> float:
        """Square metres."""
        return float(self.ground.sum() - self.ground.trace())

    def add(self, values: NDArray[Any], label: NDArray[np.int64], size: float) -> NDArray[np.uint8]:
        """Count pixels.

        Args:
            values: (n,) predictions, as positions in ``classes``.
            label: (n,) class numbers.
            size: Square metres of a pixel.

        Returns:
            (n,) the value in ``outcomes`` of each pixel.
        """
        before = self.pixels.copy()
        self._scores.update(torch.from_numpy(values), torch.from_numpy(label))
        self.ground += (self.pixels - before) * size
        return (values != label).astype(np.uint8)

    def scores(self) -> dict[str, NDArray[np.float64]]:
        """Compute the metrics of :class:`~torchgeo_ext.metrics.ClassScores`."""
        return {name: value.numpy() for name, value in self._scores.compute().items()}

    def write_matrix(self, path: StrPath) -> None:
        """Write pixels and hectares by prediction (rows) and label (columns) as CSV or HTML."""
        columns = zip(self.classes, self.pixels.T.tolist(), self.ground.T.tolist(), strict=True)
        rows = [MatrixRow(f'{c.value} {c.name}', pixels, areas) for c, pixels, areas in columns]
        write_matrix(path, self.classes, rows)

    def write_classes(self, path: StrPath) -> None:
        """Write scores, pixels and hectares of each class as CSV or HTML.

        Scores of classes that do not occur are empty.
        """
        scores = self.scores()
        names = ('iou', 'f1', 'precision', 'recall')
        rows = []
        for number, entry in enumerate(self.classes):
            found = [scores[name][number] for name in names]
            rows.append([
                entry.name,
                str(entry.value),
                *('' if np.isnan(score) else f'{score:.6f}' for score in found),
                str(self.pixels[number].sum()),
                str(self.pixels[:, number].sum()),
                hectares(self.ground[number].sum()),
                hectares(self.ground[:, number].sum()),
            ])  # fmt: skip
        table = Table(
            title='Scores of the classes',
            header=[
                'class', 'value', 'IoU', 'F1', 'precision', 'recall', 'pixels known',
                'pixels predicted', 'hectares known', 'hectares predicted',
            ],
            rows=rows,
            row_colors=[entry.color for entry in self.classes],
        )  # fmt: skip
        write_table(path, table, 'classes')
