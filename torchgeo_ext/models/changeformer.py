"""ChangeFormer, a Siamese hierarchical transformer.

Bandara, W. G. C., Patel, V. M. (2022). A transformer-based Siamese network for change detection.
IGARSS. https://arxiv.org/abs/2201.01293

Axes: b batch, t date, c channel, h height, w width.
"""

import re
from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders.mix_transformer import (
    LayerNorm,
    MixVisionTransformer,
    OverlapPatchEmbed,
)
from torch import Tensor, nn

from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._weights import accept_published_names

_WIDTHS = (64, 128, 320, 512)
_DEPTHS = (3, 3, 4, 3)


class _Compare(nn.Module):
    """Compares the features of two dates at one scale."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, width)
        self.difference = nn.Sequential(*_convolutions(2 * width, width), nn.ReLU())

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Map two (b, c, h, w) to one (b, k, h, w)."""
        dates = (self.linear(date.movedim(1, -1)).movedim(-1, 1) for date in (before, after))
        return self.difference(torch.cat([*dates], dim=1))


class _Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        # weighted as published
        return x + 0.1 * self.conv2(F.relu(self.conv1(x)))


def _convolutions(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, padding=1),
    )


class ChangeFormer(nn.Module):
    """ChangeFormer, version 6.

    A Siamese encoder like SegFormer's, with larger and overlapping patches; the dates are compared
    at four scales from coarse to fine.

    The authors publish weights trained on LEVIR-CD and DSIFN as zip archives under
    https://github.com/wgcban/ChangeFormer/releases/tag/v0.1.0 (MIT); ``load_state_dict`` takes the
    ``best_ckpt.pt`` inside as it is. They are for RGB from -1 to 1.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        width: Channels of the decoder.
    """

    def __init__(self, in_chans: int = 3, num_classes: int = 2, width: int = 256) -> None:
        super().__init__()
        self.encoder = MixVisionTransformer(
            in_chans=in_chans,
            embed_dims=[*_WIDTHS],
            num_heads=[1, 2, 4, 8],
            qkv_bias=True,
            drop_rate=0.1,
            attn_drop_rate=0.1,
            drop_path_rate=0.1,
            norm_layer=partial(LayerNorm, eps=1e-6),
            depths=[*_DEPTHS],
        )
        for number, (channels, following) in enumerate(pairwise(_WIDTHS), 2):
            patches = OverlapPatchEmbed(
                patch_size=7, stride=2, in_chans=channels, embed_dim=following
            )
            setattr(self.encoder, f'patch_embed{number}', patches)
        self.compare = nn.ModuleList(_Compare(channels, width) for channels in _WIDTHS)
        self.predict = nn.ModuleList(_convolutions(width, num_classes) for _ in _WIDTHS)
        self.fuse = nn.Sequential(nn.Conv2d(4 * width, width, 1), nn.BatchNorm2d(width))
        self.upsample = nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
            _Residual(width),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
            _Residual(width),
        )
        self.classify = nn.Conv2d(width, num_classes, 3, padding=1)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        height, width = x.shape[-2:]
        return self.scales(x)[-1][..., :height, :width]

    def scales(self, x: Tensor) -> list[Tensor]:
        """Predict at every scale, as the published training does.

        Args:
            x: Images before and after (b, t=2, c, h, w).

        Returns:
            Logits (b, k, h', w') at 1/32, 1/16, 1/8, 1/4 and all of the resolution; height and
            width are padded to multiples of 32 first.
        """
        dates = [self.encoder(image) for image in two_dates(x, multiple=32)]
        differences: list[Tensor] = []
        # from coarse to fine, each on top of the coarser one
        for compare, before, after in zip(*map(reversed, (self.compare, *dates)), strict=True):
            difference = compare(before, after)
            if differences:
                difference = difference + F.interpolate(
                    differences[-1], scale_factor=2, mode='bilinear'
                )
            differences.append(difference)
        finest = differences[-1]
        upsampled = [
            F.interpolate(difference, finest.shape[2:], mode='bilinear')
            for difference in differences
        ]
        fused = self.upsample(self.fuse(torch.cat(upsampled, dim=1)))
        predictions = [
            predict(difference)
            for predict, difference in zip(reversed(self.predict), differences, strict=True)
        ]
        return [*predictions, self.classify(fused)]


#: Names of the published code and ours.
_RENAMED = (
    (r'^Tenc_x2\.', 'encoder.'),
    (r'^TDec_x2\.linear_fuse\.', 'fuse.'),
    (r'^TDec_x2\.convd2x\.conv2d\.', 'upsample.0.'),
    (r'^TDec_x2\.dense_2x\.0\.(conv\d)\.conv2d\.', r'upsample.1.\1.'),
    (r'^TDec_x2\.convd1x\.conv2d\.', 'upsample.2.'),
    (r'^TDec_x2\.dense_1x\.0\.(conv\d)\.conv2d\.', r'upsample.3.\1.'),
    (r'^TDec_x2\.change_probability\.conv2d\.', 'classify.'),
    *(
        (rf'^TDec_x2\.{old}{scale + 1}\.', new.format(scale))
        for old, new in (
            ('linear_c', 'compare.{}.linear.'),
            ('diff_c', 'compare.{}.difference.'),
            ('make_pred_c', 'predict.{}.'),
        )
        for scale in range(4)
    ),
    (r'\.linear\.proj\.', '.linear.'),
)


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        for old, new in _RENAMED:
            key = re.sub(old, new, key)
        own[key] = value
    return own


def changeformer(in_chans: int = 3, num_classes: int = 2) -> ChangeFormer:
    """Build ChangeFormer.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2201.01293

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.

    Returns:
        The model.
    """
    return ChangeFormer(in_chans, num_classes)
