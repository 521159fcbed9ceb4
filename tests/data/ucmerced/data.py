"""Fake UCMerced: small images in a folder for each class, and lists of the splits."""

import numpy as np
from PIL import Image
from torchgeo.datasets import UCMerced

CLASSES = ('beach', 'river')


def make(root):
    """Write an image of each class and split."""
    random = np.random.default_rng(0)
    for split in UCMerced.splits:
        files = [f'{name}_{split}.tif' for name in CLASSES]
        for name, file in zip(CLASSES, files, strict=True):
            folder = root / UCMerced.base_dir / name
            folder.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(folder / file)
        (root / UCMerced.split_filenames[split]).write_text('\n'.join(files) + '\n')
