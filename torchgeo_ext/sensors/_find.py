"""Finds bands by what people call them: name, alias, role or wavelength."""

import re
from collections.abc import Sequence

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.sensors._sensor import Sensor, SensorBand

#: Half of the width of a usual multispectral band, in micrometres; for bands of unknown width.
HALF_WIDTH = 0.02

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

#: Short names that are in common use, spelled as :func:`plain` does.
_SAME = {'r': 'red', 'g': 'green', 'b': 'blue', 'n': 'nir', 'nearinfrared': 'nir'}


def plain(name: str) -> str:
    """Spell a band's name so that B02, b2 and ``Band_2`` are equal, and R and red."""
    word = re.sub(r'[\W_]+', '', name.casefold())
    word = re.sub(r'^band(?=\d)', 'b', word)
    # zeros that only fill up: B02, but not B10 or 2020
    word = re.sub(r'(?<![\d])0+(?=\d)', '', word)
    return _SAME.get(word, word)


def plain_start(name: str) -> str:
    """The name before an explanation: ``B4, central wavelength 665 nm`` or ``B4 (red)``."""
    return plain(re.split(r'[,:;(]', name, maxsplit=1)[0])


def find_bands(
    wanted: Sequence[str | float], bands: Sequence[str | float] | Sensor
) -> tuple[int, ...]:
    """Find bands among those of a sensor or of a file.

    A word is compared with names and aliases, then with roles; a role that no band has by name is
    looked for by its wavelengths, nearest to their middle. A number is a wavelength: the nearest
    centre, if within half the width of that band (20 nm where the width is not known). Panchromatic
    bands are found by name or role only.

    Args:
        wanted: Names, aliases, roles (STAC's common names, for instance ``red``), or centre
            wavelengths in micrometres.
        bands: The sensor, or what is known of each band of a file: its name or its wavelength.

    Returns:
        Positions from 0, one for each wanted band.

    Raises:
        BadParameter: If a band is missing, or a name stands for several.
    """
    known = bands.bands if isinstance(bands, Sensor) else [_described(band) for band in bands]
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


def _described(band: str | float) -> SensorBand:
    return SensorBand(band) if isinstance(band, str) else SensorBand('', wavelength=float(band))


def _find(wanted: str | float, bands: Sequence[SensorBand]) -> list[int]:
    if not isinstance(wanted, str):
        return _nearest(float(wanted), bands, None)
    word = plain(wanted)
    exact = [i for i, band in enumerate(bands) if band.name == wanted]
    named = [i for i, band in enumerate(bands) if word in map(plain, (band.name, *band.aliases))]
    cast = [i for i, band in enumerate(bands) if band.role and plain(band.role) == word]
    if places := exact or named or cast:
        return places
    for role, (low, high) in ROLES.items():
        if plain(role) == word:
            return _nearest((low + high) / 2, bands, (high - low) / 2)
    return []


def _nearest(centre: float, bands: Sequence[SensorBand], reach: float | None) -> list[int]:
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
