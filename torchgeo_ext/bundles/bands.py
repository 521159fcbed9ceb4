"""Finds the bands of a raster that a model wants."""

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from torchgeo_ext.bundles._card import Band
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import RasterBand, SensorBand, find_bands, identify_bands, read_bands
from torchgeo_ext.sensors._find import ROLES
from torchgeo_ext.sensors._names import plain, plain_start
from torchgeo_ext.sensors._sensor import HALF_WIDTH

__all__ = ('RasterBand', 'match_bands', 'raster_bands')

log = logging.getLogger(__name__)

#: What bands without a name are called; says nothing of what they show.
_PLACEHOLDER = re.compile(r'band \d+')


def match_bands(
    bands: Sequence[Band],
    raster_path: str | os.PathLike[str],
    explicit: Sequence[int] | None = None,
    argument: str = 'image',
    bands_argument: str = 'bands',
) -> tuple[int, ...]:
    """Choose the bands of a raster for a model.

    In this order: the explicit list; equal names, unless wavelengths contradict them; centre
    wavelengths within half the width of the band; what bands show (aliases, and common names such
    as ``red``); all bands in their order when there are as many and their names say nothing else.
    What the raster itself does not say of its bands is taken from its sensor, if that is known.

    Args:
        bands: What the model wants.
        raster_path: The raster.
        explicit: Band numbers from 1 in the model's order.
        argument: The argument the raster came from, for messages.
        bands_argument: The argument of explicit numbers, for messages.

    Returns:
        Band numbers from 1, one for each of ``bands``.

    Raises:
        BadParameter: If the explicit list does not fit.
        BadInput: If the bands cannot be told from each other.
    """
    if explicit:
        found = raster_bands(raster_path, argument)
        return _check_explicit(bands, found, explicit, argument, bands_argument)
    found, known = _identified(raster_path, argument)
    ways = (
        ('name', _by_name(bands, found)),
        ('wavelength', _by_wavelength(bands, found)),
        ('what they show', _by_role(bands, found, known) or _by_range(bands, found)),
    )
    for way, chosen in ways:
        if chosen:
            log.info('%s: bands %s chosen by %s', argument, _numbers(chosen), way)
            return chosen
    shown = [band for band in found if not band.alpha]
    in_order = shown if len(shown) == len(bands) else found
    if len(in_order) == len(bands) and not _contradicts(bands, found):
        log.warning(
            '%s: nothing tells the bands of %s from each other, so they are taken in their order '
            'as %s. Set %s if that is wrong.',
            argument,
            raster_path,
            ', '.join(band.name for band in bands),
            bands_argument,
        )
        return tuple(band.index for band in in_order)
    raise _no_match(bands, found, f'{argument}: {raster_path}', bands_argument)


def raster_bands(
    raster_path: str | os.PathLike[str], argument: str = 'image'
) -> tuple[RasterBand, ...]:
    """Read what a raster says of its bands.

    Args:
        raster_path: The raster.
        argument: The argument it came from, for messages.

    Raises:
        BadInput: If it cannot be opened.
    """
    from torchgeo_ext.inference.reader import open_raster

    with open_raster(str(raster_path), argument) as dataset:
        return read_bands(dataset)


def _identified(
    raster_path: str | os.PathLike[str], argument: str
) -> tuple[tuple[RasterBand, ...], tuple[SensorBand | None, ...]]:
    """Read the bands, and what the sensor says of them; wavelengths are filled in from there."""
    from torchgeo_ext.inference.reader import open_raster

    with open_raster(str(raster_path), argument) as dataset:
        found, known = read_bands(dataset), identify_bands(dataset)
    filled = (
        replace(band, wavelength=band.wavelength or (own.wavelength if own else None))
        for band, own in zip(found, known, strict=True)
    )
    return tuple(filled), known


def _check_explicit(
    bands: Sequence[Band],
    found: Sequence[RasterBand],
    explicit: Sequence[int],
    argument: str,
    bands_argument: str,
) -> tuple[int, ...]:
    if len(explicit) != len(bands):
        raise BadParameter(
            f'{bands_argument} has {len(explicit)} numbers ({_numbers(explicit)}), but the model '
            f'reads {len(bands)} bands: {_wanted(bands)}.',
            f'Give {len(bands)} numbers, in that order.',
        )
    last = len(found)
    if not all(1 <= number <= last for number in explicit):
        raise BadParameter(
            f'{bands_argument} is {_numbers(explicit)}, but {argument} has bands 1 to {last}.',
            f'Choose from: {_available(found)}.',
        )
    return tuple(explicit)


def _by_name(bands: Sequence[Band], found: Sequence[RasterBand]) -> tuple[int, ...] | None:
    for spelled in (plain, plain_start):
        index = _unique([(spelled(band.name), band.index) for band in found])
        names = _names(bands)
        if len(set(names)) == len(bands) and all(name in index for name in names):
            chosen = tuple(index[name] for name in names)
            # bands of another sensor can have the same names
            return chosen if _agree(bands, found, chosen) else None
    return None


def _agree(bands: Sequence[Band], found: Sequence[RasterBand], chosen: Sequence[int]) -> bool:
    """Whether no band is far from the wavelength of the one chosen for it."""
    centres = {band.index: band.wavelength for band in found}
    return all(
        band.center_wavelength is None
        or (centre := centres[index]) is None
        or abs(band.center_wavelength - centre) <= _reach(band)
        for band, index in zip(bands, chosen, strict=True)
    )


def _reach(band: Band) -> float:
    return max(HALF_WIDTH, (band.full_width_half_max or 0.0) / 2)


def _names(bands: Sequence[Band]) -> list[str]:
    """Comparable names of a model's bands, without those that were never named."""
    return [plain(band.name) for band in bands if not _PLACEHOLDER.fullmatch(band.name)]


def _unique(pairs: Sequence[tuple[str, int]]) -> dict[str, int]:
    names = [name for name, _ in pairs]
    return {name: index for name, index in pairs if name and names.count(name) == 1}


def _by_wavelength(bands: Sequence[Band], found: Sequence[RasterBand]) -> tuple[int, ...] | None:
    known = [(band.wavelength, band.index) for band in found if band.wavelength]
    chosen: list[int] = []
    for band in bands:
        if band.center_wavelength is None or not known:
            return None
        centre = band.center_wavelength
        wavelength, index = min(known, key=lambda entry: abs(entry[0] - centre))
        half_width = band.full_width_half_max / 2 if band.full_width_half_max else HALF_WIDTH
        if abs(wavelength - centre) > half_width:
            return None
        chosen.append(index)
    # one band cannot stand for two
    return tuple(chosen) if len(set(chosen)) == len(chosen) else None


def _by_role(
    bands: Sequence[Band], found: Sequence[RasterBand], known: Sequence[SensorBand | None]
) -> tuple[int, ...] | None:
    chosen: list[int] = []
    for band in bands:
        pairs = zip(found, known, strict=True)
        fitting = [shown.index for shown, own in pairs if _shows(shown, own, band)]
        if len(fitting) != 1:
            return None
        chosen += fitting
    return tuple(chosen) if len(set(chosen)) == len(chosen) else None


def _shows(shown: RasterBand, own: SensorBand | None, band: Band) -> bool:
    """Whether a band of the raster shows what a band of the model does."""
    words = {plain(shown.name)}
    if own is not None:
        words.update(plain(word) for word in (own.name, *own.aliases, own.role or ''))
    if set(_names([band])) & words:
        return _agree([band], [shown], [shown.index])
    if band.center_wavelength is None or shown.wavelength is not None:
        return False
    ranges = (limits for role, limits in ROLES.items() if plain(role) in words)
    return any(low <= band.center_wavelength <= high for low, high in ranges)


def _by_range(bands: Sequence[Band], found: Sequence[RasterBand]) -> tuple[int, ...] | None:
    """Choose from the many bands of a spectrometer those nearest to what common names stand for."""
    centres = [band.wavelength for band in found if band.wavelength]
    if len(centres) < len(found) or any(band.center_wavelength for band in bands):
        return None
    try:
        places = find_bands([band.name for band in bands], centres)
    except BadParameter:
        return None
    return tuple(found[place].index for place in places) if len(set(places)) == len(bands) else None


def _contradicts(bands: Sequence[Band], found: Sequence[RasterBand]) -> bool:
    """Whether the raster does name bands, or wavelengths, but not all that the model wants."""
    if any(band.wavelength for band in found) and all(band.center_wavelength for band in bands):
        return True
    spellings: tuple[Callable[[str], str], ...] = (plain, plain_start)
    names = {spelled(band.name) for band in found for spelled in spellings}
    return not names.isdisjoint(_names(bands))


def _no_match(
    bands: Sequence[Band], found: Sequence[RasterBand], where: str, bands_argument: str
) -> BadInput:
    if len(found) < len(bands):
        hint = 'Choose an image with these bands, or a model for the bands you have.'
    else:
        numbers = _numbers([band.index for band in found[: len(bands)]])
        hint = (
            f'Say which ones to use, in the order of the model, with {bands_argument} '
            f'(for instance {bands_argument}={numbers}).'
        )
    return BadInput(
        f'{where} does not show which of its bands are those of the model. The model reads '
        f'{_wanted(bands)}; the image has {_available(found)}.',
        hint,
    )


def _wanted(bands: Sequence[Band]) -> str:
    return _list([_label(band.name, band.center_wavelength) for band in bands])


def _available(found: Sequence[RasterBand]) -> str:
    names = [band.name or ('(alpha)' if band.alpha else '(no name)') for band in found]
    labels = zip(found, names, strict=True)
    return _list([f'{band.index} {_label(name, band.wavelength)}' for band, name in labels])


def _label(name: str, wavelength: float | None) -> str:
    return name if wavelength is None else f'{name} ({wavelength * 1000:.0f} nm)'


def _list(words: Sequence[str], limit: int = 20) -> str:
    more = f' and {len(words) - limit} more' if len(words) > limit else ''
    return ', '.join(words[:limit]) + more


def _numbers(numbers: Sequence[int]) -> str:
    return ','.join(map(str, numbers))
