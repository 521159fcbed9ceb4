"""U-TAE, an encoder of image series whose skips are weighted by attention over time.

Garnot, V., Landrieu, L. (2021). Panoptic segmentation of satellite image time series with
convolutional temporal attention networks. ICCV. https://arxiv.org/abs/2107.07933

Garnot, V., Landrieu, L. (2020). Lightweight temporal self-attention for classifying satellite image
time series. https://arxiv.org/abs/2007.00586 (L-TAE)

Axes: b batch, t date, c channel, h height, w width, n heads, k features of a key.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

_ENCODER = (64, 64, 64, 128)
_DECODER = (32, 32, 64, 128)
_HEADS = 16
_KEY = 4
_MODEL = 256
#: Days that the slowest wave of a position is long, over two pi.
_PERIOD = 1000.0
#: Pixels of the image, along one side, for each of the coarsest map's, which height and width are
#: padded to multiples of; the coarsest map needs two pixels to reflect.
STRIDE = 2 ** (len(_ENCODER) - 1)


class UTAE(nn.Module):
    """A U-Net over a series: convolutions see single dates, attention joins them.

    The attention is computed once, on the coarsest map; enlarged, it weights the dates of the finer
    maps too, each head a group of channels. Dates that are 0 everywhere are missing.

    Args:
        in_chans: Bands of the series.
    """

    #: Channels of the result.
    width = _DECODER[0]
    #: Channels of the coarsest map of each date.
    date_width = _ENCODER[-1]

    def __init__(self, in_chans: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_grouped(in_chans, _ENCODER[0]), _grouped(*_ENCODER[:1] * 2))
        self.down = nn.ModuleList(_Down(fine, coarse) for fine, coarse in pairwise(_ENCODER))
        self.attention = LTAE(_ENCODER[-1])
        self.up = nn.ModuleList(
            _Up(coarse, fine, skip)
            for (fine, coarse), skip in zip(pairwise(_DECODER), _ENCODER, strict=False)
        )

    def forward(self, series: Tensor, days: Tensor | None = None) -> Tensor:
        """Encode series.

        Args:
            series: Images (b, t, c, h, w).
            days: When they were taken (b, t), in days from any one day on; not told if not given.

        Returns:
            Features (b, c=32, h, w).
        """
        levels, present = self.encode(series)
        height, width = series.shape[-2:]
        return self.join(levels, present, days)[..., :height, :width]

    def encode(self, series: Tensor) -> tuple[list[Tensor], Tensor]:
        """See each date of series (b, t, c, h, w) by itself.

        Returns:
            Maps (b, t, c, h', w'), fine to coarse, of the series with its edge pixels repeated
            below and to the right, and which dates there are (b, t).
        """
        bottom, right = (
            max(2 * STRIDE, -(-size // STRIDE) * STRIDE) - size for size in series.shape[-2:]
        )
        present = series.ne(0).flatten(2).any(dim=2)
        flat = F.pad(series.flatten(0, 1), (0, right, 0, bottom), 'replicate')
        maps = [self.first(flat)]
        for down in self.down:
            maps.append(down(maps[-1]))
        dates = series.shape[1]
        return [rearrange(x, '(b t) c h w -> b t c h w', t=dates) for x in maps], present

    def join(self, levels: list[Tensor], present: Tensor, days: Tensor | None = None) -> Tensor:
        """Join the dates of what :meth:`encode` gives: features (b, c=32, h', w')."""
        x, attention = self.attention(levels[-1], present, days)
        for up, level in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            x = up(x, _join_dates(level, attention, present))
        return x


def _join_dates(level: Tensor, attention: Tensor, present: Tensor) -> Tensor:
    """Weight the dates of a map (b, t, c, h, w) by attention (b, n, t, h', w') and add them."""
    weights = F.interpolate(attention.flatten(0, 1), size=level.shape[-2:], mode='bilinear')
    weights = weights.unflatten(0, (len(level), _HEADS)) * present[:, None, :, None, None]
    groups = rearrange(level, 'b t (n c) h w -> b n t c h w', n=_HEADS)
    return torch.einsum('bntchw,bnthw->bnchw', groups, weights).flatten(1, 2)


class LTAE(nn.Module):
    """Attention over the dates of a pixel, each head with one learned query.

    Args:
        channels: Channels of what comes in and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_norm = _DateNorm(channels)
        self.project = nn.Linear(channels, _MODEL)
        self.queries = nn.Parameter(torch.randn(_HEADS, _KEY) * (2 / _KEY) ** 0.5)
        self.keys = nn.Linear(_MODEL, _HEADS * _KEY)
        nn.init.normal_(self.keys.weight, std=(2 / _KEY) ** 0.5)
        self.forget_dates = nn.Dropout(0.1)
        self.perceptron = nn.Sequential(
            nn.Linear(_MODEL, channels), nn.BatchNorm1d(channels), nn.ReLU(), nn.Dropout(0.2)
        )
        self.out_norm = nn.GroupNorm(_HEADS, channels)

    def forward(
        self, x: Tensor, present: Tensor, days: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Join the dates.

        Args:
            x: Features (b, t, c, h, w).
            present: Which dates there are (b, t).
            days: When they were (b, t).

        Returns:
            Features (b, c, h, w) and attention (b, n, t, h, w).
        """
        height, width = x.shape[-2:]
        pixels = rearrange(x, 'b t c h w -> b (h w) t c')
        tokens = self.project(self.in_norm(pixels, present))
        if days is not None:
            tokens = tokens + _positions(days)[:, None]
        keys = self.keys(tokens).unflatten(-1, (_HEADS, _KEY))
        scores = torch.einsum('bptnk,nk->bpnt', keys, self.queries) / _KEY**0.5
        # a finite number: attention to nothing but missing dates is even
        scores = scores.masked_fill(~present[:, None, None], -1e3)
        attention = self.forget_dates(scores.softmax(dim=-1))
        values = tokens.unflatten(-1, (_HEADS, -1))
        joined = torch.einsum('bpnt,bptnc->bpnc', attention, values)
        joined = self.out_norm(self.perceptron(joined.flatten(2).flatten(0, 1)))
        size = {'b': len(x), 'h': height, 'w': width}
        return (
            rearrange(joined, '(b h w) c -> b c h w', **size),
            rearrange(attention, 'b (h w) n t -> b n t h w', h=height, w=width),
        )


class _DateNorm(nn.Module):
    """Normalises groups of channels over the dates that there are, of each pixel by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Normalise x (b, p, t, c) with what is present (b, t)."""
        groups = x.unflatten(-1, (_HEADS, -1))
        weight = present[:, None, :, None, None].to(x.dtype)
        weight = weight / weight.sum(dim=2, keepdim=True).clamp(min=1) / groups.shape[-1]
        mean = (groups * weight).sum(dim=(2, 4), keepdim=True)
        variance = ((groups - mean).square() * weight).sum(dim=(2, 4), keepdim=True)
        normal = (groups - mean) / (variance + 1e-5).sqrt()
        return normal.flatten(-2) * self.weight + self.bias


def _positions(days: Tensor) -> Tensor:
    """Give waves (b, t, c) of the days, the same ones to each head."""
    length = _MODEL // _HEADS
    place = torch.arange(length, device=days.device)
    angles = days[..., None] / _PERIOD ** (2 * (place // 2) / length)
    waves = torch.where(place % 2 == 0, angles.sin(), angles.cos())
    return waves.repeat(1, 1, _HEADS)


def _convolve(channels: int, width: int, norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, padding_mode='reflect'), norm, nn.ReLU()
    )


def _grouped(channels: int, width: int) -> nn.Sequential:
    """A convolution whose norm sees one date only."""
    return _convolve(channels, width, nn.GroupNorm(4, width))


class _Down(nn.Module):
    """Halves the resolution."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.shrink = nn.Sequential(
            nn.Conv2d(channels, channels, 4, stride=2, padding=1, padding_mode='reflect'),
            nn.GroupNorm(4, channels),
            nn.ReLU(),
        )
        self.conv1, self.conv2 = _grouped(channels, width), _grouped(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (b, c, h, w) into (b, width, h/2, w/2)."""
        x = self.conv1(self.shrink(x))
        return x + self.conv2(x)


class _Up(nn.Module):
    """Doubles the resolution and takes the skip in."""

    def __init__(self, channels: int, width: int, skip: int) -> None:
        super().__init__()
        self.skip = Conv2dNormActivation(skip, skip, 1, bias=True)
        self.enlarge = nn.Sequential(
            nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.conv1, self.conv2 = (
            _convolve(inputs, width, nn.BatchNorm2d(width)) for inputs in (width + skip, width)
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Turn (b, c, h, w) and a skip of twice its size into (b, width, 2 h, 2 w)."""
        x = self.conv1(torch.cat([self.enlarge(x), self.skip(skip)], dim=1))
        return x + self.conv2(x)
