"""Writes maps of the two datasets of ISPRS."""

import numpy as np

from tests.data.pairs import classes, image, write

SIZE = 48
COLORS = np.array(
    [(255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)], 'uint8'
)


def write_area(root, seed, bands, names):
    """Write image, heights, map and eroded map of an area; gives the classes (h, w)."""
    random = np.random.default_rng(seed)
    photo, height, full, eroded = names
    write(root / photo, image(random, bands, SIZE))
    heights = random.uniform(250, 300, (SIZE, SIZE))
    is_jpeg = height.endswith('.jpg')
    write(root / height, (heights - 200).astype('uint8') if is_jpeg else heights.astype('float32'))
    numbers = classes(random, 6, SIZE)
    colors = np.moveaxis(COLORS[numbers], -1, 0)
    # as some published maps are
    off = np.where(colors == 255, 252, colors).astype('uint8') if seed == 0 else colors
    write(root / full, off)
    without = colors.copy()
    without[:, ::8] = 0
    write(root / eroded, without)
    return numbers
