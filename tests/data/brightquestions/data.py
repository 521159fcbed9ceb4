"""Fake BRIGHT-DFC2025, unpacked."""

import numpy as np

from tests.data.pairs import classes, image
from tests.rasters import write_raster

LISTS = {'train': 'train_setlevel.txt', 'val': 'holdout_setlevel.txt', 'test': 'val_setlevel.txt'}


def make(root):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    base = root / 'dfc25_track2_trainval'
    for split, listed in LISTS.items():
        name = f'{split}-event_00000000'
        layers = {
            f'pre-event/{name}_pre_disaster.tif': image(random),
            f'post-event/{name}_post_disaster.tif': image(random, 1),
        }
        if split != 'test':
            layers[f'target/{name}_building_damage.tif'] = classes(random, 4)
        for file, values in layers.items():
            path = base / ('val' if split == 'test' else 'train') / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_raster(path, values)
        (base / listed).write_text(f'{name}\n')
    return {'train': 1, 'val': 1}
