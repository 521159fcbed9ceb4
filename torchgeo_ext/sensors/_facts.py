"""What one place tells of a band; several places complete each other."""

from dataclasses import dataclass

from torchgeo_ext.sensors._units import MICROMETRES, factor, positive

#: A width of such a share of the centre or more, or of such a share or less, is of another unit.
_WIDEST, _NARROWEST = 1.0, 5e-5


@dataclass(frozen=True)
class BandFacts:
    """What is told of a band; None where nothing is.

    Args:
        wavelength: Centre in micrometres.
        width: Full width at half maximum in micrometres.
        good: Whether the band is of use.
        scale: Factor from stored to physical values.
        offset: Added after scaling.
    """

    wavelength: float | None = None
    width: float | None = None
    good: bool | None = None
    scale: float | None = None
    offset: float | None = None

    def or_else(self, other: 'BandFacts') -> 'BandFacts':
        """Fill in what is missing from another place."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return BandFacts(*(theirs if own is None else own for own, theirs in pairs))


def facts(
    centre: object = None,
    width: object = None,
    unit: str = '',
    *,
    width_unit: str = '',
    good: object = None,
    scale: object = None,
    offset: object = None,
    divisor: object = None,
) -> BandFacts:
    """Make sense of words and numbers of a file.

    Args:
        centre: Centre, in ``unit``.
        width: Full width at half maximum, in the same unit as the centre unless that cannot be.
        unit: What the file calls the unit; without one the value tells.
        width_unit: What it calls the unit of the width, if that has one of its own.
        good: 0 for a bad band.
        scale: Factor from stored to physical values.
        offset: Added after scaling.
        divisor: The reciprocal of ``scale``, where that is what the file names.
    """
    value, broad = positive(centre), positive(width)
    times = 1.0 if value is None else factor(value, unit)
    if value is not None and broad is not None:
        broad *= MICROMETRES.get(width_unit.lower()) or _times(broad, value, times)
    reciprocal = positive(divisor)
    return BandFacts(
        None if value is None else value * times,
        None if value is None else broad,
        None if good is None else _number(good) != 0,
        1 / reciprocal if scale is None and reciprocal else _number(scale),
        _number(offset),
    )


def _times(width: float, centre: float, times: float) -> float:
    """Tell what makes micrometres of a width, where files have nanometres beside micrometres."""
    share = width / centre
    if share >= _WIDEST:
        return times / 1000
    return times * 1000 if share <= _NARROWEST else times


def _number(text: object) -> float | None:
    if text is None:
        return None
    try:
        return float(str(text))
    except ValueError:
        return None
