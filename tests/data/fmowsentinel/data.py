"""Fake fMoW-Sentinel: images of several sizes, and a table for each split."""

import numpy as np
import pandas as pd

from tests.data.pairs import write

FOLDERS = {'train': 'train', 'val': 'val', 'test': 'test_gt'}
USES = ('airport', 'zoo')


def make(root):
    """Write an image of each use and split at two times; gives the number of each split."""
    random = np.random.default_rng(0)
    for split, folder in FOLDERS.items():
        rows = []
        for use in USES:
            for time in range(2):
                values = random.integers(0, 4000, (13, 40 + time, 48)).astype('uint16')
                path = root / 'fmow-sentinel' / folder / use / f'{use}_3' / f'{use}_3_{time}.tif'
                write(path, values)
                rows.append((use, 3, time, f'201{time}-05-02T00:00:00Z'))
        names = ['category', 'location_id', 'image_id', 'timestamp']
        pd.DataFrame(rows, columns=names).to_csv(root / f'{split}.csv')
    return len(rows)
