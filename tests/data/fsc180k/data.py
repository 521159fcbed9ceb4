"""Fake FSC-180k: five bands before, three after, one label file of three bands."""

import numpy as np

from tests.data.pairs import classes, image, write

NUMBER = 5


def make(root):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    for number in range(1, NUMBER + 1):
        name = f'{number // 3:02}/{{}}_{number:06}.tif'
        write(root / 'IMG' / name.format('IMG'), image(random, 5))
        for version in (11, 12, 13):
            write(root / f'IMG{version}' / name.format('IMG'), image(random))
            label = np.stack([255 * classes(random, 2), classes(random, 20), classes(random, 20)])
            write(root / f'LBL{version}' / name.format('LBL'), label)
    return {'train': 3 * 4, 'val': 3 * 1}
