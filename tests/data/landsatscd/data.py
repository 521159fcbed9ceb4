"""Fake Landsat-SCD: maps of both dates as SCanNet prepares them, or the original one."""

import numpy as np

from tests.data.pairs import SPLITS, classes, image, write

BEFORE = np.array([0, 1, 1, 2, 2, 2, 3, 3, 4, 4], 'uint8')
AFTER = np.array([0, 2, 3, 1, 3, 4, 1, 2, 1, 2], 'uint8')
COLORS = np.array([
    (255, 255, 255), (255, 165, 0), (230, 30, 100), (70, 140, 0), (218, 112, 214), (0, 170, 240),
    (127, 235, 170), (230, 80, 0), (205, 220, 57), (218, 165, 32),
], 'uint8')  # fmt: skip


def make(root):
    """Write it as prepared; gives the number of samples of each split."""
    return _write(root, {'labelA': lambda v: BEFORE[v], 'labelB': lambda v: AFTER[v]})


def make_original(root):
    """Write it with one map for both dates."""
    return _write(root, {'label': lambda v: np.moveaxis(COLORS[v], -1, 0)})


def _write(root, labels):
    random = np.random.default_rng(0)
    for split in SPLITS:
        for number in range(2):
            name = f'{split}{number}.png'
            before = image(random)
            before[:, :4, :4] = 255
            write(root / 'A' / name, before)
            write(root / 'B' / name, image(random))
            value = classes(random, 10)
            value[:4, :4] = 0 if len(labels) == 2 else 3
            for folder, drawn in labels.items():
                write(root / folder / name, drawn(value))
        (root / f'{split}_list.txt').write_text(f'{split}0.png\n{split}1.png\n')
    return {'train': 2, 'val': 2, 'test': 2}
