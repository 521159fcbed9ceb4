"""CFNet, which focuses on where the contents of two dates differ.

Wu, F. et al. (2025). CFNet: optimizing remote sensing change detection through content-aware
enhancement. IEEE JSTARS. https://arxiv.org/abs/2503.08505

Axes: b batch, t date, c channel, h height, w width.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchvision.transforms.v2 as T
from einops import rearrange
from einops.layers.torch import Rearrange
from torch import Tensor, nn
from torchvision.models import EfficientNet_B5_Weights, Weights, WeightsEnum, efficientnet_b5
from torchvision.models.resnet import BasicBlock

from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._weights import (
    accept_published_names,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)

_FILES = 'https://huggingface.co/wifibk/CFNet/resolve/main'


def _normalise(means: Sequence[float], stds: Sequence[float]) -> nn.Sequential:
    """Normalise pairs (..., t=2, c=3, h, w) of values 0 to 255, each date by numbers of its own."""
    return nn.Sequential(
        T.Normalize(mean=[0.0], std=[255.0]),
        Rearrange('... t c h w -> ... (t c) h w'),
        T.Normalize(mean=[*means], std=[*stds]),
        Rearrange('... (t c) h w -> ... t c h w', t=2),
    )


_META = {
    'model': 'cfnet',
    'encoder': 'efficientnet_b5',
    'in_chans': 3,
    'num_classes': 1,
    'bands': ('B', 'G', 'R'),
    'publication': 'https://arxiv.org/abs/2503.08505',
    'repo': 'https://github.com/wifiBlack/CFNet',
    'license': 'Apache-2.0 (the repository); the file itself names none',
}
# the authors use those of LEVIR-CD for CLCD too
_LEVIR_CD = _normalise(
    (0.45028868, 0.44673658, 0.38134101, 0.34578751, 0.33841163, 0.28902323),
    (0.17450373, 0.16485656, 0.15314709, 0.1292925, 0.12592704, 0.11870409),
)
_SYSU_CD = _normalise(
    (0.39659573, 0.52846194, 0.46540028, 0.40202362, 0.48766126, 0.39895686),
    (0.20213536, 0.15811189, 0.15296702, 0.18235275, 0.15682769, 0.1543715),
)


class CFNet_Weights(WeightsEnum):
    """Published weights of CFNet, for images in the order blue, green, red."""

    CLCD = Weights(
        url=f'{_FILES}/clcd.pth',
        transforms=_LEVIR_CD,
        meta={
            **_META,
            'dataset': 'CLCD',
            'classes': ('cropland change',),
            'resolution': (0.5, 2.0),
        },
    )
    LEVIR_CD = Weights(
        url=f'{_FILES}/levir-cd.pth',
        transforms=_LEVIR_CD,
        meta={**_META, 'dataset': 'LEVIR-CD', 'classes': ('building change',), 'resolution': 0.5},
    )
    SYSU_CD = Weights(
        url=f'{_FILES}/sysu-cd.pth',
        transforms=_SYSU_CD,
        meta={**_META, 'dataset': 'SYSU-CD', 'classes': ('change',), 'resolution': 0.5},
    )


#: Channels of the encoder's four maps, from 1/16 to 1/2 of the resolution.
_WIDTHS = (128, 64, 40, 24)

#: Above this score a pixel counts as changed.
_THRESHOLD = 0.5


class Contents(NamedTuple):
    """Content features of both dates and where they differ, from coarse to fine.

    Attributes:
        before: Four maps (b, c, h, w).
        after: Likewise.
        focus: Maps (b, 1, h, w), from 0 where contents agree to about 1.
    """

    before: list[Tensor]
    after: list[Tensor]
    focus: list[Tensor]


class CFNetOutput(NamedTuple):
    """What the published training compares.

    Attributes:
        change: Logits (b, k, h, w).
        score: The published score (b, k, h, w), from -1 to 1.
        contents: Content features.
    """

    change: Tensor
    score: Tensor
    contents: Contents


class _Aggregation(nn.Module):
    """Doubles the resolution of features and joins them with finer ones."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.upsample = _double(channels, channels)
        self.conv1 = nn.Sequential(
            nn.Conv2d(channels + width, width, 1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.residual1 = BasicBlock(width, width)
        self.residual2 = BasicBlock(width, width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Join (b, c, h, w) and (b, k, 2h, 2w) to (b, k, 2h, 2w)."""
        joined = self.conv1(torch.cat([self.upsample(coarse), fine], dim=1))
        return self.residual2(self.residual1(joined))


def _double(channels: int, width: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, width, 3, stride=2, padding=1, output_padding=1, bias=False)


def _aggregations() -> nn.ModuleList:
    return nn.ModuleList(_Aggregation(channels, width) for channels, width in pairwise(_WIDTHS))


class _ContentDecoder(nn.Module):
    """Brings the encoder's maps of one date to its content features."""

    def __init__(self) -> None:
        super().__init__()
        self.aggregations = _aggregations()

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map four features, coarse to fine, to four of the same shapes."""
        contents = [features[0]]
        for aggregate, fine in zip(self.aggregations, features[1:], strict=True):
            contents.append(aggregate(contents[-1], fine))
        return contents


class _ChangeDecoder(nn.Module):
    """Fuses the contents of both dates where they differ."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fuse = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(width, width, (2, 3, 3), stride=(2, 1, 1), padding=(0, 1, 1)),
                nn.BatchNorm3d(width),
                nn.ReLU(),
            )
            for width in _WIDTHS
        )
        self.aggregations = _aggregations()
        self.upsample = _double(_WIDTHS[-1], num_classes)

    def forward(self, contents: Contents) -> Tensor:
        """Give one map (b, k, h, w) of twice the resolution of the finest contents."""
        fused = [
            fuse(rearrange([before, after], 't b c h w -> b c t h w')).squeeze(2) * focus
            for fuse, before, after, focus in zip(self.fuse, *contents, strict=True)
        ]
        change = fused[0]
        for aggregate, fine in zip(self.aggregations, fused[1:], strict=True):
            change = aggregate(change, fine)
        return self.upsample(change)


class CFNet(nn.Module):
    """CFNet on the first stages of EfficientNet-B5.

    A Siamese encoder, one decoder of contents per date, and a change decoder that looks where the
    contents of the dates differ in direction.

    The published score is a hyperbolic tangent of which 0.5 is the threshold; ``forward`` gives
    logits that cross zero at the same place, :meth:`score` gives the score. For training as
    published, with :class:`torchgeo_ext.losses.ContentLoss`, see :meth:`contents`.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 1 for change or not.
    """

    def __init__(self, in_chans: int = 3, num_classes: int = 1) -> None:
        super().__init__()
        self.encoder = efficientnet_b5().features[:5]
        if in_chans != 3:
            stem = nn.Conv2d(in_chans, 48, 3, stride=2, padding=1, bias=False)
            nn.init.kaiming_normal_(stem.weight, mode='fan_out')
            self.encoder[0][0] = stem
        self.content_decoder_1 = _ContentDecoder()
        self.content_decoder_2 = _ContentDecoder()
        self.change_decoder = _ChangeDecoder(num_classes)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        return self.outputs(x).change

    def score(self, x: Tensor) -> Tensor:
        """Give the published score (b, k, h, w), above 0.5 where changed."""
        return self.outputs(x).score

    def outputs(self, x: Tensor) -> CFNetOutput:
        """Give all that the published training compares.

        Args:
            x: Images before and after (b, t=2, c, h, w).
        """
        height, width = x.shape[-2:]
        contents = self.contents(x)
        raw = self.change_decoder(contents)[..., :height, :width]
        # sigmoid(2 u) = (1 + tanh(u)) / 2; then moved so that the threshold is at zero
        return CFNetOutput(2 * raw - 2 * math.atanh(_THRESHOLD), raw.tanh(), contents)

    def contents(self, x: Tensor) -> Contents:
        """Give the content features of both dates.

        Args:
            x: Images before and after (b, t=2, c, h, w).

        Returns:
            Four maps per date at 1/16 to 1/2 of the resolution; height and width are padded to
            multiples of 16 first.
        """
        before, after = (self.encode(image) for image in two_dates(x, multiple=16))
        before, after = self.content_decoder_1(before), self.content_decoder_2(after)
        focus = [
            (1 - F.cosine_similarity(one, other, dim=1)[:, None]).tanh()
            for one, other in zip(before, after, strict=True)
        ]
        return Contents(before, after, focus)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Give the features of one date (b, c, h, w) from 1/16 to 1/2 of the resolution."""
        features = [image]
        for stage in self.encoder:
            features.append(stage(features[-1]))
        return features[:1:-1]


#: Names of the published code and ours.
_RENAMED = {
    'encoder._backbone.': 'encoder.',
    '.conv1.block.': '.conv1.',
    'change_decoder.upconv.0.': 'change_decoder.upsample.',
}


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename, and leave out modules that have weights but no effect."""
    own = {}
    for key, value in state.items():
        if '.cbam.' in key or key.startswith('change_decoder.fuseconv3ds.4.'):
            continue
        for old, new in _RENAMED.items():
            key = key.replace(old, new)
        if 'fuseconv3ds' in key:
            key = key.replace('fuseconv3ds', 'fuse').replace('.conv.', '.')
        own[key] = value
    return own


def cfnet(
    weights: CFNet_Weights | None = None,
    in_chans: int = 3,
    num_classes: int = 1,
    backbone_weights: EfficientNet_B5_Weights | None = None,
) -> CFNet:
    """Build CFNet.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2503.08505

    Args:
        weights: Published weights of the whole network. Filters of the three colours are repeated
            and scaled for other numbers of bands; for other numbers of classes the last layer
            starts at random.
        in_chans: Bands of each image.
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
    model = CFNet(in_chans, num_classes)
    if weights:
        state = _own_names(weights_of_checkpoint(read_state(weights)))
        load_fitting(model, state, ['encoder.0.0.weight'], ['change_decoder.upsample.'])
    if backbone_weights:
        encoder = {
            key.removeprefix('features.'): value
            for key, value in read_state(backbone_weights).items()
            if key.startswith(
                ('features.0.', 'features.1.', 'features.2.', 'features.3.', 'features.4.')
            )
        }
        load_fitting(model.encoder, encoder, ['0.0.weight'])
    return model
