"""Finds bands by what people call them: name, alias, role or wavelength."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.sensors._names import first_part, plain
from torchgeo_ext.sensors._sensor import HALF_WIDTH, Sensor, SensorBand
from torchgeo_ext.sensors._which import sensor_of_bands

#: Wavelengths in micrometres that the common names stand for (all but ``pan``): the spyndex band
#: catalogue, https://github.com/awesome-spectral-indices/spyndex; rededge and cirrus as in STAC's
#: electro-optical extension, https://github.com/stac-extensions/eo#common-band-names
ROLES: dict[str, tuple[float, float]] = {
    'coastal': (0.4, 0.455),
    'blue': (0.45, 0.53),
    'green': (0.51, 0.6),
    'green05': (0.51, 0.55),
    'yellow': (0.585, 0.625),
    'red': (0.62, 0.69),
    'rededge': (0.69, 0.79),
    'rededge071': (0.695, 0.715),
    'rededge075': (0.73, 0.75),
    'rededge078': (0.765, 0.795),
    'nir': (0.76, 0.9),
    'nir08': (0.85, 0.88),
    'nir09': (0.93, 0.96),
    'cirrus': (1.35, 1.4),
    'swir16': (1.55, 1.75),
    'swir22': (2.08, 2.35),
    'lwir': (10.4, 12.5),
    'lwir11': (10.6, 11.19),
    'lwir12': (11.5, 12.51),
}

#: Numbers before names, as in "b3 red" or "Band 4: NIR".
_NUMBER = re.compile(r'^b(and)?[ _-]?\d+[a-z]?[ _:-]+', re.IGNORECASE)


def find_bands(
    wanted: Sequence[str | float], bands: Sequence[str | float] | Sensor
) -> tuple[int, ...]:
    """Find bands among those of a sensor or of a file.

    A word is compared with names and aliases, then with roles; a role that no band has by name is
    looked for by its wavelengths, nearest to their middle. A number is a wavelength: the nearest
    centre, if within half the width of that band (20 nm where the width is not known). Panchromatic
    bands are found by name or role only. Names of a file that only one sensor has, such as B02 and
    B8A, bring what is known of that sensor with them.

    Args:
        wanted: Names, aliases, roles (STAC's common names, for instance ``red``), or centre
            wavelengths in micrometres.
        bands: The sensor, or what is known of each band of a file: its name or its wavelength.

    Returns:
        Positions from 0, one for each wanted band.

    Raises:
        BadParameter: If a band is missing, or a name stands for several.
    """
    if isinstance(bands, Sensor) and not bands.bands:
        raise BadParameter(
            f'The bands of {bands.title} vary from image to image.',
            'Give the names or the wavelengths of the bands of your file.',
        )
    known = bands.bands if isinstance(bands, Sensor) else _described(bands)
    found = [_find(word, known) for word in wanted]
    missing = [str(word) for word, places in zip(wanted, found, strict=True) if not places]
    if missing:
        raise BadParameter(
            f'No band is {" or ".join(missing)}; the bands are {_listed(known)}.',
            'Give names, roles such as red or nir, or centre wavelengths in micrometres.',
        )
    for word, places in zip(wanted, found, strict=True):
        if len(places) > 1:
            raise BadParameter(
                f'{word} stands for {len(places)} bands: {_listed([known[i] for i in places])}.',
                'Give a name that only one band has, or its wavelength.',
            )
    return tuple(places[0] for places in found)


def wavelengths(bands: Sequence[str | float]) -> list[float | None]:
    """Give the centre wavelengths of bands, as far as they are known.

    Args:
        bands: Names that together only one sensor has, roles (STAC's common names, for instance
            ``red``), or centre wavelengths in micrometres.

    Returns:
        Micrometres, None where not known. For roles it is the middle of their range.
    """
    return [band.wavelength or _middle(plain(band.name)) for band in _described(bands)]


def _middle(word: str) -> float | None:
    ranges = {plain(role): sum(ends) / 2 for role, ends in ROLES.items()}
    return ranges.get(word)


def _described(bands: Sequence[str | float]) -> Sequence[SensorBand]:
    own = [
        SensorBand(band, aliases=(_NUMBER.sub('', band),))
        if isinstance(band, str)
        else SensorBand('', wavelength=None if math.isnan(band) else float(band))
        for band in bands
    ]
    sensor = sensor_of_bands([band.name for band in own])
    if sensor is None:
        return own
    places = [
        by_name(band.name, sensor.bands) or by_name(first_part(band.name), sensor.bands)
        for band in own
    ]
    return [
        replace(sensor.bands[place[0]], name=band.name)
        for band, place in zip(own, places, strict=True)
    ]


def _find(wanted: str | float, bands: Sequence[SensorBand]) -> list[int]:
    if not isinstance(wanted, str):
        return nearest(float(wanted), bands)
    if places := by_name(wanted, bands):
        return places
    for role, (low, high) in ROLES.items():
        if plain(role) == plain(wanted):
            return nearest((low + high) / 2, bands, (high - low) / 2)
    return []


def by_name(wanted: str, bands: Sequence[SensorBand]) -> list[int]:
    """Positions of the bands of exactly this name, else of this name or alias, else role."""
    word = plain(wanted)
    exact = [i for i, band in enumerate(bands) if band.name == wanted]
    named = [i for i, band in enumerate(bands) if word in map(plain, (band.name, *band.aliases))]
    cast = [i for i, band in enumerate(bands) if band.role and plain(band.role) == word]
    return exact or named or cast


def nearest(centre: float, bands: Sequence[SensorBand], reach: float | None = None) -> list[int]:
    """Position of the band nearest to a wavelength, if it is within reach (half its width)."""
    known = [
        (abs(band.wavelength - centre), i)
        for i, band in enumerate(bands)
        if band.wavelength and band.role != 'pan'
    ]
    if not known:
        return []
    distance, place = min(known)
    width = bands[place].width
    allowed = reach if reach is not None else width / 2 if width else HALF_WIDTH
    return [place] if distance <= allowed else []


def _listed(bands: Sequence[SensorBand], limit: int = 20) -> str:
    words = [
        ' '.join(filter(None, (b.name, b.role and f'({b.role})', _nanometres(b)))) or '(no name)'
        for b in bands
    ]
    more = f' and {len(words) - limit} more' if len(words) > limit else ''
    return ', '.join(words[:limit]) + more


def _nanometres(band: SensorBand) -> str:
    return '' if band.wavelength is None else f'{band.wavelength * 1000:.0f} nm'
