"""Fake Massachusetts Roads, as its author packs it."""

import numpy as np

from tests.data.pairs import classes, image, write

SPLITS = {'train': 'train', 'val': 'valid', 'test': 'test'}


def make(root):
    """Write it; gives the number of images of each split."""
    for seed, folder in enumerate(SPLITS.values()):
        random = np.random.default_rng(seed)
        for number in range(2):
            write(root / folder / 'sat' / f'{number}.tiff', image(random, size=40))
            write(root / folder / 'map' / f'{number}.tif', 255 * classes(random, 2, 40))
    return dict.fromkeys(SPLITS, 2)
