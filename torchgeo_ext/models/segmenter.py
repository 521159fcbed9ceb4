"""Segmentation with any backbone: a decoder on whatever maps there are.

Xiao, T., Liu, Y., Zhou, B., Jiang, Y., Sun, J. (2018). Unified perceptual parsing for scene
understanding. ECCV. https://arxiv.org/abs/1807.10221 (``upernet``)

Lin, T.-Y., Dollar, P., Girshick, R., He, K., Hariharan, B., Belongie, S. (2017). Feature pyramid
networks for object detection. CVPR. https://arxiv.org/abs/1612.03144 (``fpn``)

Braham, N. A. A., Albrecht, C. M., Mairal, J., Chanussot, J., Wang, Y., Zhu, X. X. (2024).
SpectralEarth: training hyperspectral foundation models at scale. https://arxiv.org/abs/2408.08447
(``conv``)

Axes: b batch, c channels, h height, w width, k classes.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.features import Backbone, Stage, backbone_features

Decoder = Literal['upernet', 'fpn', 'conv']

#: Pixels of the image for each pixel of the finest of several maps.
_FINEST = 4


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate maps (b, c, h, w) to a height and width."""
    return F.interpolate(x, size=tuple(size), mode='bilinear')


class _UPerNet(nn.Module):
    """Pools the last map at several scales, adds it to finer ones, and joins all."""

    def __init__(self, stages: Sequence[Stage], width: int) -> None:
        super().__init__()
        channels = [stage.channels for stage in stages]
        self.width = width
        # it passes over two maps that are finer than those of most backbones
        self.decode = UPerNetDecoder([0, 0, *channels], len(channels) + 1, width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse maps, fine to coarse: (b, width, h, w) of the finest one."""
        fused: Tensor = self.decode([maps[0], maps[0], *maps])
        return fused


class _FPN(nn.Module):
    """Adds coarse maps to finer ones, and joins all."""

    def __init__(self, stages: Sequence[Stage], width: int) -> None:
        super().__init__()
        self.width = width
        self.pyramid = FeaturePyramidNetwork([stage.channels for stage in stages], width)
        self.join = Conv2dNormActivation(len(stages) * width, width, 3)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse maps, fine to coarse: (b, width, h, w) of the finest one."""
        named = {str(level): features for level, features in enumerate(maps)}
        pyramid = list(self.pyramid(named).values())
        size = pyramid[0].shape[-2:]
        return self.join(torch.cat([resize(level, size) for level in pyramid], dim=1))


class _Conv(nn.Module):
    """Doubles the last map until it is as fine as the image, with a convolution each time.

    Each halves the channels, the first one to half of the width.
    """

    def __init__(self, stages: Sequence[Stage], width: int) -> None:
        super().__init__()
        last = stages[-1]
        doublings = max(1, math.ceil(math.log2(last.reduction)))
        widths = [last.channels, *(max(1, width >> step) for step in range(1, doublings + 1))]
        self.width = widths[-1]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [
                nn.Upsample(scale_factor=2, mode='bilinear'),
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        # the last convolution is followed by that of the classes alone
        self.steps = nn.Sequential(*layers[:-2])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Decode the last map: (b, width, h, w) of the image, up to a whole patch."""
        decoded: Tensor = self.steps(maps[-1])
        return decoded


_DECODERS: dict[Decoder, type[_UPerNet] | type[_FPN] | type[_Conv]] = {
    'upernet': _UPerNet, 'fpn': _FPN, 'conv': _Conv,
}  # fmt: skip
#: Those that join several maps.
_JOINING = ('upernet', 'fpn')


class Segmenter(nn.Module):
    """A backbone, a decoder and a layer that gives each pixel its scores.

    Maps of networks that keep one scale, such as plain vision transformers, are first interpolated
    to a quarter of the image, an eighth and so on; ``conv`` takes the last map alone, as it is.

    Args:
        backbone: The encoder.
        decoder: ``upernet``, ``fpn`` or ``conv``.
        num_classes: Channels of the output.
        width: Channels of the decoder; ``conv`` begins with half of them.

    Raises:
        BadParameter: If there is no such decoder, or the backbone has too few maps for it.
    """

    def __init__(
        self,
        backbone: Backbone,
        decoder: Decoder = 'upernet',
        num_classes: int = 2,
        width: int = 256,
    ) -> None:
        super().__init__()
        if decoder not in _DECODERS:
            raise BadParameter(
                f'decoder is {decoder!r}, which is not known for backbones of all kinds.',
                f'Choose one of {", ".join(_DECODERS)}.',
            )
        if decoder in _JOINING and len(backbone.feature_info) < 2:
            raise BadParameter(
                f'backbone: {type(backbone).__name__} gives a single map, but {decoder} joins '
                'several.',
                'Choose another backbone, or conv.',
            )
        self.encoder = backbone
        decode = _DECODERS[decoder](backbone.feature_info, width)
        self.head = nn.Conv2d(decode.width, num_classes, 1)
        self.decoder: nn.Module = decode
        scales = {stage.reduction for stage in backbone.feature_info}
        self.makes_pyramid = decoder in _JOINING and len(scales) == 1

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: What the backbone takes: images (b, c, h, w) of any size, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        maps = self.encoder.feature_maps(x)
        if self.makes_pyramid:
            sizes = [
                [-(-side // (_FINEST << level)) for side in x.shape[-2:]]
                for level in range(len(maps))
            ]
            maps = [resize(features, size) for features, size in zip(maps, sizes, strict=True)]
        return resize(self.head(self.decoder(maps)), x.shape[-2:])


def segmenter(
    backbone: str = 'vmamba_tiny',
    decoder: Decoder = 'upernet',
    backbone_weights: WeightsEnum | bool | None = None,
    in_chans: int | None = None,
    num_classes: int = 2,
    width: int = 256,
    **arguments: Any,
) -> Segmenter:
    """Build a segmentation network on any backbone.

    If you use this model in your research, please cite the paper of the decoder and that of the
    backbone:

    * https://arxiv.org/abs/1807.10221
    * https://arxiv.org/abs/1612.03144
    * https://arxiv.org/abs/2408.08447

    Args:
        backbone: Name of a network for
            :func:`~torchgeo_ext.models.features.backbone_features`: one of this package or
            TorchGeo, or ``tu-`` and a name of timm.
        decoder: ``upernet``, ``fpn`` or ``conv``.
        backbone_weights: Published weights of the backbone; for timm, whether to take its own.
        in_chans: Bands of the images; those of the weights, or three, if left out.
        num_classes: Channels of the output.
        width: Channels of the decoder; ``conv`` begins with half of them.
        arguments: Further arguments of the backbone, among them the ``bands`` and the
            ``adaptation`` of its weights to these.

    Returns:
        The model.

    Raises:
        BadParameter: If backbone or decoder are not known or do not go together.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    encoder = backbone_features(backbone, backbone_weights, in_chans, **arguments)
    return Segmenter(encoder, decoder, num_classes, width)
