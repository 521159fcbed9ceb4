r"""Change without training: iteratively reweighted multivariate alteration detection (IR-MAD).

The bands of two dates are combined linearly, each date in its own way, to pairs of canonical
variates :math:`a_i^T x` and :math:`b_i^T y`: the first pair is correlated as strongly as possible,
the next as strongly as possible while uncorrelated with the first, and so on. Their differences
are the MAD variates. Where nothing changed they are independent and normal with variance
:math:`2 (1 - \rho_i)`, so the sum of their squares over these variances follows a chi-square
distribution with as many degrees of freedom as a date has bands. The probability of a larger sum
weighs each pixel in the next round, until the canonical correlations :math:`\rho_i` stand still.

Weighing takes away from the variance: unchanged pixels that differ little count more than those
that differ much. The published method does not account for that, and each round makes it worse:
with four bands of normal noise 22 % of the unchanged pixels exceed the threshold that 1 % should,
and of a real scene a single lake may be all that is left as unchanged. Here the variance is divided
by what weighing leaves of it (see :func:`consistency`), as robust estimators of covariance do; then
1 % are 1 %. The published form is there too (``consistent=False``).

Gains and offsets of the bands, in either date, do not change the result.

Reference:
    Nielsen, A. A. (2007). The regularized iteratively reweighted MAD method for change detection in
    multi- and hyperspectral data. IEEE Transactions on Image Processing 16(2), 463-478.
    https://doi.org/10.1109/TIP.2006.888195

Arrays of pixels are (b, n): the c bands of ``before``, then the c bands of ``after`` (b = 2c), of
n pixels.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy import linalg
from numpy.typing import NDArray
from scipy import special

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.moments import (
    SINGULAR,
    Blocks,
    Floats,
    Moments,
    dependent,
    pieces,
    pixels_needed,
)
from torchgeo_ext.inference.pairs import check_moments, per_pixel
from torchgeo_ext.progress import Progress, portion, silent

logger = logging.getLogger(__name__)

#: Smallest variance of a MAD variate, for dates that are copies of each other: differences of
#: 3e-5 standard deviations are below the rounding of 16-bit values.
_SMALLEST_VARIANCE = 1e-9


@dataclass(frozen=True)
class Irmad:
    """The transformation of two dates to MAD variates, made by :func:`fit_irmad`.

    Args:
        mean: Mean of each band of both dates (b,) over the pixels without change.
        projection: From centred bands to MAD variates (b, c).
        variance: Variance of each variate (c,) where nothing changed.
        correlations: Canonical correlations (c,), largest first.
        iterations: How often the correlations were computed.
    """

    mean: Floats
    projection: Floats
    variance: Floats
    correlations: Floats
    iterations: int

    @property
    def bands(self) -> int:
        """Bands of one date, which are also the degrees of freedom."""
        return len(self.correlations)

    def threshold(self, significance: float) -> float:
        """Return the magnitude that a share ``significance`` of unchanged pixels exceeds."""
        return float(np.sqrt(special.chdtri(self.bands, significance)))

    def variates(self, pixels: NDArray[np.floating]) -> Floats:
        """Compute the MAD variates (c, n) of pixels (b, n)."""
        return self.projection.T @ (pixels - self.mean[:, None])

    def statistic(self, pixels: NDArray[np.floating]) -> Floats:
        """Compute the chi-square statistic (n,) of pixels (b, n)."""
        standardised = self.variates(pixels) / np.sqrt(self.variance)[:, None]
        return np.einsum('cn,cn->n', standardised, standardised)

    def magnitude(self, pixels: NDArray[np.floating]) -> Floats:
        """Compute the square root (n,) of the chi-square statistic of pixels (b, n)."""
        return np.sqrt(self.statistic(pixels))

    def no_change(self, pixels: NDArray[np.floating]) -> Floats:
        """Compute the probability (n,) of a larger statistic than that of pixels (b, n)."""
        return special.chdtrc(self.bands, self.statistic(pixels))

    def scores(self, pixels: NDArray[np.floating]) -> Floats:
        """Compute magnitude and probability of change (2, n) of pixels (b, n).

        The probability is that of a smaller statistic where nothing changed.
        """
        statistic = self.statistic(pixels)
        return np.stack((np.sqrt(statistic), special.chdtr(self.bands, statistic)))

    def __call__(self, pairs: torch.Tensor) -> torch.Tensor:
        """Score pairs of tiles (b, t, c, h, w): magnitude and probability (b, 2, h, w)."""
        return per_pixel(self.scores, pairs)


def fit_irmad(
    blocks: Blocks,
    names: Sequence[str],
    *,
    iterations: int = 100,
    tolerance: float = 1e-4,
    regularisation: float = 0.0,
    consistent: bool = True,
    progress: Progress = silent,
) -> Irmad:
    """Find the transformation; all pixels are gone through once in every iteration.

    Args:
        blocks: The pixels in pieces (b, n), which can be gone through again and again.
        names: What to call each of the b bands in messages.
        iterations: At most so many; one gives plain MAD.
        tolerance: Iterating ends when no canonical correlation changes by more.
        regularisation: Added to the diagonal of the correlation matrix of each date's bands, which
            is needed when bands depend on each other. It keeps gains and offsets of bands without
            influence.
        consistent: Account for what weighing takes from the variance; False is the method exactly
            as published.
        progress: Told about every block.

    Returns:
        The transformation of the last iteration.

    Raises:
        BadInput: If there are too few pixels, or bands are constant or depend on each other.
    """
    moments = _gather(blocks, len(names), None, progress)
    check_moments(moments, names)
    _check_independence(moments, names, regularisation)
    fitted, first = _solve(moments, regularisation, 1), moments
    kept = consistency(fitted.bands) if consistent else 1.0
    for number in range(2, iterations + 1):
        moments = _gather(blocks, len(names), fitted, progress)
        if _has_collapsed(moments, first, regularisation):
            logger.warning(
                'IR-MAD stopped after iteration %d: what is left as unchanged is worth %.0f pixels '
                'and varies too little to go on. Large parts of the images may be saturated or '
                'copies of each other, or there are too many bands for so few pixels.',
                number - 1,
                moments.effective,
            )
            return fitted
        last, fitted = fitted, _solve(moments, regularisation, number, kept)
        if np.abs(fitted.correlations - last.correlations).max() <= tolerance:
            break
    else:
        if iterations > 1:
            logger.warning('IR-MAD did not converge in %d iterations.', iterations)
    logger.info(
        'IR-MAD: %d iterations, canonical correlations %s',
        fitted.iterations,
        ', '.join(f'{rho:.3f}' for rho in fitted.correlations),
    )
    return fitted


def _gather(blocks: Blocks, rows: int, fitted: Irmad | None, progress: Progress) -> Moments:
    """Compute means and covariances, weighted by the probability of no change."""
    done = 0 if fitted is None else fitted.iterations
    # nobody knows how many iterations it takes, so each gets a fifth of what is left
    share = portion(progress, 1 - 0.8**done, 1 - 0.8 ** (done + 1))
    moments = Moments(rows)
    for index, block in enumerate(blocks):
        share(index / len(blocks), f'Estimating change, iteration {done + 1}')
        for pixels in pieces(block):
            moments.add(pixels, None if fitted is None else fitted.no_change(pixels))
    return moments


def consistency(bands: int) -> float:
    r"""Return the share of the variance of unchanged pixels that is left after weighing them.

    A chi-square distributed statistic :math:`X` is weighed with :math:`w(x) = P(X' > x)`, so what
    is left is :math:`E[w X] / (E[w] E[X]) = E[\min(X, X')] / E[X]`, which is 1 minus the Gini
    coefficient of the distribution.

    Args:
        bands: Bands of one date, the degrees of freedom.
    """
    k = bands / 2
    return 1 - float(np.exp(special.gammaln(k + 0.5) - special.gammaln(k + 1)) / np.sqrt(np.pi))


def _solve(moments: Moments, regularisation: float, iteration: int, kept: float = 1.0) -> Irmad:
    """Find the canonical variates of both dates.

    The singular values of the whitened cross-correlation matrix are the canonical correlations.
    They solve the generalised eigenproblem of Nielsen's equation 4 without squaring it, so that
    correlations close to 1 keep their digits, and give both dates' vectors at once.
    """
    scale = np.sqrt(moments.variance)
    before, after, across = _correlations(moments, regularisation)
    lower_before, lower_after = linalg.cholesky(before), linalg.cholesky(after)
    whitened = linalg.solve(lower_after, linalg.solve(lower_before, across).T).T
    left, correlations, right = linalg.svd(whitened)
    a, b = linalg.solve(lower_before.T, left), linalg.solve(lower_after.T, right.T)
    # variates have no sign by themselves: let them correlate positively with the bands
    sign = np.where((before @ a).sum(0) < 0, -1.0, 1.0)
    # the penalty has a part in the unit variance of regularised variates
    penalty = regularisation * ((a**2).sum(0) + (b**2).sum(0))
    return Irmad(
        mean=moments.mean,
        projection=np.vstack((a, -b)) * sign / scale[:, None],
        variance=np.maximum(2 * (1 - correlations) - penalty, _SMALLEST_VARIANCE) / kept,
        correlations=correlations,
        iterations=iteration,
    )


def _correlations(moments: Moments, regularisation: float) -> tuple[Floats, Floats, Floats]:
    """Return the correlation matrices (c, c) within before, within after, and between them."""
    scale = np.sqrt(moments.variance)
    whole = moments.covariance / np.outer(scale, scale)
    bands = len(whole) // 2
    ridge = regularisation * np.eye(bands)
    return whole[:bands, :bands] + ridge, whole[bands:, bands:] + ridge, whole[:bands, bands:]


def _check_independence(moments: Moments, names: Sequence[str], regularisation: float) -> None:
    bands = len(names) // 2
    before, after, _ = _correlations(moments, regularisation)
    for matrix, own in ((before, names[:bands]), (after, names[bands:])):
        if involved := dependent(matrix, own):
            raise BadInput(
                f'{", ".join(involved)} depend on each other: each of them can be computed from '
                'the others, so irmad cannot tell them apart.',
                'Leave one of them out, or set regularisation to a small number such as 0.001.',
            )


def _has_collapsed(moments: Moments, first: Moments, regularisation: float) -> bool:
    """Tell whether the weighted pixels say too little about the covariances."""
    if moments.effective < pixels_needed(len(moments.mean)):
        return True
    if (moments.variance <= SINGULAR * first.variance).any():
        return True
    before, after, _ = _correlations(moments, regularisation)
    return min(linalg.eigvalsh(before)[0], linalg.eigvalsh(after)[0]) < SINGULAR
