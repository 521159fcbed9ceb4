"""What a raster says of its bands: names and wavelengths."""

from dataclasses import dataclass
from typing import Any

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


def read_bands(dataset: Any) -> tuple[RasterBand, ...]:
    """Read what an open raster says of its bands.

    Args:
        dataset: Open :class:`rasterio.DatasetReader`.
    """
    from rasterio.enums import ColorInterp

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
