"""Learning and judging by labelled pixels only.

Axes: b batch, k classes, h height, w width, n labelled pixels.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchgeo.tasks.mixins import ClassificationMixin
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassConfusionMatrix,
    MultilabelAveragePrecision,
    MultilabelConfusionMatrix,
)

from torchgeo_ext.errors import BadInput

#: Steps of probability at which average precision is computed.
_THRESHOLDS = 1000


class LabelledPixels(nn.Module):
    """Applies a loss to labelled pixels and to nothing else.

    TorchGeo hands ``ignore_index`` to some losses only: with ``bce`` and ``jaccard`` pixels without
    label would be learned from.

    Args:
        criterion: Takes (1, k, n, 1) and (1, n, 1), or both as (1, 1, n, 1) if there is a single
            score per pixel.
        ignore_index: Marks pixels without label.
    """

    def __init__(self, criterion: nn.Module, ignore_index: int) -> None:
        super().__init__()
        self.criterion = criterion
        self.ignore_index = ignore_index

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Compute the loss of scores (b, k, h, w) and a mask (b, h, w) or (b, 1, h, w)."""
        labelled = mask != self.ignore_index
        _check_values(mask, self.ignore_index, 2 if scores.ndim == mask.ndim else scores.shape[1])
        if not labelled.any():
            return scores.sum() * 0  # keeps the graph, so that the step does nothing
        single = scores.ndim == mask.ndim
        if single:
            loss: Tensor = self.criterion(
                scores[labelled][None, None, :, None], mask[labelled][None, None, :, None]
            )
            return loss
        pixels = rearrange(scores, 'b k h w -> b h w k')[labelled]
        averaged: Tensor = self.criterion(
            rearrange(pixels, 'n k -> 1 k n 1').contiguous(), mask[labelled][None, :, None]
        )
        return averaged


def _check_values(mask: Tensor, ignore_index: int, classes: int) -> None:
    known = mask[mask != ignore_index]
    if known.numel() and not 0 <= known.min() <= known.max() < classes:
        raise BadInput(
            f'mask has the values {known.min():g} to {known.max():g}, but there are the classes 0 '
            f'to {classes - 1}, and {ignore_index} for pixels without label.',
            'Renumber the labels, or set num_classes and ignore_index of the task.',
        )


class PixelConfusion(MulticlassConfusionMatrix):
    """Counts labelled pixels by label (row) and prediction (column).

    Unlike the metrics of TorchGeo's tasks it takes logits for what they are; torchmetrics guesses
    from their values, and guesses wrong when all of a batch happen to lie between 0 and 1.

    Args:
        num_classes: How many classes there are.
        ignore_index: Marks pixels without label.
    """

    def __init__(self, num_classes: int, ignore_index: int) -> None:
        super().__init__(num_classes, ignore_index=ignore_index, validate_args=False)

    def update(self, logits: Tensor, mask: Tensor) -> None:
        """Add logits (b, k, h, w) and a mask (b, h, w) or (b, 1, h, w); k = 1 is a single score."""
        predicted = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
        super().update(predicted, mask.long().reshape(predicted.shape))


class LabelConfusion(MultilabelConfusionMatrix):
    """Counts decisions about each label by whether it holds (row) and was predicted (column).

    It takes logits for what they are, as :class:`PixelConfusion` does.

    Args:
        num_labels: How many labels there are.
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__(num_labels, validate_args=False)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add logits (b, k) and labels (b, k), 0 or 1."""
        super().update((logits > 0).long(), labels.long())


class LabelPrecision(MultilabelAveragePrecision):
    """Average precision of several labels at once, at so many thresholds that memory is bounded.

    It takes logits for what they are, as :class:`PixelConfusion` does.

    Args:
        num_labels: How many labels there are.
        average: ``micro`` over all decisions, ``macro`` over labels.
    """

    def __init__(self, num_labels: int, average: Literal['micro', 'macro']) -> None:
        super().__init__(num_labels, average, thresholds=_THRESHOLDS, validate_args=False)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add logits (b, k) and labels (b, k), 0 or 1."""
        super().update(logits.sigmoid(), labels.long())


class MaskedLabels(ClassificationMixin):
    """Mix-in for TorchGeo's tasks: masked losses, and scores from one confusion matrix.

    Logs ``train_mIoU``, ``train_OA``, ``train_F1`` (mean over classes) and the same for ``val`` and
    ``test``; in tests also the IoU and F1 score of each class.
    """

    #: What the best epoch is chosen by.
    monitor = 'val_mIoU'
    mode = 'max'

    def configure_losses(self) -> None:
        """Wrap TorchGeo's loss so that pixels without label do not count."""
        super().configure_losses()
        if self.hparams['ignore_index'] is not None:
            self.criterion = LabelledPixels(self.criterion, self.hparams['ignore_index'])

    def configure_metrics(self) -> None:
        """Set up a confusion matrix per stage."""
        number = self.hparams['num_classes'] or 2
        ignore_index = -1 if self.hparams['ignore_index'] is None else self.hparams['ignore_index']
        metrics = MetricCollection({'confusion': PixelConfusion(number, ignore_index)})
        self.train_metrics = metrics.clone()
        self.val_metrics = metrics.clone()
        self.test_metrics = metrics.clone()

    def configure_optimizers(self) -> Any:
        """Set up TorchGeo's optimiser and schedule, with the faster of AdamW's implementations."""
        optimizer = AdamW(self.parameters(), lr=self.hparams['lr'], fused=True)
        scheduler = ReduceLROnPlateau(optimizer, patience=self.hparams['patience'])
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': scheduler, 'monitor': 'val_loss'},
        }

    def val_scores(self) -> 'Scores':
        """Give the scores of what was validated so far in this epoch."""
        return Scores.of(self.val_metrics)

    def on_train_epoch_end(self) -> None:
        """Log training scores."""
        self._log_scores('train', self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log validation scores."""
        self._log_scores('val', self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Log test scores, also by class."""
        scores = self._log_scores('test', self.test_metrics)
        labels, number = self.hparams.get('labels') or (), len(scores.iou)
        names = labels if len(labels) == number else range(number)
        for name, iou, f1 in zip(names, scores.iou, scores.f1, strict=True):
            self.log_dict({f'test_IoU/{name}': iou, f'test_F1/{name}': f1})

    def _log_scores(self, stage: str, metrics: MetricCollection) -> 'Scores':
        scores = Scores.of(metrics)
        self.log_dict(
            {
                f'{stage}_mIoU': scores.mean_iou,
                f'{stage}_OA': scores.overall_accuracy,
                f'{stage}_F1': scores.mean_f1,
            }
        )
        metrics.reset()
        return scores


class Scores:
    """Scores of a map from its confusion matrix.

    Means are over the classes that occur in the labels; classes that do not have NaN.

    Args:
        matrix: (k, k) pixels by label (row) and prediction (column).
    """

    def __init__(self, matrix: NDArray[Any]) -> None:
        self.matrix = np.asarray(matrix, dtype=np.float64)
        self.hits = np.diag(self.matrix)
        self.labelled = self.matrix.sum(1)
        self.predicted = self.matrix.sum(0)

    @classmethod
    def of(cls, metrics: MetricCollection) -> Self:
        """Take the matrix a task has counted so far."""
        return cls(metrics.compute()['confusion'].cpu().numpy())

    @property
    def figures(self) -> Mapping[str, float]:
        """The scores that tell how training goes on; the first one decides."""
        return {'mIoU': self.mean_iou, 'accuracy': self.overall_accuracy}

    @property
    def overall_accuracy(self) -> float:
        """Share of the pixels that are right."""
        return float(self.hits.sum() / self.matrix.sum()) if self.matrix.any() else math.nan

    @property
    def iou(self) -> NDArray[np.float64]:
        """(k,) intersection over union."""
        return self._ratio(self.hits, self.labelled + self.predicted - self.hits)

    @property
    def f1(self) -> NDArray[np.float64]:
        """(k,) harmonic mean of precision and recall."""
        return self._ratio(2 * self.hits, self.labelled + self.predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(k,) share of a class that was found (producer's accuracy)."""
        return self._ratio(self.hits, self.labelled)

    @property
    def precision(self) -> NDArray[np.float64]:
        """(k,) share of what was called a class that is it (user's accuracy)."""
        with np.errstate(invalid='ignore'):
            return self.hits / np.where(self.predicted > 0, self.predicted, np.nan)

    @property
    def mean_iou(self) -> float:
        """Mean of :attr:`iou`."""
        return _mean(self.iou)

    @property
    def mean_f1(self) -> float:
        """Mean of :attr:`f1`."""
        return _mean(self.f1)

    def _ratio(self, part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
        present = self.labelled > 0
        ratio: NDArray[np.float64] = np.where(present, part / np.where(present, whole, 1), np.nan)
        return ratio


class LabelScores(Scores):
    """Scores of several labels at once.

    Args:
        matrices: (k, 2, 2) decisions about each label, by whether it holds (row) and whether it was
            predicted (column).
    """

    def __init__(self, matrices: NDArray[Any]) -> None:
        self.matrix = np.asarray(matrices, dtype=np.float64)
        self.hits = self.matrix[:, 1, 1]
        self.labelled = self.matrix[:, 1].sum(1)
        self.predicted = self.matrix[:, :, 1].sum(1)

    @property
    def overall_accuracy(self) -> float:
        """Share of the decisions about single labels that are right."""
        right = self.matrix[:, [0, 1], [0, 1]].sum()
        return float(right / self.matrix.sum()) if self.matrix.any() else math.nan


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
