"""SeK, F_scd, mIoU and Score of semantic change detection, in both published countings.

The two give different numbers for one prediction and must not be compared with each other:

* :class:`SemanticChangeByDate` (SCanNet, Bi-SRNet, Mamba-FCS): the maps of both dates are two
  samples. Gives higher SeK and F_scd.
* :class:`SemanticChangeByPair` (ChangeMamba, torchange): each from-to pair is a class of its own.

Yang, K. et al. (2022). Asymmetric Siamese networks for semantic change detection in aerial images.
IEEE TGRS 60. https://arxiv.org/abs/2010.05687

Axes: b batch, t date, h height, w width.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from torchgeo_ext.errors import BadInput
from torchgeo_ext.metrics._ratios import cohen_kappa, ratio


class _SemanticChange(MulticlassConfusionMatrix):
    """What both countings share: everything after the codes of the pixels.

    Args:
        codes: How many codes a pixel can have, 0 meaning unchanged.
        num_classes: Land-cover classes, without "unchanged".
        iou_weight: Share of mIoU in the score; the rest is SeK's.
        ignore_index: Label of pixels that are left out.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.
    """

    correct: Tensor
    images: Tensor

    def __init__(
        self, codes: int, num_classes: int, iou_weight: float, ignore_index: int, **kwargs: Any
    ) -> None:
        super().__init__(codes, ignore_index, **kwargs)
        self.ignore = ignore_index
        self.land_cover_classes = num_classes
        self.iou_weight = iou_weight
        self.add_state('correct', torch.zeros((), dtype=torch.double), dist_reduce_fx='sum')
        self.add_state('images', torch.zeros((), dtype=torch.long), dist_reduce_fx='sum')

    @abstractmethod
    def encode(self, maps: Tensor) -> Tensor:
        """Give each pixel of maps (b, t=2, h, w), 0 for unchanged, its codes (b, ...)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add images.

        Args:
            preds: Predicted land cover of both dates (b, t=2, h, w): 0 where unchanged, else
                1 to ``num_classes``.
            target: Labels of the same shape; a pixel ignored in one date is ignored in both.

        Raises:
            BadInput: If the shapes are others.
        """
        if preds.shape != target.shape or preds.ndim != 4 or preds.shape[1] != 2:
            raise BadInput(
                f'preds has the shape {tuple(preds.shape)} and target {tuple(target.shape)}; '
                'both must be (batch, 2, height, width).',
                'Stack the maps of both dates, with 0 where nothing changed.',
            )
        labelled = target.ne(self.ignore).all(dim=1)
        preds = self.encode(preds)
        target = self.encode(target * labelled[:, None])
        labelled = labelled.reshape(len(labelled), 1, -1).expand_as(preds)
        super().update(preds, target.where(labelled, self.ignore))
        right = ((preds == target) & labelled).sum(dim=(1, 2))
        self.correct += ratio(right.double(), labelled.sum(dim=(1, 2)).double()).sum()
        self.images += len(preds)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Compute ``miou``, ``sek``, ``score``, ``f_scd``, ``oa`` and ``kappa``.

        ``oa`` is the mean over images of each image's accuracy, the others are of pooled counts.
        ``kappa`` is the one within SeK: agreement on unchanged pixels does not count.
        """
        # rows are labels, columns predictions
        counts = self.confmat.double()
        total, unchanged = counts.sum(), counts[0, 0]
        missed, invented = counts[1:, 0].sum(), counts[0, 1:].sum()
        changed = counts[1:, 1:].sum()
        wrong = missed + invented
        iou = ratio(changed, changed + wrong)
        miou = (ratio(unchanged, unchanged + wrong) + iou) / 2
        only_change = counts.clone()
        only_change[0, 0] = 0
        kappa = cohen_kappa(only_change)
        sek = torch.exp(iou - 1) * kappa
        named = counts.diagonal()[1:].sum()
        return {
            'miou': miou,
            'sek': sek,
            'score': self.iou_weight * miou + (1 - self.iou_weight) * sek,
            'f_scd': ratio(2 * named, 2 * total - counts[:, 0].sum() - counts[0].sum()),
            'oa': ratio(self.correct, self.images.double()),
            'kappa': kappa,
        }


class SemanticChangeByDate(_SemanticChange):
    """Semantic change with the maps of both dates counted as two samples.

    Args:
        num_classes: Land-cover classes, without "unchanged"; 6 for SECOND.
        iou_weight: Share of mIoU in the score; 0.3 for SECOND, 0.5 for FUSU.
        ignore_index: Label of pixels that are left out.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.
    """

    def __init__(
        self, num_classes: int, iou_weight: float = 0.3, ignore_index: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(num_classes + 1, num_classes, iou_weight, ignore_index, **kwargs)

    def encode(self, maps: Tensor) -> Tensor:
        """Take the classes as they are: (b, t, h w)."""
        return maps.flatten(2)


class SemanticChangeByPair(_SemanticChange):
    """Semantic change with each pair of classes before and after counted as one class.

    A pixel that only one of the dates calls unchanged is unchanged; published evaluators leave
    this case open or stop at it.

    Args:
        num_classes: Land-cover classes, without "unchanged"; 6 for SECOND, which makes 37 codes.
        iou_weight: Share of mIoU in the score; 0.3 for SECOND, 0.5 for FUSU.
        ignore_index: Label of pixels that are left out.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.
    """

    def __init__(
        self, num_classes: int, iou_weight: float = 0.3, ignore_index: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(num_classes**2 + 1, num_classes, iou_weight, ignore_index, **kwargs)

    def encode(self, maps: Tensor) -> Tensor:
        """Number the pairs from 1: (b, 1, h w)."""
        before, after = maps.flatten(2).unbind(dim=1)
        pair = (before - 1) * self.land_cover_classes + after
        return torch.where((before > 0) & (after > 0), pair, 0)[:, None]
