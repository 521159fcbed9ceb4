"""SkySense's branches for Sentinel-2 and Sentinel-1, vision transformers with patches of 4 pixels.

Guo, X. et al. (2024). SkySense: a multi-modal remote sensing foundation model towards universal
interpretation for Earth observation imagery. CVPR. https://arxiv.org/abs/2312.10115

The authors publish their files on https://www.notion.so/a7fcff6ce29a4647a08c7fe416910509, for
non-commercial research only, and not the statistics that images were normalised with. So there are
no members of a weights enum here: ``load_state_dict`` takes ``skysense_model_backbone_s2.pth`` and
``skysense_model_backbone_s1.pth``. There are no numbers of the published code to compare with
either; the branches are built from its settings in https://github.com/kang-wu/SkySensePlusPlus and
compared with PyTorch's own transformer. The branch for high resolution (Swin, 650 million
parameters) and the fusion of branches are not here.

Axes: b batch, c bands, h and w rows and columns, n tokens, d features.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from torchgeo_ext.models._weights import accept_published_names
from torchgeo_ext.models.features import Backbone, Stage, pad_to_multiple, spread

_PATCH = 4
#: Patches along a side in training: images of 16 x 16 pixels.
_GRID = 4
_DROP_PATH = 0.3


class SkySenseSize(NamedTuple):
    """Size of a branch.

    Attributes:
        width: Features of a token.
        depth: Blocks.
        heads: Heads of their attention.
    """

    width: int
    depth: int
    heads: int


SIZES = {'vitl': SkySenseSize(1024, 24, 16)}


class SkySense(Backbone):
    """A branch, with a head for scenes.

    Maps are those of blocks 6, 12, 18 and 24, not normalised, as SkySense uses them.

    Images may have any size: zeros are added below and to the right up to a whole patch.

    Args:
        size: Its size.
        in_chans: Bands of the images.
        num_classes: Channels of the output; 0 for the features themselves.
    """

    def __init__(self, size: SkySenseSize, in_chans: int, num_classes: int = 0) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(in_chans, size.width, _PATCH, stride=_PATCH)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, _GRID**2, size.width))
        self.blocks = nn.ModuleList(
            Block(
                size.width,
                size.heads,
                qkv_bias=True,
                drop_path=_DROP_PATH * number / max(1, size.depth - 1),
                norm_layer=cast('type[nn.Module]', partial(nn.LayerNorm, eps=1e-6)),
            )
            for number in range(size.depth)
        )
        self.head = nn.Linear(size.width, num_classes) if num_classes else nn.Identity()
        self._taken = spread(size.depth)
        self.feature_info = tuple(Stage(size.width, _PATCH) for _ in self._taken)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images (b, c, h, w): logits (b, k), or features (b, d) without classes."""
        logits: Tensor = self.head(self.embed(x))
        return logits

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """See :class:`~torchgeo_ext.models.features.Backbone`."""
        grid = self.patch_embed(pad_to_multiple(x, _PATCH))
        states = enumerate(self._states(grid))
        chosen = [tokens for number, tokens in states if number in self._taken]
        return [rearrange(t, 'b (h w) d -> b d h w', h=grid.shape[-2]) for t in chosen]

    def _states(self, grid: Tensor) -> Iterator[Tensor]:
        """Give the tokens (b, n, d) after each block from embedded patches (b, d, h, w)."""
        places: Tensor = rearrange(self.pos_embed, '1 (h w) d -> 1 d h w', h=_GRID)
        if grid.shape[-2:] != places.shape[-2:]:
            places = F.interpolate(places, grid.shape[-2:], mode='bicubic')
        tokens = rearrange(grid + places, 'b d h w -> b (h w) d')
        for block in self.blocks:
            tokens = block(tokens)
            yield tokens


#: Names of the published files and ours.
_RENAMED = {
    r'^backbone\.': '',
    r'^patch_embed\.projection\.': 'patch_embed.',
    r'^layers\.': 'blocks.',
    r'\.ln([12])\.': r'.norm\1.',
    r'\.attn\.attn\.in_proj_': '.attn.qkv.',
    r'\.attn\.attn\.out_proj\.': '.attn.proj.',
    r'\.ffn\.layers\.0\.0\.': '.mlp.fc1.',
    r'\.ffn\.layers\.1\.': '.mlp.fc2.',
}
#: The class token is taken away before the first block; dates are for the fusion of branches.
_WITHOUT_EFFECT = ('cls_token', 'ctpe', 'mask_token')


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        for old, new in _RENAMED.items():
            key = re.sub(old, new, key)
        if key == 'pos_embed':
            value = value[:, -(_GRID**2) :]  # the first place is that of the class token
        if key not in _WITHOUT_EFFECT:
            own[key] = value
    return own


def skysense_sentinel2_vitl(in_chans: int = 10, num_classes: int = 0) -> SkySense:
    """Build SkySense's branch for Sentinel-2, 303 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2312.10115

    Args:
        in_chans: Bands of the images; the published file is for B2, B3, B4, B5, B6, B7, B8, B8A,
            B11, B12.
        num_classes: Channels of the output; 0 for features, as the published file has.

    Returns:
        The model, at random weights.
    """
    return SkySense(SIZES['vitl'], in_chans, num_classes)


def skysense_sentinel1_vitl(in_chans: int = 2, num_classes: int = 0) -> SkySense:
    """Build SkySense's branch for Sentinel-1, 303 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2312.10115

    Args:
        in_chans: Bands of the images; the published file is for VV, VH.
        num_classes: Channels of the output; 0 for features, as the published file has.

    Returns:
        The model, at random weights.
    """
    return SkySense(SIZES['vitl'], in_chans, num_classes)
