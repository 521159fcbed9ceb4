"""AgriFM's example: cropland in series of Sentinel-2 images."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._maps import Files, MapImages
from torchgeo_ext.datasets._pair_figure import Color
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.hdf5 import open_hdf5

#: Folders of the lists of splits: that of the published settings, and that of the README.
_LISTS = ('data_list', 'data_lists')
_IMAGES, _LABEL = 'S2', 'label'


class AgriFMCropland(MapImages):
    """`Example data of AgriFM <https://glass.hku.hk/casual/AgriFM>`_.

    * series of 32 images of 256 x 256 pixels of Sentinel-2, ten bands, digital numbers, each in a
      file ``h5_samples/<name>.h5`` with ``S2`` (t, c, h, w) and ``label`` (h, w), 1 for cropland
    * lists of the splits, ``data_list/{train,val,test}.txt``
    * statistics: those of the published settings. The order of the bands is not published; that of
      the statistics, in groups of one resolution, tells it

    A sample has ``image`` float32 (t, c, h, w); files with other labels than 0 and 1 are read with
    ``classes``. Needs the package h5py.

    Licence: not stated; contains modified Copernicus Sentinel data.

    Li, W. et al. (2026). AgriFM: a multi-source temporal remote sensing foundation model for
    agriculture mapping. RSE 334. https://arxiv.org/abs/2505.21357

    Args:
        root: Folder with the data.
        split: ``train``, ``val`` or ``test``.
        bands: Names of the bands to give, in this order; all if not given.
        transforms: Called with each sample.
        tile_size: Cut images into squares of so many pixels, each a sample of its own. Whole images
            if None.
        classes: Names of the classes, in the order of their numbers.

    Raises:
        BadParameter: If there is no such split or band, or the tile size is not positive.
        DatasetNotFoundError: If the data is not there.
        BadInput: If files that are listed are missing, or have other contents.
        MissingDependency: If h5py is not installed.
    """

    page = 'https://glass.hku.hk/casual/AgriFM'
    layout = 'data_list/{train,val,test}.txt, h5_samples/*.h5'
    all_bands: tuple[str, ...] = ('B2', 'B3', 'B4', 'B8', 'B5', 'B6', 'B7', 'B8A', 'B11', 'B12')
    rgb_bands: tuple[str, ...] = ('B4', 'B3', 'B2')
    mean: ClassVar[tuple[float, ...]] = (
        4179.192015478227, 4065.9106675194444, 3957.274910960156, 5207.452475253116, 4327.12234687,
        4873.16102239, 5049.1637925, 5111.07806856, 3056.86349163, 2490.9675032,
    )  # fmt: skip
    std: ClassVar[tuple[float, ...]] = (
        4041.5212325268735, 3691.003119315892, 3629.331318356375, 2973.5178530908756, 3569.73343885,
        3085.9151435, 2937.56005119, 2806.04462314, 1808.30013156, 1694.20220774,
    )  # fmt: skip

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'train',
        bands: Sequence[str] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        *,
        tile_size: int | None = None,
        classes: Sequence[str] = ('other land', 'cropland'),
    ) -> None:
        self.classes = tuple(classes)
        self.colors: tuple[Color, ...] = tuple(f'C{number}' for number in range(len(classes)))
        super().__init__(root, split, bands, transforms, tile_size=tile_size)

    def _find(self) -> Iterator[Files]:
        lists = (self.root / folder / f'{self.split}.txt' for folder in _LISTS)
        listing = next((path for path in lists if path.is_file()), None)
        if listing is None:
            return
        for name in listing.read_text(encoding='utf-8').split():
            path = self.root / 'h5_samples' / f'{name}.h5'
            if not path.is_file():
                raise BadInput(
                    f'{listing} lists {name}, but {path} is missing.', 'Unpack it again.'
                )
            yield {'image': path, 'map': path}

    def size(self, number: int) -> tuple[int, int]:
        """Give height and width of a series of the split."""
        path = self.images[number]['map']
        with open_hdf5(path) as file:
            height, width = self._dataset(file, _LABEL, 2, path).shape
        return height, width

    def _load_image(self, files: Files, window: Window) -> NDArray[np.float32]:
        """Read the series (t, c, h, w)."""
        rows, columns = window.toslices()
        path = files['image']
        with open_hdf5(path) as file:
            values = self._dataset(file, _IMAGES, 4, path)[:, :, rows, columns]
        if values.shape[1] != len(self.all_bands):
            raise BadInput(f'{path} has {values.shape[1]} bands instead of {len(self.all_bands)}.')
        places = [self.all_bands.index(band) for band in self.bands]
        return np.asarray(values[:, places], np.float32)

    def _load_map(self, files: Files, window: Window) -> NDArray[np.int64]:
        path = files['map']
        with open_hdf5(path) as file:
            mask = np.asarray(self._dataset(file, _LABEL, 2, path)[window.toslices()], np.int64)
        if mask.min() < -1 or mask.max() >= len(self.classes):
            raise BadInput(
                f'{path} has labels {mask.min()} to {mask.max()}, but there are '
                f'{len(self.classes)} classes.',
                'Name all of them with classes.',
            )
        return mask

    @staticmethod
    def _dataset(file: Any, name: str, axes: int, path: Path) -> Any:
        if name not in file or file[name].ndim != axes:
            raise BadInput(
                f'{path} has no {name} of {axes} axes, but {", ".join(file)}.',
                'Check that it is a sample of this dataset.',
            )
        return file[name]
