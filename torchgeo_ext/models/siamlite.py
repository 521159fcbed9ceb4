"""SiamLite, a Siamese U-Net of half a million parameters that brings its own normalisation.

Made here, of known parts: features of two dates subtracted at every scale as in FC-Siam-diff
(Daudt, R. C., Le Saux, B., Boulch, A. (2018). Fully convolutional siamese networks for change
detection. https://arxiv.org/abs/1810.08462), and dates standardised by themselves as in change
vector analysis, so that neither units nor gain and offset of a band matter.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from torchgeo_ext.models._pairs import two_dates


def standardise(x: Tensor) -> Tensor:
    """Bring each band of each image to mean 0 and deviation 1.

    Pixels that are 0 in all bands, which is what readers make of missing ones, do not count and
    become 0, the mean.

    Args:
        x: (..., c, h, w) pixel values in any unit.

    Returns:
        Of the same shape; 0 where a band has a single value.
    """
    known = (x != 0).any(dim=-3, keepdim=True)
    count = known.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    centred = torch.where(known, x - x.sum(dim=(-2, -1), keepdim=True) / count, 0)
    deviation = (centred.square().sum(dim=(-2, -1), keepdim=True) / count).sqrt()
    # rounding is all that a constant band of large values is left with
    least = 1e-5 * x.abs().amax(dim=(-2, -1), keepdim=True)
    return torch.where(deviation > least, centred / deviation.clamp(min=1e-20), 0)


class _Block(nn.Sequential):
    """Two convolutions, of which the first may halve the resolution."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            *_convolve(in_channels, out_channels, stride), *_convolve(out_channels, out_channels)
        )


def _convolve(
    in_channels: int, out_channels: int, stride: int = 1, size: int = 3
) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


class SiamLite(nn.Module):
    """A Siamese U-Net on standardised dates.

    What a pixel gets depends on the whole input, by whose mean and deviation it is standardised:
    predict with tiles not smaller than those trained with. Which of the dates comes first does
    not matter.

    Args:
        in_channels: Bands of each image.
        num_classes: Channels of the output; 1 for change or not.
        widths: Channels of the encoder at each scale, from the finest.
    """

    def __init__(
        self, in_channels: int = 4, num_classes: int = 1, widths: Sequence[int] = (16, 32, 64, 128)
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        channels = (in_channels, *widths)
        self.encoder = nn.ModuleList(
            [
                _Block(*pair, 1 if number == 0 else 2)
                for number, pair in enumerate(pairwise(channels))
            ]
        )
        # at each scale: difference, difference from its mean, and what is there
        self.compare = nn.ModuleList(
            [nn.Sequential(*_convolve(3 * width, width, size=1)) for width in widths]
        )
        self.decoder = nn.ModuleList(
            [
                nn.Sequential(*_convolve(coarse + fine, fine))
                for coarse, fine in pairwise(reversed(widths))
            ]
        )
        self.head = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, in any units.

        Returns:
            Logits (b, k, h, w).
        """
        height, width = x.shape[-2:]
        pair = rearrange(list(two_dates(standardise(x), self.multiple)), 't b c h w -> (t b) c h w')
        compared = []
        for encode, compare in zip(self.encoder, self.compare, strict=True):
            pair = encode(pair)
            before, after = pair.chunk(2)
            difference = after - before
            usual = difference.mean(dim=(2, 3), keepdim=True)
            parts = (difference.abs(), (difference - usual).abs(), torch.maximum(before, after))
            compared.append(compare(torch.cat(parts, dim=1)))
        scores = compared.pop()
        for decode, finer in zip(self.decoder, reversed(compared), strict=True):
            scores = F.interpolate(scores, scale_factor=2.0, mode='bilinear')
            scores = decode(torch.cat((scores, finer), dim=1))
        return self.head(scores)[..., :height, :width]


def siamlite(in_channels: int = 4, num_classes: int = 1) -> SiamLite:
    """Build SiamLite.

    Args:
        in_channels: Bands of each image.
        num_classes: Channels of the output; 1 for change or not.

    Returns:
        The model, with random weights.
    """
    return SiamLite(in_channels, num_classes)
