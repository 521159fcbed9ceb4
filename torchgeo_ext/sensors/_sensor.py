"""What is known of a sensor, and where to ask for it by name."""

from dataclasses import dataclass
from typing import Literal

#: Half of the width of a usual multispectral band, in micrometres; for bands of unknown width.
HALF_WIDTH = 0.02

#: What a stored value stands for once it was multiplied by ``scale`` and ``offset`` was added.
#: Reflectance is a share (1 = all), radiance W m-2 sr-1 µm-1, temperature kelvin, backscatter a
#: ratio of powers or decibel. Digital numbers are what no published factor turns into anything.
Quantity = Literal[
    'digital_number',
    'toa_reflectance',
    'surface_reflectance',
    'toa_radiance',
    'surface_temperature',
    'backscatter',
    'backscatter_db',
]


@dataclass(frozen=True)
class SensorBand:
    """One band of a sensor.

    Args:
        name: Name its users know it by, for instance ``B04``.
        aliases: Other names in use.
        role: What it shows, as one of STAC's common names such as ``red``, ``nir08``, ``swir16``,
            if it shows one of these.
        wavelength: Centre in micrometres; None where it depends on the camera.
        width: Full width at half maximum in micrometres, if published.
        gsd: Ground sampling distance in metres at nadir.
        planck: Constants K1 (W m-2 sr-1 µm-1) and K2 (kelvin) of a thermal band, which turn
            radiance L into brightness temperature K2 / ln(K1 / L + 1).
        good: False for a band that the sensor has, but that holds nothing of use.
    """

    name: str
    aliases: tuple[str, ...] = ()
    role: str | None = None
    wavelength: float | None = None
    width: float | None = None
    gsd: float | None = None
    planck: tuple[float, float] | None = None
    good: bool = True


@dataclass(frozen=True)
class Sensor:
    """The bands of an instrument, and what the numbers of one of its products mean.

    Physical value = stored value * ``scale`` + ``offset``.

    Args:
        name: Platform or family and product, for instance ``sentinel2a_l2a``, ``sentinel2_l2a``
            (of any platform) or ``sentinel2`` (of any product: digital numbers).
        title: Name for people.
        quantity: What physical values are.
        bands: In the order of the product. Empty where they vary from image to image and only the
            file itself can tell.
        scale: Factor from stored to physical values.
        offset: Added after scaling.
        nodata: Stored value of missing pixels, if the product has one.
        valid_range: Smallest and largest stored value that is a measurement, if published.
        source: Where these facts were read.
        family: Name of the sensor that stands for all platforms and products of the instrument;
            itself if empty.
        ordered: Whether a file with as many bands has them in this order.
        file_names: Regular expressions of names of files or folders of this product.
    """

    name: str
    title: str
    quantity: Quantity
    bands: tuple[SensorBand, ...]
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    valid_range: tuple[float, float] | None = None
    source: str = ''
    family: str = ''
    ordered: bool = False
    file_names: tuple[str, ...] = ()


def sensor(name: str) -> Sensor:
    """Give a sensor by name, one of this package or of a plugin.

    Raises:
        BadParameter: If there is none; the message names near matches.
    """
    from torchgeo_ext.registry import sensors

    known: Sensor = sensors[name]
    return known
