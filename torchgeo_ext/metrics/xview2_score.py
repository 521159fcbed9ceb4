"""Score of the xView2 challenge: where buildings are and how damaged they are.

Gupta, R. et al. (2019). xBD: a dataset for assessing building damage from satellite imagery. CVPR
workshops. https://arxiv.org/abs/1911.09296
"""

from typing import Any

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryConfusionMatrix, MulticlassConfusionMatrix

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics._ratios import ratio

#: Names of the levels by their number: xBD's and BRIGHT's.
DAMAGE_LEVELS = {
    4: ('no_damage', 'minor_damage', 'major_damage', 'destroyed'),
    3: ('intact', 'damaged', 'destroyed'),
}

#: What the challenge adds to each level's F1 before it takes their harmonic mean.
_EPSILON = 1e-6


class XView2Score(Metric):
    """F1 of buildings and of the damage levels, pooled over all updates.

    ``damage_f1`` is the harmonic mean of the levels' F1, computed on pixels labelled as building;
    the ``score`` is 0.3 ``building_f1`` + 0.7 ``damage_f1``.

    Args:
        mask_damage: Whether damage counts only where a building was predicted too, as the
            challenge (and torchange) has it. ChangeMamba's evaluation does not mask.
        ignore_index: Label of pixels that are left out.
        levels: How many levels of damage there are, with that of none: 4 as in xBD, or 3 as in
            BRIGHT.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.

    Raises:
        BadParameter: If there are neither 3 nor 4 levels.
    """

    full_state_update = False

    def __init__(
        self, mask_damage: bool = True, ignore_index: int = -1, levels: int = 4, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if levels not in DAMAGE_LEVELS:
            raise BadParameter(f'levels is {levels}; it must be 3 (BRIGHT) or 4 (xBD).')
        self.levels = levels
        self.mask_damage = mask_damage
        self.ignore_index = ignore_index
        self.building = BinaryConfusionMatrix(ignore_index=ignore_index)
        self.damage = MulticlassConfusionMatrix(levels + 1, ignore_index=ignore_index)

    def update(self, building_preds: Tensor, damage_preds: Tensor, target: Tensor) -> None:
        """Add images.

        Args:
            building_preds: Predicted buildings (b, h, w): 0 and 1, probabilities or logits.
            damage_preds: Predicted damage (b, h, w): 0 for no building, 1 (no damage) to the
                last level (destroyed).
            target: Labels in the same numbers.
        """
        labelled = target != self.ignore_index
        building = (target > 0).long().where(labelled, self.ignore_index)
        self.building.update(building_preds, building)
        if self.mask_damage:
            found = building_preds > (0.5 if _are_probabilities(building_preds) else 0.0)
            damage_preds = damage_preds * found
        self.damage.update(damage_preds, target.where(target > 0, self.ignore_index))

    def compute(self) -> dict[str, Tensor]:
        """Compute ``building_f1``, ``damage_f1``, the F1 of each level, and ``score``."""
        building_f1 = _class_f1s(self.building.confmat)[1]
        level_f1s = _class_f1s(self.damage.confmat)[1:]
        # 1 / 0 is inf, which makes the harmonic mean 0
        damage_f1 = self.levels / (1 / (level_f1s + _EPSILON * self.mask_damage)).sum()
        names = [f'{level}_f1' for level in DAMAGE_LEVELS[self.levels]]
        return {
            'building_f1': building_f1,
            'damage_f1': damage_f1,
            **dict(zip(names, level_f1s, strict=True)),
            'score': 0.3 * building_f1 + 0.7 * damage_f1,
        }


def _are_probabilities(preds: Tensor) -> bool:
    """Tell probabilities (and classes) from logits the way torchmetrics does."""
    return not preds.is_floating_point() or bool(((preds >= 0) & (preds <= 1)).all())


def _class_f1s(confusion: Tensor) -> Tensor:
    counts = confusion.double()
    return ratio(2 * counts.diagonal(), counts.sum(dim=0) + counts.sum(dim=1))
