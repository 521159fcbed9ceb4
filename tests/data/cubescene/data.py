"""Makes files such as those of the labelled hyperspectral images, smaller where that is allowed."""

from pathlib import Path

import numpy as np
from scipy.io import savemat


def make(
    folder: Path, bands: int, size: tuple[int, int], classes: int, name: str = 'scene'
) -> tuple[Path, Path]:
    """Write an image and its labels as MATLAB files.

    Args:
        folder: Where to.
        bands: Number of bands.
        size: Height and width.
        classes: Number of classes, which lie in stripes with gaps between them.
        name: Beginning of the names of the files.

    Returns:
        Image and labels.
    """
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    labels = 1 + (columns // 7 + rows // 11) % classes
    labels[rows % 13 == 0] = 0
    image = (labels * 100 + rows)[..., None] + np.arange(bands)
    savemat(folder / f'{name}.mat', {name: image.astype('uint16')})
    savemat(folder / f'{name}_gt.mat', {f'{name}_gt': labels.astype('uint8')})
    return folder / f'{name}.mat', folder / f'{name}_gt.mat'
