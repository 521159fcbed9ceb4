"""CVMH-UNet: segmentation with a U of scans and convolutions that fuses its skips by frequency.

Cao, Y., Liu, C., Wu, Z., Zhang, L., Yang, L. (2025). Remote sensing image segmentation using vision
mamba and multi-scale multi-frequency feature fusion. Remote Sensing 17(8), 1390 (CC BY).
https://doi.org/10.3390/rs17081390, https://arxiv.org/abs/2410.05624

Axes: b batch, c channels, h height, w width, k classes, f frequencies, u and v rows and columns of
a pooled map.
"""

import math
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.layers import CS2D, VSSBlock
from torchgeo_ext.models._weights import load_fitting, read_state, weights_of_checkpoint
from torchgeo_ext.models.vmamba import (
    FIRST_LAYER,
    SIZES,
    VMamba,
    VMamba_Weights,
    VMambaSize,
    own_names,
)

_DEPTHS = (2, 2, 2, 2)
_DROP_PATH = 0.1
#: Rows and columns maps are pooled to before their frequencies are looked at.
_POOLED = 7
#: How many frequencies, each for its share of the channels.
_FREQUENCIES = 16


class HVSSBlock(VSSBlock):
    """A VSS block with a branch of convolutions beside its scan.

    Args:
        channels: Channels of the image.
        drop_path: Probability of leaving out an addition during training.
        diagonal: Whether to scan along the diagonals too.
    """

    def __init__(self, channels: int, drop_path: float = 0.0, diagonal: bool = True) -> None:
        super().__init__(channels, drop_path)
        if diagonal:
            self.op = CS2D(channels)
        self.local = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        """Mix an image (b, h, w, c)."""
        normed = self.norm(x)
        local = self.local(rearrange(normed, 'b h w c -> b c h w'))
        x = x + self.drop_path(self.op(normed) + rearrange(local, 'b c h w -> b h w c'))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class MFMSBlock(nn.Module):
    """Fuses a map of the encoder with one of the decoder.

    A gate for each number says how much of the encoder's map is taken and how much of the
    decoder's. It is made of the frequencies of each channel, seen together with the channels beside
    it, and of the channels of each pixel.

    Args:
        channels: Channels of both maps, a multiple of 16: each sixteenth of them is looked at in
            another of the lowest frequencies of the cosine transform.
    """

    frequencies: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % _FREQUENCIES:
            raise BadParameter(
                f'channels is {channels}; it must be a multiple of {_FREQUENCIES}, one share for '
                'each frequency.'
            )
        self.register_buffer('frequencies', _lowest_frequencies(), persistent=False)
        # the wider, the more channels there are
        kernel_size = int((math.log2(channels) + 1) / 2) | 1
        self.neighbours = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.points = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 1, bias=False),
            nn.BatchNorm2d(channels // 4),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.join = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, encoded: Tensor, decoded: Tensor) -> Tensor:
        """Fuse two maps (b, c, h, w)."""
        both = encoded + decoded
        pooled = F.adaptive_avg_pool2d(both, _POOLED).unflatten(1, (_FREQUENCIES, -1))
        strengths = torch.einsum('bfcuv,fuv->bfc', pooled, self.frequencies).flatten(1)
        channels = self.neighbours(strengths[:, None]).sigmoid().mT[..., None]
        gate = (channels + self.points(both)).sigmoid()
        return self.join(torch.cat([torch.lerp(decoded, encoded, gate), both], dim=1))


def _lowest_frequencies() -> Tensor:
    """Give what weights a pooled map to get each frequency (f, u, v); the first is the mean."""
    ranked = sorted(product(range(_POOLED), repeat=2), key=lambda pair: (sum(pair), pair))
    places = (torch.arange(_POOLED) + 0.5) * math.pi / _POOLED
    waves = [
        (places * frequency).cos() * (math.sqrt(2) if frequency else 1) / _POOLED
        for frequency in range(_POOLED)
    ]
    return torch.stack([torch.outer(waves[u], waves[v]) for u, v in ranked[:_FREQUENCIES]])


class _Expand(nn.Module):
    """Doubles the size of an image and halves its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, h, w, c) to (b, 2 h, 2 w, c / 2)."""
        return self.norm(rearrange(self.expand(x), 'b h w (p q c) -> b (h p) (w q) c', p=2, q=2))


class _Level(nn.Module):
    """One step of the decoder: from a coarse map to that of the next stage of the encoder."""

    def __init__(self, channels: int, depth: int, diagonal: bool) -> None:
        super().__init__()
        self.expand = _Expand(2 * channels)
        self.fuse = MFMSBlock(channels)
        self.blocks = nn.Sequential(
            *(HVSSBlock(channels, _DROP_PATH, diagonal) for _ in range(depth))
        )

    def forward(self, coarse: Tensor, encoded: Tensor) -> Tensor:
        """Fuse (b, h/2, w/2, 2 c), rounded up, with (b, c, h, w): (b, h, w, c)."""
        height, width = encoded.shape[-2:]
        decoded = rearrange(self.expand(coarse), 'b h w c -> b c h w')[..., :height, :width]
        return self.blocks(rearrange(self.fuse(encoded, decoded), 'b c h w -> b h w c'))


class CVMHUNet(nn.Module):
    """A U of hybrid blocks, whose encoder is shaped like VMamba.

    Neither code nor weights are published, and the method could be read in abstracts and the
    contributions of the paper alone. From these are: a U whose blocks add a branch of convolutions
    and residual connections to a scan in more directions than VMamba's, and skip connections that
    fuse by frequencies of a cosine transform, a 1-D convolution over channels and a branch of
    convolutions of single pixels. Of this package's own making are the rest: the diagonals as the
    further directions, VMamba's stem and steps between stages, all widths and depths, and how the
    gate of a skip is put together. The paper's figures are not to be expected of it unseen.

    The paper trains on 512 x 512 pixels of aerial images; cross entropy and Dice loss together suit
    it.

    Args:
        in_chans: Bands of the images.
        num_classes: Channels of the output.
        width: Channels of the first stage, a multiple of 16; each following stage has twice as
            many.
        depths: Blocks of each stage of the encoder; the decoder mirrors them.
        diagonal: Whether to scan along the diagonals too.
        backbone_weights: Weights of VMamba for the encoder to start from; the width is that of
            VMamba then (96 or 128). Scans along diagonals start from those along rows and columns.

    Raises:
        BadParameter: If the width is no multiple of 16, or not that of the weights.
        MissingWeights: If weights are not here and cannot be downloaded.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 6,
        width: int = 64,
        depths: tuple[int, int, int, int] = _DEPTHS,
        diagonal: bool = True,
        backbone_weights: VMamba_Weights | None = None,
    ) -> None:
        super().__init__()
        size = VMambaSize(width, depths, _DROP_PATH)
        self.encoder = VMamba(size, in_chans, partial(HVSSBlock, diagonal=diagonal))
        if backbone_weights:
            _load_encoder(self.encoder, width, backbone_weights)
        self.levels = nn.ModuleList(
            _Level(channels, depth, diagonal)
            for channels, depth in zip(size.dims[-2::-1], depths[-2::-1], strict=True)
        )
        self.enlarge = nn.Sequential(_Expand(width), _Expand(width // 2))
        self.head = nn.Linear(width // 4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: Images (b, c, h, w) of any size, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        *encoded, coarsest = self.encoder(x)
        decoded = rearrange(coarsest, 'b c h w -> b h w c')
        for level, features in zip(self.levels, encoded[::-1], strict=True):
            decoded = level(decoded, features)
        logits = rearrange(self.head(self.enlarge(decoded)), 'b h w k -> b k h w')
        return logits[..., : x.shape[-2], : x.shape[-1]]


def _load_encoder(encoder: VMamba, width: int, weights: VMamba_Weights) -> None:
    """Start from VMamba; norms of features and branches of convolutions stay as they are."""
    published_width = SIZES[weights.meta['model'].removeprefix('vmamba_')].width
    if width != published_width:
        raise BadParameter(
            f'width is {width}, but that of {weights} is {published_width}.',
            f'Make width {published_width}, or choose other backbone_weights.',
        )
    published = own_names(weights_of_checkpoint(read_state(weights)))
    state = {}
    for key, value in encoder.state_dict().items():
        if key.startswith('outnorm') or '.local.' in key:
            state[key] = value
        elif key in published:
            found = published[key]
            doubled = 2 * len(found) == len(value)
            state[key] = torch.cat([found, found]) if doubled else found
    load_fitting(encoder, state, [FIRST_LAYER])


def cvmhunet(
    in_chans: int = 3,
    num_classes: int = 6,
    width: int = 64,
    diagonal: bool = True,
    backbone_weights: VMamba_Weights | None = None,
) -> CVMHUNet:
    """Build CVMH-UNet from its description, 16 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.3390/rs17081390

    Args:
        in_chans: Bands of the images.
        num_classes: Channels of the output.
        width: Channels of the first stage, a multiple of 16.
        diagonal: Whether to scan along the diagonals too.
        backbone_weights: Weights of VMamba for the encoder to start from; ``width`` must be theirs,
            96 or 128.

    Returns:
        The model, at random weights but for those of the encoder: none are published.

    Raises:
        BadParameter: If the width is no multiple of 16, or not that of the weights.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return CVMHUNet(in_chans, num_classes, width, _DEPTHS, diagonal, backbone_weights)
