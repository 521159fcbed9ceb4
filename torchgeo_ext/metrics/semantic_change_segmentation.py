"""BC, SC and SCS: change and land cover of the second date, as for DynamicEarthNet.

Toker, A. et al. (2022). DynamicEarthNet: daily multi-spectral satellite dataset for semantic change
segmentation. CVPR. https://arxiv.org/abs/2203.12560
"""

from typing import Any

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryConfusionMatrix, MulticlassConfusionMatrix

from torchgeo_ext.metrics._ratios import ratio


class SemanticChangeSegmentation(Metric):
    """Binary change (BC), semantic change (SC) and their mean (SCS).

    * ``bc``: IoU of the class "change".
    * ``sc``: mean IoU of the land cover after, on pixels that are labelled as changed.
    * ``scs``: mean of both.
    * ``miou``: mean IoU of the land cover after, on all pixels.

    A pixel without a label of change counts in none of them. Classes that neither labels nor
    predictions have are left out of the means. Counts are pooled over all updates.

    Args:
        num_classes: Land-cover classes.
        ignore_index: Label of pixels that are left out, in either label.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.
    """

    full_state_update = False

    def __init__(self, num_classes: int, ignore_index: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index
        self.change = BinaryConfusionMatrix(ignore_index=ignore_index)
        self.land_cover = MulticlassConfusionMatrix(num_classes, ignore_index=ignore_index)
        self.changed_land_cover = MulticlassConfusionMatrix(num_classes, ignore_index=ignore_index)

    def update(
        self, change_preds: Tensor, class_preds: Tensor, change_target: Tensor, class_target: Tensor
    ) -> None:
        """Add images.

        Args:
            change_preds: Predicted change (b, h, w): 0 and 1, probabilities or logits.
            class_preds: Predicted land cover after (b, h, w), from 0.
            change_target: Labels of change (b, h, w).
            class_target: Labels of land cover after (b, h, w).
        """
        self.change.update(change_preds, change_target)
        labelled = change_target != self.ignore_index
        class_target = class_target.where(labelled, self.ignore_index)
        self.land_cover.update(class_preds, class_target)
        changed = class_target.where(change_target == 1, self.ignore_index)
        self.changed_land_cover.update(class_preds, changed)

    def compute(self) -> dict[str, Tensor]:
        """Compute ``bc``, ``sc``, ``scs`` and ``miou``."""
        bc = _class_ious(self.change.confmat)[1].nan_to_num(0.0)
        sc = _class_ious(self.changed_land_cover.confmat).nanmean().nan_to_num(0.0)
        miou = _class_ious(self.land_cover.confmat).nanmean().nan_to_num(0.0)
        return {'bc': bc, 'sc': sc, 'scs': (bc + sc) / 2, 'miou': miou}


def _class_ious(confusion: Tensor) -> Tensor:
    """IoU of each class, NaN where there is none of it."""
    counts = confusion.double()
    union = counts.sum(dim=0) + counts.sum(dim=1) - counts.diagonal()
    return ratio(counts.diagonal(), union).where(union > 0, float('nan'))
