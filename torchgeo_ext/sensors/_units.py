"""Wavelengths in whatever unit a file has them, as micrometres."""

import re

#: What makes micrometres of a number of each unit.
MICROMETRES = {
    'um': 1.0,
    'µm': 1.0,
    'μm': 1.0,
    'micrometer': 1.0,
    'micrometers': 1.0,
    'micrometre': 1.0,
    'micrometres': 1.0,
    'micron': 1.0,
    'microns': 1.0,
    'nm': 1e-3,
    'nanometer': 1e-3,
    'nanometers': 1e-3,
    'nanometre': 1e-3,
    'nanometres': 1e-3,
    'angstrom': 1e-4,
    'angstroms': 1e-4,
}
#: Without a unit, or with the wrong one of two: no sensor has micrometres beyond, none nanometres
#: below.
_LIMIT = 100.0
_NUMBER = r'\d+(?:\.\d+)?'
_LENGTH = re.compile(
    rf'({_NUMBER})\s*({"|".join(sorted(map(re.escape, MICROMETRES), key=len, reverse=True))})\b',
    re.IGNORECASE,
)


def factor(value: float, unit: str = '') -> float:
    """Tell what makes micrometres of a wavelength.

    Files say micrometres and mean nanometres, or the other way round, so the value has the last
    word about these two.

    Args:
        value: A wavelength.
        unit: What its file calls the unit; may be empty.
    """
    known = MICROMETRES.get(unit.strip().lower())
    if known in (None, 1.0, 1e-3):
        return 1e-3 if value > _LIMIT else 1.0
    return known


def positive(text: object) -> float | None:
    """Read a positive number; None if there is none."""
    try:
        value = float(str(text or ''))
    except ValueError:
        return None
    return value if value > 0 else None


def length_in(text: str) -> float | None:
    """Find a wavelength in words, for instance ``band 1 (418.24 Nanometers)``, in micrometres."""
    found = _LENGTH.search(text)
    if found is None:
        return None
    value = float(found[1])
    return value * factor(value, found[2]) if value else None
