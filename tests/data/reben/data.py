"""Fake reBEN: patches of both sensors, maps and metadata."""

import numpy as np
import pandas as pd
from safetensors.numpy import save

from tests.data.pairs import classes, write
from torchgeo_ext.datasets import ReBEN
from torchgeo_ext.datasets._pair_files import read_pixels

SPLITS = {'train': 'train', 'val': 'validation', 'test': 'test'}
SIDES = {'B01': 20, 'B09': 20} | dict.fromkeys(('B05', 'B06', 'B07', 'B8A', 'B11', 'B12'), 60)
NAMES = ('Marine waters', 'Arable land', 'Coastal wetlands')
#: Arable land, sea, and burnt land, which is no class.
CODES = np.array([211, 523, 334], 'uint16')


def make(root):
    """Write it; gives the number of patches of each split."""
    rows = []
    for seed, (split, stored) in enumerate(SPLITS.items()):
        random = np.random.default_rng(seed)
        for number in range(2):
            scene, radar = f'S2A_MSIL2A_{split}_T35', f'S1A_IW_GRDH_{split}'
            patch, s1 = f'{scene}_{number:02}_07', f'{radar}_35VNK_{number}_7'
            rows.append((patch, s1, list(NAMES[: 2 + number]), stored))
            for band in ReBEN.all_bands[2:]:
                side = SIDES.get(band, 120)
                values = random.integers(1, 9000, (side, side)).astype('uint16')
                write(root / 'BigEarthNet-S2' / scene / patch / f'{patch}_{band}.tif', values)
            for band, level in (('VV', -12.5), ('VH', -19.25)):
                values = np.full((120, 120), level - number, 'float32')
                write(root / 'BigEarthNet-S1' / radar / s1 / f'{s1}_{band}.tif', values)
            codes = CODES[classes(random, 3, 120)]
            maps = root / 'Reference_Maps' / scene / patch
            write(maps / f'{patch}_reference_map.tif', codes)
    table = pd.DataFrame(rows, columns=['patch_id', 's1_name', 'labels', 'split'])
    table.to_parquet(root / 'metadata.parquet')
    return dict.fromkeys(SPLITS, 2)


def make_lmdb(root, folder):
    """Write an LMDB of the fake data, as rico-hdl does."""
    import lmdb

    entries = {}
    for path in root.rglob('*.tif'):
        patch, name = path.parent.name, path.stem.removeprefix(f'{path.parent.name}_')
        key, name = (path.stem, 'Data') if name == 'reference_map' else (patch, name)
        entries.setdefault(key, {})[name] = read_pixels(path)[0]
    with (
        lmdb.open(str(folder), map_size=2**26) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, arrays in entries.items():
            transaction.put(key.encode(), save(arrays))
