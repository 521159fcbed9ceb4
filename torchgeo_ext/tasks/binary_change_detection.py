"""What changed, learned as published systems learn it.

Axes: b batch, t date, c channel, h height, w width.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torchmetrics import Metric
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics import BinaryChange
from torchgeo_ext.tasks._change_loss import LOSSES, SYSTEMS, ChangeLoss, Loss
from torchgeo_ext.tasks._pair_task import Batch, Metrics, PairTask, change_logit, change_of, labels


class BinaryChangeDetection(PairTask):
    """Trains a registered network of change with the loss and the metrics of its publication.

    A batch has ``image`` (b, t=2, c, h, w) and ``mask`` (b, 1, h, w): 0 unchanged, 1 changed, -1
    not labelled. Pixels that ``mask_valid`` (b, t=2, h, w) excludes on one date are excluded.

    Metrics are those of the class "change", with counts pooled over the whole set:
    ``val_change_f1``, which tells the best epoch, ``val_change_iou``, ``_oa``, ``_kappa``,
    ``_precision`` and ``_recall``.

    :class:`MaskedChangeDetection` is for TorchGeo's own networks and losses, and for more than two
    classes.
    """

    monitor = 'val_change_f1'

    def __init__(
        self,
        model: str = 'bit',
        in_channels: int = 3,
        loss: Loss = 'ce',
        model_args: dict[str, Any] | None = None,
        weights: WeightsEnum | str | None = None,
        backbone_weights: WeightsEnum | str | None = None,
        lr: float = 1e-4,
        patience: int = 10,
    ) -> None:
        """Initialize a new BinaryChangeDetection instance.

        Args:
            model: Name of a registered model that gives logits of change.
            in_channels: Bands of each image.
            loss: ``ce`` for cross-entropy (of a single logit too), ``dice``, ``ce+dice``,
                ``ce+lovasz`` as ChangeMamba (Lovász-softmax weighted by 0.75), or the loss of the
                system with the network's name: ``cdmaskformer`` (masks that are matched),
                ``cfnet`` (squared distance and contents), ``changeformer`` (all scales) or
                ``lenet`` (two more heads).
            model_args: Further arguments of the model's builder.
            weights: Weights of the whole network to start from, or their name.
            backbone_weights: Weights of its encoder to start from, or their name.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.

        Raises:
            BadParameter: If the model is not known or does not take these arguments, or the loss
                is not known or that of another model.
        """
        if loss not in LOSSES:
            raise BadParameter(f'loss: {loss!r} is not one of {", ".join(LOSSES)}.')
        self.weights = weights
        self.backbone_weights = backbone_weights
        super().__init__()
        if loss in SYSTEMS and not isinstance(self.model, SYSTEMS[loss]):
            raise BadParameter(
                f'loss: {loss} needs what only the model {loss} tells, not {model}.',
                f'Choose {", ".join(known for known in LOSSES if known not in SYSTEMS)}.',
            )

    def head_arguments(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Leave the outputs as the builder has them: one or two of change."""
        return {}

    def configure_losses(self) -> None:
        """Set up the loss."""
        self.criterion = ChangeLoss(self.hparams['loss'])

    def make_metrics(self) -> dict[str, Metric]:
        """Make the metrics of change."""
        return {'change': BinaryChange()}

    def forward(self, x: Tensor) -> Tensor:
        """Predict the logit of change (b, 1, h, w) from pairs (b, t=2, c, h, w).

        Raises:
            BadParameter: If the network tells something else.
        """
        return change_logit(change_of(self.model(x)))

    def assess(self, batch: Batch, metrics: Metrics) -> tuple[Tensor, Tensor]:
        """Predict a batch and count it."""
        change = labels(batch, 1, classes=2)[:, 0]
        logits, loss = self.criterion(self.model, batch['image'], change)
        found = (logits[:, 0] > 0).long()
        metrics['change'].update(found, change)
        return loss, found[:, None]

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict the probability of change (b, 1, h, w)."""
        probability: Tensor = self(batch['image']).sigmoid()
        return probability
