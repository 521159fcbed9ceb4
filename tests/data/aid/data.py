"""Fake AID: images in a folder for each class."""

import numpy as np
from PIL import Image

CLASSES = tuple(f'Class{number:02}' for number in range(30))


def make(root):
    """Write two images of each class."""
    random = np.random.default_rng(0)
    for name in CLASSES:
        (root / 'aid' / name).mkdir(parents=True)
        for number in range(2):
            pixels = random.integers(0, 255, (32, 40, 3), np.uint8)
            Image.fromarray(pixels).save(root / 'aid' / name / f'{name.lower()}_{number}.jpg')
