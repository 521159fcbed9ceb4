"""What tasks on pairs of images share: a network by name, logs, metrics of whole epochs, figures.

Axes: b batch, t date, c channel, h height, w width.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchgeo.datamodules import BaseDataModule
from torchgeo.datasets import RGBBandsMissingError
from torchgeo.models import get_weight
from torchgeo.tasks import BaseTask
from torchmetrics import Metric
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models._pairs import SemanticChange
from torchgeo_ext.tasks._registered import build_registered, builder_parameters

#: Marks pixels without label.
IGNORE = -1

#: Batches of a validation that are drawn.
_FIGURES = 10

type Batch = Mapping[str, Any]
type Metrics = Mapping[str, Metric]


class PairTask(BaseTask):
    """Base of tasks that train a registered network on pairs of images.

    A subclass takes ``model``, ``in_channels``, ``model_args``, ``weights``,
    ``backbone_weights``, ``lr`` and ``patience``. Each stage logs its loss, and after an epoch
    the figures of its metrics as ``{stage}_{metric}_{figure}``.

    Weights to start from are no hyperparameters: who loads a checkpoint does not fetch them.
    """

    ignore = ('weights', 'backbone_weights')
    mode = 'max'
    #: What a bundle of the network does, see :class:`~torchgeo_ext.bundles.BundleCard`; None if
    #: there can be none.
    predicts: str | None = 'change'

    weights: WeightsEnum | str | None
    backbone_weights: WeightsEnum | str | None

    @abstractmethod
    def head_arguments(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Give the numbers of classes under the names that the network's builder knows."""

    @property
    def mask_values(self) -> Mapping[int, int]:
        """Numbers of values that labels of one's own pairs must have, 0 included.

        By the number of layers of ``mask``: 1, or 2 for the land cover of both dates. What is not
        named cannot be learned from.
        """
        return {1: 2}

    @abstractmethod
    def make_metrics(self) -> dict[str, Metric]:
        """Make the metrics of one stage; each gives a dictionary of figures."""

    @abstractmethod
    def assess(self, batch: Batch, metrics: Metrics) -> tuple[Tensor, Tensor]:
        """Predict a batch and count it.

        Args:
            batch: What the data module gives.
            metrics: Those of the stage, to be updated.

        Returns:
            The loss, and maps of classes to draw (b, t, h, w), t being 1 or 2.
        """

    def maps(self, batch: Batch) -> Tensor:
        """Predict a labelled batch without counting it.

        Args:
            batch: What the data module gives.

        Returns:
            Maps of classes to draw (b, t, h, w), t being 1 or 2.
        """
        metrics = {name: metric.to(self.device) for name, metric in self.make_metrics().items()}
        return self.assess(batch, metrics)[1]

    def configure_models(self) -> None:
        """Build the network."""
        name, further = self.hparams['model'], dict(self.hparams['model_args'] or {})
        start = {'weights': self.weights, 'backbone_weights': self.backbone_weights}
        head = self.head_arguments(builder_parameters(name))
        if further.keys() & start.keys():
            raise BadParameter(
                f'model_args: weights of {name} are among them.',
                "Use the task's own arguments weights and backbone_weights.",
            )
        chosen = {key: _weight(value) for key, value in start.items() if value is not None}
        self.model = build_registered(
            name, self.hparams['in_channels'], head | chosen | further, type(self).__name__
        )

    def configure_metrics(self) -> None:
        """Set up the metrics of each stage."""
        self.train_metrics = nn.ModuleDict(self.make_metrics())
        self.val_metrics = nn.ModuleDict(self.make_metrics())
        self.test_metrics = nn.ModuleDict(self.make_metrics())

    def configure_optimizers(self) -> Any:
        """Set up TorchGeo's optimiser and schedule."""
        optimizer = AdamW(self.parameters(), lr=self.hparams['lr'])
        scheduler = ReduceLROnPlateau(optimizer, patience=self.hparams['patience'])
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': scheduler, 'monitor': 'val_loss'},
        }

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a training batch."""
        return self._step(batch, 'train')[0]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a validation batch, and draw its first pair if it is one of the first batches."""
        _, maps = self._step(batch, 'val')
        if batch_idx < _FIGURES:
            self._draw(batch, maps, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a test batch."""
        self._step(batch, 'test')

    def on_train_epoch_end(self) -> None:
        """Log training metrics."""
        self._log_metrics('train')

    def on_validation_epoch_end(self) -> None:
        """Log validation metrics."""
        self._log_metrics('val')

    def on_test_epoch_end(self) -> None:
        """Log test metrics."""
        self._log_metrics('test')

    def _step(self, batch: Batch, stage: str) -> tuple[Tensor, Tensor]:
        loss, maps = self.assess(batch, self._metrics(stage))
        self.log(f'{stage}_loss', loss, batch_size=len(batch['image']))
        return loss, maps

    def _log_metrics(self, stage: str) -> None:
        for name, metric in self._metrics(stage).items():
            figures = metric.compute()
            self.log_dict(
                {f'{stage}_{name}_{key}': value.float() for key, value in figures.items()}
            )
            metric.reset()

    def _metrics(self, stage: str) -> Metrics:
        metrics: Metrics = dict(getattr(self, f'{stage}_metrics').items())
        return metrics

    def _draw(self, batch: Batch, maps: Tensor, number: int) -> None:
        """Hand the data module's figure of the first pair to the loggers that take figures."""
        datamodule = getattr(self.trainer, 'datamodule', None)
        experiments: list[Any] = [getattr(logger, 'experiment', None) for logger in self.loggers]
        experiments = [entry for entry in experiments if hasattr(entry, 'add_figure')]
        if not experiments or not isinstance(datamodule, BaseDataModule):
            return
        sample = {k: value[0].cpu() for k, value in batch.items() if isinstance(value, Tensor)}
        mean, std = (
            torch.as_tensor(values).reshape(-1, 1, 1)
            for values in (datamodule.mean, datamodule.std)
        )
        sample |= {'image': sample['image'] * std + mean, 'prediction': maps[0].cpu()}
        try:
            figure = datamodule.plot(sample)
        except RGBBandsMissingError:
            return
        if figure:
            for experiment in experiments:
                # the others still need it
                experiment.add_figure(
                    f'image/{number}', figure, global_step=self.global_step, close=False
                )
            plt.close(figure)


def measured(batch: Batch) -> Tensor:
    """Tell where both dates were measured.

    Args:
        batch: May have ``mask_valid`` (b, t=2, h, w).

    Returns:
        True where they were (b, h, w).
    """
    if 'mask_valid' in batch:
        valid: Tensor = batch['mask_valid'].all(dim=1)
        return valid
    image: Tensor = batch['image']
    return torch.ones_like(image[:, 0, 0], dtype=torch.bool)


def labels(batch: Batch, *dates: int, classes: int) -> Tensor:
    """Take the labels of a batch, and leave out what was not measured on both dates.

    Args:
        batch: Has ``mask`` (b, t, h, w).
        dates: What t may be.
        classes: Labels go from 0 to one less.

    Returns:
        Labels int64 (b, t, h, w), -1 where there is none.

    Raises:
        BadInput: If the mask has another shape or other values.
    """
    mask: Tensor = batch['mask']
    if mask.ndim != 4 or mask.shape[1] not in dates:
        wanted = ' or '.join(map(str, dates))
        raise BadInput(
            f'mask has the shape {tuple(mask.shape)}, not (batch, {wanted}, height, width).',
            'Choose a dataset whose labels are those of this task.',
        )
    found = mask.long().where(measured(batch)[:, None], IGNORE)
    if not IGNORE <= found.min() <= found.max() < classes:
        raise BadInput(
            f'mask has the values {found.min()} to {found.max()}, but there are the classes 0 to '
            f'{classes - 1}, and {IGNORE} for pixels without label.',
            'Renumber the labels, or set the number of classes of the task.',
        )
    return found


def two_classes(logits: Tensor) -> Tensor:
    """Give logits (b, 2, h, w) of no and yes, whether a network has one output for them or two."""
    if logits.shape[1] == 1:
        return torch.cat((torch.zeros_like(logits), logits), dim=1)
    return logits


def change_of(outputs: Any) -> Tensor:
    """Take the logits of change (b, k, h, w), k being 1 or 2, of what a network tells.

    Raises:
        BadParameter: If it tells something else.
    """
    change = outputs.change if isinstance(outputs, SemanticChange) else outputs
    if not isinstance(change, Tensor) or change.shape[1] > 2:
        raise BadParameter(
            'model: the network does not tell change alone.',
            'Choose another, such as bit or changemamba_bcd_tiny.',
        )
    return change


def change_logit(logits: Tensor) -> Tensor:
    """Give one logit of change (b, 1, h, w), whether a network has one output for it or two."""
    return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]


def best_class(logits: Tensor) -> Tensor:
    """Choose a class (b, h, w) from 1 on; the first of the logits (b, k, h, w) is none."""
    return logits[:, 1:].argmax(dim=1) + 1


def _weight(value: WeightsEnum | str) -> WeightsEnum | str:
    """Find weights by name; words without a point, such as imagenet, are the builder's own."""
    if isinstance(value, str) and '.' in value:
        found: WeightsEnum = get_weight(value)
        return found
    return value
