"""Segmentation of image series.

Axes: b batch, t date, c channel, h height, w width, k classes.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchgeo.tasks import SpatioTemporalSegmentation
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.utae import DatedLogits
from torchgeo_ext.tasks._history import HistoryDecoder
from torchgeo_ext.tasks._masked import MaskedLabels
from torchgeo_ext.tasks._registered import build_registered, starting_weights

#: Seconds of a day.
_DAY = 86_400


class SeriesSegmentation(MaskedLabels, SpatioTemporalSegmentation):
    """TorchGeo's task for registered networks, with partly labelled maps and historical prediction.

    A batch has ``image`` (b, t, c, h, w) and ``mask`` (b, h, w), and may have ``seconds`` (b, t),
    as :class:`~torchgeo_ext.datasets.RasterSeries` gives them; networks that take days are told.
    Dates that are 0 everywhere are missing. Every loss leaves out pixels without label, and scores
    come from one confusion matrix.

    With ``history_weight`` a date of each series is drawn in training, and a small decoder predicts
    what the network saw of it from what it saw of the other dates, and the labels from that. It is
    not used afterwards. That is the counterpart for series of the Earth of HoP, historical object
    prediction, which predicts the bird's-eye view of a past frame of a car's cameras and the
    objects in it; it is not HoP itself, which has decoders of its own for close and for far frames.

    Zong, Z. et al. (2023). Temporal enhanced training of multi-view 3D object detector via
    historical object prediction. ICCV. https://arxiv.org/abs/2304.00967
    """

    #: Bundles are run on single images and pairs.
    predicts: str | None = None

    def __init__(
        self,
        model: str = 'utae',
        weights: WeightsEnum | str | None = None,
        in_channels: int = 10,
        task: Literal['binary', 'multiclass', 'multilabel'] = 'multiclass',
        num_classes: int | None = None,
        num_labels: int | None = None,
        labels: list[str] | None = None,
        history_weight: float = 0.0,
        model_args: dict[str, Any] | None = None,
        pos_weight: Tensor | None = None,
        loss: Literal['ce', 'bce', 'jaccard', 'focal', 'dice'] = 'ce',
        class_weights: Tensor | Sequence[float] | None = None,
        ignore_index: int | None = -1,
        lr: float = 1e-3,
        patience: int = 10,
    ) -> None:
        """Initialize a new SeriesSegmentation instance.

        Args:
            model: Name of a registered network of series, such as ``utae`` or ``agrifm_base``.
            weights: Published weights to start from, or their name, for networks that have some.
            in_channels: Bands of each date.
            task: ``binary``, ``multiclass`` or ``multilabel``.
            num_classes: Number of classes of ``multiclass``.
            num_labels: Number of labels of ``multilabel``.
            labels: Names of the classes.
            history_weight: Weight of the prediction of a date from the others; 0.5 in HoP.
            model_args: Further arguments of the network's builder.
            pos_weight: Weight of positive pixels in ``bce``.
            loss: ``ce``, ``bce``, ``jaccard``, ``focal`` or ``dice``.
            class_weights: Weights of the classes in ``ce``.
            ignore_index: Marks pixels without label.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.

        Raises:
            BadParameter: If the network is not known, does not take these arguments or weights, or
                does not tell what it sees of single dates while these are to be predicted.
            MissingWeights: If weights are not here and cannot be downloaded.
        """
        self.weights = weights
        # every other argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__()

    def configure_models(self) -> None:
        """Build the network, and what predicts dates."""
        name = self.hparams['model']
        outputs = self.hparams['num_classes'] or self.hparams['num_labels'] or 1
        started = starting_weights(name, self.weights)
        further = dict(self.hparams['model_args'] or {})
        arguments = {'num_classes': outputs} | started | further
        self.model = build_registered(
            name, self.hparams['in_channels'], arguments, type(self).__name__
        )
        self._takes_days = 'days' in inspect.signature(self.model.forward).parameters
        if self.hparams['history_weight']:
            if not hasattr(self.model, 'with_dates'):
                raise BadParameter(
                    f'history_weight: {name} does not tell what it sees of single dates.',
                    'Choose another network, such as utae, or 0.',
                )
            self.history = HistoryDecoder(self.model.date_width, outputs)

    def _shared_step(self, batch: Any, stage: str) -> Tensor:
        """Compute the loss of a batch and count it."""
        image, mask, days = batch['image'], batch['mask'], _days(batch)
        told = {'days': days} if self._takes_days and days is not None else {}
        mask = mask.long().reshape(len(mask), *mask.shape[-2:])
        if stage == 'train' and self.hparams['history_weight']:
            seen: DatedLogits = self.model.with_dates(image, **told)
            logits, further = seen.logits, self._history_loss(seen, days, mask)
        else:
            logits, further = self(image, **told), 0.0
        getattr(self, f'{stage}_metrics')(logits, mask)
        loss = self._loss(logits, mask) + self.hparams['history_weight'] * further
        self.log(f'{stage}_loss', loss, batch_size=len(image))
        return loss

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict probabilities (b, k, h, w)."""
        days = _days(batch)
        told = {'days': days} if self._takes_days and days is not None else {}
        logits: Tensor = self(batch['image'], **told)
        if self.hparams['task'] == 'multiclass':
            return logits.softmax(dim=1)
        return logits.sigmoid()

    def _loss(self, logits: Tensor, mask: Tensor) -> Tensor:
        target = mask.float() if self.hparams['loss'] == 'bce' else mask
        loss: Tensor = self.criterion(logits.squeeze(1), target)
        return loss

    def _history_loss(self, seen: DatedLogits, days: Tensor | None, mask: Tensor) -> Tensor | float:
        """Compare what is predicted of a date with what was seen of it, and with the labels."""
        # a date can be predicted if there is another one
        able = seen.present.sum(dim=1) > 1
        if not able.any():
            return 0.0
        dates, present, mask = seen.dates[able], seen.present[able], mask[able]
        if days is None:
            days = torch.arange(present.shape[1], device=present.device).expand_as(seen.present)
        held = torch.multinomial(present.float(), 1)[:, 0]
        found, logits = self.history(dates, days[able], present, held)
        actual = dates[torch.arange(len(dates)), held].detach()
        stride, (height, width) = self.model.date_stride, mask.shape[-2:]
        logits = F.interpolate(logits, scale_factor=stride, mode='bilinear')[..., :height, :width]
        return F.smooth_l1_loss(found, actual) + self._loss(logits, mask)


def _days(batch: Mapping[str, Any]) -> Tensor | None:
    """Tell the days (b, t) since the first date of each series, if its times are known."""
    seconds = batch.get('seconds')
    if seconds is None:
        return None
    days: Tensor = (seconds - seconds[:, :1]) / _DAY
    return days.float()
