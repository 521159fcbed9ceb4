"""The decoder of UNetFormer, whose blocks see what is near and what is in the same window.

Wang, L. et al. (2022). UNetFormer: a UNet-like transformer for efficient semantic segmentation of
remote sensing urban scene imagery. ISPRS Journal of Photogrammetry and Remote Sensing 190.
https://arxiv.org/abs/2109.08937

Axes: b batch, c channels, h height, w width, n heads, i and j rows and columns within a window.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

_HEADS = 8
#: Rows and columns of a window.
_SIDE = 8


def _convolve(channels: int, width: int, side: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, side, padding=side // 2, bias=False), nn.BatchNorm2d(width)]


def _by_channel(channels: int, side: int) -> nn.Sequential:
    """A convolution that sees each channel by itself, then one that mixes them."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, side, padding=(side - 1) // 2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, channels, 1, bias=False),
    )


def _reflected(x: Tensor, right: int, bottom: int) -> Tensor:
    """Add pixels to the right and below: a reflection, or the edge where there is too little."""
    for padding, size in (((0, right, 0, 0), x.shape[-1]), ((0, 0, 0, bottom), x.shape[-2])):
        x = F.pad(x, padding, 'reflect' if max(padding) < size else 'replicate')
    return x


class _Attention(nn.Module):
    """Adds convolutions to attention within windows, which is averaged along rows and columns."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Sequential(nn.Conv2d(channels, 3 * channels, 1, bias=False))
        self.local1 = nn.Sequential(*_convolve(channels, channels, 3))
        self.local2 = nn.Sequential(*_convolve(channels, channels, 1))
        self.proj = _by_channel(channels, _SIDE)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * _SIDE - 1) ** 2, _HEADS))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        places = torch.cartesian_prod(torch.arange(_SIDE), torch.arange(_SIDE))
        rows, columns = (places[:, None] - places[None] + _SIDE - 1).unbind(-1)
        index = rows * (2 * _SIDE - 1) + columns
        self.register_buffer('relative_position_index', index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        height, width = x.shape[-2:]
        around = self.local2(x) + self.local1(x)
        padded = _reflected(x, -width % _SIDE, -height % _SIDE)
        attended = self._within_windows(padded)[..., :height, :width]
        before = _SIDE // 2 - 1
        columns = F.avg_pool2d(
            _reflected(attended, 0, 1), (_SIDE, 1), stride=1, padding=(before, 0)
        )
        rows = F.avg_pool2d(_reflected(attended, 1, 0), (1, _SIDE), stride=1, padding=(0, before))
        y: Tensor = self.proj(_reflected(columns + rows + around, 1, 1))
        return y

    def _within_windows(self, x: Tensor) -> Tensor:
        query, key, value = rearrange(
            self.qkv(x),
            'b (s n d) (h i) (w j) -> s (b h w) n (i j) d',
            s=3,
            n=_HEADS,
            i=_SIDE,
            j=_SIDE,
        )
        bias = self.relative_position_bias_table[self.get_buffer('relative_position_index')]
        y = F.scaled_dot_product_attention(
            query, key, value, attn_mask=rearrange(bias, 'q k n -> 1 n q k')
        )
        return rearrange(
            y,
            '(b h w) n (i j) d -> b (n d) (h i) (w j)',
            h=x.shape[-2] // _SIDE,
            w=x.shape[-1] // _SIDE,
            i=_SIDE,
        )


class _Block(nn.Module):
    """Attention and a perceptron, each added to what comes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.attn = _Attention(channels)
        self.norm2 = nn.BatchNorm2d(channels)
        self.mlp = nn.ModuleDict(
            {
                'fc1': nn.Conv2d(channels, 4 * channels, 1),
                'fc2': nn.Conv2d(4 * channels, channels, 1),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        x = x + self.attn(self.norm1(x))
        hidden = F.relu6(self.mlp['fc1'](self.norm2(x)))
        y: Tensor = x + self.mlp['fc2'](hidden)
        return y


class _Fusion(nn.Module):
    """Doubles the size of a map and adds a finer one, in a proportion that is learnt."""

    def __init__(self, finer: int, channels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(2))
        self.pre_conv = nn.Sequential(nn.Conv2d(finer, channels, 1, bias=False))
        self.post_conv = nn.Sequential(*_convolve(channels, channels, 3), nn.ReLU6())

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        """Map x (b, c, h, w) and a map (b, c', 2 h, 2 w) to (b, c, 2 h, 2 w)."""
        weights = F.relu(self.weights)
        weights = weights / (weights.sum() + 1e-8)
        x = F.interpolate(x, scale_factor=2, mode='bilinear')
        y: Tensor = self.post_conv(weights[0] * self.pre_conv(finer) + weights[1] * x)
        return y


class _Refinement(_Fusion):
    """Weights the pixels and the channels of the sum as well."""

    def __init__(self, finer: int, channels: int) -> None:
        super().__init__(finer, channels)
        self.pa = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.Sigmoid()
        )
        inner = channels // 16
        self.ca = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Sequential(nn.Conv2d(channels, inner, 1, bias=False)),
            nn.ReLU6(),
            nn.Sequential(nn.Conv2d(inner, channels, 1, bias=False)),
            nn.Sigmoid(),
        )
        self.shortcut = nn.Sequential(*_convolve(channels, channels, 1))
        self.proj = _by_channel(channels, 3)

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        """Map x (b, c, h, w) and a map (b, c', 2 h, 2 w) to (b, c, 2 h, 2 w)."""
        x = super().forward(x, finer)
        return F.relu6(self.proj(self.pa(x) * x + self.ca(x) * x) + self.shortcut(x))


class UNetFormerDecoder(nn.Module):
    """Makes logits of four maps, each of half the size of the one before.

    The published code fails where a map is smaller than what its windows reflect; here the edge is
    repeated then.

    Args:
        channels: Of the maps, fine to coarse.
        num_classes: Channels of the output.
        width: Channels inside; a multiple of 16.
        dropout: Probability of leaving out a channel before the last layer during training.
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, width: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.pre_conv = nn.Sequential(*_convolve(channels[3], width, 1))
        self.b4, self.b3, self.b2 = _Block(width), _Block(width), _Block(width)
        self.p3, self.p2 = _Fusion(channels[2], width), _Fusion(channels[1], width)
        self.p1 = _Refinement(channels[0], width)
        self.segmentation_head = nn.Sequential(
            nn.Sequential(*_convolve(width, width, 3), nn.ReLU6()),
            nn.Dropout2d(dropout),
            nn.Sequential(nn.Conv2d(width, num_classes, 1, bias=False)),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Give logits (b, k, h, w) of the size of the finest map."""
        x = self.b4(self.pre_conv(maps[3]))
        x = self.b3(self.p3(x, maps[2]))
        x = self.b2(self.p2(x, maps[1]))
        logits: Tensor = self.segmentation_head(self.p1(x, maps[0]))
        return logits
