"""Reads the images and label images of published change datasets: PNG, JPEG and TIFF."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput

#: Class of pixels without label.
IGNORE = -1

#: What files of images are called.
SUFFIXES = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp')

_TIFF = ('.tif', '.tiff')
_LOSSY = ('.jpg', '.jpeg')


def read_pixels(path: Path, window: Window | None = None, mode: str | None = None) -> NDArray[Any]:
    """Read an image.

    Args:
        path: The file.
        window: Part to read; of TIFF files nothing else is.
        mode: Pillow's mode that files other than TIFF are turned into, such as ``RGB``.

    Returns:
        (c, h, w) values as stored.
    """
    if path.suffix.lower() in _TIFF:
        with opened(path) as dataset:
            return np.asarray(dataset.read(window=window))
    with Image.open(path) as image:
        values = np.asarray(image.convert(mode) if mode else image)
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    return values if window is None else values[:, *window.toslices()]


def image_size(path: Path) -> tuple[int, int]:
    """Give height and width of an image without reading it."""
    if path.suffix.lower() in _TIFF:
        with opened(path) as dataset:
            return dataset.height, dataset.width
    with Image.open(path) as image:
        return image.height, image.width


def opened(path: Path) -> Any:
    """Open an image with rasterio, silently if it has lost its place."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        return rasterio.open(path)


def read_binary(path: Path, window: Window | None = None) -> NDArray[np.int64]:
    """Read a mask of change: 0 unchanged, 1 or 255 changed; in JPEG files 128 and more.

    Returns:
        (h, w) of 0 and 1.

    Raises:
        BadInput: If the file has other values.
    """
    values = read_pixels(path, window, 'L')[0]
    if path.suffix.lower() in _LOSSY:
        return (values >= 128).astype(np.int64)
    return _looked_up(values, {0: 0, 1: 1, 255: 1}, path)


def read_classes(
    path: Path, table: Mapping[int, int], window: Window | None = None
) -> NDArray[np.int64]:
    """Read a class image; of more than one channel the first counts.

    Args:
        path: The file.
        table: Class of each stored value, :data:`IGNORE` for those without label.
        window: Part to read.

    Returns:
        (h, w) classes.

    Raises:
        BadInput: If the file has values that are not in the table.
    """
    return _looked_up(read_pixels(path, window)[0], table, path)


def read_colors(
    path: Path, colors: Sequence[tuple[int, int, int]], window: Window | None = None
) -> NDArray[np.int64]:
    """Read a class image, coded by colour or, with a single channel, by number.

    Args:
        path: The file.
        colors: Red, green and blue of each class.
        window: Part to read.

    Returns:
        (h, w) positions in ``colors``.

    Raises:
        BadInput: If the file has other colours or numbers.
    """
    with Image.open(path) as image:
        numbered = image.mode in ('L', 'I;16', 'I')
    if numbered:
        return read_classes(path, {number: number for number in range(len(colors))}, window)
    red, green, blue = read_pixels(path, window, 'RGB')[:3].astype(np.int64)
    table = {(r << 16) + (g << 8) + b: number for number, (r, g, b) in enumerate(colors)}
    return _looked_up((red << 16) + (green << 8) + blue, table, path, '#{:06x}')


def _looked_up(
    values: NDArray[Any], table: Mapping[int, int], path: Path, shown: str = '{}'
) -> NDArray[np.int64]:
    """Replace each value by its class."""
    found, places = np.unique(values, return_inverse=True)
    strange = [shown.format(value) for value in found.tolist() if value not in table]
    if strange:
        raise BadInput(
            f'{path} has the values {", ".join(strange[:10])}; known are '
            f'{", ".join(shown.format(value) for value in table)}.',
            'Check that it is a label image of this dataset.',
        )
    classes = np.array([table[value] for value in found.tolist()], dtype=np.int64)
    return classes[places].reshape(values.shape)
