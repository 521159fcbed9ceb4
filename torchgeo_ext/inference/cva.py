"""Change without training: change vector analysis (CVA).

A pixel's change vector is the difference of its band values at two dates; its length says how much
changed. The bands of each date are standardised first, which takes out differences of gain and
offset between the dates (pseudo-normalisation) and lets all bands count alike. Unlike IR-MAD, the
bands have to correspond, and much change in the scene also changes what they are standardised with.

Reference:
    Malila, W. A. (1980). Change vector analysis: an approach for detecting forest changes with
    Landsat. Machine Processing of Remotely Sensed Data Symposium, Purdue University, 326-335.
    https://docs.lib.purdue.edu/lars_symp/385/

Arrays of pixels are (b, n): the c bands of ``before``, then the c bands of ``after`` (b = 2c), of
n pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from torchgeo_ext.inference.moments import Blocks, Floats, Moments, pieces
from torchgeo_ext.inference.pairs import check_moments, per_pixel
from torchgeo_ext.progress import Progress, silent


@dataclass(frozen=True)
class Cva:
    """What bands are standardised with, made by :func:`fit_cva`.

    Args:
        mean: Mean of each band of both dates (b,).
        scale: Standard deviation of each band of both dates (b,).
    """

    mean: Floats
    scale: Floats

    def vectors(self, pixels: NDArray[np.floating]) -> Floats:
        """Compute the change vectors (c, n) of pixels (b, n), in standard deviations."""
        before, after = np.split((pixels - self.mean[:, None]) / self.scale[:, None], 2)
        return after - before

    def magnitude(self, pixels: NDArray[np.floating]) -> Floats:
        """Compute the lengths (n,) of the change vectors of pixels (b, n)."""
        vectors = self.vectors(pixels)
        return np.sqrt(np.einsum('cn,cn->n', vectors, vectors))

    def __call__(self, pairs: torch.Tensor) -> torch.Tensor:
        """Score pairs of tiles (b, t, c, h, w): the magnitude (b, 1, h, w)."""
        return per_pixel(lambda pixels: self.magnitude(pixels)[None], pairs)


def fit_cva(blocks: Blocks, names: Sequence[str], progress: Progress = silent) -> Cva:
    """Find mean and standard deviation of each band.

    Args:
        blocks: The pixels in pieces (b, n).
        names: What to call each of the b bands in messages.
        progress: Told about every block.

    Raises:
        BadInput: If there are too few pixels, or bands are constant.
    """
    moments = Moments(len(names))
    for index, block in enumerate(blocks):
        progress(index / len(blocks), 'Standardising bands')
        for pixels in pieces(block):
            moments.add(pixels)
    check_moments(moments, names)
    return Cva(moments.mean, np.sqrt(moments.variance))
