"""Tells from names and metadata which sensor a raster is of, and which band is which."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchgeo_ext.sensors._find import HALF_WIDTH, plain, plain_start
from torchgeo_ext.sensors._raster import RasterBand, read_bands
from torchgeo_ext.sensors._sensor import Sensor, SensorBand

if TYPE_CHECKING:
    import os

#: How many folders above a file may name its product; a SAFE has four.
_FOLDERS = 5

#: Sensors with more bands than this give them numbers instead of names.
_MULTISPECTRAL = 20


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
    with _opened(raster) as dataset:
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
    with _opened(raster) as dataset:
        bands, stem = read_bands(dataset), Path(dataset.name).stem
    if sensor is None or not sensor.bands:
        return (None,) * len(bands)
    found = [_named(band.name, sensor) or _at(band.wavelength, sensor) for band in bands]
    if len(bands) == 1 and found == [None]:
        return (_named_by_file(stem, sensor),)
    return tuple(_in_order(bands, found, sensor) if sensor.ordered else found)


def sensor_of_names(words: Sequence[str]) -> Sensor | None:
    """Find the sensor whose file name pattern explains most characters of any of the words."""
    from torchgeo_ext.registry import sensors

    best: tuple[int, Sensor] | None = None
    for known in sensors.values():
        for pattern in known.file_names:
            for word in words:
                match = re.search(pattern, word)
                if match and (best is None or len(match[0]) > best[0]):
                    best = (len(match[0]), known)
    return best[1] if best else None


def sensor_of_bands(
    names: Sequence[str], wavelengths: Sequence[float | None] = ()
) -> Sensor | None:
    """Find the only instrument that has bands of these names, or exactly these wavelengths."""
    from torchgeo_ext.registry import sensors

    families = [known for known in sensors.values() if known.family in ('', known.name)]
    # the plain spelling of B02 is that of B2, which more sensors have
    by_name = ([f for f in families if _has_names(names, f, s)] for s in (str, plain, plain_start))
    fitting = next(filter(None, by_name), [])
    if len(fitting) != 1:
        fitting = [known for known in families if _has_wavelengths(wavelengths, known)]
    return fitting[0] if len(fitting) == 1 else None


def _has_names(names: Sequence[str], sensor: Sensor, spelled: Callable[[str], str]) -> bool:
    """Whether the sensor has all these bands; spectrometers number theirs, so all must be there."""
    if len(sensor.bands) > _MULTISPECTRAL and len(names) != len(sensor.bands):
        return False
    known = {spelled(name) for band in sensor.bands for name in (band.name, *band.aliases)}
    wanted = [spelled(name) for name in names]
    return bool(wanted) and len(set(wanted)) == len(wanted) and known.issuperset(wanted)


def _has_wavelengths(wavelengths: Sequence[float | None], sensor: Sensor) -> bool:
    """Whether the sensor has as many bands, each less than a quarter of its width away."""
    if not wavelengths or len(wavelengths) != len(sensor.bands):
        return False
    pairs = zip(wavelengths, sensor.bands, strict=True)
    return all(
        value is not None
        and band.wavelength is not None
        and abs(value - band.wavelength) <= (band.width or HALF_WIDTH) / 4
        for value, band in pairs
    )


def _named(name: str, sensor: Sensor) -> SensorBand | None:
    for spelled in (plain, plain_start):
        word = spelled(name)
        fitting = [
            band
            for band in sensor.bands
            if word and word in {plain(known) for known in (band.name, *band.aliases)}
        ]
        # a role is no name, but where a file names colours it can only mean these
        fitting = fitting or [band for band in sensor.bands if band.role == word]
        if len(fitting) == 1:
            return fitting[0]
    return None


def _at(wavelength: float | None, sensor: Sensor) -> SensorBand | None:
    known = [band for band in sensor.bands if band.wavelength and band.role != 'pan']
    if wavelength is None or not known:
        return None
    nearest = min(known, key=lambda band: abs((band.wavelength or 0.0) - wavelength))
    distance = abs((nearest.wavelength or 0.0) - wavelength)
    return nearest if distance <= (nearest.width or 2 * HALF_WIDTH) / 2 else None


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
def _opened(raster: Any) -> Iterator[Any]:
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
