r"""How good the bands of a cube are: signal-to-noise ratio, correlation with the bands beside them.

Bands of a spectrum resemble each other, noise does not: the part of a band that a linear regression
on all other bands cannot explain is taken for its noise. Its variance is
:math:`1 / (\Sigma^{-1})_{ii}`, with the covariance :math:`\Sigma` of all bands, so it comes
out of one pass. This is the noise estimate of HySime, in closed form. What all bands have in
common, such as the texture of the ground, does not count as noise; what a single band alone shows
does.

Reference:
    Bioucas-Dias, J. M. & Nascimento, J. M. P. (2008). Hyperspectral subspace identification. IEEE
    Transactions on Geoscience and Remote Sensing 46(8), 2435-2445.
    https://doi.org/10.1109/TGRS.2008.918089

Arrays: c bands, n pixels.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy import linalg
from numpy.typing import NDArray

from torchgeo_ext.inference.moments import Floats, pixels_needed
from torchgeo_ext.inference.spectral.cube import Cube, signal_moments
from torchgeo_ext.inference.statistics import BandSummary, band_statistics
from torchgeo_ext.progress import Progress, portion, silent

Verdict = Literal[
    'good', 'no data', 'little data', 'one value', 'marked as bad', 'water vapour', 'low SNR',
    'unlike neighbours',
]  # fmt: skip

#: A band with data in a smaller share of the pixels than the best one has little.
_LITTLE = 0.5
#: Added to the diagonal of the correlation matrix, for bands that are copies of each other: noise
#: of less than a thousandth of a band's standard deviation is not told.
_RIDGE = 1e-6


@dataclass(frozen=True)
class BandQuality:
    """What is known of one band.

    Args:
        number: Number in the file, from 1.
        wavelength: Centre in micrometres, NaN if unknown.
        summary: Its values.
        noise: Standard deviation of its noise; NaN where it is not told.
        correlation: The larger of the correlations with the bands before and behind it that are of
            use; NaN where there is none.
        verdict: Whether it is of use, and if not why.
    """

    number: int
    wavelength: float
    summary: BandSummary
    noise: float
    correlation: float
    verdict: Verdict = 'good'

    @property
    def valid(self) -> float:
        """Share of the pixels looked at that have a value."""
        return self.summary.valid / (self.summary.valid + self.summary.missing)

    @property
    def snr(self) -> float:
        """Mean divided by noise; NaN where noise is not told."""
        return abs(self.summary.mean) / self.noise if self.noise > 0 else math.nan


@dataclass(frozen=True)
class Quality:
    """What is known of the bands of a cube.

    Args:
        bands: Each of them.
        correlation: Correlation (c, c) of all bands; NaN where one has too little data.
    """

    bands: tuple[BandQuality, ...]
    correlation: Floats


def assess(
    cube: Cube,
    bad: Mapping[int, Verdict],
    *,
    lowest_snr: float = 10.0,
    lowest_correlation: float = 0.5,
    progress: Progress = silent,
) -> Quality:
    """Assess bands in two passes: each for itself, and all together.

    Args:
        cube: The bands, good and bad.
        bad: Bands that are bad whatever they show, by their positions from 0, and why.
        lowest_snr: Bands with a lower signal-to-noise ratio are bad.
        lowest_correlation: Bands whose correlation with those beside them is a smaller share of
            what is usual in this image are bad. Where all is alike, as on water, little is usual.
        progress: Told how far it is.

    Raises:
        BadInput: If no band has data.
    """
    single = band_statistics(
        [cube.source], grids=[cube.grid], mask=cube.mask, quantiles=(0.02, 0.5, 0.98),
        progress=portion(progress, 0, 0.5),
    ).bands  # fmt: skip
    most = max(band.valid for band in single)
    told = [i for i, b in enumerate(single) if b.valid >= _LITTLE * most and b.std > 0]
    correlation, noise = _together(cube, told, portion(progress, 0.5, 1))
    beside = _beside(correlation, [i for i in told if i not in bad])
    shown = beside[told]
    usual = float(np.nanmedian(shown)) if np.isfinite(shown).any() else 0.0
    numbers = cube.source.bands or ()
    bands = [
        BandQuality(numbers[i], cube.bands.centre[i], summary, noise[i], beside[i])
        for i, summary in enumerate(single)
    ]
    judged = [
        dataclasses.replace(
            band, verdict=bad.get(i) or _verdict(band, most, lowest_snr, lowest_correlation * usual)
        )
        for i, band in enumerate(bands)
    ]
    return Quality(tuple(judged), correlation)


def _together(cube: Cube, told: Sequence[int], progress: Progress) -> tuple[Floats, Floats]:
    """Give the correlation (c, c) of bands, and the noise (c) of each."""
    count = len(cube.bands)
    correlation, noise = np.full((count, count), np.nan), np.full(count, np.nan)
    if told:
        moments = signal_moments(cube.select(told), progress)
        # a band may vary only where others have no data
        varies = moments.variance > 0
        chosen, scale = np.array(told)[varies], np.sqrt(moments.variance[varies])
        own = moments.covariance[np.ix_(varies, varies)] / np.outer(scale, scale)
        correlation[np.ix_(chosen, chosen)] = own
        if len(chosen) > 1 and moments.weight >= pixels_needed(len(chosen)):
            noise[chosen] = scale * unexplained(own)
    return correlation, noise


def unexplained(correlation: Floats) -> Floats:
    """Tell what of each band a regression on all others leaves, in standard deviations.

    Args:
        correlation: Correlation matrix (c, c).
    """
    inverse = linalg.inv(correlation + _RIDGE * np.eye(len(correlation)))
    return 1 / np.sqrt(np.diag(inverse))


def _beside(correlation: Floats, usable: Sequence[int]) -> NDArray[np.float64]:
    """Give the larger correlation of each band with the next usable ones on either side."""
    found = np.full(len(correlation), np.nan)
    for i in range(len(correlation)):
        before = [k for k in usable if k < i][-1:]
        behind = [k for k in usable if k > i][:1]
        values = [correlation[i, k] for k in (*before, *behind) if not np.isnan(correlation[i, k])]
        found[i] = max(values, default=np.nan)
    return found


def _verdict(band: BandQuality, most: int, lowest_snr: float, lowest_correlation: float) -> Verdict:
    summary = band.summary
    if summary.valid == 0:
        return 'no data'
    if summary.std == 0:
        return 'one value'
    if summary.valid < _LITTLE * most:
        return 'little data'
    if band.snr < lowest_snr:
        return 'low SNR'
    return 'unlike neighbours' if band.correlation < lowest_correlation else 'good'
