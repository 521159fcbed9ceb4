"""Pre-training by telling two views of a place from those of other places.

He, K., Fan, H., Wu, Y., Xie, S., Girshick, R. (2020). Momentum contrast for unsupervised visual
representation learning. CVPR. https://arxiv.org/abs/1911.05722

Axes: b batch, c channel, h height, w width, d features.
"""

import copy
from collections.abc import Sequence
from typing import Any

import kornia.augmentation as K
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad
from torch import Tensor, nn
from torchgeo.tasks import MoCo

from torchgeo_ext.models.features import Backbone, backbone_features
from torchgeo_ext.tasks._registered import published_weights
from torchgeo_ext.tasks._vectors import vector_width

#: Version 2 of the paper, by TorchGeo's number.
_VERSION = 2
#: Layers of the projection.
_LAYERS = 2


class _Vectors(nn.Module):
    """A backbone that gives the vector of an image.

    Args:
        backbone: The backbone.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        """Describe images (b, c, h, w): (b, d)."""
        return self.backbone.embed(x)


class MomentumContrast(MoCo):
    """TorchGeo's MoCo (version 2) for every backbone, with views that keep the spectrum.

    A batch has ``image`` (b, c, h, w), of which two views are made, or two dates of each place, one
    after the other (b, 2 c, h, w), each of which is one view. Views are cut out, blurred and
    flipped at random; unlike TorchGeo's, their colours stay, which spectra need. The projection is
    normalised by batch, as SpectralEarth's.

    ``task.backbone.backbone`` has the weights of the backbone.
    """

    #: Bundles are made of what predicts classes.
    predicts: str | None = None

    def __init__(
        self,
        model: str = 'spectralearth_resnet50',
        weights: str | None = None,
        in_channels: int = 202,
        model_args: dict[str, Any] | None = None,
        hidden_dim: int = 2048,
        output_dim: int = 128,
        lr: float = 0.03,
        weight_decay: float = 1e-4,
        momentum: float = 0.9,
        schedule: Sequence[int] = (120, 160),
        temperature: float = 0.07,
        memory_bank_size: int = 65536,
        moco_momentum: float = 0.999,
        gather_distributed: bool = False,
        size: int = 128,
        scale: tuple[float, float] = (0.08, 1.0),
    ) -> None:
        """Initialize a new MomentumContrast instance.

        Args:
            model: Name of a backbone: one of
                :func:`~torchgeo_ext.models.features.list_backbones`, or ``tu-`` and the name of a
                network of timm.
            weights: Name of published weights of the backbone to start from.
            in_channels: Bands of each view.
            model_args: Further arguments of the backbone's builder.
            hidden_dim: Width of the projection.
            output_dim: Features that are compared.
            lr: Learning rate of SGD.
            weight_decay: Its weight decay.
            momentum: Its momentum.
            schedule: Epochs at which the learning rate drops to a tenth.
            temperature: Divides similarities.
            memory_bank_size: Views that are remembered to be told apart from.
            moco_momentum: Share of the second backbone that stays in each step.
            gather_distributed: Whether views of all devices are told apart; without a memory only.
            size: Height and width of views in pixels.
            scale: Share of the image that a view shows, from and to.

        Raises:
            BadParameter: If the backbone is not known or does not take these arguments.
            MissingWeights: If weights are not here and cannot be downloaded.
        """
        views = _views(size, scale)
        # every other argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__(
            weights=weights,
            in_channels=in_channels,
            version=_VERSION,
            layers=_LAYERS,
            memory_bank_size=memory_bank_size,
            size=size,
            augmentation1=views,
            augmentation2=views,
        )

    def configure_models(self) -> None:
        """Build the backbone and the projection, and the copies that follow them slowly."""
        # TorchGeo's steps ask for it, but a command line does not save what is given to it here
        self.hparams['version'] = _VERSION
        name, bands = self.hparams['model'], self.hparams['in_channels']
        backbone = backbone_features(
            name, published_weights(self.weights, name), bands, **(self.hparams['model_args'] or {})
        )
        self.backbone = _Vectors(backbone)
        self.projection_head = MoCoProjectionHead(
            vector_width(backbone, bands),
            self.hparams['hidden_dim'],
            self.hparams['output_dim'],
            num_layers=_LAYERS,
            batch_norm=True,
        )
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        for follower in (self.backbone_momentum, self.projection_head_momentum):
            deactivate_requires_grad(follower)
        self.avg_output_std = 0.0


def _views(size: int, scale: tuple[float, float]) -> nn.Module:
    """Make what turns images into views."""
    kernel = size // 10 // 2 * 2 + 1
    return K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=scale),
        K.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=0.5),
        K.RandomHorizontalFlip(),
        K.RandomVerticalFlip(),
        data_keys=['input'],
    )
