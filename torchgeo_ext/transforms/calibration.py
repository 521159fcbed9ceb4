"""Between stored numbers and physical ones: reflectance, radiance, brightness temperature."""

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import Sensor, find_bands
from torchgeo_ext.sensors import sensor as find_sensor
from torchgeo_ext.transforms._base import Drawn, Images, ImageTransform, check_range, per_channel


class Rescale(ImageTransform):
    """Multiply each band and add to it: y = x · scale + offset.

    Args:
        scale: Factor of each band, or one for all; not 0.
        offset: What is added to each band after that, or one for all.
        valid_range: Smallest and largest x that is a measurement; what lies outside is brought to
            it.

    Raises:
        BadParameter: If a scale is 0.
    """

    def __init__(
        self,
        scale: Sequence[float],
        offset: Sequence[float],
        valid_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.scale = tuple(float(value) for value in scale)
        self.offset = tuple(float(value) for value in offset)
        self.valid_range = None if valid_range is None else check_range('valid_range', valid_range)
        if not all(self.scale):
            raise BadParameter(f'scale is {list(self.scale)}; no factor may be 0.')

    @classmethod
    def from_mtl(
        cls, path: Path, bands: Sequence[str], quantity: Literal['radiance', 'reflectance']
    ) -> 'Rescale':
        """Read the factors of a Landsat level 1 scene from its ``*_MTL.txt``.

        Args:
            path: Metadata file of the scene.
            bands: Numbers of the image's bands, in its order, for instance ``('2', '3', '4')``.
            quantity: ``radiance`` at the sensor in W m-2 sr-1 µm-1, or ``reflectance`` at the top
                of the atmosphere, for the sun's elevation at the scene's centre.

        Raises:
            BadInput: If the file does not hold a factor.
        """
        values = _read_mtl(path)
        kind = quantity.upper()
        scale = [_number(values, f'{kind}_MULT_BAND_{band}', path) for band in bands]
        offset = [_number(values, f'{kind}_ADD_BAND_{band}', path) for band in bands]
        sine = _sine(_number(values, 'SUN_ELEVATION', path)) if quantity == 'reflectance' else 1.0
        return cls([value / sine for value in scale], [value / sine for value in offset])

    def inverse(self) -> 'Rescale':
        """Give the transform that leads back (from within the valid range)."""
        scale, offset = (torch.tensor(v, dtype=torch.float64) for v in (self.scale, self.offset))
        return Rescale((1 / scale).tolist(), (-offset / scale).tolist())

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Rescale the pixels."""
        pixels = images.pixels
        if self.valid_range is not None:
            pixels = pixels.clamp(*self.valid_range)
        scale = per_channel('scale', self.scale, pixels)
        offset = per_channel('offset', self.offset, pixels)
        return dataclasses.replace(images, pixels=pixels * scale + offset)


class ToPhysical(Rescale):
    """Turn the stored numbers of a sensor's product into physical ones.

    What these are tells ``sensor(name).quantity``: reflectance from 0 to 1, radiance in
    W m-2 sr-1 µm-1, temperature in kelvin.

    Example:
        >>> to_reflectance = ToPhysical('sentinel2_l2a')
        >>> print(f'{to_reflectance(torch.full((12, 64, 64), 6000.0))[0, 0, 0]:.3f}')
        0.500

    Args:
        sensor: Sensor and product, or its name, for instance ``sentinel2_l2a``.
        sun_elevation: Elevation of the sun over the horizon in degrees, for products whose
            reflectance still has to be divided by its sine: ``landsat8_l1``, ``landsat9_l1``.

    Raises:
        BadParameter: If the numbers of the product have no published meaning, or the sun is not
            above the horizon.
    """

    def __init__(self, sensor: Sensor | str, sun_elevation: float = 90.0) -> None:
        known = find_sensor(sensor) if isinstance(sensor, str) else sensor
        if known.quantity == 'digital_number':
            raise BadParameter(
                f'sensor is {known.name}, whose numbers no published factor turns into anything.',
                'Name the product too, for instance sentinel2_l2a, or use Rescale.',
            )
        sine = _sine(sun_elevation)
        super().__init__([known.scale / sine], [known.offset / sine], known.valid_range)
        self.sensor = known.name


class RadianceToReflectance(ImageTransform):
    """Turn radiance into reflectance at the top of the atmosphere: π L d² / (E sin elevation).

    Args:
        irradiance: E, the sun's irradiance in each band at a distance of one astronomical unit, in
            W m-2 µm-1.
        sun_elevation: Elevation of the sun over the horizon, in degrees, above 0 and up to 90.
        distance: d, from the sun in astronomical units; see :func:`sun_distance`.

    Raises:
        BadParameter: If a number is out of its range.
    """

    def __init__(
        self, irradiance: Sequence[float], sun_elevation: float, distance: float = 1.0
    ) -> None:
        super().__init__()
        self.irradiance = tuple(float(value) for value in irradiance)
        self.distance = distance
        self.sine = _sine(sun_elevation)
        if not all(value > 0 for value in (*self.irradiance, distance)):
            raise BadParameter(
                f'irradiance is {irradiance} and distance {distance}; they must be positive.'
            )

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Turn radiance into reflectance."""
        irradiance = per_channel('irradiance', self.irradiance, images.pixels)
        factor = math.pi * self.distance**2 / (irradiance * self.sine)
        return dataclasses.replace(images, pixels=images.pixels * factor)


def sun_distance(day_of_year: float) -> float:
    """Distance of the earth from the sun in astronomical units, right to about 0.0003.

    Args:
        day_of_year: 1 to 366.
    """
    return 1 - 0.01672 * math.cos(math.radians(0.9856 * (day_of_year - 4)))


class BrightnessTemperature(ImageTransform):
    """Turn the radiance of thermal bands into brightness temperature; other bands stay.

    Args:
        sensor: Sensor of the image, or its name; its bands tell which are thermal and their
            constants K1 and K2.
        bands: Bands of the image, in its order, by name, role or wavelength; by default all of the
            sensor.

    Raises:
        BadParameter: If a band is not the sensor's, or for none of them constants are known.
    """

    def __init__(self, sensor: Sensor | str, bands: Sequence[str | float] | None = None) -> None:
        super().__init__()
        known = find_sensor(sensor) if isinstance(sensor, str) else sensor
        places = range(len(known.bands)) if bands is None else find_bands(bands, known)
        self.constants = [known.bands[place].planck for place in places]
        if not any(self.constants):
            raise BadParameter(
                f'sensor is {known.name}, of whose bands no thermal constants are known.',
                'Use torchgeo_ext.transforms.brightness_temperature with constants of your own.',
            )

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Turn radiance of thermal bands into kelvin."""
        if images.pixels.shape[1] != len(self.constants):
            raise BadInput(
                f'BrightnessTemperature was given {len(self.constants)} bands, but the image has '
                f'{images.pixels.shape[1]}.'
            )
        channels = [
            brightness_temperature(channel, *constants) if constants else channel
            for channel, constants in zip(images.pixels.unbind(1), self.constants, strict=True)
        ]
        return dataclasses.replace(images, pixels=torch.stack(channels, dim=1))


def brightness_temperature(radiance: Tensor, k1: float, k2: float) -> Tensor:
    """Temperature in kelvin of a black body: K2 / ln(K1 / L + 1); 0 where there is no radiance.

    Args:
        radiance: L in W m-2 sr-1 µm-1.
        k1: Constant of the band in W m-2 sr-1 µm-1.
        k2: Constant of the band in kelvin.
    """
    warm = radiance > 0
    return torch.where(warm, k2 / torch.log1p(k1 / torch.where(warm, radiance, 1)), 0)


def blackbody_radiance(temperature: Tensor, k1: float, k2: float) -> Tensor:
    """Radiance of a black body, the inverse of :func:`brightness_temperature`."""
    warm = temperature > 0
    return torch.where(warm, k1 / torch.expm1(k2 / torch.where(warm, temperature, 1)), 0)


def _sine(sun_elevation: float) -> float:
    if not 0 < sun_elevation <= 90:
        raise BadParameter(
            f'sun_elevation is {sun_elevation}; it must be above 0 and up to 90 degrees.'
        )
    return math.sin(math.radians(sun_elevation))


def _read_mtl(path: Path) -> dict[str, str]:
    text = Path(path).read_text(encoding='ascii', errors='replace')
    return dict(re.findall(r'^\s*(\w+) = "?(.*?)"?\s*$', text, flags=re.MULTILINE))


def _number(values: dict[str, str], key: str, path: Path) -> float:
    if key not in values:
        raise BadInput(
            f'{path} has no {key}.',
            'Scenes before Collection 1 have radiance only; see RadianceToReflectance.',
        )
    return float(values[key])
