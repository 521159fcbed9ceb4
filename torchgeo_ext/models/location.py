"""Encoders of places by name, and those that need no weights.

All take longitude and latitude in degrees of WGS 84, longitude first, whatever their authors'
order and units are; see :class:`LocationEncoder`.

Axes: n places, d features.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._harmonics import Harmonics
from torchgeo_ext.models._location import BadCoordinates, LocationEncoder, check_coordinates, wrap
from torchgeo_ext.models._weights import (
    check_model,
    load_exactly,
    read_file,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.models.climplicit import Climplicit
from torchgeo_ext.models.csp import CSP
from torchgeo_ext.models.geoclip import GeoCLIPLocation
from torchgeo_ext.models.satclip import SatCLIPLocation
from torchgeo_ext.models.sinr import SINR

__all__ = (
    'BadCoordinates',
    'FourierEncoder',
    'LocationEncoder',
    'SphericalHarmonicsEncoder',
    'WrapEncoder',
    'check_coordinates',
    'location_encoder',
    'location_fourier',
    'location_harmonics',
    'location_names',
    'location_wrap',
)


class SphericalHarmonicsEncoder(LocationEncoder):
    """Real spherical harmonics, which are smooth everywhere, poles and antimeridian included.

    They are orthonormal on the sphere, so that vectors of all places have one length, the root of
    L * L / (4 pi), and the cosine of two depends on nothing but their distance.

    Args:
        legendre_polys: Number L of degrees; half a wave of the highest is 180 / (L - 1) degrees.

    Raises:
        BadParameter: If there is no degree.
    """

    def __init__(self, legendre_polys: int = 10) -> None:
        _positive('legendre_polys', legendre_polys)
        super().__init__(legendre_polys**2)
        self.harmonics = Harmonics(legendre_polys)

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`."""
        features = self.harmonics(longitude, latitude, self.like.dtype)
        return features.to(self.like.device)


class FourierEncoder(LocationEncoder):
    """Sines and cosines of longitude and latitude, each frequency twice the one before.

    Longitudes are on a circle; along it, places near a pole are as far apart as those at the
    equator, in degrees.

    Args:
        frequencies: Number f of frequencies, from one wave around the Earth on.

    Raises:
        BadParameter: If there is no frequency.
    """

    def __init__(self, frequencies: int = 8) -> None:
        _positive('frequencies', frequencies)
        super().__init__(4 * frequencies)
        self.frequencies = frequencies

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`; sines of both coordinates first, then cosines."""
        times = 2.0 ** torch.arange(self.frequencies, device=longitude.device)
        both = torch.deg2rad(torch.cat([longitude[:, None] * times, latitude[:, None] * times], 1))
        return torch.cat([both.sin(), both.cos()], dim=1).to(self.like)


class WrapEncoder(LocationEncoder):
    """Sine and cosine of longitude and of twice the latitude.

    Mac Aodha, O., Cole, E., Perona, P. (2019). Presence-only geographical priors for fine-grained
    image classification. https://arxiv.org/abs/1906.05272. Latitudes are on a circle too, so that
    the two poles have the same vector.
    """

    def __init__(self) -> None:
        super().__init__(4)

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`; sines of both coordinates first, then cosines."""
        return wrap(longitude, latitude).to(self.like)


def _positive(argument: str, value: int) -> None:
    if value < 1:
        raise BadParameter(f'{argument} is {value}, but must be at least 1.')


def location_harmonics(legendre_polys: int = 10) -> SphericalHarmonicsEncoder:
    """Build spherical harmonics without a network.

    Args:
        legendre_polys: Number L of degrees; vectors have L * L numbers.

    Returns:
        The encoder, which has no parameters.
    """
    return SphericalHarmonicsEncoder(legendre_polys)


def location_fourier(frequencies: int = 8) -> FourierEncoder:
    """Build sines and cosines of many frequencies.

    Args:
        frequencies: Number f of frequencies; vectors have 4 f numbers.

    Returns:
        The encoder, which has no parameters.
    """
    return FourierEncoder(frequencies)


def location_wrap() -> WrapEncoder:
    """Build the four numbers that close longitude and latitude to circles.

    Returns:
        The encoder, which has no parameters.
    """
    return WrapEncoder()


#: Builds the encoder of each name, at random weights.
_ENCODERS: dict[str, Callable[..., LocationEncoder]] = {
    'climplicit': Climplicit,
    'csp': CSP,
    'geoclip_location': GeoCLIPLocation,
    'location_fourier': FourierEncoder,
    'location_harmonics': SphericalHarmonicsEncoder,
    'location_wrap': WrapEncoder,
    **{
        f'satclip_{tower}_l{degrees}': partial(SatCLIPLocation, degrees)
        for tower in ('resnet18', 'resnet50', 'vit16')
        for degrees in (10, 40)
    },
    'sinr': SINR,
}


def location_names() -> list[str]:
    """List the names that :func:`location_encoder` knows."""
    return sorted(_ENCODERS)


def location_encoder(
    name: str, weights: str | Path | WeightsEnum | None = None, **options: Any
) -> LocationEncoder:
    """Build an encoder of places by its name, without the image network beside it.

    Args:
        name: One of :func:`location_names`.
        weights: Published weights, or a file of them, of which parts for images are left alone:
            safetensors, or a checkpoint of PyTorch that holds plain weights only. At random
            without.
        options: Further arguments of the encoder's class, for instance ``legendre_polys`` of
            spherical harmonics or ``precise`` of SatCLIP.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        BadParameter: If the name or an option is not known, or the weights are of another model.
        BadInput: If the file cannot be read or its names or shapes do not fit; they are listed.
        MissingWeights: If published weights are not here and cannot be downloaded.
    """
    if name not in _ENCODERS:
        raise BadParameter(
            f'name: no encoder of places is called {name!r}.',
            f'Choose one of {", ".join(location_names())}.',
        )
    try:
        encoder = _ENCODERS[name](**options)
    except TypeError as error:
        raise BadParameter(
            f'options: {name} does not take {options} ({error}).',
            'Leave out what it does not know.',
        ) from error
    if weights is not None:
        if not any(True for _ in encoder.parameters()):
            raise BadParameter(
                f'weights is {weights}, but {name} has no weights.', 'Leave weights out.'
            )
        if isinstance(weights, WeightsEnum):
            check_model(weights, name)
            state = read_state(weights)
        else:
            state = read_file(Path(weights))
        load_exactly(encoder, encoder.own_names(weights_of_checkpoint(state)), str(weights))
    return encoder.eval()
