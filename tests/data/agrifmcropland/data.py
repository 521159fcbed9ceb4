"""Fake example data of AgriFM."""

import h5py
import numpy as np

from tests.data.pairs import SPLITS, classes

DATES, SIZE = 32, 40


def make(root, dates=DATES):
    """Write it; gives the number of series of each split."""
    (root / 'data_list').mkdir()
    (root / 'h5_samples').mkdir()
    for seed, split in enumerate(SPLITS):
        random = np.random.default_rng(seed)
        names = [f'2018_T31TDK_{split}_{number}' for number in range(2)]
        (root / 'data_list' / f'{split}.txt').write_text('\n'.join(names) + '\n')
        for name in names:
            with h5py.File(root / 'h5_samples' / f'{name}.h5', 'w') as file:
                file['S2'] = random.integers(0, 9000, (dates, 10, SIZE, SIZE)).astype('uint16')
                file['label'] = classes(random, 2, SIZE)
    return dict.fromkeys(SPLITS, 2)
