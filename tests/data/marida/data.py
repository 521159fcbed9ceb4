"""Fake MARIDA: patches of reflectance by date and tile, maps with few labels, lists of splits."""

import numpy as np

from tests.data.pairs import write

SIZE = 256


def make(root):
    """Write two patches of each split; gives their number."""
    for seed, split in enumerate(('train', 'val', 'test')):
        random = np.random.default_rng(seed)
        scene = f'1-12-19_48MY{split[0].upper()}'
        names = [f'{scene}_{number}' for number in range(2)]
        for name in names:
            image = random.uniform(0, 0.2, (11, SIZE, SIZE)).astype('float32')
            image[:, :3, :3] = np.nan
            labels = np.zeros((SIZE, SIZE), 'float32')
            labels[::8, ::8] = random.integers(0, 16, (SIZE // 8, SIZE // 8))
            labels[0, :16] = np.arange(16)
            folder = root / 'patches' / f'S2_{scene}'
            write(folder / f'S2_{name}.tif', image)
            write(folder / f'S2_{name}_cl.tif', labels)
            write(folder / f'S2_{name}_conf.tif', np.ones((SIZE, SIZE), 'float32'))
        listing = root / 'splits' / f'{split}_X.txt'
        listing.parent.mkdir(exist_ok=True)
        listing.write_text('\n'.join(names) + '\n')
    return dict.fromkeys(('train', 'val', 'test'), 2)
