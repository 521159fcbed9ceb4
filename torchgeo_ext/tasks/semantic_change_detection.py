"""What changed into what: change, and the land cover of both dates.

Axes: b batch, t date, c channel, h height, w width.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchvision.models import WeightsEnum

from torchgeo_ext.datasets import changed_classes
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics import BinaryChange, SemanticChangeByDate, SemanticChangeByPair
from torchgeo_ext.models._pairs import SemanticChange, SeriesChange
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
from torchgeo_ext.tasks._semantic_change_loss import SYSTEMS, SemanticChangeLoss, System


class SemanticChangeDetection(PairTask):
    """Trains a network that tells change and the land cover of both dates.

    A batch has ``image`` (b, t=2, c, h, w) and ``mask`` (b, t=2, h, w), the land cover of both
    dates from 1, 0 where it has no class and -1 where nothing is known. What changed is told by
    ``mask_change`` (b, 1, h, w) or, as in SECOND, by where the mask has classes. Land cover is
    learned wherever it has a class. Pixels that ``mask_valid`` (b, t=2, h, w) excludes on one date
    are excluded.

    Networks that take a series as well, such as ``fusu``, need ``series`` (b, t, c, h', w') in the
    batch, or a list of them with different numbers of dates. ``series_days`` (b, t) may tell when
    these were.

    Both published countings of SeK and F_scd are logged and must not be compared with each other:
    ``val_by_date_f_scd`` (SCanNet, Mamba-FCS), which tells the best epoch, and
    ``val_by_pair_f_scd`` (ChangeMamba); F1, IoU and others of the change alone are
    ``val_change_f1`` and so on. As class 0 is never trained, no pixel called changed gets it;
    published evaluators let it stand.
    """

    monitor = 'val_by_date_f_scd'
    predicts: str | None = 'semantic_change'

    def __init__(
        self,
        model: str = 'changemamba_scd_tiny',
        in_channels: int = 3,
        num_classes: int = 7,
        loss: System = 'changemamba',
        iou_weight: float = 0.3,
        model_args: dict[str, Any] | None = None,
        weights: WeightsEnum | str | None = None,
        backbone_weights: WeightsEnum | str | None = None,
        lr: float = 1e-4,
        patience: int = 10,
    ) -> None:
        """Initialize a new SemanticChangeDetection instance.

        Args:
            model: Name of a registered model that gives logits of change (one or two channels), of
                the land cover before and of that after.
            in_channels: Bands of each image.
            num_classes: Values of the mask, 0 included: 7 for SECOND's 6 classes.
            loss: System whose loss it is: ``changemamba`` (cross-entropy, Lovász-softmax,
                likeness of unchanged land cover), ``mambafcs`` (these, weighted otherwise, and a
                relative of SeK), ``hyscdg`` (cross-entropy) or ``fusu`` (cross-entropy, changed
                pixels twice, and that of what the series tells with the land cover before).
            iou_weight: Share of mIoU in the score; 0.3 for SECOND, 0.5 for FUSU.
            model_args: Further arguments of the model's builder.
            weights: Weights of the whole network to start from, or their name.
            backbone_weights: Weights of its encoder to start from, or their name.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.

        Raises:
            BadParameter: If the model is not known, does not take these arguments, or the loss is
                not known.
        """
        if loss not in SYSTEMS:
            raise BadParameter(f'loss: {loss!r} is not one of {", ".join(SYSTEMS)}.')
        self.weights = weights
        self.backbone_weights = backbone_weights
        super().__init__()
        if self._takes_series:
            self.predicts = None  # bundles read images alone

    def head_arguments(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Give the number of land-cover classes."""
        name = 'semantic_classes' if 'semantic_classes' in known else 'num_classes'
        return {name: self.hparams['num_classes']}

    @property
    def mask_values(self) -> Mapping[int, int]:
        """Expect the land cover of both dates."""
        return {2: self.hparams['num_classes']}

    def configure_losses(self) -> None:
        """Set up the loss."""
        self.criterion = SemanticChangeLoss(self.hparams['loss'])

    def make_metrics(self) -> dict[str, Metric]:
        """Make both countings, and the metrics of change alone."""
        counted = self.hparams['num_classes'] - 1, self.hparams['iou_weight']
        return {
            'by_date': SemanticChangeByDate(*counted),
            'by_pair': SemanticChangeByPair(*counted),
            'change': BinaryChange(),
        }

    def forward(self, x: Tensor, *series: Tensor | None) -> SemanticChange | SeriesChange:
        """Predict from pairs (b, t=2, c, h, w) and what else the network takes.

        Returns:
            Logits of change (b, 2, h, w) and of land cover (b, k, h, w).

        Raises:
            BadParameter: If the network tells no land cover.
        """
        outputs = self.model(x, *series)
        if isinstance(outputs, SeriesChange):
            return outputs._replace(change=two_classes(outputs.change))
        if not isinstance(outputs, tuple) or len(outputs) != 3:
            raise BadParameter(
                f'model: {self.hparams["model"]} does not tell change and land cover.',
                'Choose another, such as changemamba_scd_tiny or hyscdg.',
            )
        change, before, after = outputs
        return SemanticChange(two_classes(change), before, after)

    def assess(self, batch: Batch, metrics: Metrics) -> tuple[Tensor, Tensor]:
        """Predict a batch and count it."""
        classes = labels(batch, 2, classes=self.hparams['num_classes'])
        change = _change(batch, classes)
        logits = self(*self._inputs(batch))
        maps = _maps(logits)
        found = logits.change.argmax(dim=1)
        predicted = maps * found[:, None]
        target = changed_classes(classes, change[:, None])
        metrics['by_date'].update(predicted, target)
        metrics['by_pair'].update(predicted, target)
        metrics['change'].update(found, change)
        return self.criterion(logits, change, classes), predicted

    def predict_step(
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Predict a batch.

        Returns:
            ``change``, its probability (b, h, w), and ``before`` and ``after``, classes (b, h, w)
            from 1, whether changed or not.
        """
        logits = self(*self._inputs(batch))
        before, after = _maps(logits).unbind(dim=1)
        return {'change': logits.change.softmax(dim=1)[:, 1], 'before': before, 'after': after}

    @property
    def _takes_series(self) -> bool:
        """Whether the network reads a series beside the pair."""
        return 'series' in inspect.signature(self.model.forward).parameters

    def _inputs(self, batch: Batch) -> tuple[Tensor | None, ...]:
        """Take the pairs and, if the network wants it, the series."""
        if not self._takes_series:
            return (batch['image'],)
        if 'series' not in batch:
            raise BadInput(
                f'The batch has no series, which {self.hparams["model"]} needs.',
                'Choose a dataset that gives one, such as FUSU with series=True.',
            )
        days = batch.get('series_days')
        return batch['image'], _padded(batch['series']), None if days is None else _padded(days)


def _padded(series: Tensor | list[Tensor]) -> Tensor:
    """Join series of different numbers of dates; what is 0 everywhere is a missing date."""
    if isinstance(series, Tensor):
        return series
    return nn.utils.rnn.pad_sequence(series, batch_first=True)


def _maps(logits: SemanticChange | SeriesChange) -> Tensor:
    """Choose the classes of both dates (b, t=2, h, w)."""
    return torch.stack([best_class(logits.before), best_class(logits.after)], dim=1)


def _change(batch: Batch, classes: Tensor) -> Tensor:
    """Tell change (b, h, w) from its labels, or else from where there are classes."""
    if 'mask_change' in batch:
        change: Tensor = batch['mask_change'][:, 0].long()
        return change.where(measured(batch), IGNORE)
    return (classes > 0).any(dim=1).long().where((classes >= 0).all(dim=1), IGNORE)
