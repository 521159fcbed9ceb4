r"""Pixels unlike those around them, without knowing what to look for: the RX detector.

The score is the squared Mahalanobis distance :math:`(x - \mu)^T \Sigma^{-1} (x - \mu)` of a pixel
:math:`x` to a background. The background is the whole image (global), or what lies between two
squares around the pixel (local): the inner one keeps an anomaly out of its own background, the
outer one is its neighbourhood. Where the background is normally distributed, global scores follow a
chi-square distribution with as many degrees of freedom as there are bands.

A local background has few pixels, so its covariance is estimated of the first principal components
only, and drawn a little towards that of the whole image.

Reference:
    Reed, I. S. & Yu, X. (1990). Adaptive multiple-band CFAR detection of an optical pattern with
    unknown spectral distribution. IEEE Transactions on Acoustics, Speech, and Signal Processing
    38(10), 1760-1770. https://doi.org/10.1109/29.60107

Axis letters: b batch, c bands, h height, w width, k components, q pairs of components.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchgeo_ext.inference.moments import Floats
from torchgeo_ext.inference.spectral.cube import PixelModel
from torchgeo_ext.inference.spectral.reduction import Reduction

#: Share of the covariance of the whole image in a local one, in pixels that it is worth.
_PRIOR = 1.0
#: Matrices solved at once.
_CHUNK = 2**15


@dataclass(frozen=True)
class GlobalAnomaly(PixelModel):
    """Measures how unlike the whole image pixels are.

    Args:
        mean: Mean (c).
        white: Whitens what is centred (c, c).
    """

    mean: Floats
    white: Floats

    def scores(self, pixels: Floats) -> Floats:
        """Compute scores (1, n) of pixels (c, n)."""
        whitened = self.white @ (pixels - self.mean[:, None])
        return np.einsum('cn,cn->n', whitened, whitened)[None]


class LocalAnomaly(nn.Module):
    """Measures how unlike their surroundings pixels are. Pixels of NaN do not count.

    Args:
        pca: Principal components of the whole image.
        components: How many of them to look at.
        outer: Side of the square that is the neighbourhood, an odd number of pixels.
        inner: Side of the square within it that does not count, an odd number.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, pca: Reduction, components: int, outer: int, inner: int) -> None:
        super().__init__()
        self.outer, self.inner = outer, inner
        # whitened by the whole image, whose covariance then is the unit matrix
        scale = np.sqrt(np.maximum(pca.strengths[:components], 1e-300))
        self.register_buffer('mean', torch.from_numpy(pca.mean))
        self.register_buffer('axes', torch.from_numpy(pca.axes[:components] / scale[:, None]))

    def forward(self, x: Tensor) -> Tensor:
        """Compute scores (b, 1, h, w) of bands (b, c, h, w)."""
        known = ~x.isnan().any(1, keepdim=True)
        centred = x.double().nan_to_num() - self.mean[:, None, None]
        low = (self.axes @ centred.flatten(2)).unflatten(2, x.shape[2:]) * known
        size = low.shape[1]
        first, second = torch.tril_indices(size, size, device=x.device)
        sums = self._ring(torch.cat([known.double(), low, low[:, first] * low[:, second]], 1))
        count, total, products = sums.split([1, size, len(first)], 1)
        mean = total / count.clamp(min=1)
        covariance = products - count * mean[:, first] * mean[:, second]
        scores = _distances(
            (low - mean).movedim(1, -1).flatten(0, 2),
            covariance.movedim(1, -1).flatten(0, 2),
            count.flatten(),
            first,
            second,
        )
        return scores.view(x.shape[0], 1, *x.shape[2:]).to(x.dtype)

    def _ring(self, values: Tensor) -> Tensor:
        """Sum up values over what lies between the squares around each pixel."""
        return _box(values, self.outer) - _box(values, self.inner)


def _box(values: Tensor, side: int) -> Tensor:
    """Sum up values (b, c, h, w) over squares around each pixel, with zeros beyond the rim."""
    reach = side // 2
    sums = F.pad(values, (reach + 1, reach, reach + 1, reach)).cumsum(-1).cumsum(-2)
    right = sums[..., side:] - sums[..., :-side]
    return right[..., side:, :] - right[..., :-side, :]


def _distances(
    difference: Tensor, scatter: Tensor, count: Tensor, first: Tensor, second: Tensor
) -> Tensor:
    """Solve for the distances of pixels (n, k) to backgrounds of this scatter (n, q)."""
    size = difference.shape[1]
    own = torch.eye(size, dtype=scatter.dtype, device=scatter.device) * _PRIOR
    found = []
    for d, s, n in zip(
        difference.split(_CHUNK), scatter.split(_CHUNK), count.split(_CHUNK), strict=True
    ):
        matrices = own.repeat(len(d), 1, 1)
        matrices[:, first, second] += s
        matrices[:, second, first] = matrices[:, first, second]
        matrices /= (n + _PRIOR)[:, None, None]
        white = torch.linalg.solve_triangular(
            torch.linalg.cholesky(matrices), d[..., None], upper=False
        )
        found.append(white.square().sum((1, 2)))
    return torch.cat(found)
