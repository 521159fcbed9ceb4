r"""How much each pixel is like a known spectrum, given the background it stands in.

With the mean :math:`\mu` and covariance :math:`\Sigma` of the background, its correlation matrix
:math:`R = \Sigma + \mu \mu^T` and the target :math:`t`, the score of a pixel :math:`x` is

- matched filter: :math:`(t - \mu)^T \Sigma^{-1} (x - \mu) / (t - \mu)^T \Sigma^{-1} (t - \mu)`,
  which is 1 for the target and 0 on average: the share of the pixel that is target;
- adaptive cosine estimator (ACE): the squared cosine of the angle between :math:`t - \mu` and
  :math:`x - \mu` in whitened space, 0 to 1, whatever the size of the target in the pixel;
- constrained energy minimisation (CEM): :math:`t^T R^{-1} x / t^T R^{-1} t`;
- spectral angle: the angle between :math:`t` and :math:`x` in radians, the smaller the more alike;
  it needs no background, and brightness does not matter.

References:
    Manolakis, D. & Shaw, G. (2002). Detection algorithms for hyperspectral imaging applications.
    IEEE Signal Processing Magazine 19(1), 29-43. https://doi.org/10.1109/79.974724

    Kruse, F. A. et al. (1993). The spectral image processing system (SIPS). Remote Sensing of
    Environment 44(2-3), 145-163. https://doi.org/10.1016/0034-4257(93)90013-N

Arrays: c bands, k targets, n pixels.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy import linalg

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.moments import Floats
from torchgeo_ext.inference.spectral.cube import PixelModel, whitening

Method = Literal['matched_filter', 'ace', 'cem', 'angle']


@dataclass(frozen=True)
class TargetFilter(PixelModel):
    """Scores pixels by a linear filter for each target.

    Args:
        mean: Subtracted from pixels (c).
        filters: One for each target (k, c).
    """

    mean: Floats
    filters: Floats

    def scores(self, pixels: Floats) -> Floats:
        """Compute scores (k, n) of pixels (c, n)."""
        return self.filters @ (pixels - self.mean[:, None])


@dataclass(frozen=True)
class CosineEstimator(PixelModel):
    """Scores pixels by the squared cosine to each target in whitened space.

    Args:
        mean: Of the background (c).
        white: Whitens what is centred (c, c).
        directions: Unit vectors of the whitened targets (k, c).
    """

    mean: Floats
    white: Floats
    directions: Floats

    def scores(self, pixels: Floats) -> Floats:
        """Compute scores (k, n) of pixels (c, n)."""
        whitened = self.white @ (pixels - self.mean[:, None])
        length = np.einsum('cn,cn->n', whitened, whitened)
        along = self.directions @ whitened
        result: Floats = along**2 / np.where(length > 0, length, 1.0)
        return result


@dataclass(frozen=True)
class SpectralAngle(PixelModel):
    """Measures the angle of pixels to each target, 0 to pi.

    Args:
        targets: Spectra (c, k).
    """

    targets: Floats

    def scores(self, pixels: Floats) -> Floats:
        """Compute angles (k, n) in radians of pixels (c, n), a right one for pixels of zeros."""
        lengths = linalg.norm(pixels, axis=0)
        sizes = linalg.norm(self.targets, axis=0)
        units = self.targets / np.where(sizes > 0, sizes, 1.0)
        cosines = units.T @ (pixels / np.where(lengths > 0, lengths, 1.0))
        return np.arccos(cosines.clip(-1, 1))


def make_detector(
    method: Method, targets: Floats, background: tuple[Floats, Floats] | None = None
) -> PixelModel:
    """Make what scores pixels.

    Args:
        method: How, see above.
        targets: Spectra (c, k).
        background: Its mean (c) and a covariance (c, c) that can be inverted; only the angle
            needs none.
    """
    if method == 'angle':
        return SpectralAngle(targets)
    if background is None:
        raise BadParameter(f'background: {method} needs one.')
    mean, covariance = background
    if method == 'cem':
        correlation = covariance + np.outer(mean, mean)
        return TargetFilter(np.zeros(len(mean)), _filters(correlation, targets))
    centred = targets - mean[:, None]
    if method == 'matched_filter':
        return TargetFilter(mean, _filters(covariance, centred))
    white = whitening(covariance)
    directions = white @ centred
    return CosineEstimator(mean, white, (directions / linalg.norm(directions, axis=0)).T)


def _filters(matrix: Floats, targets: Floats) -> Floats:
    """Solve for filters (k, c) that give 1 for their own target."""
    solved = linalg.solve(matrix, targets)
    result: Floats = (solved / np.einsum('ck,ck->k', targets, solved)).T
    return result
