"""TinyCD, a change detection network of 0.3 million parameters.

Codegoni, A., Lombardi, G., Ferrari, A. (2023). TINYCD: a (not so) deep learning model for change
detection. Neural Computing and Applications 35, 8471-8486. https://arxiv.org/abs/2207.13159

The attributes have the names the published checkpoints use.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torchvision.transforms.v2 as T
from einops import rearrange
from torch import Tensor, nn
from torchvision.models import EfficientNet_B4_Weights, Weights, WeightsEnum, efficientnet_b4

from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._weights import load_fitting, read_state

_IMAGENET = T.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
_TRANSFORMS = nn.Sequential(T.Normalize(mean=[0.0], std=[255.0]), _IMAGENET)
_REPOSITORY = 'https://github.com/AndreaCodegoni/Tiny_model_4_CD'
_FILES = (
    'https://raw.githubusercontent.com/AndreaCodegoni/Tiny_model_4_CD/'
    '1696827ffb7473c448591aaaa4434d4d4934a1ba/pretrained_models'
)
_META = {
    'model': 'tinycd',
    'encoder': 'efficientnet_b4',
    'in_chans': 3,
    'num_classes': 1,
    'bands': ('R', 'G', 'B'),
    'classes': ('building change',),
    'publication': 'https://arxiv.org/abs/2207.13159',
    'repo': _REPOSITORY,
    'license': 'research and non-commercial use only (README of the repository)',
}


class TinyCD_Weights(WeightsEnum):
    """Published weights of TinyCD: change of buildings between two RGB images.

    They may be used for research and non-commercial purposes only.
    """

    LEVIR_CD = Weights(
        url=f'{_FILES}/levir_best.pth',
        transforms=_TRANSFORMS,
        meta={
            **_META,
            'dataset': 'LEVIR-CD',
            'resolution': 0.5,
            'sha256': '743645b87199c96bd0c3271ae5df6f0918b3f1d84618dfb9396843ca08ee4a3e',
        },
    )
    WHU_CD = Weights(
        url=f'{_FILES}/whu_best.pth',
        transforms=_TRANSFORMS,
        meta={
            **_META,
            'dataset': 'WHU-CD',
            'resolution': 0.2,
            'sha256': '13759cd8ccaa1397ad086a848f6d306ccc51df1ae468aecdfc2a7722fc5a8fb4',
        },
    )


class _Mixing(nn.Module):
    """Mixes two dates: each channel of one with the same channel of the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._convmix = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1, groups=channels),
            nn.PReLU(),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Mix two (b, c, h, w) to one."""
        return self._convmix(rearrange([before, after], 't b c h w -> b (c t) h w'))


class _Pixelwise(nn.Module):
    """A perceptron applied to each pixel, with or without a last activation."""

    def __init__(self, widths: Sequence[int], activate_last: bool = True) -> None:
        super().__init__()
        layers = [
            nn.Sequential(nn.Conv2d(width, following, 1), nn.PReLU())
            for width, following in pairwise(widths)
        ]
        if not activate_last:
            del layers[-1][1]
        self._linears = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, last width, h, w)."""
        return self._linears(x)


class _MixingAttention(nn.Module):
    """Mixes two dates to a mask of one channel that weights the decoder's features."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self._mixing = _Mixing(channels)
        self._linear = _Pixelwise((channels, *widths, 1))

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Mix two (b, c, h, w) to (b, 1, h, w)."""
        return self._linear(self._mixing(before, after))


class _Up(nn.Module):
    """Doubles the resolution, applies a mask and convolves."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self._upsample = nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)
        self._convolution = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels),
            nn.PReLU(),
            nn.InstanceNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 1),
            nn.PReLU(),
            nn.InstanceNorm2d(out_channels),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (b, c, h, w) and a mask (b, 1, 2h, 2w) to (b, k, 2h, 2w)."""
        return self._convolution(self._upsample(x) * mask)


class TinyCD(nn.Module):
    """TinyCD with the first four stages of EfficientNet-B4 as its encoder.

    A Siamese encoder sees each date alone; at every scale the dates are mixed channel by channel,
    at the three finer ones to a mask that weights the decoder's features.

    The features are normalised over each image (instance normalisation), so what a pixel gets
    depends on the whole input: predict with tiles about as large as those trained with.

    The published code takes the two images one by one and returns probabilities:
    ``torch.sigmoid(model(torch.stack((before, after), dim=1)))`` is the same.

    Args:
        in_channels: Bands of each image.
        num_classes: Channels of the output; 1 for change or not.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 1) -> None:
        super().__init__()
        self._backbone = efficientnet_b4().features[:4]
        if in_channels != 3:
            stem = nn.Conv2d(in_channels, 48, 3, stride=2, padding=1, bias=False)
            nn.init.kaiming_normal_(stem.weight, mode='fan_out')
            self._backbone[0][0] = stem
        self._first_mix = _MixingAttention(in_channels, (10, 5))
        self._mixing_mask = nn.ModuleList(
            [_MixingAttention(24, (12, 6)), _MixingAttention(32, (16, 8)), _Mixing(56)]
        )
        self._up = nn.ModuleList([_Up(56, 64), _Up(64, 64), _Up(64, 32)])
        self._classify = _Pixelwise((32, 16, 8, num_classes), activate_last=False)
        self.register_load_state_dict_pre_hook(_rename_old_keys)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        height, width = x.shape[-2:]
        # the encoder halves three times, and the coarsest map needs two pixels to normalise
        before, after = two_dates(x, multiple=8, smallest=16)
        *masks, mixed = self.mix(before, after)
        for up, mask in zip(self._up, reversed(masks), strict=True):
            mixed = up(mixed, mask)
        return self._classify(mixed)[..., :height, :width]

    def mix(self, before: Tensor, after: Tensor) -> list[Tensor]:
        """Encode and mix two dates.

        Args:
            before: First image (b, c, h, w); height and width are multiples of 8.
            after: Second image, of the same shape.

        Returns:
            Masks (b, 1, h, w), (b, 1, h/2, w/2), (b, 1, h/4, w/4) and features
            (b, 56, h/8, w/8).
        """
        mixed = [self._first_mix(before, after)]
        before, after = self._backbone[0](before), self._backbone[0](after)
        for stage, mixing in zip(self._backbone[1:], self._mixing_mask, strict=True):
            before, after = stage(before), stage(after)
            mixed.append(mixing(before, after))
        return mixed


def _rename_old_keys(
    module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any
) -> None:
    """Bring keys of ``whu_best.pth``, written by older code, to today's names."""
    old, new = (f'{prefix}_mixing_mask.2.{name}_convmix.' for name in ('_mixing.', ''))
    for key in [key for key in state_dict if key.startswith(old)]:
        state_dict[new + key.removeprefix(old)] = state_dict.pop(key)


def tinycd(
    weights: TinyCD_Weights | None = None,
    in_channels: int = 3,
    num_classes: int = 1,
    backbone_weights: EfficientNet_B4_Weights | None = None,
) -> TinyCD:
    """Build TinyCD.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2207.13159

    Args:
        weights: Published weights of the whole network. Filters of the three colours are repeated
            and scaled for other numbers of bands; for other numbers of classes the last layer
            starts at random.
        in_channels: Bands of each image.
        num_classes: Channels of the output; 1 for change or not.
        backbone_weights: Weights of the encoder alone, from which the authors started their
            training; not together with ``weights``.

    Returns:
        The model.

    Raises:
        ValueError: If both weights are given.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    if weights and backbone_weights:
        raise ValueError('weights has a backbone already; leave out backbone_weights')
    model = TinyCD(in_channels, num_classes)
    if weights:
        state = read_state(weights)
        for key in _PER_BAND:
            state[key] = state[key][torch.arange(in_channels) % 3]
        load_fitting(model, state, _OVER_BANDS, ['_classify.'])
    if backbone_weights:
        encoder = {
            key.removeprefix('features.'): value
            for key, value in read_state(backbone_weights).items()
            if key.startswith(('features.0.', 'features.1.', 'features.2.', 'features.3.'))
        }
        load_fitting(model._backbone, encoder, ['0.0.weight'])
    return model


#: Layers whose filters run over the bands, and layers that have an entry for each band.
_OVER_BANDS = ('_backbone.0.0.weight', '_first_mix._linear._linears.0.0.weight')
_PER_BAND = ('_first_mix._mixing._convmix.0.weight', '_first_mix._mixing._convmix.0.bias')
