"""Where buildings are and how damaged they are.

Axes: b batch, t date, c channel, h height, w width.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics import XView2Score
from torchgeo_ext.models._pairs import SemanticChange
from torchgeo_ext.models.changemamba import BuildingDamage as DamageLogits
from torchgeo_ext.tasks._pair_task import (
    IGNORE,
    Batch,
    Metrics,
    PairTask,
    best_class,
    labels,
    two_classes,
)
from torchgeo_ext.tasks._pixel_losses import cross_entropy, lovasz


class BuildingDamageLoss(nn.Module):
    """Cross-entropy and Lovász-softmax of buildings and, on buildings only, of their damage.

    Chen, H. et al. (2024). ChangeMamba: remote sensing change detection with spatiotemporal state
    space model. IEEE TGRS 62. https://arxiv.org/abs/2404.03425
    """

    def __init__(self) -> None:
        super().__init__()
        self.entropy = cross_entropy()
        self.lovasz = lovasz()

    def forward(self, logits: DamageLogits, damage: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: Of buildings (b, 2, h, w) and of damage (b, k, h, w).
            damage: Labels (b, h, w): 0 no building, from 1 (no damage) on levels, -1 unknown.
        """
        building = damage.clamp(max=1)
        level = damage.where(damage > 0, IGNORE)
        loss: Tensor = (
            self.entropy(logits.building, building)
            + self.entropy(logits.damage, level)
            + 0.5 * self.lovasz(logits.building, building)
            + 0.75 * self.lovasz(logits.damage, level)
        )
        return loss


class BuildingDamage(PairTask):
    """Trains a network that finds buildings before a disaster and grades their damage after it.

    A batch has ``image`` (b, t=2, c, h, w) and ``mask``: the damage (b, 1, h, w), or buildings and
    damage (b, 2, h, w), of which the latter is used. Numbers are those of xBD (0 no building, 1 no
    damage, 2 minor damage, 3 major damage, 4 destroyed, -1 unknown) or, with ``levels: 3``, of
    BRIGHT (0 no building, 1 intact, 2 damaged, 3 destroyed).
    Pixels that ``mask_valid`` (b, t=2, h, w) excludes on one date are excluded.

    The loss is that of ChangeMamba; batches without buildings, which the authors leave out, teach
    where none are. The best epoch is told by ``val_xview2_score``; ``val_xview2_building_f1``,
    ``val_xview2_damage_f1`` and the F1 of each level stand beside it.
    """

    monitor = 'val_xview2_score'
    predicts = 'building_damage'

    def __init__(
        self,
        model: str = 'changemamba_bda_tiny',
        in_channels: int = 3,
        mask_damage: bool = True,
        levels: int = 4,
        model_args: dict[str, Any] | None = None,
        weights: WeightsEnum | str | None = None,
        backbone_weights: WeightsEnum | str | None = None,
        lr: float = 1e-4,
        patience: int = 10,
    ) -> None:
        """Initialize a new BuildingDamage instance.

        Args:
            model: Name of a registered model that gives logits of buildings and of the classes of
                damage, or, as ChangeStar, of damage and of the buildings of both dates.
            in_channels: Bands of each image.
            mask_damage: Whether metrics count damage only where a building was predicted too, as
                the xView2 challenge does; ChangeMamba's evaluation does not.
            levels: Levels of damage, with that of none: 4 as in xBD, or 3 as in BRIGHT.
            model_args: Further arguments of the model's builder.
            weights: Weights of the whole network to start from, or their name.
            backbone_weights: Weights of its encoder to start from, or their name.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.

        Raises:
            BadParameter: If the model is not known or does not take these arguments.
        """
        self.weights = weights
        self.backbone_weights = backbone_weights
        super().__init__()

    def head_arguments(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Give the number of levels, with that for no building."""
        return {'num_classes': self.hparams['levels'] + 1}

    @property
    def mask_values(self) -> Mapping[int, int]:
        """Expect the levels of damage, and none."""
        return {1: self.hparams['levels'] + 1}

    def configure_losses(self) -> None:
        """Set up the loss."""
        self.criterion = BuildingDamageLoss()

    def make_metrics(self) -> dict[str, Metric]:
        """Make the challenge's score."""
        return {'xview2': XView2Score(self.hparams['mask_damage'], levels=self.hparams['levels'])}

    def forward(self, x: Tensor) -> DamageLogits:
        """Predict from pairs (b, t=2, c, h, w).

        Returns:
            Logits of buildings (b, 2, h, w) and of damage (b, k, h, w).

        Raises:
            BadParameter: If the network tells something else.
        """
        outputs = self.model(x)
        if isinstance(outputs, SemanticChange):
            outputs = outputs.before, outputs.change
        known = isinstance(outputs, tuple) and len(outputs) == 2
        if not known or outputs[1].shape[1] != self.hparams['levels'] + 1:
            raise BadParameter(
                f'model: {self.hparams["model"]} does not tell buildings and their damage.',
                'Choose another, such as changemamba_bda_tiny.',
            )
        building, damage = outputs
        return DamageLogits(two_classes(building), damage)

    def assess(self, batch: Batch, metrics: Metrics) -> tuple[Tensor, Tensor]:
        """Predict a batch and count it."""
        target = labels(batch, 1, 2, classes=self.hparams['levels'] + 1)[:, -1]
        logits = self(batch['image'])
        building, damage = logits.building.argmax(dim=1), best_class(logits.damage)
        metrics['xview2'].update(building, damage, target)
        return self.criterion(logits, target), (damage * building)[:, None]

    def predict_step(
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Predict a batch.

        Returns:
            ``building``, its probability (b, h, w), and ``damage``, the level (b, h, w) from 1
            on, whether there is a building or not.
        """
        logits = self(batch['image'])
        return {
            'building': logits.building.softmax(dim=1)[:, 1],
            'damage': best_class(logits.damage),
        }
