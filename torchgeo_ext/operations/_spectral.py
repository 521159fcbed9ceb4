"""Numbers of cubes: which factors make them physical, and sums of bands with weights."""

import dataclasses
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from torchgeo_ext.bundles import Band, describe_bundle
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference import open_raster
from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.operations._values import middle
from torchgeo_ext.sensors import BandWavelengths

log = logging.getLogger(__name__)

#: Weights below this change no number that is written.
_NEGLIGIBLE = 1e-7
#: Larger numbers are no reflectance; glint and snow go beyond 1.
REFLECTANCE = 3.0


class BandMixture(nn.Module):
    """Weighted sums of bands, pixel by pixel.

    Args:
        weights: (t, c) weight of each band.
        offsets: (t,) what is added; nothing if left out.
    """

    weights: Tensor
    offsets: Tensor

    def __init__(self, weights: ArrayLike, offsets: ArrayLike | None = None) -> None:
        super().__init__()
        mixing = np.asarray(weights, np.float32)
        added = np.zeros(len(mixing)) if offsets is None else offsets
        self.register_buffer('weights', torch.from_numpy(mixing))
        self.register_buffer('offsets', torch.from_numpy(np.asarray(added, np.float32)[:, None]))

    def forward(self, pixels: Tensor) -> Tensor:
        """Mix.

        Args:
            pixels: (b, c, h, w).

        Returns:
            (b, t, h, w).
        """
        mixed = torch.matmul(self.weights, pixels.flatten(2)) + self.offsets
        return mixed.unflatten(2, pixels.shape[2:])


def mixing(
    cube: Cube, weights: NDArray[np.float64], wanted: BandWavelengths
) -> tuple[Cube, BandMixture]:
    """Make a network of weights, and leave out bands that have none.

    Args:
        cube: The image.
        weights: (t, c) weights of its bands, rows of which add up to 1.
        wanted: The bands to make, and the factors of their numbers (see :func:`keeps_numbers`).

    Returns:
        The image with the bands to read, and the network for their stored values.
    """
    used = np.flatnonzero(np.abs(weights).max(axis=0) > _NEGLIGIBLE).tolist()
    reading, weights = cube.select(used), weights[:, used]
    if keeps_numbers(cube, wanted):
        return reading, BandMixture(weights)
    scale, offset = np.array(reading.bands.scale), np.array(reading.bands.offset)
    divisor, taken = np.array(wanted.scale), np.array(wanted.offset)
    return reading, BandMixture(
        weights * scale / divisor[:, None], (weights @ offset - taken) / divisor
    )


def keeps_numbers(cube: Cube, wanted: BandWavelengths) -> bool:
    """Whether bands made of an image have numbers as its own: if all of these mean the same.

    Otherwise they have those that are wanted: physical ones without a factor.
    """
    return cube.bands.uniform and set(wanted.scale) == {1.0} and not any(wanted.offset)


def of_bundle(bundle: Any) -> BandWavelengths:
    """Tell where the bands of a model lie in the spectrum, and what its numbers mean.

    Raises:
        BadInput: If the model does not tell.
    """
    card = describe_bundle(bundle).card
    unknown = [band.name for band in card.bands if band.center_wavelength is None]
    if unknown:
        raise BadInput(
            f'bundle: {card.name} does not tell the wavelengths of {", ".join(unknown)}.',
            'Give a table of the bands instead.',
        )
    return of_bands(card.bands, card.name)


def of_bands(bands: Sequence[Band], name: str) -> BandWavelengths:
    """Tell where the bands of a network lie in the spectrum, and what its numbers mean.

    Args:
        bands: The bands.
        name: What the network is called.
    """
    return BandWavelengths(
        centre=tuple(band.center_wavelength or math.nan for band in bands),
        fwhm=tuple(band.full_width_half_max or math.nan for band in bands),
        scale=tuple(band.scale for band in bands),
        offset=tuple(band.offset for band in bands),
        names=tuple(band.name for band in bands),
        source=name,
    )


def stored_type(cube: Cube) -> str:
    """Choose a data type for values like those of an image."""
    with open_raster(cube.source.path, cube.source.argument) as dataset:
        dtype = np.result_type(*(dataset.dtypes[band - 1] for band in cube.source.bands or ()))
    return dtype.name if dtype.name in ('uint8', 'uint16', 'int16') else 'float32'


def not_twice(cube: Cube) -> Cube:
    """Forget factors that were applied to the values already though the file still names them."""
    bands = cube.bands
    if set(bands.scale) == {1.0}:
        return cube
    seen = reflectance_already(cube)
    if seen is None:
        return cube
    log.warning(
        '%s: %s names the factor %g, but its values (up to %.3g) seem to be multiplied by it '
        'already; it is not applied again.',
        cube.source.argument, cube.source.path, bands.scale[0], seen,
    )  # fmt: skip
    return dataclasses.replace(cube, bands=bands.unscaled())


def reflectance_already(cube: Cube) -> float | None:
    """Give the largest stored value, but for some outliers, if all look like reflectance."""
    if stored_type(cube) != 'float32':
        return None
    seen = largest(dataclasses.replace(cube, bands=cube.bands.unscaled()))
    return seen if 0 < seen <= REFLECTANCE else None


def largest(cube: Cube) -> float:
    """Give the largest physical value in the middle, but for some outliers; 0 without any."""
    scale, offset = (np.array(v)[:, None] for v in (cube.bands.scale, cube.bands.offset))
    seen = np.abs(middle(cube.source, cube.grid) * scale + offset)
    return float(np.quantile(seen, 0.99)) if seen.size else 0.0
