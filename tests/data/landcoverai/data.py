"""Fake LandCover.ai: tiles, maps of five classes, and lists of the splits."""

import numpy as np
from PIL import Image

CLASSES = 5


def make(root):
    """Write two tiles of each split."""
    random = np.random.default_rng(0)
    (root / 'output').mkdir()
    for split in ('train', 'val', 'test'):
        tiles = [f'{split}_{number}' for number in range(2)]
        for tile in tiles:
            image = random.integers(0, 255, (64, 64, 3), np.uint8)
            Image.fromarray(image).save(root / 'output' / f'{tile}.jpg')
            mask = random.integers(0, CLASSES, (64, 64), np.uint8)
            Image.fromarray(mask).save(root / 'output' / f'{tile}_m.png')
        (root / f'{split}.txt').write_text('\n'.join(tiles) + '\n')
