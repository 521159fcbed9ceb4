"""MapFormer, change detection that knows the land cover before the change.

Bernhard, M., Strauß, N., Schubert, M. (2023). MapFormer: boosting change detection by using
pre-change information. ICCV. https://arxiv.org/abs/2303.17859

Axes: b batch, t date, c channel, h height, w width, k hypotheses.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from torchgeo_ext.errors import BadInput
from torchgeo_ext.models._mit import MIT_WIDTHS, MitSize, mix_transformer, stages
from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._weights import accept_published_names

_WIDTH = 256
_MAP_WIDTH = 32
_HYPOTHESES = 10


class Contrast(NamedTuple):
    """What the contrastive loss compares, at 1/4 of the resolution.

    Attributes:
        before: Image features of the first date (b, c, h, w).
        after: Of the second date.
        land_cover: Features of the map.
    """

    before: Tensor
    after: Tensor
    land_cover: Tensor


class _MapEncoder(nn.Module):
    """Encodes a land-cover map."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer1 = nn.Conv2d(classes, _MAP_WIDTH, 1)
        self.layer2, self.layer3 = (
            Conv2dNormActivation(_MAP_WIDTH, _MAP_WIDTH, 5, padding=4, dilation=2) for _ in range(2)
        )

    def forward(self, land_cover: Tensor) -> Tensor:
        """Map fractions of classes (b, classes, h, w) to (b, c, h/4, w/4)."""
        coarse = F.interpolate(land_cover, scale_factor=0.25, mode='bilinear')
        return self.layer3(self.layer2(self.layer1(coarse)))


class _Fusion(nn.Module):
    """Makes several hypotheses of what changed; the map weighs them at each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = _HYPOTHESES * _WIDTH
        self.conv1 = Conv2dNormActivation(2 * channels + _MAP_WIDTH, width, 1)
        self.conv2 = Conv2dNormActivation(width, width, 1, groups=_HYPOTHESES)
        self.attention = nn.Conv2d(_MAP_WIDTH, width, 1)

    def forward(self, before: Tensor, after: Tensor, land_cover: Tensor) -> Tensor:
        """Fuse features (b, c, h, w) of the dates and the map to (b, 256, h, w)."""
        land_cover = F.interpolate(land_cover, before.shape[2:], mode='bilinear')
        hypotheses = self.conv2(self.conv1(torch.cat([before, after, land_cover], dim=1)))
        by_hypothesis = 'b (k c) h w -> b k c h w'
        hypotheses = rearrange(hypotheses, by_hypothesis, k=_HYPOTHESES)
        weights = rearrange(self.attention(land_cover), by_hypothesis, k=_HYPOTHESES)
        return (hypotheses * weights.softmax(dim=1)).sum(dim=1)


class _ImageHead(nn.Module):
    """SegFormer's head: brings the image features of one date to the map's feature space."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            Conv2dNormActivation(channels, _WIDTH, 1) for channels in MIT_WIDTHS
        )
        self.fusion_conv = Conv2dNormActivation(len(MIT_WIDTHS) * _WIDTH, _WIDTH, 1)
        self.dropout = nn.Dropout2d(0.1)
        self.conv_seg = nn.Conv2d(_WIDTH, _MAP_WIDTH, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map four features, the first (b, c, h, w), to (b, 32, h, w)."""
        size = features[0].shape[2:]
        maps = [
            F.interpolate(conv(feature), size, mode='bilinear')
            for conv, feature in zip(self.convs, features, strict=True)
        ]
        return self.conv_seg(self.dropout(self.fusion_conv(torch.cat(maps, dim=1))))


class MapFormer(nn.Module):
    """MapFormer on a mix transformer.

    Besides the pair it takes the land-cover map of the first date. For training as published, with
    :class:`torchgeo_ext.losses.MapContrastiveLoss`, see :meth:`contrast`.

    No weights are published. ``load_state_dict`` takes checkpoints of the authors' training code
    (https://github.com/mxbh/mapformer); their images have ImageNet's mean and deviation.

    Args:
        map_classes: Land-cover classes of the map.
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        backbone: Size of the encoder.
        backbone_weights: ``imagenet`` to start from NVIDIA's weights (non-commercial use).
    """

    def __init__(
        self,
        map_classes: int,
        in_chans: int = 3,
        num_classes: int = 2,
        backbone: MitSize = 'b2',
        backbone_weights: Literal['imagenet'] | None = None,
    ) -> None:
        super().__init__()
        self.map_classes = map_classes
        self.backbone = mix_transformer(backbone, in_chans, backbone_weights is not None)
        # one more for pixels without a class
        self.map_encoder = _MapEncoder(map_classes + 1)
        self.fusions = nn.ModuleList(_Fusion(channels) for channels in MIT_WIDTHS)
        self.fusion_conv = Conv2dNormActivation(len(MIT_WIDTHS) * _WIDTH, _WIDTH, 1)
        self.dropout = nn.Dropout2d(0.1)
        self.conv_seg = nn.Conv2d(_WIDTH, num_classes, 1)
        self.image_head = _ImageHead()
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor, land_cover: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.
            land_cover: Classes before (b, h, w), from 0; -1 where unknown.

        Returns:
            Logits (b, k, h, w).

        Raises:
            BadInput: If the map has other classes or another size.
        """
        height, width = x.shape[-2:]
        before, after = self._encode(x)
        fused = self._fuse(before, after, self.encode_map(land_cover, x))
        logits = F.interpolate(fused, scale_factor=4, mode='bilinear')
        return logits[..., :height, :width]

    def contrast(self, x: Tensor, land_cover: Tensor) -> tuple[Tensor, Contrast]:
        """Predict and give what the contrastive loss compares.

        Args:
            x: As for :meth:`forward`.
            land_cover: As for :meth:`forward`.

        Returns:
            Logits (b, k, h/4, w/4) and features; height and width are padded to multiples of 32
            first.
        """
        before, after = self._encode(x)
        land_cover = self.encode_map(land_cover, x)
        # the map's features are a target, not trained by this loss
        contrast = Contrast(self.image_head(before), self.image_head(after), land_cover.detach())
        return self._fuse(before, after, land_cover), contrast

    def encode_map(self, land_cover: Tensor, x: Tensor) -> Tensor:
        """Encode the map that belongs to a batch of pairs.

        Args:
            land_cover: Classes (b, h, w), from 0; -1 where unknown.
            x: Images (b, t=2, c, h, w).

        Returns:
            Features (b, c=32, h/4, w/4).

        Raises:
            BadInput: If the map has other classes or another size.
        """
        if land_cover.shape != (len(x), *x.shape[-2:]):
            raise BadInput(
                f'The land-cover map has the shape {tuple(land_cover.shape)}, the images '
                f'{tuple(x.shape)}.',
                'Give one map (batch, height, width) of the size of the images.',
            )
        if not -1 <= land_cover.min() <= land_cover.max() < self.map_classes:
            raise BadInput(
                f'The land-cover map has the classes {land_cover.min()} to {land_cover.max()}, but '
                f'the model knows 0 to {self.map_classes - 1}.',
                'Translate the classes of the map to those of the model; use -1 for unknown ones.',
            )
        known = land_cover.where(land_cover >= 0, self.map_classes)
        classes = F.one_hot(known.long(), self.map_classes + 1).movedim(-1, 1).to(x.dtype)
        bottom, right = (-size % 32 for size in x.shape[-2:])
        return self.map_encoder(F.pad(classes, (0, right, 0, bottom), 'replicate'))

    def _encode(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        before, after = (stages(self.backbone, image) for image in two_dates(x, multiple=32))
        return before, after

    def _fuse(self, before: list[Tensor], after: list[Tensor], land_cover: Tensor) -> Tensor:
        size = before[0].shape[2:]
        maps = [
            F.interpolate(fuse(one, other, land_cover), size, mode='bilinear')
            for fuse, one, other in zip(self.fusions, before, after, strict=True)
        ]
        return self.conv_seg(self.dropout(self.fusion_conv(torch.cat(maps, dim=1))))


#: Names of the published code and ours; the last two are those of its convolutions.
_RENAMED = {
    'backbone.backbone.': 'backbone.',
    'decode_head.bc_head.': '',
    'contrastive_img_forward.': 'image_head.',
    'temporal_fusion_modules.': 'fusions.',
    '.conv.': '.0.',
    '.bn.': '.1.',
}


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        for old, new in _RENAMED.items():
            key = key.replace(old, new)
        if key.startswith('attention_weights.'):
            _, scale, name = key.split('.')
            key = f'fusions.{scale}.attention.{name}'
        own[key] = value
    return own


def mapformer(
    map_classes: int = 6,
    in_chans: int = 3,
    num_classes: int = 2,
    backbone: MitSize = 'b2',
    backbone_weights: Literal['imagenet'] | None = None,
) -> MapFormer:
    """Build MapFormer.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2303.17859

    Args:
        map_classes: Land-cover classes of the map; 6 for DynamicEarthNet.
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        backbone: Size of the encoder.
        backbone_weights: ``imagenet`` to start from NVIDIA's weights (non-commercial use).

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return MapFormer(map_classes, in_chans, num_classes, backbone, backbone_weights)
