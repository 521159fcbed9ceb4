"""LENet, whose dates tell each other where they disagree already inside the encoder.

Published code: https://github.com/dyzy41/lenet

Axes: b batch, t date, c channel, h height, w width.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import timm
import torch
import torch.nn.functional as F
from timm.models.swin_transformer_v2 import SwinTransformerV2Stage
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork

from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._weights import accept_published_names, fetching_imagenet_weights

_WIDTH = 256
_LEVELS = 4
#: Size of image the windows are laid out for.
_IMAGE = 256
#: Levels, counted from the finest, whose features the dates swap before and after the pyramid.
_SWAPPED = (0, 2)

Pair = tuple[Tensor, Tensor]


class LENetOutput(NamedTuple):
    """Logits of the main head and of the two that help training, which is to weigh them by 0.3.

    Attributes:
        change: (b, k, h/4, w/4).
        auxiliary: (b, k, h/8, w/8) and (b, k, h/4, w/4).
    """

    change: Tensor
    auxiliary: tuple[Tensor, Tensor]


class _DifferenceWeights(nn.Module):
    """Adds to each date what a block makes of it where it disagrees with the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convA = BasicBlock(channels, channels)
        self.convB = BasicBlock(channels, channels)

    def forward(self, before: Tensor, after: Tensor) -> Pair:
        """Keep the shapes (b, c, h, w)."""
        places = 1 - F.cosine_similarity(before, after, dim=1)[:, None].sigmoid()
        channels = F.cosine_similarity(before.flatten(2), after.flatten(2), dim=2)
        weights = places * (1 - channels[..., None, None].sigmoid())
        return self.convA(before * weights) + before, self.convB(after * weights) + after


class _ChannelSelection(nn.Module):
    """Weights channels by their mean and halves their number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2 * _WIDTH, 2 * _WIDTH // 16, 1)
        self.conv2 = nn.Conv2d(2 * _WIDTH // 16, 2 * _WIDTH, 1)
        self.conv3 = Conv2dNormActivation(2 * _WIDTH, _WIDTH, 1, activation_layer=nn.Hardsigmoid)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, 2c, h, w) to (b, c, h, w)."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        return self.conv3(x * F.hardsigmoid(self.conv2(F.relu(self.conv1(mean)))))


def _decode_layer(level: int) -> SwinTransformerV2Stage:
    size = _IMAGE // 4 >> level
    return SwinTransformerV2Stage(
        dim=_WIDTH,
        out_dim=_WIDTH,
        input_resolution=(size, size),
        depth=2,
        num_heads=4 << level,
        window_size=8,
        dynamic_mask=True,
    )


class _Decoder(nn.Module):
    """What each date has for itself in the decoder."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork([*widths], _WIDTH)
        self.layers = nn.ModuleList(_decode_layer(level) for level in range(_LEVELS))
        self.select = nn.ModuleList(_ChannelSelection() for _ in range(_LEVELS))

    def pyramid(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Merge features, finest first, top down."""
        named = OrderedDict((str(level), x) for level, x in enumerate(features))
        return [*self.fpn(named).values()]

    def forward(self, level: int, own: Tensor, other: Tensor) -> Tensor:
        """Join the own features (b, c, h, w), seen by a transformer, with the other date's."""
        seen = self.layers[level](own.movedim(1, -1)).movedim(-1, 1)
        return self.select[level](torch.cat([seen, other], dim=1))


def _head(num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        Conv2dNormActivation(2 * _WIDTH, _WIDTH, 3),
        nn.Dropout2d(0.1),
        nn.Conv2d(_WIDTH, num_classes, 1),
    )


class LENet(nn.Module):
    """LENet on a Swin transformer of version 2.

    No weights are published; ``load_state_dict`` takes checkpoints of the authors' training code.
    Their images have ImageNet's mean and deviation and 256 x 256 pixels. Other sizes work too: the
    windows stay as they are and their masks are made to fit.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        backbone: A Swin transformer of version 2 with windows of 8, by its name in timm.
        backbone_weights: ``imagenet`` to start from weights of photographs.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 2,
        backbone: str = 'swinv2_base_window8_256',
        backbone_weights: Literal['imagenet'] | None = None,
    ) -> None:
        super().__init__()
        with fetching_imagenet_weights(backbone):
            encoder: Any = timm.create_model(
                backbone,
                pretrained=backbone_weights is not None,
                features_only=True,
                in_chans=in_chans,
                img_size=_IMAGE,
                strict_img_size=False,
            )
        self.backbone = encoder
        widths = encoder.feature_info.channels()
        self.exchange = nn.ModuleList(
            _DifferenceWeights(channels) for channels in (widths[0], *widths)
        )
        self.before, self.after = _Decoder(widths), _Decoder(widths)
        self.weigh = nn.ModuleList(_DifferenceWeights(_WIDTH) for _ in range(_LEVELS - 1))
        self.head = _head(num_classes)
        self.auxiliary_heads = nn.ModuleList(_head(num_classes) for _ in range(2))
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        height, width = x.shape[-2:]
        logits = self.head(self.maps(x)[-1])
        logits = F.interpolate(logits, scale_factor=4, mode='bilinear')
        return logits[..., :height, :width]

    def scales(self, x: Tensor) -> LENetOutput:
        """Predict with all three heads, as the published training does.

        Args:
            x: Images before and after (b, t=2, c, h, w); height and width are padded to multiples
                of 32 first.
        """
        coarse, middle, fine = self.maps(x)
        first, second = self.auxiliary_heads
        return LENetOutput(self.head(fine), (first(coarse), second(middle)))

    def maps(self, x: Tensor) -> list[Tensor]:
        """Give what the heads see: (b, 512, h/8, w/8) and twice (b, 512, h/4, w/4)."""
        pairs = [self._swapped(level, pair) for level, pair in enumerate(self._encode(x))]
        pyramids = (
            decoder.pyramid([pair[date] for pair in pairs])
            for date, decoder in enumerate((self.before, self.after))
        )
        pairs = [
            self._swapped(level, pair) for level, pair in enumerate(zip(*pyramids, strict=True))
        ]
        before, after = self._double(*self._join(3, *pairs[3]))
        maps = []
        for level in (2, 1, 0):
            own, other = pairs[level]
            # each date is told what the other one has at the coarser scale
            before, after = self._join(level, own + after, other + before)
            if level:
                before, after = self._double(before, after)
            before, after = self.weigh[level](before, after)
            maps.append(torch.cat([before, after], dim=1))
        return maps

    def _encode(self, x: Tensor) -> list[Pair]:
        before, after = two_dates(x, multiple=32)
        pairs = []
        for stage, exchange in zip(self.backbone.values(), self.exchange, strict=True):
            before, after = exchange(*(stage(date).movedim(-1, 1) for date in (before, after)))
            pairs.append((before, after))
            before, after = before.movedim(1, -1), after.movedim(1, -1)
        return pairs[1:]  # without the patches

    @staticmethod
    def _swapped(level: int, pair: Pair) -> Pair:
        before, after = pair
        return (after, before) if level in _SWAPPED else (before, after)

    @staticmethod
    def _double(before: Tensor, after: Tensor) -> Pair:
        return (
            F.interpolate(before, scale_factor=2, mode='bilinear'),
            F.interpolate(after, scale_factor=2, mode='bilinear'),
        )

    def _join(self, level: int, before: Tensor, after: Tensor) -> Pair:
        return self.before(level, before, after), self.after(level, after, before)


#: Names of the published code and ours.
_RENAMED = {
    'model.model.': 'backbone.',
    'model.rwe.': 'exchange.',
    **{f'model.re_weight{level + 1}.': f'weigh.{level}.' for level in range(_LEVELS - 1)},
    **{
        old: new
        for letter, date in (('A', 'before'), ('B', 'after'))
        for old, new in {
            f'model.fpn{letter}.lateral_convs.': f'{date}.fpn.inner_blocks.',
            f'model.fpn{letter}.fpn_convs.': f'{date}.fpn.layer_blocks.',
            **{
                f'model.{part}{letter}.{level + 1}.': f'{date}.{ours}.{level}.'
                for part, ours in (('decode_layers', 'layers'), ('channel', 'select'))
                for level in range(_LEVELS)
            },
        }.items()
    },
    'decode_head.': 'head.',
    'auxiliary_head.': 'auxiliary_heads.',
    'convs.0.conv.': '0.0.',
    'convs.0.bn.': '0.1.',
    'conv_seg.': '2.',
    'conv1.conv.': 'conv1.',
    'conv2.conv.': 'conv2.',
    '.conv.': '.0.',
    '.bn.': '.1.',
}


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    published = any(key.startswith('model.') for key in state)
    for key, value in state.items():
        # what the published configuration has besides the network, without using it
        if published and key.startswith('backbone.'):
            continue
        for old, new in _RENAMED.items():
            key = key.replace(old, new)
        own[key] = value
    return own


def lenet(
    in_chans: int = 3,
    num_classes: int = 2,
    backbone: str = 'swinv2_base_window8_256',
    backbone_weights: Literal['imagenet'] | None = None,
) -> LENet:
    """Build LENet.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        backbone: A Swin transformer of version 2 with windows of 8, by its name in timm.
        backbone_weights: ``imagenet`` to start from weights of photographs.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return LENet(in_chans, num_classes, backbone, backbone_weights)
