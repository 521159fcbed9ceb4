"""Fake LEVIR-MCI: masks of 0, 128 and 255, and captions."""

import json

import numpy as np

from tests.data.pairs import SPLITS, classes, image, write

GREYS = np.array([0, 128, 255], 'uint8')


def make(root):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    records = []
    for split in SPLITS:
        for number in range(2):
            name = f'{split}_{number:06}.png'
            write(root / 'images' / split / 'A' / name, image(random))
            write(root / 'images' / split / 'B' / name, image(random))
            mask = GREYS[classes(random, 3)] * np.uint8(number)
            write(root / 'images' / split / 'label' / name, np.stack([mask] * 3))
            sentences = [f' sentence {n} on {name} .' for n in range(5)]
            records.append({
                'filename': name, 'filepath': split, 'split': split, 'changeflag': number,
                'sentences': [{'raw': s, 'tokens': s.split()} for s in sentences],
            })  # fmt: skip
    (root / 'LevirCCcaptions.json').write_text(json.dumps({'images': records}))
    return {'train': 2, 'val': 2, 'test': 2}
