"""Fake EuroSAT: images of 64 x 64 pixels and 13 bands in a folder for each class."""

import itertools

import numpy as np
from torchgeo.datasets import EuroSAT

from tests.rasters import write_raster

CLASSES = ('Forest', 'River')


def make(root, number=2):
    """Write some images of each class and split, which differ in the first bands."""
    random = np.random.default_rng(0)
    for split, name in itertools.product(('train', 'val', 'test'), CLASSES):
        folder = root / EuroSAT.base_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        files = [f'{name}_{split}{place}.tif' for place in range(number)]
        for file in files:
            values = random.integers(500, 3000, (13, 64, 64))
            values[:4] += 2000 * CLASSES.index(name)
            write_raster(folder / file, values.astype('uint16'))
        with (root / EuroSAT.split_filenames[split]).open('a') as listing:
            listing.write(''.join(f'{file.replace(".tif", ".jpg")}\n' for file in files))
