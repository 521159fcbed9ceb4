"""Fake SegMunich: patches, maps of codes of land cover, lists of both published splits."""

import numpy as np

from tests.data.pairs import write

SIZE = 128
CODES = (0, 21, 22, 23, 31, 5, 32, 33, 41, 13, 14, 11, 12)


def make(root, numbers=(20, 3)):
    """Write so many patches of both splits."""
    for split, number in zip(('train', 'test'), numbers, strict=True):
        random = np.random.default_rng(number)
        names = [f'{split}{place}' for place in range(number)]
        for name in names:
            image = random.integers(0, 5000, (10, SIZE, SIZE)).astype('uint16')
            codes = np.array(CODES, 'uint8')[random.integers(0, 13, (SIZE // 8, SIZE // 8))]
            codes.flat[:13] = CODES
            write(root / split / 'img' / f'{name}.tif', image)
            write(root / split / 'label' / f'{name}.tif', codes.repeat(8, 0).repeat(8, 1))
        (root / 'dataset').mkdir(exist_ok=True)
        (root / 'dataset' / f'{split}.txt').write_text('\n'.join(names) + '\n')
