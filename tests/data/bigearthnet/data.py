"""Fake BigEarthNet, first version: patches of Sentinel-2, and lists of the splits."""

import json

import numpy as np
from torchgeo.datasets import BigEarthNet

from tests.rasters import write_raster

#: Pixels along a side of each band.
SIDES = {'B02': 120, 'B03': 120, 'B04': 120, 'B08': 120, 'B01': 20, 'B09': 20} | dict.fromkeys(
    ('B05', 'B06', 'B07', 'B8A', 'B11', 'B12'), 60
)


def make(root):
    """Write two patches of each split."""
    random = np.random.default_rng(0)
    for split, told in BigEarthNet.splits_metadata.items():
        lines = []
        for number in range(2):
            patch = f'S2A_MSIL2A_20170613T101031_{split}_{number}'
            folder = root / BigEarthNet.metadata['s2']['directory'] / patch
            folder.mkdir(parents=True)
            for band, side in SIDES.items():
                values = random.integers(1, 9000, (1, side, side)).astype('uint16')
                write_raster(folder / f'{patch}_{band}.tif', values)
            labels = json.dumps({'labels': ['Pastures', 'Sea and ocean'][: 1 + number]})
            (folder / f'{patch}_labels_metadata.json').write_text(labels)
            lines.append(f'{patch},S1A_{split}_{number}')
        (root / told['filename']).write_text('\n'.join(lines) + '\n')
