"""The masked autoencoder that trains SpectralEarth's vision transformers.

Braham, N. A. A., Albrecht, C. M., Mairal, J., Chanussot, J., Wang, Y., Zhu, X. X. (2024).
SpectralEarth: training hyperspectral foundation models at scale. https://arxiv.org/abs/2408.08447

Axes: b batch, s bands, h and w rows and columns (of patches, inside), n places, d features, p and q
rows and columns within a patch.
"""

from typing import Any

import torch
from einops import rearrange, repeat
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._positions import resize_positions, waves
from torchgeo_ext.models._reconstruction import Reconstruction, draw_noise
from torchgeo_ext.models.features import pad_to_multiple
from torchgeo_ext.models.spectralearth import SIZES, SpectralEarthSize, SpectralEarthViT

#: The decoder: features of a token, blocks and heads.
_DECODER = SpectralEarthSize(512, 1, 16)


class SpectralEarthMAE(nn.Module):
    """Hides places of images with all their bands, and reconstructs them.

    Args:
        size: Size of the encoder.
        in_chans: Bands of the images.
        mask_ratio: Share of the places that is hidden.

    Raises:
        BadParameter: If there are too few bands, or the share is not between 0 and 1.
    """

    def __init__(
        self, size: SpectralEarthSize, in_chans: int = 202, mask_ratio: float = 0.9
    ) -> None:
        super().__init__()
        if not 0 < mask_ratio < 1:
            raise BadParameter(f'mask_ratio is {mask_ratio}; it must be between 0 and 1.')
        self.mask_ratio = mask_ratio
        self.encoder = SpectralEarthViT(size)
        self.encoder.spectral_adapter.check(in_chans)
        core: Any = self.encoder.vit_core
        self.patch = core.patch_embed.patch_size[0]
        self.grid = core.patch_embed.grid_size[0]
        width = _DECODER.width
        self.decoder_embed = nn.Linear(size.width, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.decoder_blocks = nn.Sequential(
            *(
                Block(width, _DECODER.heads, qkv_bias=True, norm_layer=LayerNorm)
                for _ in range(_DECODER.depth)
            )
        )
        self.decoder_norm = LayerNorm(width)
        self.decoder_pred = nn.Linear(width, in_chans * self.patch**2)

    def forward(self, x: Tensor) -> Reconstruction:
        """Hide and reconstruct images.

        Args:
            x: Images (b, s, h, w) of any size, ordered by wavelength, normalised; zeros are added
                below and to the right up to a whole patch. 128 x 128 pixels in the paper.

        Returns:
            Losses of the hidden places, and the reconstruction. Each place of the target has mean 0
            and variance 1 over all its bands and pixels. Outside of training the same is hidden
            every time.
        """
        x = pad_to_multiple(x, self.patch)
        height, width = (side // self.patch for side in x.shape[-2:])
        noise = draw_noise(len(x), height * width, x.device, self.training)
        order = noise.argsort(dim=1)
        seen = order[:, : max(1, int(noise.shape[1] * (1 - self.mask_ratio)))]
        predicted = self.decode(self.encode(x, seen), seen, height, width)
        target = _normalised(_patches(x, self.patch))
        hidden = torch.ones_like(noise).scatter(1, seen, 0.0)
        square = (predicted - target).square().mean(dim=-1)
        pixels = repeat(hidden > 0, 'b n -> b n e', e=target.shape[-1])
        return Reconstruction(
            (square * hidden).sum(dim=1) / hidden.sum(dim=1),
            _image(target, height, self.patch),
            _image(predicted, height, self.patch),
            _image(pixels, height, self.patch),
        )

    def encode(self, x: Tensor, seen: Tensor) -> Tensor:
        """Encode places.

        Args:
            x: Images (b, s, h p, w q).
            seen: Their numbers (b, n').

        Returns:
            Normalised tokens (b, 1 + n', d), the class token first.
        """
        core: Any = self.encoder.vit_core
        maps = core.patch_embed.proj(self.encoder.spectral_adapter(x))
        places = resize_positions(core.pos_embed[:, 1:], self.grid, *maps.shape[-2:])
        tokens = (maps.flatten(2).mT + places).take_along_dim(seen[..., None], dim=1)
        first = (core.cls_token + core.pos_embed[:, :1]).expand(len(x), -1, -1)
        encoded: Tensor = core.norm(core.blocks(torch.cat([first, tokens], dim=1)))
        return encoded

    def decode(self, tokens: Tensor, seen: Tensor, height: int, width: int) -> Tensor:
        """Reconstruct all places (b, n, p q s) from encoded ones.

        Args:
            tokens: (b, 1 + n', d), the class token first.
            seen: Numbers (b, n') of the others.
            height: Rows of all places.
            width: Columns of all places.
        """
        first, others = self.decoder_embed(tokens).split([1, seen.shape[1]], dim=1)
        every = self.mask_token.to(others).expand(len(tokens), height * width, -1)
        every = every.scatter(1, seen[..., None].expand_as(others), others)
        every = every + _plane(height, width, every)
        decoded = self.decoder_norm(self.decoder_blocks(torch.cat([first, every], dim=1)))
        pixels: Tensor = self.decoder_pred(decoded[:, 1:])
        return pixels


def _plane(height: int, width: int, like: Tensor) -> Tensor:
    """Give waves (1, n, d) of rows and columns, half of the features each."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    half = like.shape[-1] // 2
    table = torch.cat([waves(axis.flatten(), half) for axis in (column, row)], dim=1)
    return table[None].to(like)


def _patches(x: Tensor, patch: int) -> Tensor:
    return rearrange(x, 'b s (h p) (w q) -> b (h w) (p q s)', p=patch, q=patch)


def _image(patches: Tensor, height: int, patch: int) -> Tensor:
    return rearrange(patches, 'b (h w) (p q s) -> b s (h p) (w q)', h=height, p=patch, q=patch)


def _normalised(patches: Tensor) -> Tensor:
    """Give each place mean 0 and variance 1."""
    centred = patches - patches.mean(dim=-1, keepdim=True)
    return centred / (patches.var(dim=-1, keepdim=True) + 1e-6).sqrt()


def spectralearth_mae_vits(in_chans: int = 202, mask_ratio: float = 0.9) -> SpectralEarthMAE:
    """Build the masked autoencoder of SpectralEarth's small vision transformer.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2408.08447

    Args:
        in_chans: Bands of the images, at least 75, ordered by wavelength.
        mask_ratio: Share of the places that is hidden.

    Returns:
        The model, whose ``encoder`` is a
        :class:`~torchgeo_ext.models.spectralearth.SpectralEarthViT`.

    Raises:
        BadParameter: If there are fewer bands, or the share is not between 0 and 1.
    """
    return SpectralEarthMAE(SIZES['vits'], in_chans, mask_ratio)


def spectralearth_mae_vitb(in_chans: int = 202, mask_ratio: float = 0.9) -> SpectralEarthMAE:
    """Build the masked autoencoder of SpectralEarth's base vision transformer.

    See :func:`spectralearth_mae_vits` for arguments and the paper to cite.
    """
    return SpectralEarthMAE(SIZES['vitb'], in_chans, mask_ratio)


def spectralearth_mae_vitl(in_chans: int = 202, mask_ratio: float = 0.9) -> SpectralEarthMAE:
    """Build the masked autoencoder of SpectralEarth's large vision transformer.

    See :func:`spectralearth_mae_vits` for arguments and the paper to cite.
    """
    return SpectralEarthMAE(SIZES['vitl'], in_chans, mask_ratio)


def spectralearth_mae_vith(in_chans: int = 202, mask_ratio: float = 0.9) -> SpectralEarthMAE:
    """Build the masked autoencoder of SpectralEarth's huge vision transformer.

    See :func:`spectralearth_mae_vits` for arguments and the paper to cite.
    """
    return SpectralEarthMAE(SIZES['vith'], in_chans, mask_ratio)
