"""SSD: upright boxes from the maps of a backbone as they are, one for each of many anchors.

Liu, W., Anguelov, D., Erhan, D., Szegedy, C., Reed, S., Fu, C.-Y., Berg, A. C. (2016). SSD: single
shot multibox detector. ECCV. https://arxiv.org/abs/1512.02325

Heads, matching, hard negatives and losses are torchvision's. Differences, all of our own choice:
any backbone stands in for VGG-16, a group normalisation of each of its maps for the scaling of the
first one, and anchors have sizes in pixels, not shares of an image of 300 pixels, so that images
may be of any size.

Axes: b batch, c channels, h height, w width.
"""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from torchgeo.tasks.utils import GeneralizedRCNNTransformNoOp
from torchvision.models import WeightsEnum
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.ssd import SSD as TorchvisionSSD

from torchgeo_ext.models._levels import stages_from
from torchgeo_ext.models.features import Backbone, backbone_features

#: Maps that are looked at; those the backbone does not have are made of its last one.
_LEVELS = 5
#: Sides of the anchors of a map, in distances of its places, and how much taller than wide.
_SIDES, _ASPECTS = (2.0, 2.83), (0.5, 1.0, 2.0)


class SSD(TorchvisionSSD):
    """Torchvision's detector on any backbone, for images of any size.

    Args:
        backbone: The encoder.
        num_classes: Number of classes and the background.
        width: Channels of the maps that the backbone does not have.
        finest: Pixels of the image, along one side, for each place of the finest map.

    Raises:
        BadParameter: If the backbone has no map that coarse.
    """

    def __init__(
        self, backbone: Backbone, num_classes: int = 2, width: int = 256, finest: int = 8
    ) -> None:
        maps = SSDMaps(backbone, width, finest)
        sizes = tuple(tuple(round(side * stride) for side in _SIDES) for stride in maps.strides)
        anchors: Any = AnchorGenerator(sizes, (_ASPECTS,) * len(sizes))
        super().__init__(maps, anchors, (1, 1), num_classes)
        # images come normalised, in the size that counts
        self.transform = GeneralizedRCNNTransformNoOp()

    @property
    def encoder(self) -> Backbone:
        """The backbone alone."""
        encoder = self.backbone.encoder
        assert isinstance(encoder, Backbone)
        return encoder


class SSDMaps(nn.Module):
    """Maps of a backbone from a scale on, and coarser ones after them.

    Args:
        backbone: The encoder.
        width: Channels of the coarser maps.
        finest: Pixels of the image, along one side, for each place of the finest map.

    Attributes:
        out_channels: Channels of each map.
        strides: Pixels of the image, along one side, for each place of a map.
    """

    def __init__(self, backbone: Backbone, width: int, finest: int) -> None:
        super().__init__()
        stages = stages_from(backbone, finest)
        self.encoder = backbone
        self.norms = nn.ModuleList(nn.GroupNorm(1, stage.channels) for stage in stages)
        self.coarser = nn.ModuleList()
        self.out_channels = [stage.channels for stage in stages]
        self.strides = [stage.reduction for stage in stages]
        while len(self.strides) < _LEVELS:
            self.coarser.append(_halved(self.out_channels[-1], width))
            self.out_channels.append(width)
            self.strides.append(2 * self.strides[-1])

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Give the maps of images (b, c, h, w), fine to coarse."""
        own = self.encoder.feature_maps(x)[-len(self.norms) :]
        maps = [norm(features) for norm, features in zip(self.norms, own, strict=True)]
        for layer in self.coarser:
            maps.append(layer(maps[-1]))
        return OrderedDict((str(level), features) for level, features in enumerate(maps))


def _halved(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width // 2, 1),
        nn.ReLU(),
        nn.Conv2d(width // 2, width, 3, 2, 1),
        nn.ReLU(),
    )


def ssd(
    backbone: str = 'resnet50',
    backbone_weights: WeightsEnum | bool | None = None,
    in_chans: int | None = None,
    num_classes: int = 2,
    width: int = 256,
    finest: int = 8,
    **arguments: Any,
) -> SSD:
    """Build an SSD on any backbone.

    If you use this model in your research, please cite the paper it follows:

    * https://arxiv.org/abs/1512.02325

    Args:
        backbone: Name of a network for
            :func:`~torchgeo_ext.models.features.backbone_features`: one of this package or
            TorchGeo, or ``tu-`` and a name of timm.
        backbone_weights: Published weights of the backbone; for timm, whether to take its own.
        in_chans: Bands of the images; those of the weights, or three, if left out.
        num_classes: Number of classes and the background.
        width: Channels of the maps that the backbone does not have.
        finest: Pixels of the image, along one side, for each place of the finest map.
        arguments: Further arguments of the backbone, among them the ``bands`` and the
            ``adaptation`` of its weights to these.

    Returns:
        The model.

    Raises:
        BadParameter: If the backbone is not known or has no map that coarse.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    encoder = backbone_features(backbone, backbone_weights, in_chans, **arguments)
    return SSD(encoder, num_classes, width, finest)
