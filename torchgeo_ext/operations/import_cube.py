"""Turn a hyperspectral product into an image that every program reads."""

from typing import Annotated, NamedTuple

from torchgeo_ext.operations._operation import Kind, Label, RasterOut, StrPath, Styles, operation
from torchgeo_ext.progress import Progress, silent


class ImportCubeResult(NamedTuple):
    """Result of :func:`import_cube`.

    Attributes:
        bands: Number of bands written.
        bad_bands: How many of them the product calls bad.
    """

    output: str
    bands: int
    bad_bands: int
    styles: Styles


@operation(
    label='Import cube',
    group='Hyperspectral',
    tags=('prisma', 'emit', 'he5', 'netcdf', 'orthorectify', 'convert'),
)
def import_cube(
    image: Annotated[StrPath, Kind('file', extensions=('he5', 'nc'))],
    output: Annotated[RasterOut, Label('Image')],
    *,
    progress: Progress = silent,
) -> ImportCubeResult:
    """Turn a PRISMA or EMIT file into an image that every program reads.

    The cameras of PRISMA become one image. EMIT, which comes in the order of the scan, is put on a
    map by the table that it brings, each pixel by its nearest one. Bands are sorted by wavelength,
    and their wavelengths, widths and bad bands are kept, so that all operations on spectra know
    them. Values are physical: reflectance or radiance. EnMAP, DESIS and ENVI files need no import.
    Needs the package h5py.

    Args:
        image: File as it was downloaded: PRISMA L2D (.he5), EMIT L1B or L2A (.nc).
        output: GeoTIFF to write.
        progress: Told how far the work is.

    Raises:
        BadInput: If it is another file, or does not tell where it is.
        MissingDependency: If h5py is not installed.
    """
    from pathlib import Path

    from torchgeo_ext.inference.spectral.products import open_product, write_product

    with open_product(str(image)) as cube:
        write_product(cube, Path(output), Path(image).name, progress)
        return ImportCubeResult(
            output=str(output),
            bands=len(cube.bands),
            bad_bands=cube.bands.good.count(False),
            styles={},
        )
