"""Turn an image of one sensor into what another one would have seen."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from torchgeo_ext.operations._cube import CubeBands, Wavelengths
from torchgeo_ext.operations._operation import (
    Bundle,
    Device,
    Extent,
    File,
    Label,
    Layer,
    Raster,
    RasterOut,
    Styles,
    operation,
)
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from torchgeo_ext.inference import RasterOutput
    from torchgeo_ext.inference.spectral.cube import Cube
    from torchgeo_ext.sensors import BandWavelengths

#: Sensors with bands of known wavelengths.
SensorName = Literal[
    'aviris_ng',
    'desis',
    'emit',
    'enmap',
    'gaofen2',
    'hyperion',
    'landsat_etm',
    'landsat_oli',
    'landsat_tm',
    'modis',
    'naip',
    'planetscope4',
    'planetscope8',
    'pleiades',
    'pleiades_neo',
    'prisma',
    'quickbird',
    'sentinel2a',
    'sentinel2b',
    'sentinel2c',
    'spot',
    'worldview2',
    'worldview3',
]


class ResampleSpectraResult(NamedTuple):
    """Result of :func:`resample_spectra`.

    Attributes:
        bands: Number of bands written.
        uncovered: Bands of the sensor that lie where the image has not measured, as JSON: name and
            nanometres.
        coverage: Share of the response of each band written that lies where the image has
            measured, as JSON.
    """

    output: str
    bands: int
    uncovered: str
    coverage: str
    styles: Styles


@operation(
    label='Resample spectra',
    group='Hyperspectral',
    tags=('spectral response', 'convolution', 'simulate sensor', 'wavelength', 'harmonise'),
)
def resample_spectra(
    image: Raster,
    output: Annotated[RasterOut, Label('Resampled image')],
    *,
    sensor: SensorName = 'sentinel2a',
    table: Annotated[File, Label('Table of bands to compute')] | None = None,
    bundle: Annotated[Bundle, Label('Model whose bands to compute')] | None = None,
    bands: CubeBands | None = None,
    wavelengths: Wavelengths | None = None,
    uncovered: Literal['auto', 'leave_out', 'guess'] = 'auto',
    extent: Extent | None = None,
    mask: Layer | None = None,
    device: Device = 'auto',
    progress: Progress = silent,
) -> ResampleSpectraResult:
    """Turn an image of one sensor into what another one would have seen.

    For models and indices that were made for the other sensor. Each band is the integral of the
    spectrum of a pixel, linear between the bands that were measured, times the Gaussian response of
    the band. Numbers stay in the units of the image, unless its bands have different factors: then
    they become physical.

    Args:
        image: Image with bands of known wavelengths, for instance of EnMAP, PRISMA, EMIT, DESIS or
            an ENVI file with wavelengths in its header.
        output: Image to write, with a band for each of the sensor that the image covers.
        sensor: Sensor whose bands to compute.
        table: Bands to compute, in place of those of a sensor: a CSV with a row for each
            (name,wavelength_nm,fwhm_nm).
        bundle: Model whose bands to compute, in its numbers, in place of those of a sensor: so a
            model that was trained on one sensor can be used on another.
        bands: Numbers of the bands to use. Left out, all but those without data, those that the
            file calls bad and those in which water vapour hides the ground.
        wavelengths: CSV with the wavelength of each band (wavelength_nm,fwhm_nm), or the name of a
            sensor such as enmap, if the image does not tell.
        uncovered: What to do with bands that lie where the image has not measured: leave them out,
            or guess them from the nearest measurements. auto guesses those of a model, which needs
            all of its bands, and leaves out others. A warning names them.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; outside nothing is computed.
        device: Where to compute; auto takes the best there is.
        progress: Told how far the work is.

    Raises:
        BadInput: If the wavelengths of the image are not known, or no band is covered.
    """
    from torchgeo_ext.errors import BadInput, BadParameter
    from torchgeo_ext.operations._cube import open_cube, run_cube
    from torchgeo_ext.operations._spectral import mixing, not_twice, of_bundle
    from torchgeo_ext.sensors import BandWavelengths, read_wavelengths, wavelength_table
    from torchgeo_ext.transforms._response import response_matrix
    from torchgeo_ext.transforms.spectral_bands import warn_uncovered

    if table is not None and bundle is not None:
        raise BadParameter('Give table or bundle, not both.')
    if bundle is not None:
        target = of_bundle(bundle)
    elif table is not None:
        target = wavelength_table(table, 'table')
    else:
        target = BandWavelengths.of_sensor(sensor).unscaled()
        target = target.select(i for i in range(len(target)) if i in target.order)
    read_wavelengths(image, wavelengths)  # without them nothing can be done
    progress(0.0, 'Looking at the bands')
    cube = open_cube(image, bands, extent=extent, mask=mask, wavelengths=wavelengths)
    weights, coverage = response_matrix(cube.bands, target)
    lacking = warn_uncovered(cube.bands, target, coverage.tolist())
    guessed = uncovered == 'guess' or (uncovered == 'auto' and bundle is not None)
    kept = [i for i in range(len(target)) if guessed or i not in lacking]
    if not kept:
        raise BadInput(
            f'image: {image} ({cube.bands!r}) covers none of the bands of {target.source}.',
            'Choose another sensor, or check the wavelengths of the image.',
        )
    written = target.select(kept)
    cube, mixture = mixing(not_twice(cube), weights[kept], written)
    outputs = [_output(output, cube, written)]
    run_cube(mixture, cube, outputs, portion(progress, 0.02, 1.0), device=device)
    return ResampleSpectraResult(
        output=str(output),
        bands=len(kept),
        uncovered=json.dumps([target.describe([i]) for i in lacking]),
        coverage=json.dumps([round(float(coverage[i]), 4) for i in kept]),
        styles={},
    )


def _output(path: Any, cube: 'Cube', written: 'BandWavelengths') -> 'RasterOutput':
    """Describe the file: in numbers as those of the image if its bands have the same factor."""
    from torchgeo_ext.inference import RasterOutput
    from torchgeo_ext.operations._spectral import keeps_numbers, stored_type

    kept = keeps_numbers(cube, written)
    numbers = cube.bands if kept else written
    scale, offset = (numbers.scale[0], numbers.offset[0]) if numbers.uniform else (1.0, 0.0)
    return RasterOutput(
        str(path),
        'values',
        dtype=stored_type(cube) if kept else 'float32',
        descriptions=[
            name or f'{1000 * centre:g} nm'
            for name, centre in zip(written.names, written.centre, strict=True)
        ],
        band_tags=written.tags(),
        tags={'resampled_to': written.source, 'resampled_from': cube.bands.source},
        scale=scale,
        offset=offset,
    )
