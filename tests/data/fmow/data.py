"""Fake fMoW-rgb: images with boxes of places, and what is told of them beside."""

import json

import numpy as np
from PIL import Image

USES = ('airport', 'zoo')
#: Left, top, width and height in images of 64 x 48 pixels; the last one begins before its image.
BOXES = ([8, 4, 40, 36], [20, 10, 24, 20], [-4, -2, 30, 30])


def make(root):
    """Write a place of each use and split, at two times; gives the number of scenes of a split."""
    random = np.random.default_rng(0)
    for split in ('train', 'val'):
        for use in USES:
            folder = root / split / use / f'{use}_0'
            folder.mkdir(parents=True)
            for time in range(2):
                pixels = random.integers(0, 255, (48, 64, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f'{use}_0_{time}_rgb.jpg')
                places = [{'ID': k, 'category': use, 'box': box} for k, box in enumerate(BOXES)]
                places += [
                    {'ID': -1, 'category': 'false_detection', 'box': [0, 0, 9, 9]},
                    {'ID': 7, 'category': use, 'box': [0, 0, 2, 30]},
                ]
                told = places if time else places[0]
                text = json.dumps({'gsd': 0.5, 'bounding_boxes': told})
                (folder / f'{use}_0_{time}_rgb.json').write_text(text)
    return len(USES) * (1 + len(BOXES))


def make_lists(root):
    """Write lists as those of SatMAE++, with one scene of each image."""
    for split in ('train', 'val'):
        images = sorted((root / split).rglob('*_rgb.jpg'))
        entries = {
            str(number): {
                'img_path': path.relative_to(root / split).as_posix(),
                'box': BOXES[0],
                'label': path.parts[-3],
            }
            for number, path in enumerate(images)
        }
        (root / f'{split}_62classes.json').write_text(json.dumps(entries))
    return len(images)
