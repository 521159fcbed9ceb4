"""TorchGeo's networks that know bands by their wavelengths, as backbones for any sensor.

* DOFA: https://arxiv.org/abs/2403.15356
* Panopticon: https://arxiv.org/abs/2503.10845
* Copernicus-FM: https://arxiv.org/abs/2503.11849

Axes: b batch, s bands, h and w rows and columns, n tokens (the class token first), d features.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from einops import rearrange
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn
from torchgeo.models import DOFA, CopernicusFM, Panopticon

from torchgeo_ext.models._wavelengths import check_bands, check_wavelengths
from torchgeo_ext.models.features import Backbone, Stage, crop_maps, pad_to_multiple, spread

_NANOMETRES = 1000
#: Width of a band in micrometres that has no neighbour to tell from.
_LONE_BAND = 0.03


class WavelengthBackbone(Backbone):
    """A vision transformer whose patches are embedded by the wavelengths of the bands.

    Args:
        network: TorchGeo's; it is used as it is, not copied.
        wavelengths: Centre of each band, in micrometres.
    """

    def __init__(self, network: nn.Module, wavelengths: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.wavelengths = wavelengths
        self._taken = spread(len(self._blocks))
        self.feature_info = tuple(Stage(self._width, self._patch) for _ in self._taken)

    @property
    def wavelengths(self) -> tuple[float, ...]:
        """Centres of the bands in micrometres; set them to see another sensor."""
        return self._wavelengths

    @wavelengths.setter
    def wavelengths(self, centres: Sequence[float]) -> None:
        self._wavelengths = check_wavelengths(centres)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Give maps of four blocks, each normalised."""
        height = -(-x.shape[-2] // self._patch)
        maps = [
            rearrange(self._norm(tokens[:, 1:]), 'b (h w) d -> b d h w', h=height)
            for number, tokens in enumerate(self._states(x))
            if number in self._taken
        ]
        return crop_maps(maps, self.feature_info, x)

    def embed(self, x: Tensor) -> Tensor:
        """Give what the network's own head would see (b, d)."""
        *_, tokens = self._states(x)
        return self._pool(tokens)

    def _states(self, x: Tensor) -> Iterator[Tensor]:
        """Give the tokens (b, n, d) after each block."""
        check_bands(x, self.wavelengths)
        padded = pad_to_multiple(x, self._patch)
        tokens = self._embedded(padded)
        grid = [side // self._patch for side in padded.shape[-2:]]
        places = resample_abs_pos_embed(self._places(), grid, num_prefix_tokens=1)
        first = (self._first + places[:, :1]).expand(len(x), -1, -1)
        tokens = torch.cat([first, tokens + places[:, 1:]], dim=1)
        for block in self._blocks:
            tokens = block(tokens)
            yield tokens

    def _centres(self, like: Tensor, unit: float = 1.0) -> Tensor:
        return unit * torch.tensor(self.wavelengths, device=like.device, dtype=like.dtype)

    @property
    def _width(self) -> int:
        return int(self._first.shape[-1])

    @property
    @abstractmethod
    def _blocks(self) -> Sequence[nn.Module]: ...

    @property
    @abstractmethod
    def _patch(self) -> int: ...

    @property
    @abstractmethod
    def _first(self) -> Tensor: ...

    @abstractmethod
    def _embedded(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _places(self) -> Tensor: ...

    @abstractmethod
    def _norm(self, tokens: Tensor) -> Tensor: ...

    @abstractmethod
    def _pool(self, tokens: Tensor) -> Tensor: ...


class _MaskedAutoencoder(WavelengthBackbone):
    """DOFA and Copernicus-FM, which share their body; features are the mean of all patches."""

    network: Any

    @property
    def _blocks(self) -> Sequence[nn.Module]:
        return list(self.network.blocks)

    @property
    def _first(self) -> Tensor:
        token: Tensor = self.network.cls_token
        return token

    def _norm(self, tokens: Tensor) -> Tensor:
        norm = self.network.fc_norm if self.network.global_pool else self.network.norm
        normalised: Tensor = norm(tokens)
        return normalised

    def _pool(self, tokens: Tensor) -> Tensor:
        if self.network.global_pool:
            return self._norm(tokens[:, 1:].mean(dim=1))
        return self._norm(tokens[:, 0])


class _DOFA(_MaskedAutoencoder):
    @property
    def _patch(self) -> int:
        return int(self.network.patch_size)

    def _embedded(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.network.patch_embed(x, self._centres(x))[0]
        return tokens

    def _places(self) -> Tensor:
        table: Tensor = self.network.pos_embed
        return table


class _CopernicusFM(_MaskedAutoencoder):
    """Place, time and size of images are not told, for which it has learnt tokens."""

    @property
    def _patch(self) -> int:
        return int(self.network.patch_embed_spectral.kernel_size)

    def _embedded(self, x: Tensor) -> Tensor:
        centres = self._centres(x, _NANOMETRES)
        widths = _NANOMETRES * torch.tensor(_widths(self.wavelengths)).to(centres)
        tokens: Tensor = self.network.patch_embed_spectral(
            x, wavelengths=centres, bandwidths=widths, kernel_size=self._patch
        )
        return tokens

    def _places(self) -> Tensor:
        network = self.network
        unknown = (
            network.coord_fc(network.coord_token)
            + network.scale_fc(network.scale_token)
            + network.time_fc(network.time_token)
        )
        table: Tensor = network.pos_embed + unknown
        return table


def _widths(wavelengths: Sequence[float]) -> list[float]:
    """Take the distance of a band to its nearest neighbour for its width, where none is told."""
    widths = []
    for number, centre in enumerate(wavelengths):
        others = [*wavelengths[:number], *wavelengths[number + 1 :]]
        gaps = [abs(centre - other) for other in others if other != centre]
        widths.append(min(gaps, default=_LONE_BAND))
    return widths


class _Panopticon(WavelengthBackbone):
    network: Any

    @property
    def _vit(self) -> Any:
        return self.network.model

    @property
    def _blocks(self) -> Sequence[nn.Module]:
        return list(self._vit.blocks)

    @property
    def _patch(self) -> int:
        return int(self._vit.patch_embed.patch_size[0])

    @property
    def _first(self) -> Tensor:
        token: Tensor = self._vit.cls_token
        return token

    def _embedded(self, x: Tensor) -> Tensor:
        centres = self._centres(x, _NANOMETRES).repeat(len(x), 1)
        tokens: Tensor = self._vit.patch_embed({'imgs': x, 'chn_ids': centres})
        return tokens

    def _places(self) -> Tensor:
        table: Tensor = self._vit.pos_embed
        return table

    def _norm(self, tokens: Tensor) -> Tensor:
        normalised: Tensor = self._vit.norm(tokens)
        return normalised

    def _pool(self, tokens: Tensor) -> Tensor:
        return self._norm(tokens[:, 0])


_KINDS: dict[type[nn.Module], type[WavelengthBackbone]] = {
    DOFA: _DOFA,
    Panopticon: _Panopticon,
    CopernicusFM: _CopernicusFM,
}


def by_wavelength(network: nn.Module, wavelengths: Sequence[float]) -> WavelengthBackbone:
    """See a network of TorchGeo that goes by wavelengths as a backbone.

    Args:
        network: A DOFA, Panopticon or CopernicusFM.
        wavelengths: Centre of each band, in micrometres.
    """
    return _KINDS[type(network)](network, wavelengths)
