"""DynamicVis: a backbone of state space models that mix the tokens that matter most.

Chen, K., Liu, C., Chen, B., Li, W., Zou, Z., Shi, Z. (2025). DynamicVis: an efficient and general
visual foundation model for remote sensing image understanding. https://arxiv.org/abs/2503.16426

Each block scores all tokens of the image and mixes the best of them, best first, together with the
mean of each row; so early stages cost little on large images. The published code (Apache-2.0,
https://github.com/KyanChen/DynamicVis) is made for images of one size. Here positions are
interpolated for others, and there are as many means as the image has rows.

Axes: b batch, c bands, h and w rows and columns (of tokens, inside), n tokens, d features.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.layers import Mamba
from torchgeo_ext.models._positions import resize_positions
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.models.features import Backbone, Stage
from torchgeo_ext.preprocessing import Preprocessing

_EPS = 1e-6
#: Size and stride of the convolution each stage begins with.
_CONVOLUTIONS = ((7, 4), (3, 2), (3, 2), (3, 2))
#: One of so many tokens is mixed, in each stage.
_ONE_OF = (8, 4, 2, 1)
#: Tokens of the first stage along a side in training, on images of 512 x 512 pixels.
_GRID = 128


class DynamicVisSize(NamedTuple):
    """What the published sizes differ in.

    Attributes:
        width: Features of the first stage; each following stage has twice as many.
        depths: Blocks of each stage.
    """

    width: int
    depths: tuple[int, ...]


SIZES = {'b': DynamicVisSize(96, (2, 4, 16, 4)), 'l': DynamicVisSize(128, (2, 4, 32, 4))}

_PREPROCESSING = Preprocessing(
    '8 bit',
    bands=('R', 'G', 'B'),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    resize=512,
    source='https://github.com/KyanChen/DynamicVis (configs_DynamicVis/fMoW)',
)


def _name(size: str, selection: bool) -> str:
    return f'dynamicvis_{size}' if selection else f'dynamicvis_all_tokens_{size}'


def _published(size: str, selection: bool) -> Weights:
    return Weights(
        url='',
        transforms=_PREPROCESSING.transform(),
        meta={
            'model': _name(size, selection),
            'dataset': 'fMoW',
            'in_chans': 3,
            'bands': _PREPROCESSING.bands,
            'preprocessing': _PREPROCESSING,
            'published_at': 'https://huggingface.co/KyanChen/DynamicVis',
            'publication': 'https://arxiv.org/abs/2503.16426',
            'repo': 'https://github.com/KyanChen/DynamicVis',
            'license': 'Apache-2.0 (that of the code)',
        },
    )


class DynamicVis_Weights(WeightsEnum):
    """Published weights of DynamicVis, trained on regions of fMoW."""

    FMOW_B = _published('b', selection=True)
    FMOW_L = _published('l', selection=True)


class DynamicVisAllTokens_Weights(WeightsEnum):
    """Published weights of DynamicVis without a choice of tokens, trained on regions of fMoW."""

    FMOW_B = _published('b', selection=False)
    FMOW_L = _published('l', selection=False)


class _Patches(nn.Module):
    """Makes tokens of patches that overlap."""

    def __init__(self, channels: int, width: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, width, kernel_size, stride, padding=kernel_size // 2)
        nn.init.kaiming_normal_(self.projection.weight, nonlinearity='linear')
        assert self.projection.bias is not None
        nn.init.zeros_(self.projection.bias)
        self.norm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, h / stride, w / stride, d), rounded up."""
        return self.norm(rearrange(self.projection(x), 'b d h w -> b h w d'))


class _BothWays(nn.Module):
    """Reads a sequence forwards and backwards, and adds the mean to what comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pre_norm = nn.RMSNorm(width, eps=1e-5)
        self.mamba_layer = Mamba(width)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, n, d)."""
        normed = self.pre_norm(x)
        forwards, backwards = self.mamba_layer(torch.cat([normed, normed.flip(1)])).chunk(2)
        return x + (forwards + backwards.flip(1)) / 2


class SparseMixer(nn.Module):
    """Mixes the tokens with the highest scores, best first.

    Args:
        width: Features of a token.
        one_of: One of so many tokens is mixed.
        selection: Whether to mix the means of rows too, and to let scores weight the tokens that
            are not mixed; without, only mixed tokens change.
        noise: Scale of the random numbers that are added to scores before the choice during
            training.
    """

    def __init__(self, width: int, one_of: int, selection: bool, noise: float) -> None:
        super().__init__()
        self.one_of, self.selection, self.noise = one_of, selection, noise
        self.spatial_gate = nn.Linear(width, 1, bias=False)
        self.spatial_mamba_mixer = _BothWays(width)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, h, w, d)."""
        tokens = x.flatten(1, 2)
        scores = self.spatial_gate(tokens)
        shares = scores.softmax(dim=1)
        count = max(1, tokens.shape[1] // self.one_of)
        places = self._ranked(scores, shares).topk(count, dim=1).indices
        sequence = tokens.take_along_dim(places, dim=1)
        if self.selection:
            sequence = torch.cat([reduce(x, 'b h w d -> b h d', 'mean'), sequence], dim=1)
        mixed = self.spatial_mamba_mixer(sequence)[:, -count:]
        mixed = mixed * shares.take_along_dim(places, dim=1)
        rest = tokens * shares if self.selection else torch.zeros_like(tokens)
        change = rest.scatter(1, places.expand_as(mixed), mixed.to(rest.dtype))
        return (tokens + change).view_as(x)

    def _ranked(self, scores: Tensor, shares: Tensor) -> Tensor:
        """Give the numbers (b, n, 1) that tokens are chosen by."""
        if not self.training or not self.noise:
            return shares
        gumbel = -torch.empty_like(scores).exponential_().log()
        return scores.detach() + self.noise * gumbel


class DynamicVis(Backbone):
    """DynamicVis as a backbone.

    Args:
        size: Width and depths.
        in_chans: Bands of the images.
        selection: Whether blocks choose tokens; all tokens are mixed otherwise, in the order of
            their scores as well.
        noise: Scale of the random numbers that are added to scores during training; the authors let
            it go down to 0.0001 when they fine-tune.
        grid: Tokens of the first stage along a side that positions are learnt for.
    """

    def __init__(
        self,
        size: DynamicVisSize,
        in_chans: int = 3,
        selection: bool = True,
        noise: float = 0.1,
        grid: int = _GRID,
    ) -> None:
        super().__init__()
        self._grid = grid
        self.pos_embed = nn.Parameter(torch.zeros(1, grid**2, size.width))
        self.layers = nn.ModuleList()
        stages = []
        channels, reduction = in_chans, 1
        for number, depth in enumerate(size.depths):
            width = size.width << number
            kernel_size, stride = _CONVOLUTIONS[number]
            one_of = _ONE_OF[number] if selection else 1
            mixers = (SparseMixer(width, one_of, selection, noise) for _ in range(depth))
            patches = _Patches(channels, width, kernel_size, stride)
            norm = nn.LayerNorm(width, eps=_EPS)
            self.layers.append(nn.ModuleList([patches, nn.Sequential(*mixers), norm]))
            channels, reduction = width, reduction * stride
            stages.append(Stage(width, reduction))
        self.feature_info = tuple(stages)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            x: Images (b, c, h, w) of any size, normalised.

        Returns:
            Features of each stage, (b, d, h/4, w/4) to (b, 8 d, h/32, w/32), rounded up.
        """
        return self.feature_maps(x)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """See :class:`~torchgeo_ext.models.features.Backbone`."""
        maps: list[Tensor] = []
        for stage in self.layers:
            assert isinstance(stage, nn.ModuleList)
            patches, mixers, norm = stage
            tokens = patches(maps[-1] if maps else x)
            if not maps:
                tokens = tokens + self._places(*tokens.shape[1:3])
            maps.append(rearrange(norm(mixers(tokens)), 'b h w d -> b d h w'))
        return maps

    def _places(self, height: int, width: int) -> Tensor:
        """Positions (1, h, w, d)."""
        places = resize_positions(self.pos_embed, self._grid, height, width)
        return places.unflatten(1, (height, width))


#: What the pre-training has besides the backbone.
_ONLY_IN_PRETRAINING = ('pre_neck.', 'neck.', 'head.', 'data_preprocessor.')


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key.removeprefix('backbone.'): value
        for key, value in state.items()
        if not key.startswith(_ONLY_IN_PRETRAINING)
    }


def dynamicvis_b(weights: DynamicVis_Weights | None = None, in_chans: int = 3) -> DynamicVis:
    """Build DynamicVis-B, a backbone of 37 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2503.16426

    Args:
        weights: Published weights, for red, green, blue; adapted to other numbers of bands.
        in_chans: Bands of the images.

    Returns:
        The model.

    Raises:
        BadParameter: If the weights are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _build('b', weights, in_chans)


def dynamicvis_l(weights: DynamicVis_Weights | None = None, in_chans: int = 3) -> DynamicVis:
    """Build DynamicVis-L, 91 million parameters; see :func:`dynamicvis_b`."""
    return _build('l', weights, in_chans)


def dynamicvis_all_tokens_b(
    weights: DynamicVisAllTokens_Weights | None = None, in_chans: int = 3
) -> DynamicVis:
    """Build DynamicVis-B without a choice of tokens, which takes several times as long.

    See :func:`dynamicvis_b`.
    """
    return _build('b', weights, in_chans, selection=False)


def dynamicvis_all_tokens_l(
    weights: DynamicVisAllTokens_Weights | None = None, in_chans: int = 3
) -> DynamicVis:
    """Build DynamicVis-L without a choice of tokens; see :func:`dynamicvis_b`."""
    return _build('l', weights, in_chans, selection=False)


def _build(
    size: str, weights: WeightsEnum | None, in_chans: int, selection: bool = True
) -> DynamicVis:
    model = DynamicVis(SIZES[size], in_chans, selection)
    if weights:
        check_model(weights, _name(size, selection))
        state = _own_names(weights_of_checkpoint(read_state(weights)))
        load_fitting(model, state, ['layers.0.0.projection.weight'])
    return model
