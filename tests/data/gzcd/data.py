"""Fake GZ-CD: TIFF images and PNG masks in one folder, with lists of one's own."""

import numpy as np

from tests.data.pairs import SPLITS, classes, image, write


def make(root):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    folder = root / 'CD_Data_GZ'
    for split in SPLITS:
        write(folder / 'T1' / f'{split}.tif', image(random, size=64))
        write(folder / 'T2' / f'{split}.tif', image(random, size=64))
        write(folder / 'labels_change' / f'{split}.png', 255 * classes(random, 2, 64))
        (folder / f'{split}.txt').write_text(f'{split}\n')
    return dict.fromkeys(SPLITS, 1)
