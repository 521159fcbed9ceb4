"""Accuracy, kappa, IoU, F1, precision and recall of a map of classes."""

from typing import Any

from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from torchgeo_ext.metrics._ratios import cohen_kappa, ratio


class ClassScores(MulticlassConfusionMatrix):
    """Scores of a map and of each of its classes over all pixels of all updates.

    Counts are pooled before anything is divided, and divided in double precision: torchmetrics'
    own scores work in single precision, which is not enough for the pixels of large maps.

    ``update`` takes predictions and labels (b, h, w) or (n,), as class numbers from 0.

    Args:
        num_classes: Number of classes.
        ignore_index: Label of pixels that are left out.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.
    """

    def __init__(self, num_classes: int, ignore_index: int | None = -1, **kwargs: Any) -> None:
        super().__init__(num_classes, ignore_index, **kwargs)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Compute the scores.

        Returns:
            ``oa``, ``kappa``, ``mean_iou`` and ``mean_f1``, and by class (k,) ``iou``, ``f1``,
            ``precision`` and ``recall``. Classes that neither labels nor predictions have are NaN
            and left out of the means; what else has nothing to be divided by is 0.
        """
        counts = self.confmat.double()
        right, known, found = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
        of_class = {
            'iou': ratio(right, known + found - right),
            'f1': ratio(2 * right, known + found),
            'precision': ratio(right, found),
            'recall': ratio(right, known),
        }
        there = known + found > 0
        of_class = {name: score.where(there, float('nan')) for name, score in of_class.items()}
        return {
            'oa': ratio(right.sum(), counts.sum()),
            'kappa': cohen_kappa(counts),
            'mean_iou': of_class['iou'].nanmean(),
            'mean_f1': of_class['f1'].nanmean(),
            **of_class,
        }
