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
        _compare(source, band, seen)


def middle(source: 'RasterSource', grid: 'Grid') -> NDArray[np.float32]:
    """Read the valid pixels (c, n) in the middle of an image."""
    height, width = min(_LOOK, grid.height), min(_LOOK, grid.width)
    window = Window((grid.width - width) // 2, (grid.height - height) // 2, width, height)
    with source.open(grid) as reader:
        values, valid = reader.read(window)
    return values[:, valid]


def _compare(source: 'RasterSource', band: 'Band', seen: NDArray[np.float32]) -> None:
    if band.minimum is None or band.maximum is None or not band.minimum < band.maximum:
        return
    low, high = (float(end) * band.scale + band.offset for end in (seen.min(), seen.max()))
    span, known = high - low, band.maximum - band.minimum
    apart = low > band.maximum + known or high < band.minimum - known
    if apart or span > _SPREAD * known or 0 < span < known / _SPREAD:
        log.warning(
            '%s: %s of %s goes from %.4g to %.4g, but the model was trained on %.4g to %.4g; it '
            'may be in other units, such as reflectance instead of digital numbers.',
            source.argument, band.name, source.path, low, high, band.minimum, band.maximum,
        )  # fmt: skip
