"""Fake xBD as published, or with the folder names of ChangeMamba."""

import numpy as np

from tests.data.pairs import classes, image, write

NAMES = ('guatemala-volcano_00000003', 'santa-rosa-wildfire_00000012')


def make(root, targets='targets', hold='hold'):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    for split in ('train', 'test', hold):
        for name in NAMES:
            for date in ('pre', 'post'):
                write(root / split / 'images' / f'{name}_{date}_disaster.png', image(random))
                damage = classes(random, 5)
                damage[0] = 255
                mask = damage if date == 'post' else (damage > 0).astype('uint8')
                write(root / split / targets / f'{name}_{date}_disaster_target.png', mask)
    return {'train': 2, 'test': 2, 'hold': 2}
