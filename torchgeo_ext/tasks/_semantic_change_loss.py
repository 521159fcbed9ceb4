"""What published systems of semantic change detection are trained with.

Axes: b batch, k classes, h height, w width.
"""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from torchgeo_ext.losses import SeKLoss, UnchangedSimilarityLoss
from torchgeo_ext.models._pairs import SemanticChange, SeriesChange
from torchgeo_ext.tasks._pair_task import IGNORE
from torchgeo_ext.tasks._pixel_losses import cross_entropy, lovasz

type System = Literal['changemamba', 'fusu', 'hyscdg', 'mambafcs']


@dataclass(frozen=True)
class _Weights:
    """How much each term counts: of the change map, and of each land-cover map.

    ``changed`` is how often changed pixels count in the cross-entropy of change.
    """

    change_entropy: float = 1.0
    changed: float = 1.0
    class_entropy: float = 1.0
    change_lovasz: float = 0.0
    class_lovasz: float = 0.0
    similarity: float = 0.0
    sek: float = 0.0
    series: float = 0.0


SYSTEMS: dict[str, _Weights] = {
    # https://arxiv.org/abs/2404.03425
    'changemamba': _Weights(
        class_entropy=0.5, change_lovasz=0.75, class_lovasz=0.375, similarity=0.25
    ),
    # https://github.com/yuanshuai0914/FUSU, without its cutting of logits to 0 to 1
    'fusu': _Weights(changed=2.0, class_entropy=0.5, series=1.0),
    # https://arxiv.org/abs/2503.15683
    'hyscdg': _Weights(),
    # https://arxiv.org/abs/2508.08232
    'mambafcs': _Weights(
        class_entropy=0.5, change_lovasz=0.5, class_lovasz=0.5, similarity=0.05, sek=0.5
    ),
}


class SemanticChangeLoss(nn.Module):
    """Weighted sum of the terms that a published system is trained with.

    Cross-entropy and Lovász-softmax of the change and of the land cover of both dates, unlikeness
    of the land cover where nothing changed, the relative of SeK, and cross-entropy of what a series
    alone tells with the land cover before.

    Args:
        system: Whose weights the terms have.
    """

    def __init__(self, system: System) -> None:
        super().__init__()
        self.weights = SYSTEMS[system]
        self.entropy = cross_entropy()
        self.lovasz = lovasz()
        self.similarity = UnchangedSimilarityLoss()
        self.sek = SeKLoss()

    def forward(
        self, logits: SemanticChange | SeriesChange, change: Tensor, classes: Tensor
    ) -> Tensor:
        """Compute the loss.

        Args:
            logits: Of change (b, 2, h, w) and of land cover (b, k, h, w).
            change: Labels (b, h, w): 0 unchanged, 1 changed, -1 unknown.
            classes: Land cover of both dates (b, 2, h, w): from 1, 0 for no class, -1 unknown.
        """
        weights = self.weights
        loss = weights.change_entropy * self.entropy(logits.change, change)
        if weights.changed != 1:
            again = F.cross_entropy(
                logits.change,
                change.where(change == 1, IGNORE),
                ignore_index=IGNORE,
                reduction='sum',
            )
            loss = loss + (weights.changed - 1) * again / (change != IGNORE).sum().clamp(min=1)
        if weights.change_lovasz:
            loss = loss + weights.change_lovasz * self.lovasz(logits.change, change)
        for date, target in zip((logits.before, logits.after), classes.unbind(dim=1), strict=True):
            known = target.where(target > 0, IGNORE)
            loss = loss + weights.class_entropy * self.entropy(date, known)
            if weights.class_lovasz:
                loss = loss + weights.class_lovasz * self.lovasz(date, known)
        if isinstance(logits, SeriesChange):
            before = classes[:, 0]
            known = before.where(before > 0, IGNORE)
            loss = loss + weights.series * self.entropy(logits.series, known)
        if weights.similarity:
            likeness = self.similarity(logits.before, logits.after, change == 0)
            loss = loss + weights.similarity * likeness
        if weights.sek:
            changed = classes.where(change[:, None] == 1, 0)
            loss = loss + weights.sek * self.sek(logits.before, logits.after, *changed.unbind(1))
        return loss
