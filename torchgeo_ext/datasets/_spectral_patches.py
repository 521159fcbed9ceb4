"""Patches of a multispectral sensor with a map of each.

Axes: c channel, h height, w width.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._maps import Files, MapImages
from torchgeo_ext.datasets._pair_files import read_classes, read_pixels
from torchgeo_ext.datasets._windows import tile_starts
from torchgeo_ext.errors import BadInput, BadParameter


class SpectralPatches(MapImages):
    """Patches with a map of each, whose samples tell ``wavelengths`` (c,) in micrometres.

    Args:
        *args: Those of all images with maps: ``root``, ``split``, ``bands`` and ``transforms``.
        overlap: Pixels that neighbouring tiles share; the last ones end with the patch.
        **kwargs: Further ones: ``tile_size``.

    Raises:
        BadParameter: If split, bands, tile size or overlap cannot be.
        DatasetNotFoundError: If the data is not there.
        BadInput: If a patch that is listed is missing.
    """

    rgb_bands = ('B04', 'B03', 'B02')
    #: Centre of each band in micrometres, in the order of ``all_bands``.
    centres: ClassVar[tuple[float, ...]]
    #: Class of each value of the maps, -1 = no label.
    codes: Mapping[int, int]

    def __init__(self, *args: Any, overlap: int = 0, **kwargs: Any) -> None:
        self.overlap = overlap
        super().__init__(*args, **kwargs)
        self._places = [self.all_bands.index(band) for band in self.bands]
        self.wavelengths = torch.tensor([self.centres[place] for place in self._places])

    def _cut(self, size: int | None) -> Iterator[tuple[int, Window]]:
        if not 0 <= self.overlap < (size or 1):
            raise BadParameter(
                f'overlap is {self.overlap} with a tile_size of {size}; it must be smaller than '
                'tiles, and 0 without them.'
            )
        for number in range(len(self.images)):
            height, width = self.size(number)
            tall, wide = (min(size or side, side) for side in (height, width))
            starts = itertools.product(
                tile_starts(height, tall, tall - self.overlap),
                tile_starts(width, wide, wide - self.overlap),
            )
            for row, column in starts:
                yield number, Window(column, row, wide, tall)

    def _load_image(self, files: Files, window: Window) -> NDArray[np.float32]:
        """Read the bands (c, h, w), the mean of the band where there is no measurement."""
        values = read_pixels(files['image'], window)
        if len(values) != len(self.all_bands):
            raise BadInput(
                f'{files["image"]} has {len(values)} bands instead of {len(self.all_bands)}.',
                'Check that it is a patch of this dataset.',
            )
        image = values[self._places].astype(np.float32)
        mean = np.array(self.mean, np.float32)[self._places, None, None]
        return np.where(np.isnan(image), mean, image)

    def _load_map(self, files: Files, window: Window) -> NDArray[np.int64]:
        return read_classes(files['map'], self.codes, window)

    def _further(self) -> Sample:
        return {'wavelengths': self.wavelengths.clone()}


def listed(path: Path) -> list[str]:
    """Give the names in a list of a split, none if there is no such list."""
    return path.read_text(encoding='utf-8').split() if path.is_file() else []


def there(image: Path, classes: Path) -> Files:
    """Give the files of a patch.

    Raises:
        BadInput: If one is missing.
    """
    for path in (image, classes):
        if not path.is_file():
            raise BadInput(f'{path} is listed but not there.', 'Unpack the data again.')
    return {'image': image, 'map': classes}
