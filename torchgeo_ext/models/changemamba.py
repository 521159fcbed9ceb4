"""ChangeMamba: change detection with state space models that scan two dates together.

Chen, H., Song, J., Han, C., Xia, J., Yokoya, N. (2024). ChangeMamba: remote sensing change
detection with spatiotemporal state space model. IEEE TGRS 62. https://arxiv.org/abs/2404.03425

The attributes have the names of today's published code; ``load_state_dict`` also takes the files
the authors publish (https://zenodo.org/records/14037769), whose names are older, as they are. All
of them are for RGB from 0 to 255, normalised as ``ChangeMamba_Weights.SECOND_SCD_TINY.transforms``
does.

Axes: b batch, t date, c channel, h height, w width, k classes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.models._pairs import SemanticChange, two_dates
from torchgeo_ext.models._vss import ResidualBlock, enlarge, vss_layers
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
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

#: Channels of the decoders.
_HIDDEN = 128
#: What height and width are padded to a multiple of: the stride of the last stage.
_STRIDE = 32


class ChangeMamba_Weights(WeightsEnum):
    """Published weights of ChangeMamba whose address is known to the file."""

    SECOND_SCD_TINY = Weights(
        url='https://zenodo.org/records/15479555/files/MambaSCD_Tiny_SECOND_SeK_0.2208.pth',
        transforms=IMAGENET,
        meta={
            'model': 'changemamba_scd_tiny',
            'dataset': 'SECOND',
            'in_chans': 3,
            'num_classes': 7,
            'bands': ('R', 'G', 'B'),
            'publication': 'https://arxiv.org/abs/2404.03425',
            'repo': 'https://github.com/ChenHongruixuan/ChangeMamba',
            'license': 'Apache-2.0 (that of the code)',
            'md5': 'd1c1d50267da8063b9caa56b63ff1396',
        },
    )


class BuildingDamage(NamedTuple):
    """Logits of buildings and of the damage to them.

    Attributes:
        building: (b, 2, h, w).
        damage: (b, k, h, w).
    """

    building: Tensor
    damage: Tensor


class _Dates(nn.ModuleDict):
    """Scans both dates in up to three arrangements.

    Args:
        channels: Channels of each date.
        arrangements: Some of ``cat`` (stacked along the channels), ``interleave`` (columns of both
            by turns) and ``split`` (side by side).
        scanned: Whether there is a scan; else a normalised convolution.
    """

    def __init__(self, channels: int, arrangements: Sequence[str], scanned: bool = True) -> None:
        super().__init__()
        for name in arrangements:
            project = nn.Conv2d(2 * channels if name == 'cat' else channels, _HIDDEN, 1)
            rest = vss_layers(_HIDDEN) if scanned else (nn.BatchNorm2d(_HIDDEN), nn.ReLU())
            self[name] = nn.Sequential(project, *rest)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Map two (b, c, h, w) to (b, n, h, w); n is 128 for ``cat`` and 256 for the others."""
        maps = []
        for name, scan in self.items():
            if name == 'cat':
                maps.append(scan(torch.cat((before, after), dim=1)))
            elif name == 'interleave':
                columns = scan(torch.stack((before, after), dim=-1).flatten(-2))
                maps += columns.unflatten(-1, (-1, 2)).unbind(-1)
            else:
                maps += scan(torch.cat((before, after), dim=-1)).chunk(2, dim=-1)
        return torch.cat(maps, dim=1)


def _normalised(in_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, _HIDDEN, 1), nn.BatchNorm2d(_HIDDEN), nn.ReLU())


class _ChangeDecoder(nn.Module):
    """Relates the dates at each scale, from coarse to fine.

    Args:
        dims: Channels of the features, fine to coarse.
        light: With one arrangement of the dates, and no scan at the finest scale.
    """

    def __init__(self, dims: Sequence[int], light: bool = False) -> None:
        super().__init__()
        arrangements = ('cat',) if light else ('cat', 'interleave', 'split')
        finest = dims[0]
        self.stage_blocks = nn.ModuleList(
            _Dates(width, arrangements, scanned=not (light and width == finest))
            for width in reversed(dims)
        )
        fused = _HIDDEN if light else 5 * _HIDDEN
        self.fuse_layers = nn.ModuleList(_normalised(fused) for _ in dims)
        self.smooth_layers = nn.ModuleList(ResidualBlock(_HIDDEN) for _ in dims[1:])

    def forward(self, before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
        """Decode features of both dates, fine to coarse, to (b, 128, h/4, w/4)."""
        coarse, *finer = (
            fuse(relate(*dates))
            for relate, fuse, *dates in zip(
                self.stage_blocks, self.fuse_layers, reversed(before), reversed(after), strict=True
            )
        )
        for smooth, fused in zip(self.smooth_layers, finer, strict=True):
            coarse = smooth(enlarge(coarse, fused) + fused)
        return coarse


class _SemanticDecoder(nn.Module):
    """Decodes one date, from coarse to fine.

    Args:
        dims: Channels of the features, fine to coarse.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        *finer, coarsest = dims
        self.stage_blocks = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(coarsest, _HIDDEN, 1), *vss_layers(_HIDDEN))]
            + [nn.Sequential(*vss_layers(_HIDDEN)) for _ in finer]
        )
        self.transition_layers = nn.ModuleList(_normalised(width) for width in reversed(finer))
        self.smooth_layers = nn.ModuleList(ResidualBlock(_HIDDEN) for _ in dims)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode features of one date, fine to coarse, to (b, 128, h/4, w/4)."""
        *finer, coarsest = features
        first, *blocks = self.stage_blocks
        *smooth_layers, last = self.smooth_layers
        coarse = first(coarsest)
        for transition, smooth, block, own in zip(
            self.transition_layers, smooth_layers, blocks, reversed(finer), strict=True
        ):
            own = transition(own)
            coarse = block(smooth(enlarge(coarse, own) + own))
        return last(coarse)


class ChangeMambaBCD(nn.Module):
    """ChangeMamba for change or not.

    Args:
        size: Width and depth of the encoder, which sees each date alone.
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
    """

    def __init__(self, size: VMambaSize, in_chans: int = 3, num_classes: int = 2) -> None:
        super().__init__()
        self.encoder = VMamba(size, in_chans)
        self.decoder = _ChangeDecoder(size.dims)
        self.main_clf = nn.Conv2d(_HIDDEN, num_classes, 1)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        before, after = two_dates(x, multiple=_STRIDE)
        change = self.decoder(self.encoder(before), self.encoder(after))
        return _of_size(self.main_clf(change), before, x)


class ChangeMambaSCD(nn.Module):
    """ChangeMamba for change and the land cover of both dates.

    Args:
        size: Width and depth of the encoder, which sees each date alone.
        in_chans: Bands of each image.
        num_classes: Classes of land cover. In the published weights the first is no class but
            marks pixels that did not change, and was never trained.
    """

    def __init__(self, size: VMambaSize, in_chans: int = 3, num_classes: int = 7) -> None:
        super().__init__()
        self.encoder = VMamba(size, in_chans)
        self.decoder_bcd = _ChangeDecoder(size.dims)
        self.decoder_T1 = _SemanticDecoder(size.dims)
        self.decoder_T2 = _SemanticDecoder(size.dims)
        self.main_clf_cd = nn.Conv2d(_HIDDEN, 2, 1)
        self.aux_clf = nn.Conv2d(_HIDDEN, num_classes, 1)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> SemanticChange:
        """Detect change and land cover.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits of change and of the land cover of both dates.
        """
        before, after = two_dates(x, multiple=_STRIDE)
        earlier, later = self.encoder(before), self.encoder(after)
        maps = (
            self.main_clf_cd(self.decoder_bcd(earlier, later)),
            self.aux_clf(self.decoder_T1(earlier)),
            self.aux_clf(self.decoder_T2(later)),
        )
        return SemanticChange(*(_of_size(logits, before, x) for logits in maps))


class _DamageAssessment(nn.Module):
    """Decoders and heads for buildings and damage."""

    def __init__(self, size: VMambaSize, num_classes: int, light: bool) -> None:
        super().__init__()
        self.decoder_damage = _ChangeDecoder(size.dims, light)
        self.decoder_building = _SemanticDecoder(size.dims)
        self.main_clf = nn.Conv2d(_HIDDEN, num_classes, 1)
        self.aux_clf = nn.Conv2d(_HIDDEN, 2, 1)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> BuildingDamage:
        """Find buildings before and their damage after.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits of buildings and of damage.
        """
        before, after = two_dates(x, multiple=_STRIDE)
        earlier, later = self.encode(before, after)
        maps = (
            self.aux_clf(self.decoder_building(earlier)),
            self.main_clf(self.decoder_damage(earlier, later)),
        )
        return BuildingDamage(*(_of_size(logits, before, x) for logits in maps))

    def encode(self, before: Tensor, after: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Give the features of both dates (b, c, h, w)."""
        raise NotImplementedError


class ChangeMambaBDA(_DamageAssessment):
    """ChangeMamba for buildings and the damage to them.

    Args:
        size: Width and depth of the encoder, which sees each date alone.
        in_chans: Bands of each image.
        num_classes: Levels of damage, the first for no building.
    """

    def __init__(self, size: VMambaSize, in_chans: int = 3, num_classes: int = 5) -> None:
        super().__init__(size, num_classes, light=False)
        self.encoder = VMamba(size, in_chans)

    def encode(self, before: Tensor, after: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Give the features of both dates (b, c, h, w), from one encoder."""
        return self.encoder(before), self.encoder(after)


class ChangeMambaMMBDA(_DamageAssessment):
    """ChangeMamba for damage seen by different sensors, with an encoder for each date.

    Published for the BRIGHT data: optical images before, radar images (repeated to three bands)
    after.

    Args:
        size: Width and depth of the encoders.
        in_chans: Bands of each image.
        num_classes: Levels of damage, the first for no building.
    """

    def __init__(self, size: VMambaSize, in_chans: int = 3, num_classes: int = 4) -> None:
        super().__init__(size, num_classes, light=True)
        self.encoder_1 = VMamba(size, in_chans)
        self.encoder_2 = VMamba(size, in_chans)

    def encode(self, before: Tensor, after: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Give the features of both dates (b, c, h, w), each from its encoder."""
        return self.encoder_1(before), self.encoder_2(after)


def _of_size(logits: Tensor, padded: Tensor, x: Tensor) -> Tensor:
    """Enlarge logits to the padded image and cut off the padding."""
    height, width = x.shape[-2:]
    return enlarge(logits, padded)[..., :height, :width]


_ARRANGEMENTS = {'1': 'cat', '2': 'interleave', '3': 'split'}
#: Names of the published files: stages are counted from the finest, 1, to the coarsest, 4.
_OLD_NAMES = {
    r'\.st_block_(\d)_semantic\.': lambda m: f'.stage_blocks.{4 - int(m[1])}.',
    r'\.st_block_(\d)(\d)\.': lambda m: f'.stage_blocks.{4 - int(m[1])}.{_ARRANGEMENTS[m[2]]}.',
    r'\.fuse_layer_(\d)\.': lambda m: f'.fuse_layers.{4 - int(m[1])}.',
    r'\.trans_layer_(\d)\.': lambda m: f'.transition_layers.{3 - int(m[1])}.',
    r'\.smooth_layer_(\d)(?:_semantic)?\.': lambda m: f'.smooth_layers.{3 - int(m[1])}.',
}


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        key = key.removeprefix('model.')
        for old, new in _OLD_NAMES.items():
            key = re.sub(old, new, key)
        own[key] = value
    return own


def changemamba_bcd_tiny(
    in_chans: int = 3, num_classes: int = 2, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaBCD:
    """Build ChangeMamba-Tiny for change or not, 33 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2404.03425

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        backbone_weights: Weights of the encoder alone, from which the authors started their
            training. Filters of the three colours are repeated and scaled for other numbers of
            bands.

    Returns:
        The model.

    Raises:
        BadParameter: If weights are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _build(ChangeMambaBCD, 'tiny', in_chans, num_classes, backbone_weights)


def changemamba_bcd_small(
    in_chans: int = 3, num_classes: int = 2, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaBCD:
    """Build ChangeMamba-Small, 54 million parameters; see :func:`changemamba_bcd_tiny`."""
    return _build(ChangeMambaBCD, 'small', in_chans, num_classes, backbone_weights)


def changemamba_bcd_base(
    in_chans: int = 3, num_classes: int = 2, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaBCD:
    """Build ChangeMamba-Base, 92 million parameters; see :func:`changemamba_bcd_tiny`."""
    return _build(ChangeMambaBCD, 'base', in_chans, num_classes, backbone_weights)


def changemamba_scd_tiny(
    weights: ChangeMamba_Weights | None = None,
    in_chans: int = 3,
    num_classes: int = 7,
    backbone_weights: VMamba_Weights | None = None,
) -> ChangeMambaSCD:
    """Build ChangeMamba-Tiny for change and land cover, 37 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2404.03425

    Args:
        weights: Published weights of the whole network. Filters of the three colours are repeated
            and scaled for other numbers of bands; for other numbers of classes the last layer of
            the land cover starts at random.
        in_chans: Bands of each image.
        num_classes: Classes of land cover; see :class:`ChangeMambaSCD`.
        backbone_weights: Weights of the encoder alone; not together with ``weights``.

    Returns:
        The model.

    Raises:
        ValueError: If both weights are given.
        BadParameter: If weights are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    if weights and backbone_weights:
        raise ValueError('weights has a backbone already; leave out backbone_weights')
    model = _build(ChangeMambaSCD, 'tiny', in_chans, num_classes, backbone_weights)
    if weights:
        check_model(weights, 'changemamba_scd_tiny')
        state = _own_names(weights_of_checkpoint(read_state(weights)))
        load_fitting(model, state, bands=[f'encoder.{FIRST_LAYER}'], heads=['aux_clf.'])
    return model


def changemamba_scd_small(
    in_chans: int = 3, num_classes: int = 7, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaSCD:
    """Build ChangeMamba-Small, 59 million parameters; see :func:`changemamba_scd_tiny`."""
    return _build(ChangeMambaSCD, 'small', in_chans, num_classes, backbone_weights)


def changemamba_scd_base(
    in_chans: int = 3, num_classes: int = 7, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaSCD:
    """Build ChangeMamba-Base, 97 million parameters; see :func:`changemamba_scd_tiny`."""
    return _build(ChangeMambaSCD, 'base', in_chans, num_classes, backbone_weights)


def changemamba_bda_tiny(
    in_chans: int = 3, num_classes: int = 5, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaBDA:
    """Build ChangeMamba-Tiny for damage to buildings, 35 million parameters.

    Its arguments are those of :func:`changemamba_bcd_tiny`; the classes are levels of damage, the
    first for no building.
    """
    return _build(ChangeMambaBDA, 'tiny', in_chans, num_classes, backbone_weights)


def changemamba_bda_small(
    in_chans: int = 3, num_classes: int = 5, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaBDA:
    """Build ChangeMamba-Small, 56 million parameters; see :func:`changemamba_bda_tiny`."""
    return _build(ChangeMambaBDA, 'small', in_chans, num_classes, backbone_weights)


def changemamba_bda_base(
    in_chans: int = 3, num_classes: int = 5, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaBDA:
    """Build ChangeMamba-Base, 95 million parameters; see :func:`changemamba_bda_tiny`."""
    return _build(ChangeMambaBDA, 'base', in_chans, num_classes, backbone_weights)


def changemamba_mmbda_tiny(
    in_chans: int = 3, num_classes: int = 4, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaMMBDA:
    """Build ChangeMamba-Tiny for damage seen by different sensors, 60 million parameters.

    Its arguments are those of :func:`changemamba_bcd_tiny`; the classes are levels of damage, the
    first for no building, and both encoders start from ``backbone_weights``.
    """
    return _build(ChangeMambaMMBDA, 'tiny', in_chans, num_classes, backbone_weights)


def changemamba_mmbda_small(
    in_chans: int = 3, num_classes: int = 4, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaMMBDA:
    """Build ChangeMamba-Small, 103 million parameters; see :func:`changemamba_mmbda_tiny`."""
    return _build(ChangeMambaMMBDA, 'small', in_chans, num_classes, backbone_weights)


def changemamba_mmbda_base(
    in_chans: int = 3, num_classes: int = 4, backbone_weights: VMamba_Weights | None = None
) -> ChangeMambaMMBDA:
    """Build ChangeMamba-Base, 180 million parameters; see :func:`changemamba_mmbda_tiny`."""
    return _build(ChangeMambaMMBDA, 'base', in_chans, num_classes, backbone_weights)


def _build[Model: nn.Module](
    kind: Callable[[VMambaSize, int, int], Model],
    size: str,
    in_chans: int,
    num_classes: int,
    backbone_weights: VMamba_Weights | None,
) -> Model:
    model = kind(SIZES[size], in_chans, num_classes)
    if backbone_weights:
        for part in model.children():
            if isinstance(part, VMamba):
                load_backbone(part, size, backbone_weights)
    return model
