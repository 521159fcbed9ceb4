"""Compute spectral indices of an image: of the catalogue, or of formulas."""

import json
from typing import Annotated, NamedTuple

from torchgeo_ext.operations._cube import Wavelengths
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Device,
    Extent,
    Label,
    Layer,
    Raster,
    RasterOut,
    StrPath,
    Style,
    Styles,
    operation,
    table_of,
)
from torchgeo_ext.progress import Progress, silent

#: Height and width of what the style is found from, and share of values beyond its ends.
_LOOK, _STRETCH = 512, 0.02


class ComputeSpectralIndexResult(NamedTuple):
    """Result of :func:`compute_spectral_index`.

    Attributes:
        indices: Number of indices.
        used_bands: What was taken for each letter of each formula, as JSON.
    """

    output: str
    indices: int
    used_bands: str
    styles: Styles


@operation(
    label='Compute spectral index',
    group='Hyperspectral',
    tags=('ndvi', 'ndwi', 'evi', 'vegetation', 'water', 'band math', 'formula', 'multispectral'),
)
def compute_spectral_index(
    image: Raster,
    output: Annotated[RasterOut, Label('Indices')],
    *,
    index: str = 'NDVI',
    shows: Annotated[str, Label('What the bands show')] = '',
    wavelengths: Wavelengths | None = None,
    constants: Annotated[list[list[str]], table_of('constant', 'value'), ADVANCED] | None = None,
    scale: Annotated[float, ADVANCED] | None = None,
    offset: Annotated[float, ADVANCED] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    device: Device = 'auto',
    progress: Progress = silent,
) -> ComputeSpectralIndexResult:
    """Compute spectral indices of an image: named ones, or formulas of one's own.

    Bands are found by what they show or by wavelength, not by their place in the file, so that the
    same index works for Sentinel-2, Landsat, an aerial image or a spectrometer with hundreds of
    bands. The catalogue has more than 280 indices with their publications
    (https://github.com/awesome-spectral-indices/awesome-spectral-indices).

    Args:
        image: Image of any sensor.
        output: Raster to write, with a band for each index.
        index: Names in the catalogue, such as NDVI or EVI, or formulas such as (nir - red) / (nir +
            red) or nm750 / nm705, separated by semicolons. Bands are called by what they show, by
            the catalogue's letters, or by wavelength in nanometres after nm; there are + - * / **,
            sqrt, exp, log, abs, minimum and maximum.
        shows: What the bands of the image show if the file does not tell, in their order, separated
            by commas: names such as blue,green,red,nir or wavelengths in nanometres.
        wavelengths: The same as a table: a CSV with the wavelength of each band, or the name of a
            sensor that has just these bands.
        constants: Values of constants of the formulas, such as L of SAVI; the others have the
            catalogue's.
        scale: Factor that makes reflectance (0 to 1) of stored values; left out, the file or its
            sensor tell. Normalised differences such as NDVI do without.
        offset: Added after that; left out, the file or its sensor tell.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; outside nothing is computed.
        device: Where to compute; auto takes the best there is.
        progress: Told how far the work is.

    Raises:
        BadParameter: If there is no such index, a formula is no arithmetic, or a band is missing.
    """
    from torchgeo_ext.inference import RasterOutput
    from torchgeo_ext.inference.style import write_style
    from torchgeo_ext.operations._cube import run_cube, whole_cube
    from torchgeo_ext.operations._indices import IndexNetwork, open_indices, split_indices

    names = split_indices(index)
    cube = whole_cube(image, extent=extent, mask=mask)
    opened = open_indices(
        cube, names, shows, wavelengths, constants or [], scale=scale, offset=offset
    )
    written = RasterOutput(
        str(output), 'values', descriptions=names, tags={'indices': json.dumps(names)}
    )
    run_cube(IndexNetwork(opened), opened.cube, [written], progress, device=device)
    style = _style(output)
    write_style(output, style)
    return ComputeSpectralIndexResult(
        output=str(output),
        indices=len(names),
        used_bands=json.dumps(opened.used),
        styles={'output': style},
    )


def _style(path: StrPath) -> Style:
    """Show nearly all of the values of the first index."""
    import numpy as np
    import rasterio

    with rasterio.open(path) as dataset:
        size = tuple(min(_LOOK, length) for length in dataset.shape)
        values = dataset.read(1, out_shape=size, masked=True).compressed()
    low, high = np.quantile(values, (_STRETCH, 1 - _STRETCH)) if values.size else (0.0, 1.0)
    return {
        'type': 'range',
        'minimum': float(low),
        'maximum': float(max(high, low + 1e-6)),
        'unit': '',
        'ramp': 'viridis',
    }
