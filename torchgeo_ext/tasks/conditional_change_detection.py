"""What changed since a land-cover map was made.

Axes: b batch, t date, c channel, h height, w width, k classes.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.losses import MapContrastiveLoss
from torchgeo_ext.metrics import BinaryChange, SemanticChangeSegmentation
from torchgeo_ext.tasks._pair_task import (
    IGNORE,
    Batch,
    Metrics,
    PairTask,
    best_class,
    labels,
    measured,
    two_classes,
)
from torchgeo_ext.tasks._pixel_losses import cross_entropy

type Loss = Literal['ce', 'ce+contrast']

#: Image pixels that a pixel of what the contrastive loss compares is wide.
_CONTRAST_STRIDE = 4


class ConditionalChangeDetection(PairTask):
    """Trains a network that is told the land cover before, such as MapFormer.

    A batch has ``image`` (b, t=2, c, h, w) and one of

    * ``mask`` (b, 1, h, w), the change (0, 1), and ``mask_before`` (b, 1, h, w), the map;
    * ``mask`` (b, t=2, h, w), the land cover of both dates, and ``mask_change`` (b, 1, h, w). The
      first date stands for the map unless there is a ``mask_before``.

    Land cover is numbered from 1, 0 being pixels without a class; -1 means unknown. Pixels that
    ``mask_valid`` (b, t=2, h, w) excludes on one date are excluded.

    With ``semantic`` the network has an output for "unchanged" and one for each new class. Change
    is then what is not unchanged, and the land cover after is the map with the new classes put in.

    The IoU of change, called BC in the publications, is ``val_change_iou`` and tells the best
    epoch; with ``semantic`` there are ``val_land_cover_sc``, ``val_land_cover_scs`` and
    ``val_land_cover_miou`` too. Their land cover is that of the updated map, so that a change that
    was not found counts as a wrong class.
    """

    monitor = 'val_change_iou'
    predicts = 'map_update'

    def __init__(
        self,
        model: str = 'mapformer',
        in_channels: int = 3,
        map_classes: int = 7,
        semantic: bool = False,
        loss: Loss = 'ce+contrast',
        balance: bool = True,
        model_args: dict[str, Any] | None = None,
        weights: WeightsEnum | str | None = None,
        backbone_weights: WeightsEnum | str | None = None,
        lr: float = 6e-5,
        patience: int = 10,
    ) -> None:
        """Initialize a new ConditionalChangeDetection instance.

        Args:
            model: Name of a registered model that takes pairs and a map.
            in_channels: Bands of each image.
            map_classes: Values of the map, 0 included: 7 for DynamicEarthNet's 6 classes.
            semantic: Whether to learn the new class of what changed too; needs the land cover of
                both dates.
            loss: ``ce`` for cross-entropy, ``ce+contrast`` to draw image features to those of the
                map where it still holds, too. That part is for training only; as published, every
                pixel of the first date takes part in it, labelled or not.
            balance: Whether changed pixels weigh as much as all others in the contrastive loss:
                yes for DynamicEarthNet, no for HRSCD.
            model_args: Further arguments of the model's builder.
            weights: Weights of the whole network to start from, or their name.
            backbone_weights: Weights of its encoder to start from, or their name.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.

        Raises:
            BadParameter: If the model is not known or does not take these arguments, or the loss
                is not known.
        """
        if loss not in ('ce', 'ce+contrast'):
            raise BadParameter(f'loss: {loss!r} is neither ce nor ce+contrast.')
        self.weights = weights
        self.backbone_weights = backbone_weights
        super().__init__()

    def on_fit_start(self) -> None:
        """Refuse a loss that the network has nothing for; who only predicts needs none."""
        model, loss = self.hparams['model'], self.hparams['loss']
        if loss == 'ce+contrast' and not hasattr(self.model, 'contrast'):
            raise BadParameter(
                f'loss: {model} has no features that {loss} could compare.', 'Choose ce.'
            )

    def head_arguments(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Give the number of the map's classes and of the outputs."""
        classes = self.hparams['map_classes']
        return {'map_classes': classes, 'num_classes': classes if self.hparams['semantic'] else 2}

    @property
    def mask_values(self) -> Mapping[int, int]:
        """Expect change or, for new classes, the land cover of both dates."""
        change = {} if self.hparams['semantic'] else {1: 2}
        return change | {2: self.hparams['map_classes']}

    def configure_losses(self) -> None:
        """Set up the losses."""
        self.criterion: nn.Module = cross_entropy()
        self.contrast = MapContrastiveLoss(self.hparams['balance'])

    def make_metrics(self) -> dict[str, Metric]:
        """Make the metrics of change and, if it is predicted, of the land cover after."""
        metrics: dict[str, Metric] = {'change': BinaryChange()}
        if self.hparams['semantic']:
            metrics['land_cover'] = SemanticChangeSegmentation(self.hparams['map_classes'])
        return metrics

    def forward(self, x: Tensor, land_cover: Tensor) -> Tensor:
        """Predict from pairs and a map.

        Args:
            x: Images before and after (b, t=2, c, h, w).
            land_cover: The map (b, h, w), -1 where unknown.

        Returns:
            Logits (b, 2, h, w) of unchanged and changed, or (b, k, h, w) of unchanged and the new
            classes.
        """
        return two_classes(self.model(x, land_cover))

    def assess(self, batch: Batch, metrics: Metrics) -> tuple[Tensor, Tensor]:
        """Predict a batch and count it."""
        land_cover = _map(batch)
        change, after = _labels(
            batch, self.hparams['map_classes'], semantic=self.hparams['semantic']
        )
        logits, contrast = self._predict(batch['image'], land_cover, change)
        found = (_probability(logits) > 0.5).long()
        metrics['change'].update(found, change)
        if after is None:
            return self.criterion(logits, change) + contrast, found[:, None]
        updated = _update(land_cover, logits, found == 1)
        known = after.where(after > 0, IGNORE)
        # the metric knows no land cover that is unknown; such pixels of the map are no class
        metrics['land_cover'].update(found, updated.clamp(min=0), change, known)
        target = known.where(change == 1, change)
        return self.criterion(logits, target) + contrast, updated[:, None]

    def predict_step(
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Predict a batch.

        Returns:
            ``change``, its probability (b, h, w), and, if new classes are predicted, ``after``, the
            updated map (b, h, w).
        """
        land_cover = _map(batch)
        logits = self(batch['image'], land_cover)
        change = _probability(logits)
        if not self.hparams['semantic']:
            return {'change': change}
        return {'change': change, 'after': _update(land_cover, logits, change > 0.5)}

    def _predict(
        self, images: Tensor, land_cover: Tensor, change: Tensor
    ) -> tuple[Tensor, Tensor | float]:
        """Give logits and, while training, the contrastive loss."""
        if not self.training or self.hparams['loss'] == 'ce':
            return self(images, land_cover), 0.0
        height, width = images.shape[-2:]
        coarse, features = self.model.contrast(images, land_cover)
        logits = F.interpolate(coarse, scale_factor=_CONTRAST_STRIDE, mode='bilinear')
        # the network pads its input at the bottom and right
        bottom, right = logits.shape[-2] - height, logits.shape[-1] - width
        padded = F.pad(change, (0, right, 0, bottom), value=IGNORE)
        return two_classes(logits)[..., :height, :width], self.contrast(*features, padded)


def _map(batch: Batch) -> Tensor:
    """Take the map (b, h, w)."""
    mask: Tensor = batch['mask']
    if 'mask_before' not in batch and mask.shape[1] != 2:
        raise BadInput(
            f'The batch has no mask_before and its mask the shape {tuple(mask.shape)}, so there is '
            'no land cover before.',
            'Give the map as mask_before (batch, 1, height, width).',
        )
    land_cover: Tensor = batch.get('mask_before', mask)[:, 0]
    return land_cover.long()


def _labels(batch: Batch, classes: int, *, semantic: bool) -> tuple[Tensor, Tensor | None]:
    """Take labels of change (b, h, w) and, if it is to be learned, of the land cover after."""
    dates = (2,) if semantic else (1, 2)
    # of one date: changed or not
    mask = labels(batch, *dates, classes=2 if batch['mask'].shape[1] == 1 else classes)
    if mask.shape[1] == 1:
        return mask[:, 0], None
    if 'mask_change' not in batch:
        raise BadInput(
            'The batch has the land cover of both dates but no mask_change.',
            'Give the labels of change as mask_change (batch, 1, height, width).',
        )
    change = batch['mask_change'][:, 0].long().where(measured(batch), IGNORE)
    return change, mask[:, 1] if semantic else None


def _probability(logits: Tensor) -> Tensor:
    """Give the probability of change (b, h, w), to whatever class."""
    return 1 - logits.softmax(dim=1)[:, 0]


def _update(land_cover: Tensor, logits: Tensor, changed: Tensor) -> Tensor:
    """Put the likeliest new class into the map where it changed."""
    return best_class(logits).where(changed, land_cover)
