"""Finds the bands of a raster that a model wants."""

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torchgeo_ext.bundles._card import Band
from torchgeo_ext.errors import BadInput, BadParameter

log = logging.getLogger(__name__)

#: Half of the width of a usual multispectral band, in micrometres; for bands of unknown width.
_HALF_WIDTH = 0.02

#: Short names that are in common use, spelled as :func:`_plain` does.
_SAME = {'r': 'red', 'g': 'green', 'b': 'blue', 'n': 'nir', 'nearinfrared': 'nir'}

#: What bands without a name are called; says nothing of what they show.
_PLACEHOLDER = re.compile(r'band \d+')

_MICROMETRES = {
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
}


@dataclass(frozen=True)
class RasterBand:
    """What a raster says of one of its bands.

    Args:
        index: Number from 1.
        name: Its description, or what its colour interpretation says; may be empty.
        wavelength: Centre in micrometres, if known.
        nodata: Stored value of missing pixels, if any.
        alpha: Whether it is marked as transparency. GDAL marks the fourth of four 8-bit bands so
            unless told otherwise, whatever it holds.
    """

    index: int
    name: str
    wavelength: float | None = None
    nodata: float | None = None
    alpha: bool = False


def match_bands(
    bands: Sequence[Band],
    raster_path: str | os.PathLike[str],
    explicit: Sequence[int] | None = None,
    argument: str = 'image',
    bands_argument: str = 'bands',
) -> tuple[int, ...]:
    """Choose the bands of a raster for a model.

    In this order: the explicit list; equal names; centre wavelengths within half the width of
    the band; all bands in their order when there are as many and their names say nothing else.

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
    found = raster_bands(raster_path, argument)
    if explicit:
        return _check_explicit(bands, found, explicit, argument, bands_argument)
    for way, match in (('name', _by_name), ('wavelength', _by_wavelength)):
        chosen = match(bands, found)
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
    from rasterio.enums import ColorInterp

    from torchgeo_ext.inference.reader import open_raster

    with open_raster(str(raster_path), argument) as dataset:
        shared = {key.lower(): value for key, value in dataset.tags().items()}
        return tuple(
            RasterBand(
                index=index,
                name=dataset.descriptions[index - 1] or _color_name(color),
                wavelength=_wavelength(dataset, index, shared),
                nodata=dataset.nodatavals[index - 1],
                alpha=color == ColorInterp.alpha,
            )
            for index, color in enumerate(dataset.colorinterp, start=1)
        )


def _color_name(color: Any) -> str:
    """Name of a band by its colour; grey, palette and the like say nothing."""
    return color.name if color.name in ('red', 'green', 'blue', 'nir') else ''


def _wavelength(dataset: Any, index: int, shared: dict[str, str]) -> float | None:
    """Read the centre wavelength in micrometres, as GDAL's drivers and EnMAP-Box write it."""
    imagery = dataset.tags(index, ns='IMAGERY')
    if value := _number(imagery.get('CENTRAL_WAVELENGTH_UM')):
        return value
    tags = {key.lower(): value for key, value in dataset.tags(index).items()}
    value = _number(tags.get('wavelength')) or _number(tags.get('center_wavelength'))
    if value is None:
        return None
    units = [tags, shared]
    keys = ('wavelength_units', 'wavelength_unit')
    unit = next((u[key] for u in units for key in keys if key in u), '')
    # without a unit: no sensor has micrometres beyond 100, none has nanometres below
    return value * _MICROMETRES.get(unit.strip().lower(), 1e-3 if value > 100 else 1.0)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or '')
    except ValueError:
        return None
    return value if value > 0 else None


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
    for spelled in (_plain, _plain_start):
        index = _unique([(spelled(band.name), band.index) for band in found])
        names = _names(bands)
        if len(set(names)) == len(bands) and all(name in index for name in names):
            return tuple(index[name] for name in names)
    return None


def _names(bands: Sequence[Band]) -> list[str]:
    """Comparable names of a model's bands, without those that were never named."""
    return [_plain(band.name) for band in bands if not _PLACEHOLDER.fullmatch(band.name)]


def _unique(pairs: Sequence[tuple[str, int]]) -> dict[str, int]:
    names = [name for name, _ in pairs]
    return {name: index for name, index in pairs if name and names.count(name) == 1}


def _plain(name: str) -> str:
    """Spell a band's name so that B02, b2 and ``Band_2`` ... of one sensor are equal."""
    word = re.sub(r'[\W_]+', '', name.casefold())
    word = re.sub(r'^band(?=\d)', 'b', word)
    # zeros that only fill up: B02, but not B10 or 2020
    word = re.sub(r'(?<![\d])0+(?=\d)', '', word)
    return _SAME.get(word, word)


def _plain_start(name: str) -> str:
    """The name before an explanation: ``B4, central wavelength 665 nm`` or ``B4 (red)``."""
    return _plain(re.split(r'[,:;(]', name, maxsplit=1)[0])


def _by_wavelength(bands: Sequence[Band], found: Sequence[RasterBand]) -> tuple[int, ...] | None:
    known = [(band.wavelength, band.index) for band in found if band.wavelength]
    chosen: list[int] = []
    for band in bands:
        if band.center_wavelength is None or not known:
            return None
        centre = band.center_wavelength
        wavelength, index = min(known, key=lambda entry: abs(entry[0] - centre))
        half_width = band.full_width_half_max / 2 if band.full_width_half_max else _HALF_WIDTH
        if abs(wavelength - centre) > half_width:
            return None
        chosen.append(index)
    # one band cannot stand for two
    return tuple(chosen) if len(set(chosen)) == len(chosen) else None


def _contradicts(bands: Sequence[Band], found: Sequence[RasterBand]) -> bool:
    """Whether the raster does name bands, or wavelengths, but not all that the model wants."""
    if any(band.wavelength for band in found) and all(band.center_wavelength for band in bands):
        return True
    spellings: tuple[Callable[[str], str], ...] = (_plain, _plain_start)
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
