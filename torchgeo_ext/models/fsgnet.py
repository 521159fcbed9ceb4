"""FSG-Net, a frequency-spatial gated network.

Xie, Z. et al. (2025). FSG-Net: frequency-spatial synergistic gated network for high-resolution
remote sensing change detection. IEEE TGRS. https://arxiv.org/abs/2509.06482

Axes: b batch, t date, c channel, h height, w width, p q parity of rows and columns.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18
from torchvision.ops import Conv2dNormActivation

from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._weights import load_fitting, read_state

#: Channels of ResNet-18's four stages.
_STAGES = (64, 128, 256, 512)


class _CrossAttention(nn.Module):
    """Lets each pixel of one date look at all pixels of the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.t_embedding1 = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.t_embedding2 = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the shapes (b, c, h, w)."""
        told_before, told_after = before + self.t_embedding1, after + self.t_embedding2
        # as published, each date keeps itself and is told what the other one's pixels ask it for
        return (
            self.gamma * self._look(told_after, told_before) + before,
            self.gamma * self._look(told_before, told_after) + after,
        )

    def _look(self, asking: Tensor, asked: Tensor) -> Tensor:
        q, k, v = (
            project(features).flatten(2).mT
            for project, features in (
                (self.query_conv, asking),
                (self.key_conv, asked),
                (self.value_conv, asked),
            )
        )
        seen = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        return rearrange(seen, 'b (h w) c -> b c h w', h=asked.shape[2])


class _CoordinateAttention(nn.Module):
    """Weights rows and columns of each channel.

    Hou, Q., Zhou, D., Feng, J. (2021). Coordinate attention for efficient mobile network design.
    CVPR. https://arxiv.org/abs/2103.02907
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        width = max(8, channels // reduction)
        self.conv1 = nn.Conv2d(channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv_h = nn.Conv2d(width, channels, 1)
        self.conv_w = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        rows, columns = x.mean(dim=3, keepdim=True), x.mean(dim=2, keepdim=True).mT
        both = F.relu(self.bn1(self.conv1(torch.cat([rows, columns], dim=2))))
        rows, columns = both.split([x.shape[2], x.shape[3]], dim=2)
        return x * self.conv_h(rows).sigmoid() * self.conv_w(columns.mT).sigmoid()


class TemporalSpatialAttention(nn.Module):
    """The synergistic temporal-spatial attention module (STSAM), exactly as published.

    Args:
        channels: Channels of the features.
        reduction: How many times narrower the coordinate attention is inside.
    """

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        self.branch1 = _CrossAttention(channels)
        self.branch2 = _CoordinateAttention(channels, reduction)
        self.fusion_conv = Conv2dNormActivation(2 * channels, channels, 1)

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the shapes (b, c, h, w)."""
        crossed = self.branch1(before, after)
        before, after = (
            self.fusion_conv(torch.cat([cross, self.branch2(own)], dim=1))
            for cross, own in zip(crossed, (before, after), strict=True)
        )
        return before, after


def haar(x: Tensor) -> Tensor:
    """Take the two-dimensional Haar wavelet transform.

    Args:
        x: (b, c, h, w) of even height and width.

    Returns:
        (4, b, c, h/2, w/2): the means, then differences of columns, of rows and of both, all so
        scaled that the sum of squares stays the same.
    """
    even, odd = rearrange(x, 'b c h (w q) -> q b c h w', q=2)
    means, columns = even + odd, even - odd
    bands = rearrange(torch.stack([means, columns]), 'n b c (h p) w -> p n b c h w', p=2)
    return torch.cat([bands[0] + bands[1], bands[0] - bands[1]]) / 2


def inverse_haar(bands: Tensor) -> Tensor:
    """Undo :func:`haar`."""
    over_rows = rearrange(bands, '(p n) b c h w -> p n b c h w', p=2)
    rows = torch.stack([over_rows[0] + over_rows[1], over_rows[0] - over_rows[1]])
    means, columns = rearrange(rows, 'p n b c h w -> n b c (h p) w')
    both = torch.stack([means + columns, means - columns])
    return rearrange(both, 'q b c h w -> b c h (w q)') / 2


class _WaveletInteraction(nn.Module):
    """Brings the dates together where their wavelet coefficients hardly differ.

    What the means of the dates differ by without a discrepancy is radiometry and is evened out;
    details, which radiometry leaves alone, are strengthened where they disagree.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.low_gate = nn.Conv2d(channels, channels, 3, padding=1)
        self.high_gate = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3)

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the shapes (b, c, h, w)."""
        bands = torch.stack([haar(before), haar(after)])
        low, high = bands[:, 0], rearrange(bands[:, 1:], 't n b c h w -> t b (n c) h w')
        keep = self.low_gate((low[0] - low[1]).abs()).sigmoid()
        low = keep * low + (1 - keep) * low.mean(dim=0)
        high = high * (1 + self.high_gate((high[0] - high[1]).abs()).sigmoid())
        details = rearrange(high, 't b (n c) h w -> t n b c h w', n=3)
        before, after = (
            inverse_haar(torch.cat([mean[None], detail]))
            for mean, detail in zip(low, details, strict=True)
        )
        return before, after


class _GatedFusion(nn.Module):
    """Lets coarse features with meaning choose which fine details come in."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.reduce = Conv2dNormActivation(coarse, fine, 1)
        self.gate = nn.Conv2d(fine, fine, 1)
        self.merge = Conv2dNormActivation(fine, fine, 3)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Fuse (b, k, h, w) and (b, c, 2h, 2w) to (b, c, 2h, 2w)."""
        coarse = F.interpolate(self.reduce(coarse), scale_factor=2, mode='bilinear')
        return self.merge(coarse + self.gate(coarse).sigmoid() * fine)


class FSGNet(nn.Module):
    """FSG-Net on a ResNet-18.

    Of the published network only the attention module is public
    (https://github.com/zxXie-Air/FSG-Net); it is reproduced exactly in
    :class:`TemporalSpatialAttention`. The wavelet interaction, the gated fusion and how they are
    put together are built from what the paper's abstract says of them, so figures may differ from
    the published ones, and there are no weights to load.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 1 for change or not.
    """

    def __init__(self, in_chans: int = 3, num_classes: int = 1) -> None:
        super().__init__()
        backbone = resnet18()
        if in_chans != 3:
            backbone.conv1 = nn.Conv2d(in_chans, 64, 7, stride=2, padding=3, bias=False)
        del backbone.fc
        self.backbone = backbone
        self.wavelets = nn.ModuleList(_WaveletInteraction(channels) for channels in _STAGES)
        # attention costs the square of the number of pixels, so only the coarser scales have it
        self.attention = nn.ModuleList(TemporalSpatialAttention(c) for c in _STAGES[2:])
        self.fusions = nn.ModuleList(
            _GatedFusion(coarse, fine) for fine, coarse in pairwise(_STAGES)
        )
        self.head = nn.Sequential(
            Conv2dNormActivation(_STAGES[0], _STAGES[0], 3),
            nn.Dropout2d(0.1),
            nn.Conv2d(_STAGES[0], num_classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        height, width = x.shape[-2:]
        # the coarsest map, at 1/32, is halved once more by the wavelets
        dates = [self._encode(image) for image in two_dates(x, multiple=64)]
        differences = []
        for scale, (wavelets, before, after) in enumerate(zip(self.wavelets, *dates, strict=True)):
            before, after = wavelets(before, after)
            if scale >= 2:
                before, after = self.attention[scale - 2](before, after)
            differences.append((before - after).abs())
        change = differences[-1]
        for fuse, fine in zip(reversed(self.fusions), differences[-2::-1], strict=True):
            change = fuse(change, fine)
        logits = F.interpolate(self.head(change), scale_factor=4, mode='bilinear')
        return logits[..., :height, :width]

    def _encode(self, image: Tensor) -> list[Tensor]:
        net = self.backbone
        x = net.maxpool(net.relu(net.bn1(net.conv1(image))))
        features = []
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = stage(x)
            features.append(x)
        return features


def fsgnet(
    in_chans: int = 3, num_classes: int = 1, backbone_weights: ResNet18_Weights | None = None
) -> FSGNet:
    """Build FSG-Net.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2509.06482

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 1 for change or not.
        backbone_weights: Weights of the encoder. Filters of the three colours are repeated and
            scaled for other numbers of bands.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    model = FSGNet(in_chans, num_classes)
    if backbone_weights:
        published: Mapping[str, Tensor] = read_state(backbone_weights)
        state = {key: value for key, value in published.items() if not key.startswith('fc.')}
        load_fitting(model.backbone, state, ['conv1.weight'])
    return model
