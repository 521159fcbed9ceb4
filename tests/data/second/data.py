"""Fake SECOND: coloured labels as published, or numbered ones as in ChangeMamba's copy."""

import numpy as np

from tests.data.pairs import classes, image, write

#: ChangeMamba's numbers.
COLORS = (
    (255, 255, 255), (0, 128, 0), (128, 128, 128), (0, 255, 0), (0, 0, 255), (128, 0, 0),
    (255, 0, 0),
)  # fmt: skip


def labels(random):
    """Classes of both dates by ChangeMamba's numbers, 0 where nothing changed."""
    before, after = classes(random, 7), classes(random, 7)
    changed = (before > 0) & (after > 0)
    return before * changed, after * changed


def make(root):
    """Write it with coloured labels; gives the number of samples of each split."""
    return _write(root, ('im1', 'im2', 'label1', 'label2'), _painted)


def make_numbered(root):
    """Write it with numbered labels."""
    return _write(root, ('T1', 'T2', 'GT_T1', 'GT_T2'), lambda number: number)


def _painted(number):
    return np.moveaxis(np.array(COLORS, 'uint8')[number], -1, 0)


def _write(root, folders, paint):
    random = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        for name in ('00003.png', '00017.png'):
            for folder in folders[:2]:
                write(root / split / folder / name, image(random))
            for folder, number in zip(folders[2:], labels(random), strict=True):
                write(root / split / folder / name, paint(number))
    return {'train': 2, 'val': 2, 'test': 2}
