"""What a cloud reflects and lets through, and how much of daylight comes straight from the sun.

Optical thickness is given for green light, wavelengths in micrometres.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

type Phase = Literal['water', 'ice']

#: Green light, at which optical thickness is given, in micrometres.
GREEN = 0.55


class Particles(NamedTuple):
    """What a cloud is made of.

    Attributes:
        radius: Effective radius in micrometres.
        asymmetry: Mean cosine of the scattering angle.
        absorption: Imaginary part of the refractive index, by wavelength in micrometres.
    """

    radius: float
    asymmetry: float
    absorption: tuple[tuple[float, float], ...]


#: Typical droplets and crystals. Refractive indices: Hale and Querry (1973), Optical constants of
#: water in the 200-nm to 200-µm wavelength region, https://doi.org/10.1364/AO.12.000555; Warren and
#: Brandt (2008), Optical constants of ice from the ultraviolet to the microwave: A revised
#: compilation, https://doi.org/10.1029/2007JD009744; both as tabulated by refractiveindex.info.
PARTICLES: dict[Phase, Particles] = {
    'water': Particles(
        10,
        0.85,
        (
            (0.4, 1.86e-9), (0.5, 1.00e-9), (0.6, 1.09e-8), (0.7, 3.35e-8), (0.8, 1.25e-7),
            (0.9, 4.86e-7), (1.0, 2.89e-6), (1.2, 9.89e-6), (1.4, 1.38e-4), (1.6, 8.55e-5),
            (1.8, 1.15e-4), (2.0, 1.10e-3), (2.2, 2.89e-4), (2.4, 9.56e-4), (2.6, 3.17e-3),
        ),
    ),
    'ice': Particles(
        30,
        0.78,
        (
            (0.4, 2.365e-11), (0.5, 5.889e-10), (0.6, 5.73e-9), (0.7, 2.90e-8), (0.8, 1.34e-7),
            (0.9, 4.20e-7), (1.0, 1.62e-6), (1.2, 6.71e-6), (1.4, 1.98e-5), (1.449, 2.03e-4),
            (1.493, 5.532e-4), (1.613, 2.659e-4), (1.65, 2.361e-4), (1.8, 1.411e-4), (2.0, 1.64e-3),
            (2.105, 7.586e-4), (2.19, 2.707e-4), (2.25, 2.035e-4), (2.39, 5.605e-4),
            (2.6, 7.543e-4),
        ),
    ),
}  # fmt: skip


def co_albedo(wavelengths: Tensor, phase: Phase) -> Tensor:
    """Give the share of light that a particle absorbs of what it scatters and absorbs.

    For weak absorption 0.85 times absorption coefficient times radius, as geometrical optics gives
    for a sphere; for strong absorption a half, because what is diffracted never gets inside
    (Bohren and Huffman, 1983, Absorption and scattering of light by small particles, chapter 7).

    Args:
        wavelengths: Any shape, in micrometres.
        phase: 'water' droplets or 'ice' crystals.

    Returns:
        The same shape, from 0 to 0.5.
    """
    particles = PARTICLES[phase]
    places, indices = torch.tensor(particles.absorption).to(wavelengths).T.contiguous()
    right = torch.searchsorted(places, wavelengths.contiguous()).clamp(1, len(places) - 1)
    share = ((wavelengths - places[right - 1]) / (places[right] - places[right - 1])).clamp(0, 1)
    index = torch.lerp(indices.log()[right - 1], indices.log()[right], share).exp()
    path = particles.radius * 4 * math.pi * index / wavelengths
    return -torch.expm1(-1.7 * path) / 2


def cloud_layer(thickness: Tensor, wavelengths: Tensor, phase: Phase) -> tuple[Tensor, Tensor]:
    """Give what a cloud reflects and lets through, by the two-stream approximation.

    Source: Meador and Weaver (1980), Two-stream approximations to radiative transfer in planetary
    atmospheres, Journal of the Atmospheric Sciences 37, 630-643 (quadrature, diffuse light).

    Args:
        thickness: Optical thickness in green light, 0 or more.
        wavelengths: In micrometres, broadcast with the thickness.
        phase: 'water' droplets or 'ice' crystals.

    Returns:
        Reflectance and transmittance from 0 to 1; what is missing to 1 is absorbed.
    """
    absorbed = co_albedo(wavelengths, phase).clamp(min=1e-6)  # 0 would be a case of its own
    backward = 1 - (1 - absorbed) * PARTICLES[phase].asymmetry
    similarity = (absorbed / backward).sqrt()
    deepest = (1 - similarity) / (1 + similarity)  # reflectance of an endless cloud
    faded = (thickness * -(3 * absorbed * backward).sqrt()).exp()
    twice = faded.square()
    rest = (1 - deepest.square() * twice).reciprocal()
    return deepest * (1 - twice) * rest, (1 - deepest.square()) * faded * rest


def direct_share(wavelengths: Tensor, sun_zenith: Tensor) -> Tensor:
    """Give the share of daylight that comes straight from the sun, not from the sky.

    Beam through molecules and a little haze; half of what they scatter reaches the ground. Optical
    depth of molecules: Hansen and Travis (1974), Light scattering in planetary atmospheres, Space
    Science Reviews 16, 527-610; haze of 0.1 at 0.55 micrometres with an Angstrom exponent of 1.3.

    Args:
        wavelengths: In micrometres, broadcast with the angle.
        sun_zenith: Angle of the sun from the zenith in degrees.

    Returns:
        Share from 0 to 1.
    """
    square = wavelengths**-2
    molecules = 0.008569 * square**2 * (1 + 0.0113 * square + 0.00013 * square**2)
    haze = 0.1 * (wavelengths / GREEN) ** -1.3
    beam = torch.exp(-(molecules + haze) / torch.cos(torch.deg2rad(sun_zenith)))
    return 2 * beam / (1 + beam)
