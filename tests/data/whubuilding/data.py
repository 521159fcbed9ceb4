"""Fake WHU building dataset."""

import numpy as np

from tests.data.pairs import SPLITS, classes, image, write


def make(root):
    """Write it; gives the number of images of each split."""
    for seed, split in enumerate(SPLITS):
        random = np.random.default_rng(seed)
        for number in range(2):
            write(root / split / 'image' / f'{number}.tif', image(random, size=40))
            write(root / split / 'label' / f'{number}.tif', 255 * classes(random, 2, 40))
    return dict.fromkeys(SPLITS, 2)
