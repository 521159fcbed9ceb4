"""Find pixels that hold a material of known spectrum."""

import json
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations._checks import one_of
from torchgeo_ext.operations._cube import CubeBands, Regularisation, Wavelengths
from torchgeo_ext.operations._operation import (
    Extent,
    Features,
    File,
    Fraction,
    Label,
    Layer,
    Raster,
    RasterOut,
    StrPath,
    Styles,
    VectorOut,
    field_of,
    file_out,
    operation,
    within,
)
from torchgeo_ext.operations._predict import MinimumArea
from torchgeo_ext.progress import Progress, portion, silent


class DetectTargetResult(NamedTuple):
    """Result of :func:`detect_target`.

    Attributes:
        targets: Names of the targets, in the order of the bands of the scores, as JSON.
        thresholds_used: Score from which on a pixel counts as each target, as JSON.
        target_areas: Area of each target in square metres, measured on the ellipsoid, as JSON.
        bands_used: Number of bands that were used.
    """

    output: str
    found: str | None
    polygons: str | None
    report: str | None
    targets: str
    thresholds_used: str
    target_areas: str
    bands_used: int
    styles: Styles


@operation(
    label='Detect target',
    group='Hyperspectral',
    tags=('matched filter', 'ACE', 'adaptive cosine estimator', 'CEM', 'SAM', 'spectral angle',
          'spectral library'),
    checks=(one_of('library', 'examples'),),
)  # fmt: skip
def detect_target(
    image: Raster,
    output: Annotated[RasterOut, Label('Scores')],
    *,
    library: Annotated[File, Label('Spectral library')] | None = None,
    library_field: str | None = None,
    spectra: str | None = None,
    examples: Features | None = None,
    class_field: Annotated[str, field_of('examples')] | None = None,
    method: Literal['ace', 'matched_filter', 'cem', 'angle'] = 'ace',
    bands: CubeBands | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    threshold: Annotated[float, within()] | None = None,
    share: Fraction = 0.001,
    library_scale: Annotated[float, within(1e-12, 1e12)] = 1.0,
    wavelengths: Wavelengths | None = None,
    regularisation: Regularisation = 0.0,
    found: Annotated[RasterOut, Label('Found targets')] | None = None,
    polygons: Annotated[VectorOut, Label('Outlines of targets')] | None = None,
    minimum_area: MinimumArea = 0.0,
    report: Annotated[StrPath, file_out('html')] | None = None,
    progress: Progress = silent,
) -> DetectTargetResult:
    """Find pixels that hold a material of known spectrum, even if it fills but a part of them.

    The spectrum comes from a library, whose spectra are brought to the bands of the image by
    wavelength, or is the mean of points, lines or polygons on the image itself.

    Args:
        image: Image of many bands.
        output: Raster of the scores to write, with a band for each target.
        library: ENVI library (.sli), GeoPackage or GeoJSON of EnMAP-Box, or CSV with a row for
            each spectrum and columns headed by wavelengths.
        library_field: Field of the library; the target is then the mean of the spectra of each of
            its values. Left out, each spectrum is a target.
        spectra: Names of the spectra of the library to use, separated by commas; all if left out.
        examples: Points, lines or polygons on the target.
        class_field: Their field that tells several targets apart; left out, all are one.
        method: ace (adaptive cosine estimator) is 1 for what differs from the background just as
            the target does, however little of it there is. matched_filter gives the share of the
            pixel that is target, if the rest is background. cem (constrained energy minimisation)
            likewise, for a background that need not be normally distributed. angle (spectral
            angle) is in radians, the smaller the more alike; it looks at whole pixels and needs no
            background.
        bands: Numbers of the bands to use. Left out, all but those without data, those that the
            file calls bad and those in which water vapour hides the ground.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; pixels outside get no score and are no
            background.
        threshold: Score from which on (for angle, down to which) a pixel counts as target; found
            if left out.
        share: If it is to be found: share of the pixels that count as each target.
        library_scale: Factor from values of the library to those of the image (all but angle);
            10000 for a library of reflectance and an image that stores it times 10000.
        wavelengths: CSV with the wavelength of each band, or the name of a sensor such as enmap,
            if the image does not tell.
        regularisation: If bands depend on each other: added to the diagonal of their covariance,
            in shares of it, for example 0.001.
        found: Raster to write of where a target was found: 0 for nothing, else its number.
        polygons: Outlines of the targets to write (GeoPackage).
        minimum_area: Leave out smaller polygons.
        report: Page to write with a plot of the spectra of targets and background, and what was
            found of each.
        progress: Told how far the work is.

    Raises:
        BadInput: If there are too few pixels, or bands are constant, depend on each other or do not
            fit the library.
        BadParameter: If there is no such spectrum or field.
    """
    from torchgeo_ext.inference import RasterOutput
    from torchgeo_ext.inference.spectral.cube import background
    from torchgeo_ext.inference.spectral.targets import make_detector
    from torchgeo_ext.operations._cube import open_cube, run_cube
    from torchgeo_ext.operations._marks import mark, score_style
    from torchgeo_ext.operations._spectra import LibraryChoice, known_spectra
    from torchgeo_ext.operations._spectra_report import write_spectra
    from torchgeo_ext.operations._tables import hectares

    cube = open_cube(image, bands, extent=extent, mask=mask, wavelengths=wavelengths)
    choice = LibraryChoice(library, library_field, spectra, library_scale)
    known = known_spectra(cube, choice, examples, class_field)
    lowest = method == 'angle'
    moments = None
    if not lowest:
        moments = background(known.cube, regularisation, portion(progress, 0, 0.35))
    written = RasterOutput(
        str(output), 'values', tags={'model': method}, descriptions=list(known.names)
    )
    run_cube(
        make_detector(method, known.means, moments),
        known.cube,
        [written],
        portion(progress, 0.35, 0.8),
    )
    marked = mark(
        output, known.names, threshold=threshold, share=share, lowest=lowest, found=found,
        polygons=polygons, minimum_area=minimum_area, progress=portion(progress, 0.8, 1),
    )  # fmt: skip
    if report is not None:
        rows: list[tuple[str, ...]] = [('target', 'threshold', 'area (ha)')]
        for name, limit in zip(known.names, marked.thresholds, strict=True):
            rows.append((name, f'{limit:.6g}', hectares(marked.areas[name])))
        write_spectra(
            report, 'Targets', f'{method}, {len(known.cube.bands)} bands.', known.cube,
            known.means, known.legend, rows, background=None if moments is None else moments[0],
        )  # fmt: skip
    return DetectTargetResult(
        output=str(output),
        found=None if found is None else str(found),
        polygons=None if polygons is None else str(polygons),
        report=None if report is None else str(report),
        targets=json.dumps(known.names),
        thresholds_used=json.dumps(dict(zip(known.names, marked.thresholds, strict=True))),
        target_areas=json.dumps(marked.areas),
        bands_used=len(known.cube.bands),
        styles={'output': score_style(output, lowest), **marked.styles},
    )
