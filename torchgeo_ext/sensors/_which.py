"""Which sensor has these names or wavelengths."""

import re
from collections.abc import Callable, Sequence

from torchgeo_ext.sensors._names import plain, plain_start
from torchgeo_ext.sensors._sensor import HALF_WIDTH, Sensor

#: Sensors with more bands than this give them numbers instead of names.
_MULTISPECTRAL = 20


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
