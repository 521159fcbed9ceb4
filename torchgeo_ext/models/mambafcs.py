"""Mamba-FCS: semantic change detection with state space models, frequencies and guided decoders.

Wijenayake, B., Ratnayake, A., Sumanasekara, P., et al. (2025). Mamba-FCS: joint spatio-frequency
feature fusion, change-guided attention, and SeK-inspired loss for enhanced semantic change
detection in remote sensing. https://arxiv.org/abs/2508.08232

The attributes have the names of the published code.

Axes: b batch, t date, c channel, h height, w width, k classes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.models._pairs import SemanticChange, two_dates
from torchgeo_ext.models._vss import ResidualBlock, enlarge, vss_layers
from torchgeo_ext.models._weights import (
    accept_published_names,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.models.vmamba import (
    FIRST_LAYER,
    IMAGENET,
    SIZES,
    VMamba,
    VMamba_Weights,
    VMambaSize,
    load_backbone,
)

#: Channels per hidden channel in gates.
_REDUCTION = 16
#: Stages of the encoder as the published names count them, coarse to fine.
_STAGES = (4, 3, 2, 1)
#: What height and width are padded to a multiple of: the stride of the last stage.
_STRIDE = 32


class MambaFCS_Weights(WeightsEnum):
    """Published weights of Mamba-FCS."""

    SECOND_BASE = Weights(
        url='https://huggingface.co/buddhi19/MambaFCS/resolve/main/SECOND_SeK_0.255.pth',
        transforms=IMAGENET,
        meta={
            'model': 'mambafcs_base',
            'dataset': 'SECOND',
            'in_chans': 3,
            'num_classes': 7,
            'bands': ('R', 'G', 'B'),
            'publication': 'https://arxiv.org/abs/2508.08232',
            'repo': 'https://github.com/Buddhi19/MambaFCS',
            'license': 'MIT (that of the code)',
            'sha256': 'b1f3252f2761fd63c0b6076ee0abdc5c95a079716f0ff29733581d6d327a1522',
        },
    )


class _SpatialGate(nn.Module):
    """Weights pixels by what a convolution makes of two maps that summarise the channels."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=bias)

    def forward(self, x: Tensor, *summaries: Tensor) -> Tensor:
        """Weight x (b, c, h, w) by two summaries (b, 1, h, w)."""
        return x * torch.sigmoid(self.conv(torch.cat(summaries, dim=1)))


class _ChannelGate(nn.Module):
    """Weights channels by what a convolution along them makes of their means."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 5, padding=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of x (b, c, h, w)."""
        gate = self.conv(x.mean((2, 3))[:, None])
        return x * torch.sigmoid(gate)[:, 0, :, None, None]


class _Linear(nn.Linear):
    """A linear layer that may have no inputs or outputs, as in the head of two classes."""

    def reset_parameters(self) -> None:
        """Start at random."""
        if self.weight.numel():
            super().reset_parameters()
        else:
            nn.init.zeros_(self.bias)


class _Perceptron(nn.Module):
    """Gives weights from 0 to 2 to channels by their means and their maxima."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // _REDUCTION
        self.fc = nn.Sequential(
            _Linear(channels, hidden), nn.ReLU(), _Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of x (b, c, h, w)."""
        gate = self.fc(x.mean((2, 3))) + self.fc(x.amax((2, 3)))
        return x * gate[..., None, None]


class _SqueezeExcitation(nn.Module):
    """Weights channels by what a perceptron makes of their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // _REDUCTION
        self.excitation = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of x (b, c, h, w)."""
        return x * self.excitation(x.mean((2, 3)))[..., None, None]


class _PyramidFusion(nn.Module):
    """Changes the number of channels with convolutions of three sizes and two gates."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(channels, out_channels, 1)
        self.branch1 = nn.Sequential(
            nn.Conv2d(channels, out_channels, 1), *_normalised(out_channels)
        )
        self.branch3 = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, padding=1), *_normalised(out_channels)
        )
        self.branch5 = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
            nn.Conv2d(channels, out_channels, 1),
            *_normalised(out_channels),
        )
        self.channel_att = _Perceptron(3 * out_channels)
        self.spatial_att = _SpatialGate(bias=True)
        self.final_conv = nn.Sequential(
            nn.Conv2d(3 * out_channels, out_channels, 1), *_normalised(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, k, h, w)."""
        branches = [branch(x) for branch in (self.branch1, self.branch3, self.branch5)]
        y = self.channel_att(torch.cat(branches, dim=1))
        y = self.spatial_att(y, y.mean(1, keepdim=True), y.amax(1, keepdim=True))
        return self.final_conv(y) + self.shortcut(x)


def _normalised(channels: int) -> tuple[nn.Module, ...]:
    return nn.BatchNorm2d(channels), nn.ReLU()


class _Spectrum(nn.Module):
    """Describes how strongly each frequency of an image occurs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), *_normalised(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the same shape."""
        # there is no transform of half precision for all sizes
        with torch.autocast(x.device.type, enabled=False):
            strength = torch.log1p(torch.fft.fft2(x.float(), norm='ortho').abs())
        return self.proj(strength)


class _Idle(nn.Module):
    """The attention that is in the published weights and that nothing there calls."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.requires_grad_(False)


class _Fusion(nn.Module):
    """Joins two dates, their frequencies and their difference."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fft_pre = _Spectrum(channels)
        self.fft_post = _Spectrum(channels)
        self.reduce_conv = nn.Conv2d(5 * channels, channels, 1, bias=False)
        self.reduce_bn = nn.BatchNorm2d(channels)
        self.ch_gate = _ChannelGate()
        self.sp_gate = _SpatialGate(bias=False)
        self.cross_attn = _Idle(channels)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Join two (b, c, h, w) to one."""
        parts = before, self.fft_pre(before), after, self.fft_post(after), (before - after).abs()
        y = F.relu(self.reduce_bn(self.reduce_conv(torch.cat(parts, dim=1))))
        y = self.ch_gate(y)
        return self.sp_gate(y, y.amax(1, keepdim=True), y.mean(1, keepdim=True))


class _Decoder(nn.Module):
    """Scans maps from coarse to fine, each at the width of its stage.

    Args:
        dims: Channels of the maps, fine to coarse.
        scan: Name of the scan of a stage.
        smooth: Name of what joins a stage with the coarser one.
    """

    def __init__(self, dims: Sequence[int], scan: str, smooth: str) -> None:
        super().__init__()
        self._scan, self._smooth = scan, smooth
        for stage in _STAGES:
            width = dims[stage - 1]
            self.add_module(scan.format(stage), nn.Sequential(*vss_layers(width)))
            if stage < len(dims):
                gate = _SqueezeExcitation(width)
                self.add_module(smooth.format(stage), ResidualBlock(width, gate))
                self.add_module(f'down_sample_{4 - stage}', _PyramidFusion(dims[stage], width))

    def scan(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Scan maps (b, c, h, w), coarse to fine, and give what each becomes."""
        scanned: list[Tensor] = []
        for stage, own in zip(_STAGES, maps, strict=True):
            if scanned:
                coarse = self.get_submodule(f'down_sample_{4 - stage}')(scanned[-1])
                smooth = self.get_submodule(self._smooth.format(stage))
                own = smooth(enlarge(coarse, own) + own)
            scanned.append(self.get_submodule(self._scan.format(stage))(own))
        return scanned


class _ChangeDecoder(_Decoder):
    """Relates the dates.

    Args:
        dims: Channels of the features, fine to coarse.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__(dims, scan='st_block_{}1', smooth='smooth_layer_{}')
        for number, width in enumerate(reversed(dims), start=1):
            self.add_module(f'fuse_layer_{number}', _Fusion(width))

    def forward(self, before: Sequence[Tensor], after: Sequence[Tensor]) -> list[Tensor]:
        """Decode features of both dates, fine to coarse, to maps of change, coarse to fine."""
        dates = zip(reversed(before), reversed(after), strict=True)
        return self.scan(
            [
                self.get_submodule(f'fuse_layer_{number}')(*pair)
                for number, pair in enumerate(dates, start=1)
            ]
        )


class _SemanticDecoder(_Decoder):
    """Decodes one date where something changed.

    Args:
        dims: Channels of the features, fine to coarse.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__(dims, scan='st_block_{}_semantic', smooth='smooth_layer_{}_semantic')
        self.smooth_layer_0_semantic = ResidualBlock(dims[0], _SqueezeExcitation(dims[0]))

    def forward(self, features: Sequence[Tensor], change: Sequence[Tensor]) -> Tensor:
        """Decode features, fine to coarse, with maps of change, coarse to fine."""
        guided = [
            own * torch.sigmoid(guide)
            for own, guide in zip(reversed(features), change, strict=True)
        ]
        return self.smooth_layer_0_semantic(self.scan(guided)[-1])


class MambaFCS(nn.Module):
    """Mamba-FCS for change and the land cover of both dates.

    Args:
        size: Width and depth of the encoder, which sees each date alone.
        in_chans: Bands of each image.
        num_classes: Classes of land cover. In the published weights the first is no class but
            marks pixels that did not change.
    """

    def __init__(self, size: VMambaSize, in_chans: int = 3, num_classes: int = 7) -> None:
        super().__init__()
        self.encoder = VMamba(size, in_chans)
        self.decoder_bcd = _ChangeDecoder(size.dims)
        self.decoder_T1 = _SemanticDecoder(size.dims)
        self.decoder_T2 = _SemanticDecoder(size.dims)
        self.main_clf_cd = _PyramidFusion(size.width, 2)
        self.aux_clf = _PyramidFusion(size.width, num_classes)
        accept_published_names(self, dict)

    def forward(self, x: Tensor) -> SemanticChange:
        """Detect change and land cover.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits of change and of the land cover of both dates.
        """
        height, width = x.shape[-2:]
        before, after = two_dates(x, multiple=_STRIDE)
        earlier, later = self.encoder(before), self.encoder(after)
        change = self.decoder_bcd(earlier, later)
        maps = (
            self.main_clf_cd(change[-1]),
            self.aux_clf(self.decoder_T1(earlier, change)),
            self.aux_clf(self.decoder_T2(later, change)),
        )
        return SemanticChange(*(enlarge(logits, before)[..., :height, :width] for logits in maps))


def mambafcs_base(
    weights: MambaFCS_Weights | None = None,
    in_chans: int = 3,
    num_classes: int = 7,
    backbone_weights: VMamba_Weights | None = None,
) -> MambaFCS:
    """Build Mamba-FCS, 206 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2508.08232

    Args:
        weights: Published weights of the whole network. Filters of the three colours are repeated
            and scaled for other numbers of bands; for other numbers of classes the last layers of
            the land cover start at random.
        in_chans: Bands of each image.
        num_classes: Classes of land cover; see :class:`MambaFCS`.
        backbone_weights: Weights of the encoder alone, from which the authors started their
            training; not together with ``weights``.

    Returns:
        The model.

    Raises:
        ValueError: If both weights are given.
        BadParameter: If ``backbone_weights`` are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    if weights and backbone_weights:
        raise ValueError('weights has a backbone already; leave out backbone_weights')
    model = MambaFCS(SIZES['base'], in_chans, num_classes)
    if weights:
        state = weights_of_checkpoint(read_state(weights))
        load_fitting(model, state, bands=[f'encoder.{FIRST_LAYER}'], heads=['aux_clf.'])
    if backbone_weights:
        load_backbone(model.encoder, 'base', backbone_weights)
    return model
