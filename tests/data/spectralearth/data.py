"""Fake SpectralEarth: patches of a sensor, maps of codes, and lists of splits."""

import numpy as np

from tests.data.pairs import SPLITS
from tests.rasters import write_raster
from torchgeo_ext.datasets.spectral_earth import _TASKS

BANDS = {'enmap': 202, 'desis': 235, 'eo1': 198}
SIZE = 32


def make(root, task='enmap_cdl'):
    """Write two patches of each split, of two dates the first ones."""
    images, masks = _TASKS[task].images, _TASKS[task].masks
    codes = np.array([0, *_TASKS[task].codes] if _TASKS[task].codes else [0, 111, 523], 'uint32')
    random = np.random.default_rng(0)
    for place, split in enumerate(SPLITS):
        names = [f'{place:07}/{date:05}.tif' for date in range(2)]
        for name in names:
            values = random.integers(0, 4000, (BANDS[images], SIZE, SIZE)).astype('int16')
            _write(root / images / name, values)
            squares = codes[random.integers(0, len(codes), (SIZE // 8, SIZE // 8))]
            _write(root / masks / name, squares.repeat(8, 0).repeat(8, 1)[None])
        listing = root / 'splits' / task / f'{split}.txt'
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text('\n'.join(names) + '\n')


def _write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_raster(path, values, resolution=30.0)
