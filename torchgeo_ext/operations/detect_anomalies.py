"""Find pixels unlike the rest, or unlike their surroundings, without knowing what to look for."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from torchgeo_ext.operations._checks import less_than
from torchgeo_ext.operations._cube import CubeBands, Regularisation, Wavelengths
from torchgeo_ext.operations._operation import (
    Device,
    Extent,
    Fraction,
    Label,
    Layer,
    Raster,
    RasterOut,
    StrPath,
    Styles,
    VectorOut,
    file_out,
    operation,
    within,
)
from torchgeo_ext.operations._predict import MinimumArea
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from torchgeo_ext.operations._marks import Marked


class DetectAnomaliesResult(NamedTuple):
    """Result of :func:`detect_anomalies`.

    Attributes:
        threshold_used: Score from which on a pixel is an anomaly.
        anomalous_area: Area of the anomalies in square metres, measured on the ellipsoid.
        degrees_of_freedom: Bands, or components, that a score is the sum of: its mean where the
            background is normally distributed.
        bands_used: Number of bands that were used.
    """

    output: str
    found: str | None
    polygons: str | None
    report: str | None
    threshold_used: float
    anomalous_area: float
    degrees_of_freedom: int
    bands_used: int
    styles: Styles


@operation(
    label='Detect anomalies',
    group='Hyperspectral',
    tags=('RX', 'Reed-Xiaoli', 'outliers', 'Mahalanobis'),
    checks=(less_than('guard', 'window'),),
)
def detect_anomalies(
    image: Raster,
    output: Annotated[RasterOut, Label('Scores')],
    *,
    method: Literal['global', 'local'] = 'global',
    window: Annotated[int, within(3, 255, 'pixels')] = 21,
    guard: Annotated[int, within(1, 253, 'pixels')] = 5,
    components: Annotated[int, within(1, 64)] = 8,
    bands: CubeBands | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    threshold: Annotated[float, within(0.0)] | None = None,
    share: Fraction = 0.001,
    wavelengths: Wavelengths | None = None,
    regularisation: Regularisation = 0.0,
    device: Device = 'auto',
    found: Annotated[RasterOut, Label('Anomalies')] | None = None,
    polygons: Annotated[VectorOut, Label('Outlines of anomalies')] | None = None,
    minimum_area: MinimumArea = 0.0,
    report: Annotated[StrPath, file_out('html')] | None = None,
    progress: Progress = silent,
) -> DetectAnomaliesResult:
    """Find pixels unlike the rest, or unlike their surroundings (RX detector).

    The score is the squared distance of a pixel from the mean of the background, in standard
    deviations of the background in that direction.

    Args:
        image: Image of many bands.
        output: Raster of the scores to write; the higher, the less alike.
        method: global compares each pixel with the whole image; local with what lies between two
            squares around it, which finds what is odd in its place but common elsewhere.
        window: For local: side of the outer square, an odd number.
        guard: For local: side of the inner square, which does not count; larger than what is
            looked for, an odd number.
        components: For local: principal components of the bands to compare, as a square has too
            few pixels for all bands.
        bands: Numbers of the bands to use. Left out, all but those without data, those that the
            file calls bad and those in which water vapour hides the ground.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; pixels outside get no score, and do not count
            for the background of the whole image.
        threshold: Score from which on a pixel is an anomaly; found if left out.
        share: If it is to be found: share of the pixels that are anomalies.
        wavelengths: CSV with the wavelength of each band, or the name of a sensor such as enmap,
            if the image does not tell.
        regularisation: For global, if bands depend on each other: added to the diagonal of their
            covariance, in shares of it, for example 0.001.
        device: Where local computes; auto takes the best there is.
        found: Raster of the anomalies to write: 1 where a score reaches the threshold, else 0.
        polygons: Outlines of the anomalies to write (GeoPackage).
        minimum_area: Leave out smaller polygons.
        report: Page to write with a plot of the mean spectrum of the anomalies beside that of the
            image.
        progress: Told how far the work is.

    Raises:
        BadParameter: If a square has an even side, or there are fewer bands than components.
        BadInput: If there are too few pixels, or bands are constant or depend on each other.
    """
    from torchgeo_ext.inference import RasterOutput
    from torchgeo_ext.operations._cube import open_cube, run_cube
    from torchgeo_ext.operations._marks import mark, score_style

    cube = open_cube(image, bands, extent=extent, mask=mask, wavelengths=wavelengths)
    fitting = portion(progress, 0, 0.35)
    if method == 'local':
        detector, halo = _local(cube, window, guard, components, fitting), window // 2
        freedom = components
    else:
        detector, halo = _global(cube, regularisation, fitting), 0
        freedom = len(cube.bands)
    written = RasterOutput(
        str(output), 'values', tags={'model': f'RX, {method}'}, descriptions=['anomaly score']
    )
    # a module for windows has to know which pixels are missing
    shown = cube.filled(float('nan')) if halo else cube
    run_cube(
        detector, shown, [written], portion(progress, 0.35, 0.8), halo=halo,
        device=device if halo else 'cpu',
    )  # fmt: skip
    marked = mark(
        output, ['anomaly'], threshold=threshold, share=share, found=found, polygons=polygons,
        minimum_area=minimum_area, progress=portion(progress, 0.8, 1),
    )  # fmt: skip
    if report is not None:
        _describe(report, cube, str(output), marked)
    return DetectAnomaliesResult(
        output=str(output),
        found=None if found is None else str(found),
        polygons=None if polygons is None else str(polygons),
        report=None if report is None else str(report),
        threshold_used=marked.thresholds[0],
        anomalous_area=marked.areas['anomaly'],
        degrees_of_freedom=freedom,
        bands_used=len(cube.bands),
        styles={'output': score_style(output), **marked.styles},
    )


def _global(cube: Any, regularisation: float, progress: Progress) -> Any:
    from torchgeo_ext.inference.spectral.anomalies import GlobalAnomaly
    from torchgeo_ext.inference.spectral.cube import background, whitening

    mean, covariance = background(cube, regularisation, progress)
    return GlobalAnomaly(mean, whitening(covariance))


def _local(cube: Any, window: int, guard: int, components: int, progress: Progress) -> Any:
    from torchgeo_ext.errors import BadParameter
    from torchgeo_ext.inference.spectral.anomalies import LocalAnomaly
    from torchgeo_ext.inference.spectral.reduction import fit_pca

    for name, side in (('window', window), ('guard', guard)):
        if side % 2 == 0:
            raise BadParameter(
                f'{name} is {side}, but must be odd, so that it has a pixel in its middle.',
                f'Take {side + 1}.',
            )
    if components > len(cube.bands):
        raise BadParameter(
            f'components is {components}, but only {len(cube.bands)} bands are used.',
            'Ask for fewer.',
        )
    return LocalAnomaly(fit_pca(cube, progress=progress), components, window, guard)


def _describe(path: StrPath, cube: Any, scores: str, marked: 'Marked') -> None:
    import numpy as np

    from torchgeo_ext.datasets._classes import LabelClass
    from torchgeo_ext.inference import RasterSource
    from torchgeo_ext.inference.moments import Moments
    from torchgeo_ext.operations._spectra_report import write_spectra
    from torchgeo_ext.operations._tables import hectares

    (threshold,) = marked.thresholds
    odd, whole = Moments(len(cube.bands)), Moments(len(cube.bands))
    with RasterSource(scores, argument='output').open(cube.grid) as reader:
        for part in cube.windows():
            (score,), valid = reader.read(part.window)
            whole.add(part.pixels.astype(np.float64))
            found = valid & part.valid & (score >= threshold)
            odd.add(part.values[:, found].astype(np.float64))
    rows = [
        ('', 'pixels', 'area (ha)'),
        ('anomalies', f'{odd.weight:.0f}', hectares(marked.areas['anomaly'])),
    ]
    # of no pixel there is nothing to draw
    mean = odd.mean if odd.weight else np.full(len(cube.bands), np.nan)
    write_spectra(
        path, 'Anomalies', f'Scores from {threshold:.6g} on, {len(cube.bands)} bands.', cube,
        mean[:, None], [LabelClass(1, 'mean of the anomalies', '#cc3311')], rows,
        background=whole.mean,
    )  # fmt: skip
