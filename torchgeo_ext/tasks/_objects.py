"""Judging what finds objects, whatever outlines these have.

Axes: b batch, n found and m labelled objects of an image, h height, w width, k classes.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchgeo.tasks.base import BaseTask
from torchvision.ops import FrozenBatchNorm2d, box_iou

from torchgeo_ext.layers.rotated_boxes import rotated_iou
from torchgeo_ext.metrics import ObjectPrecision

#: Score from which on a pixel belongs to the mask of an object.
_IN_MASK = 0.5
#: Scores of a stage, of those that :class:`~torchgeo_ext.metrics.ObjectPrecision` gives.
_LOGGED = ('map', 'map_50', 'map_75')


@dataclass(frozen=True)
class ObjectScores:
    """How well objects were found.

    Attributes:
        map: Average precision, mean over overlaps from 0.5 to 0.95 and over classes.
        map_50: The same for an overlap of 0.5.
        ap: Average precision of each class (k); NaN for those without labels, as below.
        ap_50: The same for an overlap of 0.5 (k).
        precision: Share of what was found with a score of 0.5 that is right (k).
        recall: Share of the objects that was found so (k).
        labelled: Number of objects (k).
    """

    map: float
    map_50: float
    ap: NDArray[np.float32]
    ap_50: NDArray[np.float32]
    precision: NDArray[np.float32]
    recall: NDArray[np.float32]
    labelled: NDArray[np.int64]

    @property
    def figures(self) -> Mapping[str, float]:
        """The scores that tell how training goes on; the first one decides."""
        return {'mAP': self.map, 'mAP at 0.5': self.map_50}


class JudgedObjects(BaseTask, abc.ABC):
    """Base of tasks that find objects.

    A batch has what its kind of objects needs and, where only a part of an image counts, ``judged``
    (b, h, w): objects whose middle lies elsewhere may be found or not. Logs ``map`` (mean over
    overlaps from 0.5 to 0.95), ``map_50`` and ``map_75`` with ``val_`` or ``test_`` before it.
    """

    #: What the best epoch is chosen by.
    monitor = 'val_map'
    mode = 'max'
    val_metrics: Any
    test_metrics: Any

    @abc.abstractmethod
    def targets(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """Give what the network learns of each image, with ``labels`` (m) from 1."""

    def overlaps(self, found: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """Compute intersection over union (n, m) of found and labelled objects of an image."""
        return box_iou(found['boxes'], target['boxes'])

    def configure_metrics(self) -> None:
        """Set up average precision for each stage."""
        classes = self.hparams['num_classes'] - 1
        self.val_metrics = ObjectPrecision(classes)
        self.test_metrics = ObjectPrecision(classes)

    def configure_optimizers(self) -> Any:
        """Set up AdamW; its steps become smaller when the score no longer rises."""
        optimizer = AdamW(self.parameters(), lr=self.hparams['lr'])
        scheduler = ReduceLROnPlateau(optimizer, 'max', patience=self.hparams['patience'])
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': scheduler, 'monitor': self.monitor},
        }

    def training_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss of a batch."""
        losses = self(batch['image'], self.targets(batch))
        self.log_dict(losses, batch_size=len(batch['image']))
        total: Tensor = sum(losses.values())
        return total

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Compare what is found with what is labelled."""
        self._judge(batch, self.val_metrics)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Compare what is found with what is labelled."""
        self._judge(batch, self.test_metrics)

    def predict_step(
        self, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> list[dict[str, Tensor]]:
        """Find objects."""
        found: list[dict[str, Tensor]] = self(batch['image'])
        return found

    def on_validation_epoch_end(self) -> None:
        """Log validation scores."""
        self._log_scores('val', self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Log test scores."""
        self._log_scores('test', self.test_metrics)

    def val_scores(self) -> ObjectScores:
        """Give the scores of what was validated so far in this epoch."""
        scores = {name: value.cpu() for name, value in self.val_metrics.compute().items()}
        by_class = ('ap', 'ap_50', 'precision', 'recall')
        return ObjectScores(
            map=float(scores['map']),
            map_50=float(scores['map_50']),
            labelled=self.val_metrics.labelled.cpu().numpy(),
            **{name: scores[name].reshape(-1).numpy() for name in by_class},
        )

    def _log_scores(self, stage: str, metrics: ObjectPrecision) -> None:
        scores = metrics.compute()
        self.log_dict({f'{stage}_{name}': scores[name] for name in _LOGGED})
        metrics.reset()

    def _judge(self, batch: Mapping[str, Any], metrics: ObjectPrecision) -> None:
        answers: Sequence[Mapping[str, Tensor]] = self(batch['image'])
        targets = self.targets(batch)
        for number, (found, target) in enumerate(zip(answers, targets, strict=True)):
            if 'judged' in batch:
                counts = _inside(found['boxes'], batch['judged'][number])
                found = {name: value[counts] for name, value in found.items()}
            overlaps = self.overlaps(found, target)
            metrics.update(overlaps, found['scores'], found['labels'] - 1, target['labels'] - 1)


class JudgedBoxes(JudgedObjects):
    """Tasks that find upright boxes; a batch has lists: ``bbox_xyxy`` (m, 4) and ``label`` (m)."""

    def targets(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """See :class:`JudgedObjects`."""
        pairs = zip(batch['bbox_xyxy'], batch['label'], strict=True)
        return [{'boxes': boxes, 'labels': labels} for boxes, labels in pairs]


class JudgedMasks(JudgedObjects):
    """Tasks that find masks; a batch also has lists of ``mask`` (m, h, w)."""

    def targets(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """See :class:`JudgedObjects`."""
        parts = zip(batch['bbox_xyxy'], batch['label'], batch['mask'], strict=True)
        return [{'boxes': b, 'labels': labels, 'masks': masks} for b, labels, masks in parts]

    def overlaps(self, found: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """See :class:`JudgedObjects`."""
        first = (found['masks'][:, 0] > _IN_MASK).flatten(1).float()
        second = target['masks'].flatten(1).float()
        both = first @ second.T
        either = first.sum(1)[:, None] + second.sum(1) - both
        return both / either.clamp(min=1)


class JudgedRotatedBoxes(JudgedObjects):
    """Tasks that find rotated boxes."""

    def overlaps(self, found: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """See :class:`JudgedObjects`."""
        return rotated_iou(found['boxes'], target['boxes'])


def _inside(boxes: Tensor, judged: Tensor) -> Tensor:
    """Tell of which boxes (n, 4) or (n, 5) the middle counts."""
    middles = boxes[:, :2] if boxes.shape[1] == 5 else (boxes[:, :2] + boxes[:, 2:]) / 2
    columns, rows = middles.floor().long().unbind(-1)
    height, width = judged.shape
    there = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    counts = torch.zeros_like(there)
    counts[there] = judged[rows[there], columns[there]]
    return counts


def let_learn(backbone: nn.Module) -> None:
    """Make all of a backbone of torchvision's detectors learn, for those that start at random.

    These freeze the first layers and all normalisation, as is right for published weights alone:
    random filters stay random, and nothing keeps the size of what they give in bounds.
    """
    backbone.requires_grad_(True)
    for module in list(backbone.modules()):
        for name, child in module.named_children():
            if isinstance(child, FrozenBatchNorm2d):
                learning = nn.BatchNorm2d(len(child.weight), child.eps)
                learning.load_state_dict(child.state_dict(), strict=False)
                setattr(module, name, learning)
