"""LESS ViT: a vision transformer whose tokens keep bands and places apart, for any sensor.

Si, H., Wan, Y., Do, M., Vasisht, D., Zhao, H., Hamann, H. F. (2025). Towards scalable foundation
model for multi-modal and hyperspectral geospatial data. https://arxiv.org/abs/2503.12843

Every band is embedded by itself and told apart by its wavelength, so that one network reads the
bands of any sensor. ``load_state_dict`` takes the names of the published code; its authors have
published no weights. Differences to that code: images may have any size and need not be square, and
the decoder is told positions when they are turned (RoPE), which there are lost.

Axes: b batch, s bands, h and w rows and columns (of patches, inside), n places, d features, p and q
rows and columns within a patch.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._less import LayerNorm, LESSBlock, LESSSize, Turns
from torchgeo_ext.models._positions import waves
from torchgeo_ext.models._reconstruction import Reconstruction, draw_noise
from torchgeo_ext.models._wavelengths import check_bands, check_wavelengths, known_wavelengths
from torchgeo_ext.models._weights import accept_published_names
from torchgeo_ext.models.features import Backbone, Stage, crop_maps, pad_to_multiple, spread
from torchgeo_ext.sensors import sensor

#: How tokens are told where they are: waves added once, or turned in every attention.
Positions = Literal['waves', 'rope']

SIZES = {'base': LESSSize(768, 12, 12), 'decoder': LESSSize(512, 8, 16)}

_NANOMETRES = 1000
#: Centres of VV and VH in micrometres, where the published code puts them among the optical ones.
SENTINEL1_WAVELENGTHS = (5.5, 5.7)
#: First and last centre in nanometres, which become -1 and 1 when bands are turned.
_FIRST, _LAST = 447.17, 2365.20
#: Longest period of turning.
_BASE = 100.0


class LESSLayout(NamedTuple):
    """What images are and how they are cut into tokens.

    Attributes:
        wavelengths: Centre of each band, in micrometres.
        resolution: Ground sampling distance in metres.
        patch: Rows and columns of a patch.
        positions: How tokens are told where they are.
        radius: Metres within which places see each other; 0 for all.
        radar: How many of the last bands are radar, which is embedded by itself.
    """

    wavelengths: tuple[float, ...]
    resolution: float = 10.0
    patch: int = 16
    positions: Positions = 'waves'
    radius: float = 0.0
    radar: int = 0


def sentinel2_wavelengths() -> tuple[float, ...]:
    """Give the centres of the 13 bands of Sentinel-2, in micrometres."""
    return tuple(band.wavelength or 0 for band in sensor('sentinel2').bands)


class _PatchEmbed(nn.Module):
    """Embeds the patches of every band alike."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        kernel = (1, patch, patch)
        self.proj = nn.Sequential(
            nn.Conv3d(1, 2 * width, kernel, kernel), nn.ReLU(), nn.Conv3d(2 * width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embed images (b, s, h p, w q): (b, s, h, w, d)."""
        return rearrange(self.proj(x[:, None]), 'b d s h w -> b s h w d')


class _Places(nn.Module):
    """Tells tokens where they are, and which see each other."""

    def __init__(self, size: LESSSize, layout: LESSLayout) -> None:
        super().__init__()
        self.size, self.layout = size, layout

    def waves(self, height: int, width: int, like: Tensor) -> Tensor | float:
        """Give what is added to the table (1, s, n, d), nothing to summaries; 0 with RoPE."""
        if self.layout.positions == 'rope':
            return 0.0
        row, column = _grid(torch.arange(height), torch.arange(width))
        half = self.size.width // 2
        places = [waves(axis * self.layout.resolution, half) for axis in (column, row)]
        bands = waves(_NANOMETRES * torch.tensor(self.layout.wavelengths), self.size.width)
        table = _summarised(bands)[:, None] + _summarised(torch.cat(places, dim=1))
        return (table[None] / 2).to(like)

    def turns(self, height: int, width: int, like: Tensor) -> Turns | None:
        """Give how tokens are turned; None with waves."""
        if self.layout.positions == 'waves':
            return None
        bands, places = (features // self.size.heads for features in self.size.widths)
        centres = _NANOMETRES * torch.tensor(self.layout.wavelengths, dtype=torch.float64)
        spectrum = 2 * (centres - _FIRST) / (_LAST - _FIRST) - 1
        rows = [2 * (torch.arange(n) + 0.5) / n - 1 for n in (height, width)]
        plane = torch.stack(_grid(*rows), dim=1)
        return Turns(
            *(
                _sines_and_cosines(coordinates, features, like)
                for coordinates, features in ((spectrum[:, None], bands), (plane, places))
            )
        )

    def allowed(self, height: int, width: int, device: torch.device) -> Tensor | None:
        """Give which place sees which (n, n); None if all do."""
        if not self.layout.radius:
            return None
        metres = self.layout.patch * self.layout.resolution
        plane = torch.stack(_grid(torch.arange(height), torch.arange(width)), dim=1).double()
        near = torch.cdist(plane, plane) * metres <= self.layout.radius
        # summaries see everything and are seen by all
        return nn.functional.pad(near, (1, 0, 1, 0), value=True).to(device)


def _grid(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Give row and column (n,) of each place, row by row."""
    row, column = torch.meshgrid(rows, columns, indexing='ij')
    return row.flatten(), column.flatten()


def _summarised(rows: Tensor) -> Tensor:
    """Put a row of zeros before rows (n, d)."""
    return nn.functional.pad(rows, (0, 0, 1, 0))


def _sines_and_cosines(coordinates: Tensor, features: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Give sines and cosines (n, e) of turns by coordinates (n, axes) from -1 to 1."""
    count = features // 2 // coordinates.shape[1]
    periods = _BASE ** (torch.arange(count, dtype=torch.float64) / count)
    angles = (2 * math.pi * coordinates[:, :, None] / periods).flatten(1).tile(2)
    return angles.sin().to(like), angles.cos().to(like)


class LESSViT(Backbone):
    """The encoder, with a head for scenes.

    Args:
        size: Its size.
        layout: What images are and how they are cut into tokens.
        num_classes: Channels of the output; 0 for the features themselves.
        drop_path: Probability of leaving out the last block during training.
        layer_scale: Factor that what blocks add starts with; 0 for none.
    """

    def __init__(
        self,
        size: LESSSize,
        layout: LESSLayout,
        num_classes: int = 0,
        drop_path: float = 0.0,
        layer_scale: float = 0.0,
    ) -> None:
        super().__init__()
        self.size, self.layout = size, layout
        self.optical_patch_embed = _PatchEmbed(size.width, layout.patch)
        if layout.radar:
            self.radar_patch_embed = _PatchEmbed(size.width, layout.patch)
        self.cls_token, self.spatial_cls_token, self.channel_cls_token = (
            nn.Parameter(0.02 * torch.randn(1, 1, size.width)) for _ in range(3)
        )
        rates = torch.linspace(0, drop_path, size.depth).tolist()
        self.blocks = nn.ModuleList(LESSBlock(size, rate, layer_scale) for rate in rates)
        self.norm = LayerNorm(size.width)
        self.head = nn.Linear(size.width, num_classes) if num_classes else nn.Identity()
        self._taken = spread(size.depth)
        self.feature_info = tuple(Stage(size.width, layout.patch) for _ in self._taken)
        self.apply(_start)
        accept_published_names(self, self._own_names)

    @property
    def wavelengths(self) -> tuple[float, ...]:
        """Centres of the bands in micrometres; set them to see another sensor."""
        return self.layout.wavelengths

    @wavelengths.setter
    def wavelengths(self, centres: Sequence[float]) -> None:
        self.layout = self.layout._replace(wavelengths=check_wavelengths(centres))

    def forward(self, x: Tensor) -> Tensor:
        """Classify images.

        Args:
            x: Images (b, s, h, w) of any size, normalised, with a band for each wavelength; zeros
                are added below and to the right up to a whole patch.

        Returns:
            Logits (b, k), or features (b, d) if there are no classes.

        Raises:
            BadInput: If there are not as many bands as wavelengths.
        """
        logits: Tensor = self.head(self.embed(x))
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """Give the normalised summary (b, d) of all bands and places."""
        *_, last = self.states(x)
        vector: Tensor = self.norm(last[:, 0, 0])
        return vector

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Give maps of four blocks, the mean of the bands' tokens, each normalised."""
        height = -(-x.shape[-2] // self.layout.patch)
        maps = []
        for number, table in enumerate(self.states(x)):
            if number in self._taken:
                mean = self.norm(table)[:, 1:, 1:].mean(dim=1)
                maps.append(rearrange(mean, 'b (h w) d -> b d h w', h=height))
        return crop_maps(maps, self.feature_info, x)

    def states(self, x: Tensor) -> list[Tensor]:
        """Give the table (b, 1 + s, 1 + n, d) after each block."""
        table, places, (height, width) = self.tokens(x)
        turns = places.turns(height, width, table)
        allowed = places.allowed(height, width, table.device)
        states = []
        for block in self.blocks:
            table = block(table, turns, allowed)
            states.append(table)
        return states

    def tokens(self, x: Tensor) -> tuple[Tensor, _Places, tuple[int, int]]:
        """Embed images: the table (b, 1 + s, 1 + n, d), who tells positions, patches by side."""
        check_bands(x, self.wavelengths)
        table = self.embed_patches(pad_to_multiple(x, self.layout.patch))
        height, width = table.shape[2:4]
        table = rearrange(table, 'b s h w d -> b s (h w) d')
        of_places = repeat(self.channel_cls_token, '1 1 d -> b 1 n d', b=len(x), n=height * width)
        table = torch.cat([of_places, table], dim=1)
        of_bands = repeat(self.spatial_cls_token, '1 1 d -> b s 1 d', b=len(x), s=x.shape[1])
        whole = repeat(self.cls_token, '1 1 d -> b 1 1 d', b=len(x))
        table = torch.cat([torch.cat([whole, of_bands], dim=1), table], dim=2)
        places = _Places(self.size, self.layout)
        return table + places.waves(height, width, table), places, (height, width)

    def embed_patches(self, x: Tensor) -> Tensor:
        """Embed the patches of each band (b, s, h p, w q): (b, s, h, w, d)."""
        optical = x.shape[1] - self.layout.radar
        parts = []
        if optical:
            parts.append(self.optical_patch_embed(x[:, :optical]))
        if self.layout.radar:
            parts.append(self.radar_patch_embed(x[:, optical:]))
        return torch.cat(parts, dim=1)

    def _own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Leave out what is computed here, and radar where there is none."""
        without = ('pos_chan_embed.', *(() if self.layout.radar else ('radar_patch_embed.',)))
        return {key: value for key, value in state.items() if not key.startswith(without)}


def _start(module: nn.Module) -> None:
    """Draw the first weights as the published code does."""
    if isinstance(module, nn.Linear | nn.Conv3d):
        nn.init.xavier_uniform_(module.weight.flatten(1))
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


class LESSViTMAE(nn.Module):
    """The masked autoencoder that trains the encoder (Hyper-MAE).

    Bands are hidden first, then places of what is left; both are reconstructed.

    Args:
        size: Size of the encoder.
        decoder: Size of the decoder.
        layout: What images are and how they are cut into tokens.
        mask_ratio: Share of the places that is hidden.
        band_mask_ratio: Share of the bands that is hidden; two are always seen.
        band_dropout: Shares of the bands, from and to, that are left out of a batch in training
            before anything else; 0.7 to 0.8 for EnMAP in the published script.
        layer_scale: Factor that what blocks add starts with; 0 for none.

    Raises:
        BadParameter: If a share is not between 0 and 1, or there are fewer than two bands.
    """

    def __init__(
        self,
        size: LESSSize,
        decoder: LESSSize,
        layout: LESSLayout,
        mask_ratio: float = 0.75,
        band_mask_ratio: float = 0.5,
        band_dropout: tuple[float, float] = (0.0, 0.0),
        layer_scale: float = 0.0,
    ) -> None:
        super().__init__()
        shares = {'mask_ratio': mask_ratio, 'band_mask_ratio': band_mask_ratio}
        shares |= {f'band_dropout[{end}]': share for end, share in enumerate(band_dropout)}
        for name, share in shares.items():
            if not 0 <= share < 1 or (name == 'mask_ratio' and not share):
                raise BadParameter(f'{name} is {share}; it must be between 0 and 1.')
        if len(layout.wavelengths) < 2:
            raise BadParameter(
                f'wavelengths: there is {len(layout.wavelengths)} band, but two are always seen.',
                'Give images of two or more bands.',
            )
        self.mask_ratio, self.band_mask_ratio = mask_ratio, band_mask_ratio
        self.band_dropout = band_dropout
        self.encoder = LESSViT(size, layout, layer_scale=layer_scale)
        self.decoder = _Decoder(decoder, size.width, layout, layer_scale)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Reconstruction:
        """Hide and reconstruct images.

        Args:
            x: Images (b, s, h, w) of any size, normalised; zeros are added below and to the right
                up to a whole patch.
            valid: (b, h, w) bool, True where there is a measurement; patches with pixels that have
                none are left out of the loss. All have one if not given.

        Returns:
            Losses and the reconstruction, of bands that were not dropped. Each patch of a band of
            the target has mean 0 and variance 1. Outside of training the same is hidden every time.
        """
        layout = self.encoder.layout
        counted = torch.ones_like(x[:, :1]) if valid is None else valid[:, None].to(x)
        x, counted = (pad_to_multiple(values, layout.patch) for values in (x, counted))
        kept = self._kept_bands(x.shape[1], layout.radar, x.device)
        x = x[:, kept]
        part = layout._replace(wavelengths=tuple(layout.wavelengths[n] for n in kept.tolist()))
        height, width = (side // layout.patch for side in x.shape[-2:])
        bands = self._seen(x, x.shape[1], self.band_mask_ratio, 2, alike=False)
        # places that see only those near them are hidden alike in the whole batch
        places = self._seen(x, height * width, self.mask_ratio, 1, alike=bool(layout.radius))
        table = self.encode(x, part, bands, places)
        predicted = self.decoder(table, part, bands, places, (height, width))
        target = _normalised(_patches(x, layout.patch))
        square = (predicted - target).square().mean(dim=-1)
        hidden_bands, hidden_places = ~_flags(bands, x.shape[1]), ~_flags(places, square.shape[2])
        whole = _patches(counted, layout.patch).all(dim=-1)
        masks = (hidden_places[:, None] & whole, hidden_bands[:, :, None] & whole)
        loss = sum((_mean_where(square, mask) for mask in masks), torch.zeros_like(square[:, 0, 0]))
        hidden = hidden_places[:, None] | hidden_bands[:, :, None]
        return Reconstruction(
            loss,
            _image(target, height, layout.patch),
            _image(predicted, height, layout.patch),
            _image(hidden[..., None].expand_as(target), height, layout.patch),
        )

    def encode(self, x: Tensor, layout: LESSLayout, bands: Tensor, places: Tensor) -> Tensor:
        """Encode what is seen.

        Args:
            x: Images (b, s, h, w).
            layout: Theirs.
            bands: (b, s') numbers of the bands seen.
            places: (b, n') numbers of the places seen.

        Returns:
            The normalised table (b, 1 + s', 1 + n', d).
        """
        whole = self.encoder.layout
        self.encoder.layout = layout
        try:
            table, told, (height, width) = self.encoder.tokens(x)
        finally:
            self.encoder.layout = whole
        rows, columns = _with_summary(bands), _with_summary(places)
        table = table.take_along_dim(rows[:, :, None, None], dim=1)
        table = table.take_along_dim(columns[:, None, :, None], dim=2)
        turns = told.turns(height, width, table)
        if turns is not None:
            turns = Turns(_chosen(turns.bands, bands), _chosen(turns.places, places))
        allowed = told.allowed(height, width, table.device)
        if allowed is not None:
            allowed = allowed[columns[:, :, None], columns[:, None]][:, None, None]
        for block in self.encoder.blocks:
            table = block(table, turns, allowed)
        encoded: Tensor = self.encoder.norm(table)
        return encoded

    def _kept_bands(self, count: int, radar: int, device: torch.device) -> Tensor:
        """Draw the bands of a batch; radar is never dropped."""
        optical = torch.arange(count - radar, device=device)
        low, high = sorted(self.band_dropout)
        if self.training and high:
            share = low + (high - low) * torch.rand(1).item()
            number = max(2, int(len(optical) * (1 - share)))
            optical = torch.randperm(len(optical), device=device)[:number].sort().values
        return torch.cat([optical, torch.arange(count - radar, count, device=device)])

    def _seen(self, x: Tensor, count: int, ratio: float, fewest: int, alike: bool) -> Tensor:
        """Draw which of some tokens are seen: numbers (b, seen)."""
        number = max(fewest, int(count * (1 - ratio)))
        noise = draw_noise(1 if alike else len(x), count, x.device, self.training)
        return noise.argsort(dim=1)[:, :number].expand(len(x), -1)


class _Decoder(nn.Module):
    """Reconstructs all patches from those seen, by the names of the published code."""

    def __init__(self, size: LESSSize, width: int, layout: LESSLayout, layer_scale: float) -> None:
        super().__init__()
        self.size = size
        self.decoder_embed = nn.Linear(width, size.width)
        self.mask_token, self.spatial_mask_token, self.channel_mask_token = (
            nn.Parameter(0.02 * torch.randn(1, 1, 1, size.width)) for _ in range(3)
        )
        self.decoder_blocks = nn.ModuleList(
            LESSBlock(size, layer_scale=layer_scale) for _ in range(size.depth)
        )
        self.decoder_norm = LayerNorm(size.width)
        self.decoder_optical_pred = nn.Linear(size.width, layout.patch**2)
        if layout.radar:
            self.decoder_radar_pred = nn.Linear(size.width, layout.patch**2)
        self.apply(_start)

    def forward(
        self,
        table: Tensor,
        layout: LESSLayout,
        bands: Tensor,
        places: Tensor,
        grid: tuple[int, int],
    ) -> Tensor:
        """Reconstruct the patches (b, s, n, p q) of an encoded table (b, 1 + s', 1 + n', d)."""
        seen = self.decoder_embed(table)
        count, area = len(layout.wavelengths), grid[0] * grid[1]
        rows, columns = _with_summary(bands), _with_summary(places)
        # rows seen get all their places, then all rows are put in order
        wide = torch.cat(
            [
                self.channel_mask_token.expand(len(seen), 1, 1 + area, -1),
                self.mask_token.expand(len(seen), rows.shape[1] - 1, 1 + area, -1),
            ],
            dim=1,
        )
        wide = wide.scatter(2, columns[:, None, :, None].expand_as(seen), seen)
        whole = torch.cat(
            [
                self.spatial_mask_token.expand(len(seen), 1 + count, 1, -1),
                self.mask_token.expand(len(seen), 1 + count, area, -1),
            ],
            dim=2,
        )
        whole = whole.scatter(1, rows[:, :, None, None].expand_as(wide), wide)
        told = _Places(self.size, layout)
        whole = whole + told.waves(*grid, whole)
        turns, allowed = told.turns(*grid, whole), told.allowed(*grid, whole.device)
        for block in self.decoder_blocks:
            whole = block(whole, turns, allowed)
        whole = self.decoder_norm(whole)[:, 1:, 1:]
        optical = count - layout.radar
        parts = [self.decoder_optical_pred(whole[:, :optical])]
        if layout.radar:
            parts.append(self.decoder_radar_pred(whole[:, optical:]))
        return torch.cat(parts, dim=1)


def _with_summary(numbers: Tensor) -> Tensor:
    """Count the summary as number 0 and put it first: (b, n) to (b, 1 + n)."""
    return nn.functional.pad(numbers + 1, (1, 0))


def _chosen(turn: tuple[Tensor, Tensor], numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Choose sines and cosines (n, e) for each image: (b, 1, 1, n', e)."""
    sines, cosines = (values[numbers][:, None, None] for values in turn)
    return sines, cosines


def _flags(numbers: Tensor, count: int) -> Tensor:
    """Tell of each of some tokens whether it is among the numbers (b, n): (b, count) bool."""
    none = torch.zeros(len(numbers), count, dtype=torch.bool, device=numbers.device)
    return none.scatter(1, numbers, value=True)


def _patches(x: Tensor, patch: int) -> Tensor:
    return rearrange(x, 'b s (h p) (w q) -> b s (h w) (p q)', p=patch, q=patch)


def _image(patches: Tensor, height: int, patch: int) -> Tensor:
    return rearrange(patches, 'b s (h w) (p q) -> b s (h p) (w q)', h=height, p=patch)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Average values (b, s, n) over a mask that fits them; 0 where there is none: (b,)."""
    mask = mask.expand_as(values)
    return (values * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp(min=1)


def _normalised(patches: Tensor) -> Tensor:
    """Give each patch of a band mean 0 and variance 1."""
    centred = patches - patches.mean(dim=-1, keepdim=True)
    return centred / (patches.var(dim=-1, keepdim=True) + 1e-6).sqrt()


def _layout(
    in_chans: int, wavelengths: Sequence[float] | None, radar: int, **facts: Any
) -> LESSLayout:
    if not 0 <= radar <= in_chans:
        raise BadParameter(
            f'radar is {radar}, but there are {in_chans} bands.',
            'Give how many of the last bands are radar.',
        )
    centres = known_wavelengths(in_chans, wavelengths, sentinel2_wavelengths())
    return LESSLayout(centres, radar=radar, **facts)


def lessvit_base(
    in_chans: int = 13,
    num_classes: int = 0,
    wavelengths: Sequence[float] | None = None,
    resolution: float = 10.0,
    patch: int = 16,
    positions: Positions = 'waves',
    radius: float = 0.0,
    radar: int = 0,
) -> LESSViT:
    """Build LESS ViT, 72 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2503.12843

    Args:
        in_chans: Bands of the images.
        num_classes: Channels of the output; 0 for the features themselves.
        wavelengths: Centre of each band in micrometres; those of Sentinel-2 for 13 bands, evenly
            spread (with a warning) for other numbers. They can be set anew for another sensor.
        resolution: Ground sampling distance in metres.
        patch: Rows and columns of a patch; 16 in the paper, 4 for EnMAP in the published script.
        positions: ``waves`` as in the paper, or ``rope`` as in its successor.
        radius: Metres within which places see each other, 640 in the paper; 0 for all.
        radar: How many of the last bands are radar, which is embedded by itself; the published code
            puts VV and VH of Sentinel-1 at 5.5 and 5.7 micrometres.

    Returns:
        The model, at random weights, as none are published.

    Raises:
        BadParameter: If wavelengths are not those of the bands.
    """
    layout = _layout(
        in_chans,
        wavelengths,
        radar,
        resolution=resolution,
        patch=patch,
        positions=positions,
        radius=radius,
    )
    # the successor starts with layer scale
    return LESSViT(SIZES['base'], layout, num_classes, layer_scale=float(positions == 'rope'))


def lessvit_mae_base(
    in_chans: int = 13,
    wavelengths: Sequence[float] | None = None,
    resolution: float = 10.0,
    patch: int = 16,
    positions: Positions = 'waves',
    radius: float = 0.0,
    radar: int = 0,
    mask_ratio: float = 0.75,
    band_mask_ratio: float = 0.5,
    band_dropout: tuple[float, float] = (0.0, 0.0),
) -> LESSViTMAE:
    """Build the masked autoencoder of LESS ViT.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2503.12843

    Args:
        in_chans: Bands of the images.
        wavelengths: Centre of each band in micrometres; see :func:`lessvit_base`.
        resolution: Ground sampling distance in metres.
        patch: Rows and columns of a patch.
        positions: ``waves`` as in the paper, or ``rope`` as in its successor.
        radius: Metres within which places see each other; 0 for all.
        radar: How many of the last bands are radar.
        mask_ratio: Share of the places that is hidden.
        band_mask_ratio: Share of the bands that is hidden; two are always seen.
        band_dropout: Shares of the bands, from and to, that are left out of a batch in training.

    Returns:
        The model, whose ``encoder`` is a :class:`LESSViT`.

    Raises:
        BadParameter: If wavelengths are not those of the bands, or a share is not between 0 and 1.
    """
    layout = _layout(
        in_chans,
        wavelengths,
        radar,
        resolution=resolution,
        patch=patch,
        positions=positions,
        radius=radius,
    )
    scale = float(positions == 'rope')
    return LESSViTMAE(
        SIZES['base'], SIZES['decoder'], layout, mask_ratio, band_mask_ratio, band_dropout, scale
    )
