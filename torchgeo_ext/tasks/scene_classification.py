"""Classes of whole images, or of the tiles of a raster.

Axes: b batch, c channel, h height, w width, k classes, d features.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torchvision.transforms.v2 as T
from torch import Tensor, nn
from torchgeo.datasets.utils import Sample
from torchgeo.models import get_weight
from torchgeo.tasks import Classification
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models.features import Backbone, backbone_features
from torchgeo_ext.models.inputs import preprocessing_of
from torchgeo_ext.preprocessing import Interpolation, Preprocessing, resizing
from torchgeo_ext.tasks._masked import (
    LabelConfusion,
    LabelledPixels,
    LabelPrecision,
    LabelScores,
    PixelConfusion,
    Scores,
)
from torchgeo_ext.tasks._vectors import vector_width
from torchgeo_ext.tasks._wavelengths import FollowsWavelengths


class SceneClassifier(nn.Module):
    """A backbone and a linear layer on what it makes of an image.

    Args:
        backbone: The backbone.
        in_channels: Bands of the images.
        outputs: Channels of the output.
    """

    def __init__(self, backbone: Backbone, in_channels: int, outputs: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(vector_width(backbone, in_channels), outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images (b, c, h, w): logits (b, k)."""
        logits: Tensor = self.head(self.backbone.embed(x))
        return logits


class SceneClassification(FollowsWavelengths, Classification):
    """TorchGeo's task, for every backbone and for tiles of labelled rasters.

    A batch has ``image`` (b, c, h, w) and either ``label`` or ``mask`` (b, h, w), as the tiles of
    :class:`~torchgeo_ext.datamodules.GeoTIFFDataModule` have. A tile has the class that covers
    ``share`` of its labelled pixels, or all such classes if ``task`` is ``multilabel``; tiles that
    tell none are left out, and so are those without label. Binary tasks ask for class 1.

    Backbones that know bands by their wavelengths are told those of each batch (``wavelengths``
    (b, c) in micrometres), if there are some and ``model_args`` does not give them.
    """

    predicts = 'classification'

    def __init__(
        self,
        model: str = 'tu-resnet18',
        weights: WeightsEnum | str | bool | None = None,
        in_channels: int = 3,
        task: Literal['binary', 'multiclass', 'multilabel'] = 'multiclass',
        num_classes: int | None = None,
        num_labels: int | None = None,
        labels: list[str] | None = None,
        share: float = 0.5,
        as_pretrained: bool | str = False,
        resize: int | None = None,
        crop: int | None = None,
        interpolation: Interpolation = 'bilinear',
        model_args: dict[str, Any] | None = None,
        pos_weight: Tensor | None = None,
        loss: Literal['ce', 'bce', 'jaccard', 'focal', 'dice'] = 'ce',
        class_weights: Tensor | Sequence[float] | None = None,
        ignore_index: int = -1,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        """Initialize a new SceneClassification instance.

        Args:
            model: Name of a backbone: one of
                :func:`~torchgeo_ext.models.features.list_backbones`, or ``tu-`` and the name of a
                network of timm.
            weights: Weights of the backbone to start from, or their name; True for those that timm
                has.
            in_channels: Bands of the images.
            task: ``binary``, ``multiclass`` or ``multilabel``.
            num_classes: Number of classes of ``multiclass``.
            num_labels: Number of labels of ``multilabel``.
            labels: Names of the classes.
            share: Share of a tile's labelled pixels that a class must cover, above 0 to 1.
            as_pretrained: Whether images are stored pixel values, to which is done what was done in
                the pre-training of ``weights``, or of others by their name, resizing and cropping
                too. Otherwise they are used as the data module gives them.
            resize: Height and width in pixels that images are resized to before the network sees
                them, if they are; not beside ``as_pretrained``.
            crop: Height and width in pixels that are cut from their middle after that, if they are.
            interpolation: How they are resized: ``nearest``, ``bilinear`` or ``bicubic``.
            model_args: Further arguments of the backbone's builder.
            pos_weight: Weight of positive examples in ``bce``.
            loss: ``ce``, ``bce``, ``jaccard``, ``focal`` or ``dice``.
            class_weights: Weights of the classes in ``ce``.
            ignore_index: Marks images and pixels without label.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.
            freeze_backbone: Do not train the backbone, but the last layer alone.
            mixup: Blend pairs of training images, by shares drawn from a beta distribution with
                this parameter; 0 for none. With ``cutmix``, each batch has one or the other.
            cutmix: Put a piece of another one into each training image, likewise.
            label_smoothing: Share of each label in ``ce`` that is dealt out to all classes.

        Raises:
            BadParameter: If the backbone is not known, ``share`` is not above 0 to 1, it is not
                known what was done in the pre-training, or images of other tasks than
                ``multiclass`` with ``ce`` shall be mixed.
            MissingWeights: If weights are not here and cannot be downloaded.
        """
        if not 0 < share <= 1:
            raise BadParameter(f'share is {share}; it must be above 0 and at most 1.')
        mixes = {'mixup': mixup, 'cutmix': cutmix, 'label_smoothing': label_smoothing}
        for name, value in mixes.items():
            if value < 0 or (value and (task, loss) != ('multiclass', 'ce')):
                raise BadParameter(
                    f'{name} is {value} with the task {task} and the loss {loss}; it must not be '
                    'negative, and is for multiclass with ce alone.'
                )
        # every other argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__(weights=weights)

    def configure_models(self) -> None:
        """Build the network, and what prepares its input."""
        weights: Any = self.weights or None
        if isinstance(weights, str):
            weights = get_weight(weights)
        bands = self.hparams['in_channels']
        backbone = backbone_features(
            self.hparams['model'], weights, bands, **(self.hparams['model_args'] or {})
        )
        outputs = self.hparams['num_classes'] or self.hparams['num_labels'] or 1
        self.model = SceneClassifier(backbone, bands, outputs)
        if self.hparams['freeze_backbone']:
            backbone.requires_grad_(False)
        sizes = (self.hparams.get('resize'), self.hparams.get('crop'))
        self.prepare = resizing(*sizes, self.hparams.get('interpolation', 'bilinear'))
        if self.hparams['as_pretrained']:
            if any(sizes):
                raise BadParameter(
                    f'resize is {sizes[0]} and crop {sizes[1]}, but as_pretrained says both.',
                    'Leave them out.',
                )
            if self.hparams['as_pretrained'] is not True:
                weights = get_weight(self.hparams['as_pretrained'])
            self.preprocessing = _preprocessing(weights)
            # bundles build the network without the weights that it started from
            self.hparams['as_pretrained'] = str(weights)
            self.prepare = self.preprocessing.transform()

    def configure_losses(self) -> None:
        """Set up TorchGeo's loss, without what is not labelled."""
        super().configure_losses()
        # tasks that are made of this one do not have these
        mixes = {'mixup': T.MixUp, 'cutmix': T.CutMix}
        alphas = {name: self.hparams.get(name) for name in mixes}
        classes = self.hparams['num_classes']
        self.mixes = [
            mixes[name](alpha=float(alpha), num_classes=classes)
            for name, alpha in alphas.items()
            if alpha
        ]
        if smoothing := self.hparams.get('label_smoothing'):
            self.criterion.label_smoothing = smoothing
        if self.hparams['task'] != 'multiclass':
            self.criterion = LabelledPixels(self.criterion, self.hparams['ignore_index'])

    def configure_metrics(self) -> None:
        """Set up TorchGeo's metrics, average precision of labels, and a count of confusions.

        ``AverageAveragePrecision`` is the mean over labels, ``OverallAveragePrecision`` that of all
        decisions together.
        """
        super().configure_metrics()
        labels = self.hparams['num_labels']
        if self.hparams['task'] == 'multilabel':
            for metrics in (self.val_metrics, self.test_metrics):
                metrics.add_metrics(
                    {
                        'OverallAveragePrecision': LabelPrecision(labels, 'micro'),
                        'AverageAveragePrecision': LabelPrecision(labels, 'macro'),
                    }
                )
        self.val_confusion = (
            LabelConfusion(labels)
            if self.hparams['task'] == 'multilabel'
            else PixelConfusion(self.hparams['num_classes'] or 2, self.hparams['ignore_index'])
        )

    def val_scores(self) -> Scores:
        """Give the scores of what was validated so far in this epoch."""
        found = self.val_confusion.compute().cpu().numpy()
        return LabelScores(found) if self.hparams['task'] == 'multilabel' else Scores(found)

    def on_validation_epoch_end(self) -> None:
        """Log TorchGeo's scores, and the mean IoU of what is said of images."""
        super().on_validation_epoch_end()
        self.log('val_mIoU', self.val_scores().mean_iou)
        self.val_confusion.reset()

    def forward(self, x: Tensor) -> Tensor:
        """Classify images (b, c, h, w): logits (b, k)."""
        logits: Tensor = self.model(self.prepare(x))
        return logits

    def inputs(self, batch: Sample) -> Tensor:
        """Take from a batch what the network sees."""
        image: Tensor = batch['image']
        return image

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss of a training batch; it is 0 where nothing is labelled."""
        if batch_idx == 0 and self.hparams['as_pretrained']:
            self.preprocessing.warn(batch['image'], what='A batch of images')
        labelled = self._labelled(batch)
        if not len(labelled['image']):
            return (
                self(self.inputs(batch)).sum() * 0
            )  # keeps the graph, so that the step does nothing
        if self.mixes:
            return self._mixed_step(labelled)
        return super().training_step(labelled, batch_idx, dataloader_idx)

    def _mixed_step(self, batch: Sample) -> Tensor:
        """Compute the loss of a batch whose images are mixed with each other, labels alike."""
        image, shares = T.RandomChoice(self.mixes)(batch['image'], batch['label'])
        logits = self(image)
        self.train_metrics(logits, shares.argmax(dim=1))
        loss: Tensor = self.criterion(logits, shares)
        self.log('train_loss', loss, batch_size=len(image))
        return loss

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a validation batch."""
        self._count('val', batch)

    def test_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a test batch."""
        self._count('test', batch)

    def _count(self, stage: str, batch: Sample) -> None:
        labelled = self._labelled(batch)
        image, label = labelled['image'], labelled['label']
        if not len(image):
            return
        logits = self(image)
        if stage == 'val':
            self.val_confusion(logits, label)
        logits = logits.squeeze(1)
        getattr(self, f'{stage}_metrics')(logits, label)
        loss = self.criterion(logits, label.float() if self.hparams['loss'] == 'bce' else label)
        self.log(f'{stage}_loss', loss, batch_size=len(image))

    def _labelled(self, batch: Sample) -> Sample:
        """Take the labelled images of a batch, and their labels."""
        if 'label' in batch:
            label: Tensor = batch['label']
        elif 'mask' in batch:
            label = self._label_of(batch['mask'])
        else:
            raise BadInput(
                f'A batch has neither label nor mask, but {", ".join(batch)}.',
                'Choose a dataset with classes of images, or with maps of classes.',
            )
        known = (label != self.hparams['ignore_index']).reshape(len(label), -1).any(dim=1)
        return {'image': self.inputs(batch)[known], 'label': label[known]}

    def _label_of(self, mask: Tensor) -> Tensor:
        """Tell the label (b,), or the labels (b, k), of tiles from their masks (b, h, w)."""
        ignore, multilabel = self.hparams['ignore_index'], self.hparams['task'] == 'multilabel'
        classes = self.hparams['num_labels' if multilabel else 'num_classes'] or 2
        pixels = mask.reshape(len(mask), -1)
        counts = torch.stack([(pixels == k).sum(dim=1) for k in range(classes)], dim=1)
        labelled = (pixels != ignore).sum(dim=1, keepdim=True)
        covered = (counts >= self.hparams['share'] * labelled) & (labelled > 0)
        match self.hparams['task']:
            case 'multilabel':
                return covered.long().where(labelled > 0, ignore)
            case 'binary':
                return covered[:, 1].long().where(labelled[:, 0] > 0, ignore)
            case _:
                return counts.argmax(dim=1).where(covered.any(dim=1), ignore)


def _preprocessing(weights: WeightsEnum | bool | None) -> Preprocessing:
    known = preprocessing_of(weights) if isinstance(weights, WeightsEnum) else None
    if known is None:
        raise BadParameter(
            f'as_pretrained: it is not known what was done in the pre-training of {weights}.',
            'Leave it out and let the data module normalise the images.',
        )
    return known
