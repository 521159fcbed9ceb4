"""Fake SSL4EO-S12: bands of Sentinel-2 as files of their own, at their own resolutions."""

import numpy as np
from torchgeo.datasets import SSL4EOS12

from tests.rasters import write_raster

SIDES = {'B1': 44, 'B9': 44, 'B10': 44} | dict.fromkeys(('B2', 'B3', 'B4', 'B8'), 264)


def make(root, places=2):
    """Write one date of each place."""
    random = np.random.default_rng(0)
    for place in range(places):
        folder = root / 's2c' / f'{place:07}' / '20200719T190919_20200719T191502_T10TEL'
        folder.mkdir(parents=True)
        for band in SSL4EOS12.metadata['s2c']['bands']:
            side = SIDES.get(band, 132)
            values = random.integers(0, 5000, (side, side)).astype('uint16')
            write_raster(folder / f'{band}.tif', values[None], resolution=2640 / side)
