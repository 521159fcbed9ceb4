"""Fake FUSU in the folders of the paper's code, or in those of its README."""

import numpy as np

from tests.data.pairs import SPLITS, classes, image, write

NAMES = ('6_255', '6_256')


def make(root):
    """Write it as the code has it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    for split in SPLITS:
        for name in NAMES:
            _write_pair(random, root / split, name, ('im1', 'im2', 'label1', 'label2'))
            for month in (10, 2, 1):
                write(root / split / 'Times' / f'{name}_{month}.tif', _month(month))
    return dict.fromkeys(SPLITS, len(NAMES))


def make_readme(root):
    """Write it as the README has it, with lists of one's own."""
    random = np.random.default_rng(0)
    for name in NAMES:
        _write_pair(random, root, name, ('im1', 'im2', 'im1_label', 'im2_label'))
        for year, months in {'A': (8, 12), 'B': (1, 2), 'C': (1,)}.items():
            for month in months:
                write(root / year / str(month) / f'{name}_{year}_{month}.tif', _month(month))
    for split in SPLITS:
        (root / f'{split}.txt').write_text('6_255\n')


def _write_pair(random, root, name, folders):
    for folder in folders[:2]:
        write(root / folder / f'{name}.png', image(random))
    for folder in folders[2:]:
        write(root / folder / f'{name}.png', classes(random, 18))


def _month(month):
    return np.full((14, 8, 8), month, 'uint16')
