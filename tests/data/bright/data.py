"""Fake BRIGHT in the layout that TorchGeo's class of the data fusion contest reads."""

import numpy as np

from tests.data.pairs import classes, image
from tests.rasters import write_raster

#: List of each split and the folder its files lie in.
LISTS = {'train': 'train', 'holdout': 'train', 'val': 'val'}


def make(root):
    """Write it; the test split (``val`` there) has no labels."""
    random = np.random.default_rng(0)
    base = root / 'dfc25_track2_trainval'
    for name, folder in LISTS.items():
        samples = [f'{name}-event_{index:08}' for index in range(2)]
        for sample in samples:
            _write(base / folder / 'pre-event' / f'{sample}_pre_disaster.tif', image(random))
            _write(base / folder / 'post-event' / f'{sample}_post_disaster.tif', image(random, 1))
            if name != 'val':
                path = base / folder / 'target' / f'{sample}_building_damage.tif'
                _write(path, classes(random, 4))
        (base / f'{name}_setlevel.txt').write_text('\n'.join(samples) + '\n')
    return {'train': 2, 'val': 2}


def _write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_raster(path, values)
