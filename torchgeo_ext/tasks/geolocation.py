"""Where on Earth an image was taken, as a choice among many cells.

Weyand, T., Kostrikov, I., & Philbin, J. (2016). PlaNet - photo geolocation with convolutional
neural networks. ECCV. https://arxiv.org/abs/1602.05314

Axes: b batch, t images of one place, c channel, h height, w width, d features, k cells of all
partitions one after the other.
"""

import math
import os
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchgeo.datasets.utils import Sample
from torchgeo.models import get_weight
from torchgeo.tasks.base import BaseTask
from torchvision.models import WeightsEnum

from torchgeo_ext.cells import CellContent, CellHierarchy, CellPartition
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics import GreatCircleAccuracy
from torchgeo_ext.metrics._sphere import great_circle
from torchgeo_ext.models.features import Backbone, backbone_features

#: How the images of an album come to one answer.
Album = Literal['mean', 'lstm']


class PlaceClassifier(nn.Module):
    """A backbone, and a linear layer on what it makes of an image, or of several of one place.

    Args:
        backbone: The backbone.
        in_channels: Bands of the images.
        sizes: Cells of each partition.
        album: ``mean`` averages the probabilities that the images of a place give; ``lstm`` looks
            at one image after the other and answers at the last.
        memory: Features of the LSTM.
    """

    def __init__(
        self, backbone: Backbone, in_channels: int, sizes: Sequence[int], album: Album, memory: int
    ) -> None:
        super().__init__()
        self.backbone, self.sizes = backbone, list(sizes)
        with torch.no_grad():
            width = backbone.eval().embed(torch.zeros(1, in_channels, 64, 64)).shape[1]
        backbone.train()
        self.memory = nn.LSTM(width, memory, batch_first=True) if album == 'lstm' else None
        self.head = nn.Linear(memory if album == 'lstm' else width, sum(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Score images (b, c, h, w), or several of each place (b, t, c, h, w).

        Returns:
            Logarithms of the probabilities of cells (b, k), those of each partition adding up to 1.
        """
        albums = x if x.ndim == 5 else x[:, None]
        flat = self.backbone.embed(rearrange(albums, 'b t c h w -> (b t) c h w'))
        features = rearrange(flat, '(b t) d -> b t d', t=albums.shape[1])
        if self.memory is not None:
            features = self.memory(features)[0][:, -1:]
        parts = self.head(features).split(self.sizes, dim=-1)
        scores = torch.cat([part.log_softmax(dim=-1) for part in parts], dim=-1)
        return scores.logsumexp(dim=1) - math.log(scores.shape[1])


class Geolocation(BaseTask):
    """Tells in which cell an image was taken, with any backbone.

    A batch has ``image`` (b, c, h, w), or several images of each place (b, t, c, h, w), and
    ``point`` (b, 2), longitudes and latitudes, as those of
    :class:`~torchgeo_ext.datamodules.PlaceDataModule` and TorchGeo's ``S2100k`` have.

    Several partitions, from coarse to fine, are learned side by side; a place is told by the finest
    cell of the highest probability, after each was multiplied by those of the cells around it. It
    is the middle of the training images in that cell.
    """

    predicts = 'geolocation'
    #: Places in no cell have no loss, but a distance.
    monitor = 'val_median_km'

    def __init__(
        self,
        model: str = 'tu-resnet18',
        weights: WeightsEnum | str | bool | None = None,
        in_channels: int = 3,
        cells: CellContent | str | None = None,
        maximum: Sequence[int] = (1000, 100),
        minimum: int = 10,
        deepest: int = 30,
        album: Album = 'mean',
        memory: int = 512,
        smoothing: float = 0.0,
        model_args: dict[str, Any] | None = None,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
    ) -> None:
        """Initialize a new Geolocation instance.

        Args:
            model: Name of a backbone: one of
                :func:`~torchgeo_ext.models.features.list_backbones`, or ``tu-`` and the name of a
                network of timm.
            weights: Weights of the backbone to start from, or their name; True for those that timm
                has.
            in_channels: Bands of the images.
            cells: JSON file of a :class:`~torchgeo_ext.cells.CellHierarchy`, or its content. By
                default cells are made of the places that the data module learns from.
            maximum: Without ``cells``: points that a cell of each partition may have, from coarse
                to fine.
            minimum: Without ``cells``: points that a cell must have.
            deepest: Without ``cells``: level of cells that are not cut any more.
            album: How several images of one place come to one answer: the ``mean`` of their
                probabilities, or an ``lstm``, which the paper trains with the backbone frozen.
            memory: Features of the LSTM.
            smoothing: Kilometres over which the wish for a cell falls to 1 / e, so that a near miss
                costs less than one far away (Haas et al. 2023, https://arxiv.org/abs/2307.05845);
                0 wishes for the right cell alone.
            model_args: Further arguments of the backbone's builder.
            lr: Learning rate.
            patience: Epochs without a shorter median distance in validation until the learning
                rate drops.
            freeze_backbone: Do not train the backbone.

        Raises:
            BadInput: If ``cells`` holds no cells.
            BadParameter: If the backbone is not known, or an argument is none of its choices.
            MissingWeights: If weights are not here and cannot be downloaded.
        """
        if album not in ('mean', 'lstm'):
            raise BadParameter(f'album is {album!r}; it must be mean or lstm.')
        if not 0 <= smoothing < math.inf:
            raise BadParameter(f'smoothing is {smoothing}; give kilometres, or 0.')
        self.weights = weights
        # every other argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__()

    def configure_models(self) -> None:
        """Build the network, if the cells are known already."""
        cells = self.hparams['cells']
        if isinstance(cells, str | os.PathLike):
            self._build(CellHierarchy.load(cells))
        elif cells is not None:
            self._build(CellHierarchy.from_dict(cells))

    def setup(self, stage: str) -> None:
        """Make cells of the places that the data module learns from, if none were given."""
        if self.hparams['cells'] is not None:
            return
        points = getattr(self.trainer.datamodule, 'training_points', None)  # type: ignore[attr-defined]
        if points is None:
            raise BadParameter(
                'cells: there are none, and the data module does not tell where it learns from.',
                'Give a file that CellHierarchy.build(points, ...).save(path) wrote.',
            )
        limits = (self.hparams[name] for name in ('maximum', 'minimum', 'deepest'))
        self._build(CellHierarchy.build(points, *limits))

    def _build(self, cells: CellHierarchy) -> None:
        self.cells = cells
        # a checkpoint has all that it needs
        self.hparams['cells'] = cells.as_dict()
        weights: Any = self.weights or None
        if isinstance(weights, str):
            weights = get_weight(weights)
        bands = self.hparams['in_channels']
        backbone = backbone_features(
            self.hparams['model'], weights, bands, **(self.hparams['model_args'] or {})
        )
        self.model = PlaceClassifier(
            backbone, bands, cells.sizes, self.hparams['album'], self.hparams['memory']
        )
        if self.hparams['freeze_backbone']:
            backbone.requires_grad_(False)

    def configure_metrics(self) -> None:
        """Set up the distances of validation and test."""
        self.val_metrics = GreatCircleAccuracy()
        self.test_metrics = GreatCircleAccuracy()

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss of a training batch; it is 0 where no place lies in a cell."""
        return self._step(batch, 'train')[0]

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a validation batch."""
        self._count(batch, 'val')

    def test_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a test batch."""
        self._count(batch, 'test')

    def on_validation_epoch_end(self) -> None:
        """Log how near validation places were."""
        self._log_metrics('val')

    def on_test_epoch_end(self) -> None:
        """Log how near test places were."""
        self._log_metrics('test')

    def predict_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict probabilities of the finest cells (b, k)."""
        found: Tensor = self.cells.combine(self(batch['image']).double().exp())
        return found.float()

    def places(self, scores: Tensor) -> Tensor:
        """Tell longitudes and latitudes (b, 2) from logarithms of probabilities (b, k)."""
        best = self.cells.combine(scores.double().exp()).argmax(dim=1)
        return _places(self.cells.finest, scores)[best]

    def _step(self, batch: Sample, stage: str) -> tuple[Tensor, Tensor]:
        if 'point' not in batch:
            raise BadInput(
                f'A batch has no point, but {", ".join(batch)}.',
                'Choose a dataset of images with their longitude and latitude.',
            )
        scores: Tensor = self(batch['image'])
        loss = self._loss(scores, batch['point'])
        self.log(f'{stage}_loss', loss, batch_size=len(scores))
        return loss, scores

    def _count(self, batch: Sample, stage: str) -> None:
        _, scores = self._step(batch, stage)
        getattr(self, f'{stage}_metrics').update(self.places(scores), batch['point'])

    def _log_metrics(self, stage: str) -> None:
        metric = getattr(self, f'{stage}_metrics')
        self.log_dict({f'{stage}_{name}': each.float() for name, each in metric.compute().items()})
        metric.reset()

    def _loss(self, scores: Tensor, points: Tensor) -> Tensor:
        """Compare with the true places (b, 2); the mean over all partitions."""
        parts = scores.split(self.cells.sizes, dim=1)
        if self.hparams['smoothing']:
            losses = [
                F.cross_entropy(part, self._wishes(partition, points))
                for part, partition in zip(parts, self.cells.partitions, strict=True)
            ]
        else:
            labels = torch.from_numpy(self.cells.find(points.cpu().numpy())).to(scores.device)
            losses = [_labelled_loss(part, own) for part, own in zip(parts, labels.T, strict=True)]
        return torch.stack(losses).mean()

    def _wishes(self, partition: CellPartition, points: Tensor) -> Tensor:
        """Spread the wish for a place (b, 2) over the cells around it (b, k of a partition)."""
        distances = great_circle(points[:, None].double(), _places(partition, points))
        return (-distances / self.hparams['smoothing']).softmax(dim=1).float()


def _places(partition: CellPartition, like: Tensor) -> Tensor:
    """Give the places (k, 2) of cells, where another tensor is."""
    return torch.from_numpy(partition.places).to(like.device)


def _labelled_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Compare with cells (b); those of places in the holes are -1 and left out."""
    if (labels < 0).all():
        return scores.sum() * 0  # keeps the graph, so that the step does nothing
    return F.cross_entropy(scores, labels, ignore_index=-1)
