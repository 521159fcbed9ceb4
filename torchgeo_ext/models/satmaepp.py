"""SatMAE++: vision transformers pre-trained by reconstructing hidden patches at several scales.

Noman, M., Naseer, M., Cholakkal, H., Anwar, R. M., Khan, S., Khan, F. S. (2024). Rethinking
transformers pre-training for multi-spectral satellite imagery. CVPR.
https://arxiv.org/abs/2403.05419

Bands of Sentinel-2 are embedded in three groups, each giving tokens of its own for every patch;
colours are embedded together. ``load_state_dict`` takes the files the authors publish as they are.

Axes: b batch, c bands, g groups of bands, h and w rows and columns (of patches, inside), n tokens,
d features, p and q rows and columns within a patch.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from timm.layers.norm import LayerNorm2d
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._positions import resize_positions, waves
from torchgeo_ext.models._reconstruction import Reconstruction, draw_noise
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.models.features import Backbone, Stage, crop_maps, pad_to_multiple, spread
from torchgeo_ext.preprocessing import Preprocessing

_EPS = 1e-6
#: Bands of a group, where the groups are not those of Sentinel-2.
_GROUP = 4
#: Blue, green, red and wide near infrared; red edge and narrow near infrared; shortwave infrared.
SENTINEL2_GROUPS = ((0, 1, 2, 6), (3, 4, 5, 7), (8, 9))


class SatMAEPPSize(NamedTuple):
    """Size of an encoder or of a decoder.

    Attributes:
        width: Features of a token.
        depth: Blocks.
        heads: Heads of their attention.
        group_width: How many of the features of its position tell the group of bands.
    """

    width: int
    depth: int
    heads: int
    group_width: int


SIZES = {'vitb': SatMAEPPSize(768, 12, 12, 256), 'vitl': SatMAEPPSize(1024, 24, 16, 256)}
_DECODER = SatMAEPPSize(512, 8, 16, 128)


class SatMAEPPLayout(NamedTuple):
    """How images are cut into tokens.

    Attributes:
        groups: Bands that are embedded together, by their places.
        grouped: Whether positions tell the group.
        patch: Rows and columns of a patch.
        grid: Patches along a side in training; positions are interpolated for other sizes.
    """

    groups: tuple[tuple[int, ...], ...]
    grouped: bool
    patch: int
    grid: int

    @property
    def in_chans(self) -> int:
        """Bands of the images."""
        return sum(len(group) for group in self.groups)


def rgb_layout(in_chans: int = 3) -> SatMAEPPLayout:
    """Embed all bands together: patches of 16 x 16 pixels, 224 x 224 pixels in training."""
    return SatMAEPPLayout((tuple(range(in_chans)),), False, 16, 14)


def sentinel2_layout(
    in_chans: int = 10, groups: Sequence[Sequence[int]] | None = None
) -> SatMAEPPLayout:
    """Embed groups of bands: patches of 8 x 8 pixels, 96 x 96 pixels in training.

    Args:
        in_chans: Bands of the images.
        groups: The bands of each group; those of the paper for ten bands, four in a row for other
            numbers.

    Raises:
        BadParameter: If a band is in no group, or in two.
    """
    if groups is None:
        rows = (range(first, min(first + _GROUP, in_chans)) for first in range(0, in_chans, _GROUP))
        groups = SENTINEL2_GROUPS if in_chans == 10 else list(rows)
    if sorted(band for group in groups for band in group) != list(range(in_chans)):
        raise BadParameter(
            f'groups is {groups}; each of the bands 0 to {in_chans - 1} must be in one group.'
        )
    return SatMAEPPLayout(tuple(tuple(group) for group in groups), True, 8, 12)


_HUB = 'https://huggingface.co/mubashir04'
_SENTINEL2 = Preprocessing.of_deviations(
    'digital numbers',
    bands=('B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B11', 'B12'),
    mean=(
        1184.3824625, 1120.77120066, 1136.26026392, 1263.73947144, 1645.40315151, 1846.87040806,
        1762.59530783, 1972.62420416, 1732.16362238, 1247.91870117,
    ),
    std=(
        650.2842772, 712.12507725, 965.23119807, 948.9819932, 1108.06650639, 1258.36394548,
        1233.1492281, 1364.38688993, 1310.36996126, 1087.6020813,
    ),
    resize=109,
    crop=96,
    interpolation='bicubic',
    source='https://github.com/techmn/satmae_pp (util/datasets.py)',
)  # fmt: skip
#: The files were trained on images read as blue, green, red, which their authors say in
#: https://github.com/techmn/satmae_pp/issues/2; the numbers are applied in that order.
_BGR = Preprocessing(
    '8 bit',
    bands=('B', 'G', 'R'),
    high=(255.0,),
    mean=(0.4182007312774658, 0.4214799106121063, 0.3991275727748871),
    std=(0.28774282336235046, 0.27541765570640564, 0.2764017581939697),
    resize=256,
    crop=224,
    interpolation='bicubic',
    source='https://github.com/techmn/satmae_pp (util/datasets.py, issue 2)',
)


def _published(name: str, model: str, preprocessing: Preprocessing, num_classes: int) -> Weights:
    return Weights(
        url=f'{_HUB}/{name}/resolve/main/{name}.pth',
        transforms=preprocessing.transform(),
        meta={
            'model': model,
            'dataset': 'fMoW',
            'in_chans': len(preprocessing.bands),
            'num_classes': num_classes,
            'bands': preprocessing.bands,
            'preprocessing': preprocessing,
            'publication': 'https://arxiv.org/abs/2403.05419',
            'repo': 'https://github.com/techmn/satmae_pp',
            'license': 'Apache-2.0 (that of the code)',
        },
    )


class SatMAEPP_Weights(WeightsEnum):
    """Published weights of SatMAE++, trained on fMoW; those for colours want blue, green, red."""

    FMOW_RGB_MAE = _published('checkpoint_ViT-L_pretrain_fmow_rgb', 'satmaepp_rgb_vitl', _BGR, 0)
    SENTINEL2_FMOW_MAE = _published(
        'checkpoint_ViT-L_pretrain_fmow_sentinel', 'satmaepp_sentinel2_vitl', _SENTINEL2, 0
    )
    SENTINEL2_FMOW_CLASSES = _published(
        'checkpoint_ViT-L_finetune_fmow_sentinel', 'satmaepp_sentinel2_vitl', _SENTINEL2, 62
    )


class _Encoder(nn.Module):
    """Tokens with positions and the blocks that relate them, by the names of the published code."""

    def __init__(self, size: SatMAEPPSize, layout: SatMAEPPLayout, drop_path: float = 0.0) -> None:
        super().__init__()
        self.layout = layout
        self.patch_embed = nn.ModuleList(
            nn.Conv2d(len(group), size.width, layout.patch, stride=layout.patch)
            for group in layout.groups
        )
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, size.width))
        self.pos_embed, self.channel_embed = _positions(size, layout)
        rates = torch.linspace(0, drop_path, size.depth).tolist()
        self.blocks = nn.ModuleList(_block(size, rate) for rate in rates)

    def _tokens(self, x: Tensor) -> tuple[Tensor, int, int]:
        """Embed images (b, c, h, w): tokens (b, g h w, d) with positions, patches by side."""
        maps = [
            embed(x[:, list(group)])
            for embed, group in zip(self.patch_embed, self.layout.groups, strict=True)
        ]
        height, width = maps[0].shape[-2:]
        tokens = torch.cat([each.flatten(2).mT for each in maps], dim=1)
        groups = self.channel_embed
        return tokens + self._places(self.pos_embed, groups, height, width), height, width

    def _places(self, table: Tensor, groups: Tensor | None, height: int, width: int) -> Tensor:
        """Positions (1, g h w, d) of all tokens but the first one."""
        places = resize_positions(table[:, 1:], self.layout.grid, height, width)
        if groups is None:
            return places
        count = len(self.layout.groups)
        return torch.cat(
            [
                repeat(places, '1 n d -> 1 (g n) d', g=count),
                repeat(groups[:, :count], '1 g d -> 1 (g n) d', n=places.shape[1]),
            ],
            dim=-1,
        )


def _block(size: SatMAEPPSize, drop_path: float = 0.0) -> Block:
    return Block(
        size.width,
        size.heads,
        qkv_bias=True,
        drop_path=drop_path,
        norm_layer=cast('type[nn.Module]', partial(nn.LayerNorm, eps=_EPS)),
    )


def _positions(
    size: SatMAEPPSize, layout: SatMAEPPLayout, first: int = 0
) -> tuple[nn.Parameter, nn.Parameter | None]:
    """Sines and cosines of places (1, 1 + n, d') and groups (1, g + first, d''), never trained.

    Args:
        size: How many features.
        layout: How many places and groups.
        first: Rows after those of the groups, for the class token.
    """
    group_width = size.group_width if layout.grouped else 0
    half = (size.width - group_width) // 2
    line = torch.arange(layout.grid)
    row, column = torch.meshgrid(line, line, indexing='ij')
    table = torch.cat([waves(column.flatten(), half), waves(row.flatten(), half)], dim=1)
    table = F.pad(table.float(), (0, 0, 1, 0))
    groups = None
    if layout.grouped:
        rows = waves(torch.arange(len(layout.groups) + first), group_width).float()
        groups = nn.Parameter(rows[None], requires_grad=False)
    return nn.Parameter(table[None], requires_grad=False), groups


class SatMAEPP(_Encoder, Backbone):
    """The encoder, with a head for scenes.

    Args:
        size: Its size.
        layout: How images are cut into tokens.
        num_classes: Channels of the output; 0 for the features themselves.
        drop_path: Probability of leaving out the last block during training; 0.2 in the paper's
            fine-tuning.
    """

    def __init__(
        self,
        size: SatMAEPPSize,
        layout: SatMAEPPLayout,
        num_classes: int = 0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(size, layout, drop_path)
        if layout.grouped:
            self.channel_cls_embed = nn.Parameter(
                torch.zeros(1, 1, size.group_width), requires_grad=False
            )
        self.fc_norm = nn.LayerNorm(size.width, eps=_EPS)
        self.head = nn.Linear(size.width, num_classes) if num_classes else nn.Identity()
        self._taken = spread(size.depth)
        self.feature_info = tuple(Stage(size.width, layout.patch) for _ in self._taken)
        accept_published_names(self, _encoder_names)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images.

        Args:
            x: Images (b, c, h, w) of any size, normalised; zeros are added below and to the right
                up to a whole patch.

        Returns:
            Logits (b, k), or features (b, d) if there are no classes.
        """
        logits: Tensor = self.head(self.embed(x))
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """Give the features (b, d) that the head sees: the normalised mean of all tokens."""
        *_, last = self.states(x)
        vector: Tensor = self.fc_norm(last[:, 1:].mean(dim=1))
        return vector

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Give maps of four blocks, the mean of the groups' tokens, each normalised."""
        patch = self.layout.patch
        height, width = (-(-side // patch) for side in x.shape[-2:])
        maps = []
        for number, tokens in enumerate(self.states(x)):
            if number in self._taken:
                grid = rearrange(tokens[:, 1:], 'b (g h w) d -> g b h w d', h=height, w=width)
                maps.append(rearrange(self.fc_norm(grid.mean(dim=0)), 'b h w d -> b d h w'))
        return crop_maps(maps, self.feature_info, x)

    def states(self, x: Tensor) -> Iterator[Tensor]:
        """Give the tokens (b, 1 + g h w, d) after each block, the class token first."""
        tokens, *_ = self._tokens(pad_to_multiple(x, self.layout.patch))
        place = self.pos_embed[:, :1]
        if self.layout.grouped:
            place = torch.cat([place, self.channel_cls_embed], dim=-1)
        tokens = torch.cat([(self.cls_token + place).expand(len(x), -1, -1), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
            yield tokens


class _UpBlock(nn.Module):
    """Doubles the size of features and makes an image of them."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        width = 4 * bands
        self.up_conv = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.up_norm = LayerNorm2d(width, eps=_EPS)
        self.res_block = nn.ModuleDict(
            {name: nn.Conv2d(width, width, 3, padding=1) for name in ('conv1', 'conv2')}
        )
        self.res_norm = LayerNorm2d(width, eps=_EPS)
        self.proj_out = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (b, 4 c, h, w) to features (b, 4 c, 2 h, 2 w) and an image (b, c, 2 h, 2 w)."""
        x = F.leaky_relu(self.up_norm(self.up_conv(x)))
        rest = self.res_block['conv2'](F.relu(self.res_block['conv1'](x)))
        x = self.res_norm(x + 0.5 * rest)
        return x, self.proj_out(x)


class SatMAEPPMAE(_Encoder):
    """The masked autoencoder that trains the encoder.

    The network sees a quarter of the tokens of the image at its coarsest scale and reconstructs
    the hidden ones there, and the whole image at each finer scale.

    Args:
        size: Size of the encoder.
        layout: How images are cut into tokens.
        scales: How often the reconstruction is doubled; once for RGB and twice for Sentinel-2 in
            the paper.
        mask_ratio: Share of the tokens that is hidden.
        decoder: Size of the decoder.

    Raises:
        BadParameter: If ``mask_ratio`` is not between 0 and 1.
    """

    #: Weight of the hidden patches in the loss, and of the finer scales.
    _SHARES = (0.6, 0.4)

    def __init__(
        self,
        size: SatMAEPPSize,
        layout: SatMAEPPLayout,
        scales: int = 1,
        mask_ratio: float = 0.75,
        decoder: SatMAEPPSize = _DECODER,
    ) -> None:
        super().__init__(size, layout)
        if not 0 < mask_ratio < 1:
            raise BadParameter(f'mask_ratio is {mask_ratio}; it must be between 0 and 1.')
        self.mask_ratio = mask_ratio
        self.norm = nn.LayerNorm(size.width, eps=_EPS)
        self.decoder_embed = nn.Linear(size.width, decoder.width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, decoder.width))
        self.decoder_pos_embed, self.decoder_channel_embed = _positions(decoder, layout, first=1)
        self.decoder_blocks = nn.ModuleList(_block(decoder) for _ in range(decoder.depth))
        self.decoder_norm = nn.LayerNorm(decoder.width, eps=_EPS)
        self.decoder_pred = nn.ModuleList(
            nn.Linear(decoder.width, len(group) * layout.patch**2) for group in layout.groups
        )
        bands = layout.in_chans
        self.proj_up_conv = nn.Conv2d(bands, 4 * bands, 1)
        self.proj_up_norm = LayerNorm2d(4 * bands, eps=_EPS)
        self.up_blocks = nn.ModuleList(_UpBlock(bands) for _ in range(scales))
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Reconstruction:
        """Hide and reconstruct images.

        Args:
            x: Images (b, c, h, w) at the finest scale, normalised, of any size: 448 x 448 pixels
                for RGB and 384 x 384 for Sentinel-2 in the paper. Pixels of the edges are repeated
                below and to the right up to a whole patch of the coarsest scale.

        Returns:
            Losses and the reconstruction at the coarsest scale. Outside of training the same
            tokens are hidden every time.
        """
        multiple = self.layout.patch << len(self.up_blocks)
        bottom, right = (-side % multiple for side in x.shape[-2:])
        images = [F.pad(x, (0, right, 0, bottom), 'replicate')]
        for _ in self.up_blocks:
            images.insert(0, F.interpolate(images[0], scale_factor=0.5, mode='bilinear'))
        tokens = images[0][0, 0].numel() // self.layout.patch**2 * len(self.layout.groups)
        noise = draw_noise(len(x), tokens, x.device, self.training)
        reconstructed, mask = self.reconstruct(images[0], noise)
        losses = zip(self._SHARES, self.losses(reconstructed, mask, images), strict=True)
        return Reconstruction(
            sum((share * loss for share, loss in losses), torch.zeros_like(noise[:, 0])),
            images[0],
            reconstructed[0],
            self._spread_over_bands(mask, images[0]),
        )

    def encode(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Encode the visible tokens of images (b, c, h, w).

        Args:
            image: At the coarsest scale.
            noise: (b, g h w) numbers; the tokens with the largest are hidden.

        Returns:
            Visible tokens (b, 1 + n, d) in the order of their noise, the class token first, the
            order of all tokens by their noise (b, g h w), and the patches by side.
        """
        tokens, *grid = self._tokens(image)
        order = noise.argsort(dim=1)
        seen = order[:, : self._visible(noise)]
        tokens = tokens.take_along_dim(seen[..., None], dim=1)
        # with groups the published code gives the class token no position here
        first = self.cls_token if self.layout.grouped else self.cls_token + self.pos_embed[:, :1]
        tokens = torch.cat([first.expand(len(image), -1, -1), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens), order, (grid[0], grid[1])

    def reconstruct(self, image: Tensor, noise: Tensor) -> tuple[list[Tensor], Tensor]:
        """Reconstruct images (b, c, h, w).

        Args:
            image: At the coarsest scale.
            noise: (b, g h w) numbers; the tokens with the largest are hidden.

        Returns:
            Images at all scales, coarsest first, and the mask (b, g h w), 1 for hidden tokens.
        """
        seen, order, grid = self.encode(image, noise)
        restore = order.argsort(dim=1)
        tokens = self.decoder_embed(seen)
        hidden = self.mask_token.expand(len(image), noise.shape[1] + 1 - tokens.shape[1], -1)
        all_tokens = torch.cat([tokens[:, 1:], hidden], dim=1)
        all_tokens = all_tokens.take_along_dim(restore[..., None], dim=1)
        groups = self.decoder_channel_embed
        place = self.decoder_pos_embed[:, :1]
        if groups is not None:
            place = torch.cat([place, groups[:, -1:]], dim=-1)
        all_tokens = all_tokens + self._places(self.decoder_pos_embed, groups, *grid)
        tokens = torch.cat([tokens[:, :1] + place, all_tokens], dim=1)
        for block in self.decoder_blocks:
            tokens = block(tokens)
        coarse = self._image(self.decoder_norm(tokens)[:, 1:], grid)
        images, features = [coarse], self.proj_up_norm(F.gelu(self.proj_up_conv(coarse)))
        for up in self.up_blocks:
            features, finer = up(features)
            images.append(finer)
        mask = (restore >= self._visible(noise)).to(image.dtype)
        return images, mask

    def losses(
        self, reconstructed: Sequence[Tensor], mask: Tensor, images: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Compare a reconstruction with the images.

        Args:
            reconstructed: At all scales, coarsest first.
            mask: (b, g h w), 1 for hidden tokens.
            images: At all scales, coarsest first.

        Returns:
            The mean squared difference of the hidden tokens, and the mean absolute difference of
            the finer scales; each (b,).
        """
        square = (reconstructed[0] - images[0]).square()
        by_token = F.avg_pool2d(square, self.layout.patch).flatten(2)
        groups = [by_token[:, list(group)].mean(dim=1) for group in self.layout.groups]
        hidden = (torch.cat(groups, dim=1) * mask).sum(dim=1) / mask.sum(dim=1)
        finer = [
            (one - other).abs().mean(dim=(1, 2, 3))
            for one, other in zip(reconstructed[1:], images[1:], strict=True)
        ]
        return hidden, torch.stack(finer).mean(dim=0)

    def _visible(self, noise: Tensor) -> int:
        return int(noise.shape[1] * (1 - self.mask_ratio))

    def _image(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Make images (b, c, h, w) of decoded tokens (b, g h w, d)."""
        # the published code orders the numbers of a token in another way when there are groups, and
        # takes the bands of all groups in a row for the bands of the image
        order = 'c p q' if self.layout.grouped else 'p q c'
        parts = tokens.chunk(len(self.layout.groups), dim=1)
        bands = [
            rearrange(
                predict(part),
                f'b (h w) ({order}) -> b c (h p) (w q)',
                h=grid[0],
                p=self.layout.patch,
                q=self.layout.patch,
            )
            for part, predict in zip(parts, self.decoder_pred, strict=True)
        ]
        return torch.cat(bands, dim=1)

    def _spread_over_bands(self, mask: Tensor, like: Tensor) -> Tensor:
        """Make a mask of tokens (b, g h w) one of pixels (b, c, h, w)."""
        patch = self.layout.patch
        tokens = rearrange(
            mask > 0, 'b (g h w) -> b g h w', g=len(self.layout.groups), h=like.shape[-2] // patch
        )
        pixels = repeat(tokens, 'b g h w -> b g (h p) (w q)', p=patch, q=patch)
        of_band = {
            band: number for number, group in enumerate(self.layout.groups) for band in group
        }
        return pixels[:, [of_band[band] for band in range(self.layout.in_chans)]]


#: Names of the published code and ours.
_RENAMED = {
    r'^patch_embed\.(\d+)\.proj\.': r'patch_embed.\1.',
    r'^patch_embed\.proj\.': 'patch_embed.0.',
    r'^decoder_pred\.(weight|bias)$': r'decoder_pred.0.\1',
    r'^up_block1?\.': 'up_blocks.0.',
    r'^up_block2\.': 'up_blocks.1.',
}
_ONLY_IN_PRETRAINING = ('decoder_', 'mask_token', 'proj_up_', 'up_block')


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        for old, new in _RENAMED.items():
            key = re.sub(old, new, key)
        own[key] = value
    return own


def _encoder_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the decoder; the norm of the pre-training becomes that of the mean."""
    return {
        re.sub(r'^norm\.', 'fc_norm.', key): value
        for key, value in _own_names(state).items()
        if not key.startswith(_ONLY_IN_PRETRAINING)
    }


def _encoder(
    size: str,
    layout: SatMAEPPLayout,
    kind: str,
    weights: SatMAEPP_Weights | None,
    num_classes: int | None,
    drop_path: float,
) -> SatMAEPP:
    if num_classes is None:
        num_classes = weights.meta['num_classes'] if weights else 0
    model = SatMAEPP(SIZES[size], layout, num_classes, drop_path)
    if weights:
        check_model(weights, f'satmaepp_{kind}_{size}')
        published = _encoder_names(weights_of_checkpoint(read_state(weights)))
        own = model.state_dict()
        # the pre-training has no head; groups of other bands start from those of the paper
        state = {key: published.get(_nearest_group(key, published), own[key]) for key in own}
        state['channel_embed'] = own.get('channel_embed')
        heads = ['head.']
        first = [key for key in own if re.fullmatch(r'patch_embed\.\d+\.weight', key)]
        load_fitting(model, {k: v for k, v in state.items() if v is not None}, first, heads)
    return model


def _nearest_group(key: str, published: Mapping[str, Tensor]) -> str:
    """Name of the published tensor for one of ours; further groups are like the last one."""
    match = re.match(r'patch_embed\.(\d+)\.', key)
    if match is None or key in published:
        return key
    last = sum(1 for name in published if re.fullmatch(r'patch_embed\.\d+\.bias', name)) - 1
    return key.replace(match.group(), f'patch_embed.{last}.')


def satmaepp_rgb_vitb(in_chans: int = 3, num_classes: int = 0, drop_path: float = 0.0) -> SatMAEPP:
    """Build the encoder of SatMAE++ for colours on ViT-B; no weights of it were published.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2403.05419

    Args:
        in_chans: Bands of the images.
        num_classes: Channels of the output; 0 for features.
        drop_path: Probability of leaving out the last block during training; 0.2 in the paper's
            fine-tuning.

    Returns:
        The model.
    """
    return _encoder('vitb', rgb_layout(in_chans), 'rgb', None, num_classes, drop_path)


def satmaepp_rgb_vitl(
    weights: SatMAEPP_Weights | None = None,
    in_chans: int = 3,
    num_classes: int | None = None,
    drop_path: float = 0.0,
) -> SatMAEPP:
    """Build the encoder of SatMAE++ for colours on ViT-L.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2403.05419

    Args:
        weights: Published weights, for blue, green, red; adapted to other numbers of bands. Those
            fine-tuned for the classes of fMoW
            (https://huggingface.co/mubashir04/checkpoint_ViT-L_finetune_fmow_rgb) have no member
            here: ``load_state_dict`` takes them.
        in_chans: Bands of the images.
        num_classes: Channels of the output; as the weights have, or 0 for features.
        drop_path: Probability of leaving out the last block during training; 0.2 in the paper's
            fine-tuning.

    Returns:
        The model.

    Raises:
        BadParameter: If the weights are those of another model.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _encoder('vitl', rgb_layout(in_chans), 'rgb', weights, num_classes, drop_path)


def satmaepp_sentinel2_vitb(
    in_chans: int = 10,
    num_classes: int = 0,
    groups: Sequence[Sequence[int]] | None = None,
    drop_path: float = 0.0,
) -> SatMAEPP:
    """Build the encoder of SatMAE++ for Sentinel-2 on ViT-B; no weights of it were published.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2403.05419

    Args:
        in_chans: Bands of the images.
        num_classes: Channels of the output; 0 for features.
        groups: The bands of each group; those of the paper for ten bands, four in a row for other
            numbers.
        drop_path: Probability of leaving out the last block during training; 0.2 in the paper's
            fine-tuning.

    Returns:
        The model.

    Raises:
        BadParameter: If a band is in no group, or in two.
    """
    layout = sentinel2_layout(in_chans, groups)
    return _encoder('vitb', layout, 'sentinel2', None, num_classes, drop_path)


def satmaepp_sentinel2_vitl(
    weights: SatMAEPP_Weights | None = None,
    in_chans: int = 10,
    num_classes: int | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    drop_path: float = 0.0,
) -> SatMAEPP:
    """Build the encoder of SatMAE++ for Sentinel-2 on ViT-L.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2403.05419

    Args:
        weights: Published weights, for B2 to B8A, B11 and B12. For other bands the filters of each
            group are adapted to those of ours in the same place.
        in_chans: Bands of the images.
        num_classes: Channels of the output; as the weights have, or 0 for features.
        groups: The bands of each group; those of the paper for ten bands, four in a row for other
            numbers.
        drop_path: Probability of leaving out the last block during training; 0.2 in the paper's
            fine-tuning.

    Returns:
        The model.

    Raises:
        BadParameter: If a band is in no group, or in two, or the weights are those of another
            model.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    layout = sentinel2_layout(in_chans, groups)
    return _encoder('vitl', layout, 'sentinel2', weights, num_classes, drop_path)


def satmaepp_rgb_mae_vitl(in_chans: int = 3, mask_ratio: float = 0.75) -> SatMAEPPMAE:
    """Build the masked autoencoder of SatMAE++ for colours, to pre-train a ViT-L.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2403.05419

    Args:
        in_chans: Bands of the images.
        mask_ratio: Share of the patches that is hidden.

    Returns:
        The model; it reconstructs at one and two times the size of its input.

    Raises:
        BadParameter: If ``mask_ratio`` is not between 0 and 1.
    """
    return SatMAEPPMAE(SIZES['vitl'], rgb_layout(in_chans), 1, mask_ratio)


def satmaepp_sentinel2_mae_vitl(
    in_chans: int = 10, mask_ratio: float = 0.75, groups: Sequence[Sequence[int]] | None = None
) -> SatMAEPPMAE:
    """Build the masked autoencoder of SatMAE++ for Sentinel-2, to pre-train a ViT-L.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2403.05419

    Args:
        in_chans: Bands of the images.
        mask_ratio: Share of the tokens that is hidden.
        groups: The bands of each group; those of the paper for ten bands, four in a row for other
            numbers.

    Returns:
        The model; it reconstructs at one, two and four times the size of its input.

    Raises:
        BadParameter: If ``mask_ratio`` is not between 0 and 1, or a band is in no group, or in two.
    """
    return SatMAEPPMAE(SIZES['vitl'], sentinel2_layout(in_chans, groups), 2, mask_ratio)
