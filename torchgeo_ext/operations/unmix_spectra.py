"""Tell how much of each material a pixel holds: linear spectral unmixing."""

import json
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations._cube import CubeBands, Wavelengths
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Extent,
    Features,
    File,
    Label,
    Layer,
    Raster,
    RasterOut,
    StrPath,
    Styles,
    field_of,
    file_out,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, portion, silent


class UnmixSpectraResult(NamedTuple):
    """Result of :func:`unmix_spectra`.

    Attributes:
        endmembers_used: Names of the endmembers, in the order of the bands, as JSON.
        mean_abundances: Mean abundance of each, as JSON.
        mean_residual: Mean over all pixels of the root mean square of what the endmembers do not
            explain, in units of the image.
        bands_used: Number of bands that were used.
    """

    output: str
    residual: str | None
    table: str | None
    report: str | None
    endmembers_used: str
    mean_abundances: str
    mean_residual: float
    bands_used: int
    styles: Styles


@operation(
    label='Unmix spectra',
    group='Hyperspectral',
    tags=('abundances', 'endmembers', 'fractions', 'subpixel', 'NNLS', 'FCLS', 'VCA', 'N-FINDR',
          'ATGP', 'spectral library'),
)  # fmt: skip
def unmix_spectra(
    image: Raster,
    output: Annotated[RasterOut, Label('Abundances')],
    *,
    library: Annotated[File, Label('Spectral library')] | None = None,
    library_field: str | None = None,
    spectra: str | None = None,
    examples: Features | None = None,
    class_field: Annotated[str, field_of('examples')] | None = None,
    extraction: Literal['vca', 'nfindr', 'atgp'] = 'vca',
    endmembers: Annotated[int, within(2, 60)] = 5,
    method: Literal['fcls', 'nnls'] = 'fcls',
    bands: CubeBands | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    library_scale: Annotated[float, within(1e-12, 1e12)] = 1.0,
    wavelengths: Wavelengths | None = None,
    seed: Annotated[int, within(0, 2**31 - 1), ADVANCED] = 0,
    residual: RasterOut | None = None,
    table: Annotated[StrPath, file_out('csv')] | None = None,
    report: Annotated[StrPath, file_out('html')] | None = None,
    progress: Progress = silent,
) -> UnmixSpectraResult:
    """Tell how much of each material a pixel holds (linear spectral unmixing).

    A pixel is taken for a mixture of endmembers, the spectra of pure materials. These come from a
    library, from places on the image, or are found in the image: then they are its purest pixels,
    and what they are of can be told from their spectra and places.

    Args:
        image: Image of many bands.
        output: Raster of the abundances to write, with a band for each endmember.
        library: ENVI library (.sli), GeoPackage or GeoJSON of EnMAP-Box, or CSV with a row for
            each spectrum and columns headed by wavelengths. The table of endmembers is one.
        library_field: Field of the library; an endmember is then the mean of the spectra of each
            of its values. Left out, each spectrum is an endmember.
        spectra: Names of the spectra of the library to use, separated by commas; all if left out.
        examples: Points, lines or polygons on pure places.
        class_field: Their field with the material; the mean of each is an endmember.
        extraction: How endmembers are found if there is neither library nor example. vca (vertex
            component analysis) takes pixels that stand out in random directions one after the
            other; nfindr the corners of the largest volume; atgp those least like all before, which
            finds rare materials and errors first.
        endmembers: How many to find.
        method: fcls keeps abundances between 0 and 1 and their sum at 1; nnls only keeps them from
            being negative, so that shade makes the sum smaller.
        bands: Numbers of the bands to use. Left out, all but those without data, those that the
            file calls bad and those in which water vapour hides the ground.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; pixels outside do not count and get no value.
        library_scale: Factor from values of the library to those of the image; 10000 for a library
            of reflectance and an image that stores it times 10000.
        wavelengths: CSV with the wavelength of each band, or the name of a sensor such as enmap,
            if the image does not tell.
        seed: Of the directions in which endmembers are looked for.
        residual: Raster to write of what is not explained: root mean square over the bands, in
            units of the image.
        table: Spectra of the endmembers to write (CSV), which can be used as a library.
        report: Page to write with a plot of the endmembers and their abundances.
        progress: Told how far the work is.

    Raises:
        BadInput: If endmembers are mixtures of each other, or there are too few pixels.
        BadParameter: If both a library and examples are given, or an argument belongs to neither.
    """
    from torchgeo_ext.inference.spectral.unmixing import check_endmembers
    from torchgeo_ext.operations._cube import open_cube
    from torchgeo_ext.operations._endmembers import (
        choose_endmembers,
        describe,
        map_abundances,
        write_table,
    )
    from torchgeo_ext.operations._spectra import LibraryChoice

    cube = open_cube(image, bands, extent=extent, mask=mask, wavelengths=wavelengths)
    found = choose_endmembers(
        cube, LibraryChoice(library, library_field, spectra, library_scale), examples,
        class_field, extraction, endmembers, seed, portion(progress, 0, 0.4),
    )  # fmt: skip
    check_endmembers(found.spectra, found.names, found.argument)
    mapped = map_abundances(found, method, output, residual, portion(progress, 0.4, 1))
    if table is not None:
        write_table(table, found)
    if report is not None:
        describe(report, found, mapped)
    return UnmixSpectraResult(
        output=str(output),
        residual=None if residual is None else str(residual),
        table=None if table is None else str(table),
        report=None if report is None else str(report),
        endmembers_used=json.dumps(found.names),
        mean_abundances=json.dumps(dict(zip(found.names, mapped.abundances, strict=True))),
        mean_residual=mapped.residual,
        bands_used=len(found.cube.bands),
        styles=mapped.styles,
    )
