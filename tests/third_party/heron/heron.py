"""A complete third-party extension: its model and its operation appear everywhere."""

from typing import NamedTuple

from torchgeo_ext import hookimpl, operation
from torchgeo_ext.operations._operation import Raster


def heron_tiny(in_chans: int = 3, num_classes: int = 2):
    """Build a network of one convolution."""
    from torch import nn

    return nn.Conv2d(in_chans, num_classes, kernel_size=3, padding=1)


class Counted(NamedTuple):
    """Result of :func:`count_pixels`.

    Attributes:
        pixels: Number of pixels.
    """

    pixels: int


@operation(label='Count pixels', group='Heron', tags=('size',))
def count_pixels(image: Raster) -> Counted:
    """Count the pixels of an image.

    Args:
        image: Image to count.
    """
    import rasterio

    with rasterio.open(image) as dataset:
        return Counted(dataset.width * dataset.height)


@hookimpl
def register_models():
    return [heron_tiny]


@hookimpl
def register_operations():
    return [count_pixels]
