"""Fake HRSCD: labels of the first date are called after the second image."""

import numpy as np

from tests.data.pairs import SPLITS, classes, image, write

NAME = '14-{}-0425-{}-LA93-0M50-E080.tif'


def make(root):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    for place, split in enumerate(SPLITS, 6900):
        early, late = NAME.format(2005, place), NAME.format(2012, place)
        write(root / 'images' / '2006' / 'D14' / early, image(random, size=64))
        write(root / 'images' / '2012' / 'D14' / late, image(random, size=64))
        for year in ('2006', '2012'):
            write(root / 'labels' / year / 'D14' / late, classes(random, 6, 64))
        (root / f'{split}.txt').write_text(f'{early}\n')
    return dict.fromkeys(SPLITS, 1)
