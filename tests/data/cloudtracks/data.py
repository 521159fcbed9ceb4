"""Fake CloudTracks: images, LabelMe's outlines, and lists."""

import json

import numpy as np

from tests.data.pairs import image, write

SPLITS = {'all': 4, 'train': 2, 'val': 1, 'test': 1}
#: Two tracks that overlap, and one that crosses itself; of 32 x 32 pixels.
TRACKS = (
    [[2, 2], [30, 2], [30, 6], [2, 6]],
    [[10, 0], [14, 0], [14, 28], [10, 28]],
    [[20, 20], [28, 28], [28, 20], [20, 28]],
)


def write_images(root):
    """Write images and lists only."""
    random = np.random.default_rng(0)
    for number in range(4):
        write(root / 'images' / f'mod_{number}.png', image(random))
    for split, numbers in (('train', (0, 1)), ('val', (2,)), ('test', (3,))):
        names = '\n'.join(f'mod_{number}.png' for number in numbers)
        (root / f'{split}.txt').write_text(names + '\n')


def make(root):
    """Write it; gives the number of images of each split."""
    write_images(root)
    (root / 'jsons').mkdir()
    for number in (0, 2):  # the others have no track
        shapes = [{'points': track, 'shape_type': 'polygon'} for track in TRACKS]
        (root / 'jsons' / f'mod_{number}.json').write_text(json.dumps({'shapes': shapes}))
    return SPLITS
