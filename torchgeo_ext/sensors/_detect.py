"""Tells from names and metadata which sensor a raster is of, and which band is which."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchgeo_ext.sensors._find import by_name, nearest
from torchgeo_ext.sensors._names import first_part
from torchgeo_ext.sensors._raster import RasterBand, read_bands
from torchgeo_ext.sensors._sensor import Sensor, SensorBand
from torchgeo_ext.sensors._which import sensor_of_bands, sensor_of_names

if TYPE_CHECKING:
    import os

#: How many folders above a file may name its product; a SAFE has four.
_FOLDERS = 5


def detect_sensor(raster: 'str | os.PathLike[str] | Any') -> Sensor | None:
    """Tell which sensor, and if possible which product of it, a raster is of.

    In this order: what the names of the file, of its folders and its tags say; the names of its
    bands; their wavelengths. Where names do not tell the product, the sensor is one of digital
    numbers.

    Args:
        raster: Path of a raster, or an open :class:`rasterio.DatasetReader`.

    Returns:
        The sensor, or None if nothing tells it or if several would do.

    Raises:
        rasterio.errors.RasterioIOError: If there is no raster at that path.
    """
    with opened(raster) as dataset:
        bands = read_bands(dataset)
        words = [*reversed(Path(dataset.name).parts[-_FOLDERS:]), *dataset.tags().values()]
    return sensor_of_names(words) or sensor_of_bands(
        [band.name for band in bands if not band.alpha],
        [band.wavelength for band in bands if not band.alpha],
    )


def identify_bands(
    raster: 'str | os.PathLike[str] | Any', sensor: Sensor | None = None
) -> tuple[SensorBand | None, ...]:
    """Tell which band of a sensor each band of a raster is.

    By the names of the bands, by their wavelengths, for a single band by the name of the file, or
    by position if the sensor's files have their bands in a known order.

    Args:
        raster: Path of a raster, or an open :class:`rasterio.DatasetReader`.
        sensor: The sensor; detected if not given.

    Returns:
        The sensor's band for each band of the raster, None where it is not known.
    """
    sensor = sensor or detect_sensor(raster)
    with opened(raster) as dataset:
        bands, stem = read_bands(dataset), Path(dataset.name).stem
    if sensor is None or not sensor.bands:
        return (None,) * len(bands)
    found = [_named(band.name, sensor) or _at(band.wavelength, sensor) for band in bands]
    if len(bands) == 1 and found == [None]:
        return (_named_by_file(stem, sensor),)
    return tuple(_in_order(bands, found, sensor) if sensor.ordered else found)


def _named(name: str, sensor: Sensor) -> SensorBand | None:
    for word in (name, first_part(name)):
        places = by_name(word, sensor.bands) if word else []
        if len(places) == 1:
            return sensor.bands[places[0]]
    return None


def _at(wavelength: float | None, sensor: Sensor) -> SensorBand | None:
    places = [] if wavelength is None else nearest(wavelength, sensor.bands)
    return sensor.bands[places[0]] if places else None


def _named_by_file(stem: str, sensor: Sensor) -> SensorBand | None:
    """Look for a band's name in the name of the file, from its end; ``SR_B4`` is two words."""
    words = re.split(r'[_\-. ]+', stem)
    for end in range(len(words), 0, -1):
        for start in range(max(0, end - 3), end):
            if band := _named('_'.join(words[start:end]), sensor):
                return band
    return None


def _in_order(
    bands: Sequence[RasterBand], found: Sequence[SensorBand | None], sensor: Sensor
) -> Iterator[SensorBand | None]:
    """Fill in what is not known by position, unless what is known says another order."""
    shown = [band for band in bands if not band.alpha]
    for counted in (bands, shown):
        if len(counted) == len(sensor.bands):
            expected = {b.index: own for b, own in zip(counted, sensor.bands, strict=True)}
            pairs = zip(bands, found, strict=True)
            if all(own is None or own == expected.get(b.index) for b, own in pairs):
                return (expected.get(band.index) for band in bands)
    return iter(found)


@contextmanager
def opened(raster: Any) -> Iterator[Any]:
    """Open a raster if it is not yet, without a warning that it has no georeference."""
    if hasattr(raster, 'descriptions'):
        yield raster
        return
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        dataset = rasterio.open(raster)
    with dataset:
        yield dataset
