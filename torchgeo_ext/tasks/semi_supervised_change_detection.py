"""Change, learned from few labelled pairs and many without labels.

Axes: b batch, t date, c channel, h height, w width.
"""

from collections.abc import Mapping
from typing import Any

import kornia.augmentation as K
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics import BinaryChange
from torchgeo_ext.models._pairs import SemanticChange
from torchgeo_ext.tasks._pair_task import (
    IGNORE,
    Batch,
    Metrics,
    PairTask,
    labels,
    measured,
    two_classes,
)
from torchgeo_ext.tasks._pixel_losses import cross_entropy
from torchgeo_ext.transforms import CutMix, KorniaSequential, SpectralJitter


class SemiSupervisedChangeDetection(PairTask):
    """Trains a network of change on labelled and unlabelled pairs, as SemiCD-VL does.

    A batch has ``image`` (b, t=2, c, h, w) and ``mask`` (b, 1, h, w): 0 unchanged, 1 changed, -1
    not labelled, be it for single pixels or whole pairs. ``mask_pseudo`` (b, 1, h, w) may have
    change as any other source sees it, such as a model of vision and language, -1 where it does
    not know. Pixels that ``mask_valid`` (b, t=2, h, w) excludes on one date are excluded.

    Training sees each batch twice: as it is (the weak view) and with values distorted, blurred and
    boxes exchanged between pairs (the strong view). The loss is half the cross-entropy of the weak
    view with the labels, half that of the strong view with what the weak one was sure of where
    there are no labels, and that of both views with ``mask_pseudo``, which fades out during
    training. Distortions are made for standardised images.

    Of SemiCD-VL this has the views and the losses of change. Its metric loss and the heads that
    pseudo-labels have there need a network with such outputs; here pseudo-labels teach the change
    output, as a mean over the pixels that have one.

    The best epoch is told by ``val_change_iou``.

    Li, K. et al. (2024). SemiCD-VL: visual-language model guidance makes better semi-supervised
    change detector. https://arxiv.org/abs/2405.04788

    Sohn, K. et al. (2020). FixMatch: simplifying semi-supervised learning with consistency and
    confidence. NeurIPS. https://arxiv.org/abs/2001.07685
    """

    monitor = 'val_change_iou'

    def __init__(
        self,
        model: str = 'bit',
        in_channels: int = 3,
        threshold: float = 0.95,
        pseudo_weight: float = 0.05,
        model_args: dict[str, Any] | None = None,
        weights: WeightsEnum | str | None = None,
        backbone_weights: WeightsEnum | str | None = None,
        lr: float = 1e-4,
        patience: int = 10,
    ) -> None:
        """Initialize a new SemiSupervisedChangeDetection instance.

        Args:
            model: Name of a registered model that gives logits of change.
            in_channels: Bands of each image.
            threshold: Probability from which on the weak view is believed, 0 to 1.
            pseudo_weight: Weight of ``mask_pseudo`` when training begins; it falls to 0 evenly.
                SemiCD-VL gives change 0.1 x 3/6.
            model_args: Further arguments of the model's builder.
            weights: Weights of the whole network to start from, or their name.
            backbone_weights: Weights of its encoder to start from, or their name.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.

        Raises:
            BadParameter: If the model is not known or does not take these arguments, or the
                threshold is not from 0 to 1.
        """
        if not 0 <= threshold <= 1:
            raise BadParameter(f'threshold is {threshold}; it must be from 0 to 1.')
        self.weights = weights
        self.backbone_weights = backbone_weights
        super().__init__()
        #: How much of the training is done, 0 to 1.
        self.progress = 0.0
        self.distort = nn.Sequential(
            SpectralJitter(gain=0.25, offset=0.25, length=0, p=0.8),
            KorniaSequential(K.RandomGaussianBlur((5, 5), (0.1, 2.0), p=0.5)),
            CutMix(),
        )

    def head_arguments(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Leave the outputs as the builder has them: one or two of change."""
        return {}

    def configure_losses(self) -> None:
        """Set up the loss."""
        self.criterion = cross_entropy()

    def make_metrics(self) -> dict[str, Metric]:
        """Make the metrics of change."""
        return {'change': BinaryChange()}

    def forward(self, x: Tensor) -> Tensor:
        """Predict logits (b, 2, h, w) from pairs (b, t=2, c, h, w).

        Raises:
            BadParameter: If the network tells something else.
        """
        outputs = self.model(x)
        change = outputs.change if isinstance(outputs, SemanticChange) else outputs
        if not isinstance(change, Tensor) or change.shape[1] > 2:
            raise BadParameter(
                f'model: {self.hparams["model"]} does not tell change alone.',
                'Choose another, such as bit or changemamba_bcd_tiny.',
            )
        return two_classes(change)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Note how much of the training is done."""
        self.progress = min(1.0, self.global_step / self.trainer.estimated_stepping_batches)

    def assess(self, batch: Batch, metrics: Metrics) -> tuple[Tensor, Tensor]:
        """Predict a batch and count it; while training, learn from the strong view too."""
        change = labels(batch, 1)[:, 0]
        weak = self(batch['image'])
        found = weak.argmax(dim=1)
        metrics['change'].update(found, change)
        loss = self.criterion(weak, change)
        if self.training:
            loss = loss / 2 + self._unlabelled_loss(batch, weak, change)
        return loss, found[:, None]

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict the probability of change (b, h, w)."""
        probabilities: Tensor = self(batch['image']).softmax(dim=1)
        return probabilities[:, 1]

    def _unlabelled_loss(self, batch: Batch, weak: Tensor, change: Tensor) -> Tensor:
        """Compute what the strong view and pseudo-labels add.

        Args:
            batch: The weak view.
            weak: Logits of it (b, 2, h, w).
            change: Labels (b, h, w).
        """
        unlabelled = (change == IGNORE) & measured(batch)
        confidence, guess = weak.detach().softmax(dim=1).max(dim=1)
        sure = unlabelled & (confidence >= self.hparams['threshold'])
        view = {
            'image': batch['image'],
            'mask': guess.where(sure, IGNORE)[:, None],
            'mask_unlabelled': unlabelled[:, None],
        }
        view |= {key: batch[key] for key in ('mask_pseudo', 'mask_valid') if key in batch}
        view = self.distort(view)
        strong = self(view['image'])
        guessed = F.cross_entropy(strong, view['mask'][:, 0], ignore_index=IGNORE, reduction='sum')
        # over all pixels without label, so that few sure ones count little
        loss: Tensor = guessed / view['mask_unlabelled'].sum().clamp(min=1) / 2
        if 'mask_pseudo' in batch:
            weight = self.hparams['pseudo_weight'] * (1 - self.progress) / 2
            for logits, seen in ((weak, batch), (strong, view)):
                pseudo = labels({**seen, 'mask': seen['mask_pseudo']}, 1)[:, 0]
                loss = loss + weight * self.criterion(logits, pseudo)
        return loss
