"""Tell which bands of a hyperspectral image are of use."""

from typing import Annotated, NamedTuple

from torchgeo_ext.operations._cube import Wavelengths
from torchgeo_ext.operations._operation import (
    Extent,
    Fraction,
    Layer,
    Raster,
    StrPath,
    file_out,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, silent


class AssessBandsResult(NamedTuple):
    """Result of :func:`assess_bands`.

    Attributes:
        good_bands: Numbers of the bands that are of use, separated by commas, as other operations
            take them.
        good: Number of these bands.
        bad: Number of the others.
        median_snr: Median of the signal-to-noise ratios of the good bands; none if there are too
            few pixels to tell.
    """

    report: str
    table: str | None
    good_bands: str
    good: int
    bad: int
    median_snr: float | None


@operation(
    label='Assess bands',
    group='Hyperspectral',
    tags=('signal-to-noise ratio', 'SNR', 'noise', 'bad bands', 'spectral profile', 'quality',
          'water vapour', 'correlation'),
)  # fmt: skip
def assess_bands(
    image: Raster,
    report: Annotated[StrPath, file_out('html')],
    *,
    extent: Extent | None = None,
    mask: Layer | None = None,
    lowest_snr: Annotated[float, within(0.0)] = 10.0,
    lowest_correlation: Fraction = 0.5,
    wavelengths: Wavelengths | None = None,
    table: Annotated[StrPath, file_out('csv')] | None = None,
    progress: Progress = silent,
) -> AssessBandsResult:
    """Tell which bands of a hyperspectral image are of use, and how much noise each has.

    What a regression of a band on all others cannot explain is taken for its noise. Bands are bad
    that have no data or little, a single value, a low signal-to-noise ratio or little in common
    with the bands beside them, that the file calls bad, or in which water vapour hides the ground.

    Args:
        image: Image of many bands.
        report: Page to write with the mean spectrum, the signal-to-noise ratio and the correlation
            of the bands, and a table of them.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; pixels outside do not count.
        lowest_snr: Bands with a lower signal-to-noise ratio (mean divided by noise) are bad.
        lowest_correlation: Bands whose correlation with the good ones beside them is a smaller
            share of what is usual in this image are bad.
        wavelengths: CSV with the wavelength of each band, or the name of a sensor such as enmap,
            if the image does not tell.
        table: Table to write of the bands (CSV).
        progress: Told how far the work is.

    Raises:
        BadInput: If no band has data.
    """
    import math
    import statistics

    from torchgeo_ext.inference.spectral.quality import assess
    from torchgeo_ext.operations._band_report import write_report, write_rows
    from torchgeo_ext.operations._cube import useless_bands, whole_cube

    cube = whole_cube(image, extent=extent, mask=mask, wavelengths=wavelengths)
    found = assess(
        cube, useless_bands(cube), lowest_snr=lowest_snr, lowest_correlation=lowest_correlation,
        progress=progress,
    )  # fmt: skip
    write_report(report, cube, found)
    if table is not None:
        write_rows(table, found)
    good = [band for band in found.bands if band.verdict == 'good']
    ratios = [band.snr for band in good if not math.isnan(band.snr)]
    return AssessBandsResult(
        report=str(report),
        table=None if table is None else str(table),
        good_bands=','.join(str(band.number) for band in good),
        good=len(good),
        bad=len(found.bands) - len(good),
        median_snr=float(statistics.median(ratios)) if ratios else None,
    )
