"""Whether the values of an image can be what a model was trained on."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.preprocessing import Preprocessing, Units

if TYPE_CHECKING:
    from torchgeo_ext.bundles import Band
    from torchgeo_ext.inference import Grid, RasterSource

log = logging.getLogger(__name__)

#: Side of the part of an image whose values are looked at.
_LOOK = 512
#: An image whose values spread so many times more or less than those of the training has other
#: units; seasons and places differ by much less.
_SPREAD = 20


def warn_of_values(
    source: 'RasterSource', grid: 'Grid', bands: 'Sequence[Band]', units: Units | None
) -> None:
    """Log a warning if an image is of other units than a model was trained on.

    Digital numbers, reflectance and stretched 8-bit values are different images to a network, and
    none of them makes it fail.

    Args:
        source: The image.
        grid: The part of it that counts.
        bands: What is known of the training data of its bands.
        units: What stored values must be, if that is known.
    """
    # a source may say where it lies besides
    values = middle(source, grid)[: len(bands)]
    if not values.shape[1]:
        return
    if units is not None:
        what = f'{source.argument}: {source.path}'
        Preprocessing(units).warn(torch.from_numpy(values)[..., None], what=what)
    for band, seen in zip(bands, values, strict=True):
        if how := unlike(band, torch.from_numpy(seen * band.scale + band.offset)):
            log.warning('%s: %s of %s %s', source.argument, band.name, source.path, how)


def middle(source: 'RasterSource', grid: 'Grid') -> NDArray[np.float32]:
    """Read the valid pixels (c, n) in the middle of an image."""
    height, width = min(_LOOK, grid.height), min(_LOOK, grid.width)
    window = Window((grid.width - width) // 2, (grid.height - height) // 2, width, height)
    with source.open(grid) as reader:
        values, valid = reader.read(window)
    return values[:, valid]


def unlike(band: 'Band', physical: 'torch.Tensor') -> str:
    """Tell if values of a band are of other units than those that a model was trained on.

    Args:
        band: What is known of the training.
        physical: Physical values of the band; one at least.

    Returns:
        How, in words that follow a name; empty if they are not, or that is not known.
    """
    if band.minimum is None or band.maximum is None or not band.minimum < band.maximum:
        return ''
    low, high = physical.min().item(), physical.max().item()
    span, known = high - low, band.maximum - band.minimum
    apart = low > band.maximum + known or high < band.minimum - known
    if not (apart or span > _SPREAD * known or 0 < span < known / _SPREAD):
        return ''
    return (
        f'goes from {low:.4g} to {high:.4g}, but the model was trained on '
        f'{band.minimum:.4g} to {band.maximum:.4g}; it may be in other units, such as reflectance '
        'instead of digital numbers.'
    )
