"""Clouds and their shadows over images that have none, by the physics of a scattering layer.

A cloud is a field of optical thickness. What it reflects and lets through depends on wavelength,
because water and ice absorb in the short-wave infrared; its shadow lies where the sun's rays
through it reach the ground, and is deepest where the sky scatters least, in the infrared.

Gases are not modelled (so a band like Sentinel-2's cirrus band sees low clouds too), nor is thermal
emission, nor what goes back and forth between cloud and ground, which matters over snow: for
reflective bands, 0.4 to 2.5 micrometres.
"""

import dataclasses
import math

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._bands import Bands, centre_wavelengths, wavelengths_for
from torchgeo_ext.transforms._base import (
    Drawn,
    Images,
    ImageTransform,
    Sample,
    check_fraction,
    check_range,
    uniform,
    with_valid,
)
from torchgeo_ext.transforms._cloud_layer import GREEN, PARTICLES, Phase, cloud_layer, direct_share

#: Classes of ``mask_cloud``.
CLEAR, CLOUD, SHADOW = range(3)

#: Micrometres that a reflective band can be at.
_REFLECTIVE = (0.3, 2.6)


def shadow_shift(
    height: Tensor, sun_zenith: Tensor, sun_azimuth: Tensor, gsd: float
) -> tuple[Tensor, Tensor]:
    """Give how far a shadow lies from its cloud in an image whose rows run from north to south.

    Args:
        height: Height of the cloud above the ground in metres.
        sun_zenith: Angle of the sun from the zenith in degrees.
        sun_azimuth: Where the sun stands, in degrees clockwise from north.
        gsd: Size of a pixel in metres.

    Returns:
        Rows (down) and columns (to the right), in pixels.
    """
    distance = height * torch.tan(torch.deg2rad(sun_zenith)) / gsd
    azimuth = torch.deg2rad(sun_azimuth)
    return distance * torch.cos(azimuth), -distance * torch.sin(azimuth)


def turbulent_fields(
    noise: Tensor, size: float, down: Tensor, right: Tensor
) -> tuple[Tensor, Tensor]:
    """Make a field with structure on all scales, and the same field moved.

    Amplitudes fall with the 4/3rd power of the wave number, as in turbulence (a spectrum of -5/3
    along a line; von Karman's form), below the outer scale.

    Args:
        noise: (n, h, w) standard normal noise.
        size: Outer scale: size of the largest structures in pixels.
        down: (n,) rows to move by, fractions included. What leaves comes in on the other side.
        right: (n,) columns to move by.

    Returns:
        Both fields, (n, h, w) each, of mean 0.
    """
    height, width = noise.shape[-2:]
    rows = torch.fft.fftfreq(height, device=noise.device)[:, None]
    columns = torch.fft.rfftfreq(width, device=noise.device)
    amplitude = (rows.square() + columns.square() + size**-2) ** (-2 / 3)
    amplitude[0, 0] = 0
    waves = torch.fft.rfft2(noise) * amplitude
    moved = waves * _waves(rows * down[:, None, None]) * _waves(columns * right[:, None, None])
    return torch.fft.irfft2(waves, s=(height, width)), torch.fft.irfft2(moved, s=(height, width))


def _waves(cycles: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(cycles), -2 * math.pi * cycles)


class SimulateClouds(ImageTransform):
    """Put clouds and their shadows over images of reflectance.

    Adds ``mask_cloud`` int64 with the axes of ``mask_valid``: 0 clear, 1 cloud, 2 shadow. Labels
    stay as they are. Each date of a series gets clouds of its own.

    The idea of controllable clouds from noise is that of Czerkawski et al. (2023),
    SatelliteCloudGenerator, https://doi.org/10.3390/rs15174138.

    Example:
        >>> cumulus = SimulateClouds(coverage=(0.1, 0.4), gsd=10, bands='sentinel2', scale=10000)
        >>> cirrus = SimulateClouds(
        ...     'ice',
        ...     thickness=(0.2, 2),
        ...     height=(8000, 12000),
        ...     size=20000,
        ...     clear=0.95,
        ...     bands=[0.49, 0.84, 1.61],
        ... )
        >>> sample = cirrus({'image': torch.full((3, 64, 64), 0.1)})
        >>> sample['image'].shape, sample['mask_cloud'].shape
        (torch.Size([3, 64, 64]), torch.Size([64, 64]))

    Args:
        phase: Clouds of 'water' droplets, white up to the near infrared and grey beyond, or of
            'ice' crystals, dark beyond.
        coverage: Least and greatest share of the image under clouds, of any thickness.
        thickness: Least and greatest optical thickness of the thickest part, which may lie outside
            the image. Cirrus has less than 3, a fair-weather cumulus 5 to 30.
        height: Least and greatest height above the ground in metres.
        size: Size of the largest structures in metres.
        gsd: Size of a pixel in metres.
        sun_zenith: Least and greatest angle of the sun from the zenith in degrees, below 85.
        sun_azimuth: Least and greatest direction of the sun in degrees clockwise from north, which
            is up.
        clear: Share of green light that must get through for a pixel to count as clear.
        hide: Set ``mask_valid`` to False where it is not clear.
        scale: Value of an image that stands for a reflectance of 1, for instance 10000.
        bands: Bands of the image: a sensor or its name, or centre wavelengths in micrometres. By
            default the ``wavelengths`` of the sample tell.
        p: Probability that an image gets clouds.

    Raises:
        BadParameter: If a number is out of its range.
        BadInput: When called, if wavelengths are unknown or not reflective.
    """

    needs_sample = True

    def __init__(
        self,
        phase: Phase = 'water',
        *,
        coverage: tuple[float, float] = (0.1, 0.5),
        thickness: tuple[float, float] = (5, 40),
        height: tuple[float, float] = (500, 3000),
        size: float = 3000,
        gsd: float = 10,
        sun_zenith: tuple[float, float] = (20, 65),
        sun_azimuth: tuple[float, float] = (0, 360),
        clear: float = 0.8,
        hide: bool = False,
        scale: float = 1,
        bands: Bands | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        if phase not in PARTICLES:
            raise BadParameter(f'phase is {phase!r}; it must be one of {", ".join(PARTICLES)}.')
        for name, value in (('size', size), ('gsd', gsd), ('scale', scale)):
            if not value > 0:
                raise BadParameter(f'{name} is {value}; it must be above 0.')
        check_fraction('clear', clear)
        self.phase: Phase = phase
        self.coverage = check_range('coverage', coverage, 0, 1)
        self.thickness = check_range('thickness', thickness, 0)
        self.height = check_range('height', height, 0)
        self.size = size
        self.gsd = gsd
        self.sun_zenith = check_range('sun_zenith', sun_zenith, 0, 85)
        self.sun_azimuth = check_range('sun_azimuth', sun_azimuth)
        self.clear = clear
        self.hide = hide
        self.scale = scale
        self.bands = None if bands is None else centre_wavelengths(bands)

    def transform(self, sample: Sample) -> Sample:
        """Cover the images, and add to ``mask_cloud`` if there is one already."""
        image = sample['image']
        shape = image.shape[:-3] + image.shape[-2:]
        before = sample.pop(
            'mask_cloud', torch.zeros(shape, dtype=torch.int64, device=image.device)
        )
        sample = super().transform(with_valid(sample) if self.hide else sample)
        added = sample.get('mask_cloud', torch.zeros_like(before))
        sample['mask_cloud'] = torch.where(added == CLEAR, before, added)
        return sample

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw the weather and the sun."""
        ranges = ('coverage', 'thickness', 'height', 'sun_zenith', 'sun_azimuth')
        return {name: uniform(count, getattr(self, name)) for name in ranges}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Blend clouds in, above a ground that lies in their shadow."""
        wavelengths = wavelengths_for(
            'SimulateClouds', self.bands, images.wavelengths, images.pixels
        )
        _check_reflective(wavelengths)
        wavelengths = wavelengths[..., None, None]
        above, sunward = self._thickness(images.pixels, drawn)
        ground = images.pixels / self.scale
        beam = direct_share(wavelengths, drawn['sun_zenith'][:, None, None, None])
        reflected, seen = cloud_layer(above, wavelengths, self.phase)
        _, lit = cloud_layer(sunward, wavelengths, self.phase)
        light = beam * lit + 1 - beam
        pixels = reflected + seen * light * ground

        green = wavelengths.new_tensor(GREEN)
        classes = torch.zeros_like(above, dtype=torch.int64)
        for field, value in ((sunward, SHADOW), (above, CLOUD)):
            _, passed = cloud_layer(field, green, self.phase)
            classes = torch.where(passed < self.clear, value, classes)
        if images.valid is not None:
            classes = torch.where(images.valid, classes, CLEAR)
        return dataclasses.replace(
            images,
            pixels=pixels * self.scale,
            valid=classes == CLEAR if self.hide else None,
            masks={'mask_cloud': classes},
        )

    def _thickness(self, pixels: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """Optical thickness above each pixel and on the way to the sun, (n, 1, h, w) each."""
        count, _, height, width = pixels.shape
        # twice the size, so that opposite rims of the image are not alike
        noise = torch.randn(count, 2 * height, 2 * width, device=pixels.device)
        angles = {name: drawn[name].float() for name in ('height', 'sun_zenith', 'sun_azimuth')}
        shift = shadow_shift(**angles, gsd=self.gsd)
        fields = turbulent_fields(noise, self.size / self.gsd, *shift)
        highest = fields[0].amax(dim=(1, 2))
        inside = [field[:, :height, :width] for field in fields]
        base = _quantile(inside[0].flatten(1), 1 - drawn['coverage'].float())
        slope = drawn['thickness'].float() / (highest - base).clamp(min=1e-6)
        above, sunward = (
            ((field - base[:, None, None]).clamp(min=0) * slope[:, None, None])[:, None].to(pixels)
            for field in inside
        )
        return above, sunward


def _check_reflective(wavelengths: Tensor) -> None:
    low, high = _REFLECTIVE
    outside = wavelengths[(wavelengths <= low) | (wavelengths >= high)]
    if len(outside):
        raise BadInput(
            f'SimulateClouds knows bands from {low} to {high} micrometres, but there is one at '
            f'{outside[0].item():.4g}.',
            'Leave thermal bands out; wavelengths are given in micrometres.',
        )


def _quantile(values: Tensor, share: Tensor) -> Tensor:
    """A quantile of its own for each row of (n, m) values."""
    places = 1 + (share * (values.shape[1] - 1)).round().long()
    pairs = zip(values, places.tolist(), strict=True)
    return torch.stack([row.kthvalue(place).values for row, place in pairs])
