"""What a raster says of its bands: names, wavelengths and what their numbers mean."""

import re
from dataclasses import dataclass
from typing import Any

from torchgeo_ext.sensors._facts import BandFacts, facts
from torchgeo_ext.sensors._products import product_facts
from torchgeo_ext.sensors._units import length_in

#: Tags of a band that hold its centre.
_CENTRES = ('wavelength', 'center_wavelength', 'central_wavelength')
_UNITS = ('wavelength_units', 'wavelength_unit')


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
        width: Full width at half maximum in micrometres, if known.
        good: False if the file says that the band is of no use (``bbl``, bad-band list).
        scale: Factor from stored to physical values.
        offset: Added after scaling.
    """

    index: int
    name: str
    wavelength: float | None = None
    nodata: float | None = None
    alpha: bool = False
    width: float | None = None
    good: bool = True
    scale: float = 1.0
    offset: float = 0.0


def read_bands(dataset: Any) -> tuple[RasterBand, ...]:
    """Read what an open raster says of its bands.

    Wavelengths, widths, bad-band lists and factors are looked for in the tags of the bands, in
    lists for all of them (ENVI headers), in the metadata that products of EnMAP, DESIS and EMIT
    have beside their pixels, and in the names of the bands.

    Args:
        dataset: Open :class:`rasterio.DatasetReader`.
    """
    from rasterio.enums import ColorInterp

    shared = {key.lower(): value for key, value in dataset.tags().items()}
    places = zip(
        dataset.indexes, _factors(dataset), _listed(dataset), product_facts(dataset), strict=True
    )
    found = [
        factors.or_else(_own(dataset, index, shared))
        .or_else(listed)
        .or_else(beside)
        .or_else(_named(dataset, index))
        for index, factors, listed, beside in places
    ]
    return tuple(
        RasterBand(
            index=index,
            name=dataset.descriptions[index - 1] or _color_name(color),
            wavelength=known.wavelength,
            nodata=dataset.nodatavals[index - 1],
            alpha=color == ColorInterp.alpha,
            width=known.width,
            good=known.good is not False,
            scale=1.0 if known.scale is None else known.scale,
            offset=known.offset or 0.0,
        )
        for index, color, known in zip(dataset.indexes, dataset.colorinterp, found, strict=True)
    )


def _color_name(color: Any) -> str:
    """Name of a band by its colour; grey, palette and the like say nothing."""
    return color.name if color.name in ('red', 'green', 'blue', 'nir') else ''


def _factors(dataset: Any) -> list[BandFacts]:
    """Read the factors that GDAL knows of."""
    return [
        BandFacts() if (scale, offset) == (1, 0) else BandFacts(scale=scale, offset=offset)
        for scale, offset in zip(dataset.scales, dataset.offsets, strict=True)
    ]


def _own(dataset: Any, index: int, shared: dict[str, str]) -> BandFacts:
    """Read the tags of a band, as GDAL's drivers and EnMAP-Box write them."""
    imagery = dataset.tags(index, ns='IMAGERY')
    tags = {key.lower(): value for key, value in dataset.tags(index).items()}
    unit = next((each[key] for each in (tags, shared) for key in _UNITS if key in each), '')
    centre = next((tags[key] for key in _CENTRES if key in tags), None)
    # these have more digits than those of the IMAGERY domain
    told = facts(centre, tags.get('fwhm'), unit, good=tags.get('bbl'))
    return told.or_else(
        facts(imagery.get('CENTRAL_WAVELENGTH_UM'), imagery.get('FWHM_UM'), 'um', good=None)
    )


def _listed(dataset: Any) -> list[BandFacts]:
    """Read lists with a number for each band, as ENVI headers have them."""
    tags = {
        key.lower().replace(' ', '_'): value
        for namespace in (None, 'ENVI')
        for key, value in dataset.tags(ns=namespace).items()
    }
    unit = next((tags[key] for key in _UNITS if key in tags), '')
    keys = (('wavelength', 'wavelengths'), ('fwhm',), ('bbl',), ('data_gain_values',))
    columns = [_list(tags, key, dataset.count) for key in (*keys, ('data_offset_values',))]
    divisor = tags.get('reflectance_scale_factor')
    shared = facts(divisor=divisor)
    return [
        facts(centre, width, unit, good=good, scale=scale, offset=offset).or_else(shared)
        for centre, width, good, scale, offset in zip(*columns, strict=True)
    ]


def _list(tags: dict[str, str], keys: tuple[str, ...], count: int) -> list[str | None]:
    for key in keys:
        words = re.findall(r'[^\s,;{}]+', tags.get(key, ''))
        if len(words) == count:
            return [*words]
    return [None] * count


def _named(dataset: Any, index: int) -> BandFacts:
    """Find a wavelength in the name of a band; names that are numbers need a decimal point."""
    name = dataset.descriptions[index - 1] or ''
    if re.fullmatch(r'\d+\.\d+', name.strip()):
        return facts(name)
    return BandFacts(length_in(name))
