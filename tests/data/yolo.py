"""Writes tiny images with boxes in YOLO's text files."""

import numpy as np

from tests.data.pairs import image, write

SPLITS = {'train': 2, 'val': 1, 'test': 1}
#: Of 64 x 48 pixels: upper left corner 8, 4, lower right one 24, 20; and at the right edge.
BOXES = '0 0.25 0.25 0.25 0.3333333333\n0 0.875 0.5 0.25 0.5\n'


def make(root, places, suffix='.jpg'):
    """Write images and texts into the folders of each split; gives the number of samples."""
    for seed, (split, number) in enumerate(SPLITS.items()):
        random = np.random.default_rng(seed)
        images, texts = (root / place.format(split) for place in places)
        for name in range(number):
            write(images / f'{split}_{name}{suffix}', image(random, size=64)[:, :48])
            texts.mkdir(parents=True, exist_ok=True)
            (texts / f'{split}_{name}.txt').write_text(BOXES if name == 0 else '')
    return SPLITS
