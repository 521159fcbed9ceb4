"""Semantic segmentation from partly labelled rasters."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn
from torchgeo.tasks import SemanticSegmentation
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.tasks._further import build_further
from torchgeo_ext.tasks._masked import MaskedLabels
from torchgeo_ext.tasks._registered import (
    build_registered,
    freeze_parts,
    published_weights,
    takes_any_backbone,
)
from torchgeo_ext.tasks._wavelengths import FollowsWavelengths


class MaskedSegmentation(FollowsWavelengths, MaskedLabels, SemanticSegmentation):
    """TorchGeo's task, with what learning from one's own layers needs.

    Every loss leaves out pixels without label (``ignore_index``), scores come from one confusion
    matrix, and ``model`` may be any decoder of segmentation_models_pytorch: besides TorchGeo's
    also ``deeplabv3``, ``fpn``, ``linknet``, ``manet``, ``pan``, ``pspnet`` and ``unet++``. ``fpn``
    and ``upernet`` also go onto every backbone of
    :func:`~torchgeo_ext.models.features.list_backbones`, as does ``conv``, a convolution for each
    doubling of the last map; and a registered model that makes a map of an image, such as
    ``cvmhunet``, brings its own backbone.

    Backbones that know bands by their wavelengths are told those of each batch (``wavelengths``
    (b, c) in micrometres), if there are some and ``model_args`` does not give them.
    """

    def __init__(
        self,
        model: str = 'unet',
        backbone: str = 'resnet50',
        weights: WeightsEnum | str | bool | None = None,
        in_channels: int = 3,
        task: Literal['binary', 'multiclass', 'multilabel'] = 'multiclass',
        num_classes: int | None = None,
        num_labels: int | None = None,
        labels: list[str] | None = None,
        num_filters: int = 3,
        pos_weight: Tensor | None = None,
        loss: Literal['ce', 'bce', 'jaccard', 'focal', 'dice'] = 'ce',
        class_weights: Tensor | Sequence[float] | None = None,
        ignore_index: int | None = None,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
        freeze_decoder: bool = False,
        model_args: dict[str, Any] | None = None,
    ) -> None:
        """Initialize a new MaskedSegmentation instance.

        Args:
            model: Name of a network, see above; TorchGeo's task takes its own alone.
            backbone: Name of its encoder in timm or segmentation_models_pytorch, or of a backbone
                of this package or TorchGeo.
            weights: Weights of the encoder to start from: True for those of ImageNet, or their
                name or file; for registered networks, and backbones of this package or TorchGeo,
                their name alone.
            in_channels: Bands of each image.
            task: ``binary``, ``multiclass`` or ``multilabel``.
            num_classes: Number of classes of ``multiclass``.
            num_labels: Number of labels of ``multilabel``.
            labels: Names of the classes.
            num_filters: Width of ``fcn``.
            pos_weight: Weight of positive pixels in ``bce``.
            loss: ``ce``, ``bce``, ``jaccard``, ``focal`` or ``dice``.
            class_weights: Weights of the classes in ``ce``.
            ignore_index: Marks pixels without label.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.
            freeze_backbone: Do not train the encoder.
            freeze_decoder: Do not train the decoder.
            model_args: Further arguments of a registered network, or of a backbone of this package
                or TorchGeo, such as ``bands`` where it goes by wavelengths.

        Raises:
            BadParameter: If there are such arguments, but the network is none of these.
        """
        # every argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__(weights=weights)

    def configure_models(self) -> None:
        """Build the network."""
        from torchgeo_ext import registry

        name, backbone = self.hparams['model'], self.hparams['backbone']
        further = self.hparams['model_args'] or {}
        task = type(self).__name__
        any_backbone = takes_any_backbone(name, backbone)
        if further and not any_backbone and name not in registry.models:
            raise BadParameter(
                f'model_args: {name} with {backbone} takes none, but there are '
                f'{", ".join(further)}.',
                'Leave them out, or choose a registered network or backbone.',
            )
        network: nn.Module | None
        if any_backbone:
            arguments = {
                'backbone': backbone,
                'decoder': name,
                'backbone_weights': published_weights(self.weights, backbone),
                'num_classes': self.hparams['num_classes'] or self.hparams['num_labels'] or 1,
                **further,
            }
            network = build_registered('segmenter', self.hparams['in_channels'], arguments, task)
        else:
            network = build_further(self.hparams, self.weights, task, arguments=further)
        if network is None:
            super().configure_models()
            return
        self.model = network
        freeze_parts(self.model, self.hparams)
