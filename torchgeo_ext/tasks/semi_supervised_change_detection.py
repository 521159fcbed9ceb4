"""Change, learned from few labelled pairs and many without labels.

Axes: b batch, t date, c channel, h height, w width.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import kornia.augmentation as K
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.losses import BalancedContrastiveLoss
from torchgeo_ext.metrics import BinaryChange
from torchgeo_ext.models._pairs import GuidedChange, SemanticChange
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
    not know, and ``mask_pseudo_dates`` (b, t=2, h, w) the land cover that it sees, 0 or 1, as
    :func:`torchgeo_ext.datasets.write_pseudo_labels` makes them. Pixels
    that ``mask_valid`` (b, t=2, h, w) excludes on one date are excluded.

    Training sees each batch twice: as it is (the weak view) and with values distorted, blurred and
    boxes exchanged between pairs (the strong view). The loss is half the cross-entropy of the weak
    view with the labels, half that of the strong view with what the weak one was sure of where
    there are no labels, and that of both views with the pseudo-labels, which fades out during
    training. Where there are no labels, sums are divided by the number of all such pixels, so that
    few sure ones count little. Distortions are made for standardised images.

    Networks with a method ``guided``, such as ``semicdvl``, have a projection of their own for
    pseudo-labels of change, learn the land cover of both dates from ``mask_pseudo_dates``, and draw
    features of the dates together where nothing changed and apart where something did. With any
    other network pseudo-labels teach the output of change. As published, labels and pseudo-labels
    of whole pairs are used in batches of their own; here they may be mixed, pixel by pixel.

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
        pseudo_weight: float = 0.1,
        metric_weight: float = 0.1,
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
            pseudo_weight: Weight of pseudo-labels when training begins; it falls to 0 evenly. A
                sixth of it is that of each of six terms: change and land cover, where there are
                labels and, in both views, where there are none.
            metric_weight: Weight of the distance of the dates' features, if the network tells it.
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
        self.metric = BalancedContrastiveLoss()

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
        change = labels(batch, 1, classes=2)[:, 0]
        weak = self._tell(batch['image'])
        found = weak.change.argmax(dim=1)
        metrics['change'].update(found, change)
        loss = self.criterion(weak.change, change)
        if self.training:
            if weak.distance is not None:
                # published without halving the sum of its two means
                loss = loss + 2 * self.metric_weight * self.metric.of_distance(
                    weak.distance, change
                )
            loss = loss / 2 + self._unlabelled_loss(batch, weak, change)
        return loss, found[:, None]

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict the probability of change (b, h, w)."""
        probabilities: Tensor = self(batch['image']).softmax(dim=1)
        return probabilities[:, 1]

    @property
    def metric_weight(self) -> float:
        """Weight of the distance of features."""
        weight: float = self.hparams['metric_weight']
        return weight

    def _tell(self, x: Tensor) -> GuidedChange:
        """Predict all that is learned from."""
        if self.training and hasattr(self.model, 'guided'):
            told: GuidedChange = self.model.guided(x)
            return told
        change = self(x)
        return GuidedChange(change, change)

    def _unlabelled_loss(self, batch: Batch, weak: GuidedChange, change: Tensor) -> Tensor:
        """Compute what the strong view and pseudo-labels add.

        Args:
            batch: The weak view.
            weak: What was told of it.
            change: Labels (b, h, w).
        """
        unlabelled = (change == IGNORE) & measured(batch)
        confidence, guess = weak.change.detach().softmax(dim=1).max(dim=1)
        sure = unlabelled & (confidence >= self.hparams['threshold'])
        view = {
            'image': batch['image'],
            'mask': guess.where(sure, IGNORE)[:, None],
            'mask_unlabelled': unlabelled[:, None],
        }
        kept = ('mask_pseudo', 'mask_pseudo_dates', 'mask_valid')
        view |= {key: batch[key] for key in kept if key in batch}
        view = self.distort(view)
        strong, unlabelled_there = self._tell(view['image']), view['mask_unlabelled'][:, 0].bool()
        loss = self._guessed(strong, view['mask'][:, 0], unlabelled_there) / 2
        weight = self.hparams['pseudo_weight'] * (1 - self.progress) / 6
        pseudo = self._pseudo_loss(batch, weak, unlabelled, labelled=change != IGNORE)
        return loss + weight * (pseudo + self._pseudo_loss(view, strong, unlabelled_there))

    def _guessed(self, strong: GuidedChange, guess: Tensor, unlabelled: Tensor) -> Tensor:
        """Compare the strong view with what the weak one was sure of (b, h, w)."""
        loss = _spread(strong.change, guess, unlabelled)
        if strong.distance is not None:
            wrong = self.metric.of_pixels(strong.distance, guess).sum() / _count(unlabelled)
            loss = loss + self.metric_weight * wrong
        return loss

    def _pseudo_loss(
        self, batch: Batch, told: GuidedChange, unlabelled: Tensor, labelled: Tensor | None = None
    ) -> Tensor | float:
        """Compare a view with pseudo-labels, where there are labels and where there are none."""
        loss: Tensor | float = 0.0
        for logits, target, share in _pseudo_targets(batch, told):
            if labelled is not None:
                loss = loss + share * self.criterion(logits, target.where(labelled, IGNORE))
            loss = loss + share * _spread(logits, target.where(unlabelled, IGNORE), unlabelled)
        return loss


def _pseudo_targets(batch: Batch, told: GuidedChange) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Yield logits, pseudo-labels (b, h, w) and how much they count."""
    if 'mask_pseudo' in batch:
        pseudo, classes = batch['mask_pseudo'], told.pseudo.shape[1]
        yield told.pseudo, labels({**batch, 'mask': pseudo}, 1, classes=classes)[:, 0], 1.0
    if 'mask_pseudo_dates' in batch and told.before is not None and told.after is not None:
        dates, classes = batch['mask_pseudo_dates'], told.before.shape[1]
        before, after = labels({**batch, 'mask': dates}, 2, classes=classes).unbind(dim=1)
        yield told.before, before, 0.5
        yield told.after, after, 0.5


def _spread(logits: Tensor, target: Tensor, over: Tensor) -> Tensor:
    """Cross-entropy, divided by the number of pixels that might have had a target."""
    entropy = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction='sum')
    return entropy / _count(over)


def _count(pixels: Tensor) -> Tensor:
    return pixels.sum().clamp(min=1)
