"""Writes tiny image pairs and label images in the layouts of published datasets."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

SIZE = 32
SPLITS = ('train', 'val', 'test')


def image(random, bands=3, size=SIZE, dtype='uint8', high=255):
    """A random image (c, h, w)."""
    return random.integers(0, high, (bands, size, size)).astype(dtype)


def classes(random, number, size=SIZE, side=8):
    """A map (h, w) of squares with classes 0 to ``number`` - 1."""
    squares = random.integers(0, number, (size // side, size // side))
    squares.flat[:2] = 0, number - 1
    return np.kron(squares, np.ones((side, side), int)).astype('uint8')


def write(path, values, **options):
    """Write (h, w) or (c, h, w) values; the suffix says how, options are those of GeoTIFFs."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values)
    if path.suffix == '.tif':
        bands = values[None] if values.ndim == 2 else values
        size = {'count': len(bands), 'height': bands.shape[1], 'width': bands.shape[2]}
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(path, 'w', dtype=bands.dtype, **size, **options) as dataset:
                dataset.write(bands)
        return
    Image.fromarray(values if values.ndim == 2 else np.moveaxis(values, 0, -1)).save(path)


def write_binary_pairs(
    root, folders=('A', 'B', 'label'), suffix='.png', splits=SPLITS, number=2, size=SIZE
):
    """``{split}/{before,after,mask}/00000.png``, masks of 0 and 255; a seed for each split."""
    for seed, split in enumerate(splits):
        random = np.random.default_rng(seed)
        for name in range(number):
            for folder in folders[:2]:
                write(root / split / folder / f'{name:05}{suffix}', image(random, size=size))
            mask = 255 * classes(random, 2, size)
            write(root / split / folders[2] / f'{name:05}{suffix}', mask)


def write_listed_pairs(root, folders=('A', 'B', 'label'), lists='list/{}.txt', suffix='.png'):
    """All pairs in ``{before,after,mask}/`` and a list of names for each split."""
    random = np.random.default_rng(0)
    for split in SPLITS:
        names = [f'{split}_{number}{suffix}' for number in range(2)]
        for name in names:
            for folder in folders[:2]:
                write(root / folder / name, image(random))
            write(root / folders[2] / name, 255 * classes(random, 2))
        path = root / lists.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(names) + '\n')
