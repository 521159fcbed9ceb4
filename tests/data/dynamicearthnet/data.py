"""Fake DynamicEarthNet with MapFormer's lists: four bands and one-hot labels of three months."""

import numpy as np

from tests.data.pairs import SPLITS, classes, image, write

MONTHS = 3


def make(root):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    for number, split in enumerate(SPLITS):
        place = f'{1311 + number}_3077_13'
        for month in range(1, MONTHS + 1):
            name = f'{place}/2018-{month:02}-01.tif'
            write(root / 'images' / name, image(random, 4, dtype='uint16', high=4000))
            one_hot = classes(random, 7)[None] == np.arange(7)[:, None, None]
            write(root / 'labels' / name, 255 * one_hot.astype('uint8'))
        (root / 'splits').mkdir(exist_ok=True)
        (root / 'splits' / f'{split}10.txt').write_text(f'{place}\n')
    return dict.fromkeys(SPLITS, MONTHS - 1)
