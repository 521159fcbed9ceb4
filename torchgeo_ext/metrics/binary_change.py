"""Precision, recall, F1, IoU, overall accuracy and kappa of the class "change"."""

from typing import Any

from torch import Tensor
from torchmetrics.classification import BinaryConfusionMatrix

from torchgeo_ext.metrics._ratios import cohen_kappa, ratio


class BinaryChange(BinaryConfusionMatrix):
    """Metrics of the class "change" over all pixels of all updates.

    As the evaluators of BIT, ChangeFormer, TinyCD and ChangeMamba define them: counts are pooled
    over the test set before anything is divided. What has no pixels to be computed from is 0.

    ``update`` takes predictions (b, h, w), as classes 0 and 1, probabilities or logits, and labels
    of the same shape.

    Args:
        threshold: Probability above which a pixel counts as changed.
        ignore_index: Label of pixels that are left out.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.
    """

    def __init__(
        self, threshold: float = 0.5, ignore_index: int | None = -1, **kwargs: Any
    ) -> None:
        super().__init__(threshold, ignore_index, **kwargs)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Compute ``precision``, ``recall``, ``f1``, ``iou``, ``oa`` and ``kappa``."""
        counts = self.confmat.double()
        (_, false_positive), (false_negative, true_positive) = counts
        wrong = false_positive + false_negative
        return {
            'precision': ratio(true_positive, true_positive + false_positive),
            'recall': ratio(true_positive, true_positive + false_negative),
            'f1': ratio(2 * true_positive, 2 * true_positive + wrong),
            'iou': ratio(true_positive, true_positive + wrong),
            'oa': ratio(counts.trace(), counts.sum()),
            'kappa': cohen_kappa(counts),
        }
