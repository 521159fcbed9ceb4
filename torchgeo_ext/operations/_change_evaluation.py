"""Counting found and known change."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torchgeo_ext.datasets._classes import LabelClass
from torchgeo_ext.metrics import BinaryChange
from torchgeo_ext.operations._evaluation import MatrixRow, write_matrix
from torchgeo_ext.operations._operation import ClassEntry, StrPath

#: What a pixel can be: found or not, and known to have changed (two more) or not.
_OUTCOMES: list[ClassEntry] = [
    {'value': 0, 'name': 'unchanged, as known', 'color': '#f0f0f0'},
    {'value': 1, 'name': 'false alarm', 'color': '#e66101'},
    {'value': 2, 'name': 'missed change', 'color': '#5e3c99'},
    {'value': 3, 'name': 'change found', 'color': '#1a9641'},
]


class ChangeTally:
    """Counts pixels and areas by what was predicted and what is known.

    Args:
        classes: The classes of the labels; value 0 means unchanged.
        threshold: Prediction from which on a pixel is changed; None for everything but 0.

    Attributes:
        pixels: Pixels by (value of the prediction, class number).
        ground: Square metres, likewise.
        areas: Square metres by outcome.
    """

    outcomes = _OUTCOMES

    def __init__(self, classes: Sequence[LabelClass], threshold: float | None) -> None:
        self.classes, self.threshold = classes, threshold
        self.pixels: Counter[tuple[float, int]] = Counter()
        self.ground: defaultdict[tuple[float, int], float] = defaultdict(float)
        self.areas: defaultdict[int, float] = defaultdict(float)
        self._changed = np.array([entry.value != 0 for entry in classes])
        self._scores = BinaryChange(validate_args=False)

    @property
    def compared(self) -> int:
        """Number of pixels."""
        return self.pixels.total()

    def add(self, values: NDArray[Any], label: NDArray[np.int64], size: float) -> NDArray[np.uint8]:
        """Count pixels.

        Args:
            values: (n,) predictions.
            label: (n,) class numbers.
            size: Square metres of a pixel.

        Returns:
            (n,) the value in ``outcomes`` of each pixel.
        """
        found = values != 0 if self.threshold is None else values >= self.threshold
        changed = self._changed[label]
        self._scores.update(torch.from_numpy(found), torch.from_numpy(changed.astype(np.int64)))
        rows = values if self.threshold is None else found
        for number in np.unique(label).tolist():
            for value, pixels in _counts(rows[label == number]):
                self.pixels[value, number] += pixels
                self.ground[value, number] += pixels * size
        outcome = (found + 2 * changed).astype(np.uint8)
        for value, pixels in _counts(outcome):
            self.areas[int(value)] += pixels * size
        return outcome

    def scores(self) -> dict[str, float]:
        """Compute the metrics of :class:`~torchgeo_ext.metrics.BinaryChange`."""
        return {name: float(value) for name, value in self._scores.compute().items()}

    def write_matrix(self, path: StrPath) -> None:
        """Write pixels and hectares by prediction (rows) and label (columns) as CSV."""
        numbers = range(len(self.classes))
        rows = [
            MatrixRow(
                f'{value:g}',
                [self.pixels[value, number] for number in numbers],
                [self.ground[value, number] for number in numbers],
            )
            for value in sorted({value for value, _ in self.pixels})
        ]
        write_matrix(path, self.classes, rows)


def _counts(values: NDArray[Any]) -> list[tuple[float, int]]:
    found, pixels = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), pixels.tolist(), strict=True))
