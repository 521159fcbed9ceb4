"""The encoder of SeaFormer: mobile convolutions and squeeze-enhanced axial attention.

Wan, Q. et al. (2023). SeaFormer: squeeze-enhanced axial transformer for mobile semantic
segmentation. ICLR. https://arxiv.org/abs/2301.13156

Axes: b batch, c channel, h height, w width, n heads, d features of a head, l length.
"""

from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

#: Channels of the maps at 1/4, 1/8, 1/16 and 1/32 of the resolution.
SEAFORMER_WIDTHS = (64, 128, 192, 256)

_HEADS = 8
#: Places of the position tables; other lengths are interpolated.
_PLACES = 16

#: A convolution with batch normalisation only.
_ConvNorm = partial(Conv2dNormActivation, activation_layer=None)


class _InvertedResidual(nn.Module):
    """Expands the channels, convolves each by itself and narrows again."""

    def __init__(self, channels: int, kernel: int, expand: int, width: int, stride: int) -> None:
        super().__init__()
        inner = channels * expand
        self.residual = stride == 1 and channels == width
        self.conv = nn.Sequential(
            _ConvNorm(channels, inner, 1),
            nn.ReLU(),
            _ConvNorm(inner, inner, kernel, stride, groups=inner),
            nn.ReLU(),
            _ConvNorm(inner, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, width, h / stride, w / stride)."""
        return x + self.conv(x) if self.residual else self.conv(x)


class _Places(nn.Module):
    """Adds a learnt vector for each place along a line."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(1, channels, _PLACES))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, l)."""
        return x + F.interpolate(self.pos_embed, x.shape[2], mode='linear')


class _AxialAttention(nn.Module):
    """Attention along rows and columns of averages, enhanced by local details."""

    def __init__(self, width: int, key_width: int) -> None:
        super().__init__()
        keys, values = _HEADS * key_width, 2 * _HEADS * key_width
        self.to_q = _ConvNorm(width, keys, 1)
        self.to_k = _ConvNorm(width, keys, 1)
        self.to_v = _ConvNorm(width, values, 1)
        self.dwconv = _ConvNorm(2 * keys + values, 2 * keys + values, 3, groups=2 * keys + values)
        self.pwconv = _ConvNorm(2 * keys + values, width, 1)
        self.pos_emb_rowq, self.pos_emb_rowk = _Places(keys), _Places(keys)
        self.pos_emb_columnq, self.pos_emb_columnk = _Places(keys), _Places(keys)
        self.proj_encode_row = nn.Sequential(nn.ReLU6(), _ConvNorm(values, values, 1))
        self.proj_encode_column = nn.Sequential(nn.ReLU6(), _ConvNorm(values, values, 1))
        self.proj = nn.Sequential(nn.ReLU6(), _ConvNorm(values, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        details = self.pwconv(F.relu6(self.dwconv(torch.cat([q, k, v], dim=1))))
        rows, columns = (
            _attend(place_q(q.mean(dim=axis)), place_k(k.mean(dim=axis)), v.mean(dim=axis))
            for place_q, place_k, axis in (
                (self.pos_emb_rowq, self.pos_emb_rowk, 3),
                (self.pos_emb_columnq, self.pos_emb_columnk, 2),
            )
        )
        rows = self.proj_encode_row(rows[..., None])
        columns = self.proj_encode_column(columns[:, :, None])
        return F.hardsigmoid(self.proj(v + rows + columns)) * details


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention along lines (b, c, l)."""
    q, k, v = (rearrange(x, 'b (n d) l -> b n l d', n=_HEADS) for x in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v), 'b n l d -> b (n d) l')


class _Perceptron(nn.Module):
    """Two pixelwise layers with a depthwise convolution between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = _ConvNorm(width, inner, 1)
        self.dwconv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.fc2 = _ConvNorm(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        return self.fc2(F.relu6(self.dwconv(self.fc1(x))))


class _Block(nn.Module):
    """Axial attention and a perceptron."""

    def __init__(self, width: int, key_width: int, mlp_ratio: int) -> None:
        super().__init__()
        self.attn = _AxialAttention(width, key_width)
        self.mlp = _Perceptron(width, mlp_ratio * width)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        x = x + self.attn(x)
        return x + self.mlp(x)


class SeaFormerL(nn.Module):
    """The first four of the five stages of SeaFormer-L.

    Args:
        in_chans: Bands of the image.
    """

    def __init__(self, in_chans: int = 3) -> None:
        super().__init__()
        quarter, eighth, sixteenth, thirty_second = SEAFORMER_WIDTHS
        self.stem = nn.Sequential(_ConvNorm(in_chans, 32, 3, 2), nn.ReLU())
        self.stages = nn.ModuleList(
            [
                nn.Sequential(
                    _InvertedResidual(32, 3, 3, 32, 1),
                    _InvertedResidual(32, 3, 4, quarter, 2),
                    _InvertedResidual(quarter, 3, 4, quarter, 1),
                ),
                nn.Sequential(
                    _InvertedResidual(quarter, 5, 4, eighth, 2),
                    _InvertedResidual(eighth, 5, 4, eighth, 1),
                ),
                nn.Sequential(
                    _InvertedResidual(eighth, 3, 4, sixteenth, 2),
                    _InvertedResidual(sixteenth, 3, 4, sixteenth, 1),
                    nn.Sequential(*(_Block(sixteenth, 16, 2) for _ in range(3))),
                ),
                nn.Sequential(
                    _InvertedResidual(sixteenth, 5, 4, thirty_second, 2),
                    nn.Sequential(*(_Block(thirty_second, 20, 4) for _ in range(3))),
                ),
            ]
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the features of an image (b, c, h, w), finest first."""
        features = []
        x = self.stem(image)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
