"""WHU building dataset: buildings in aerial images."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._maps import Files, MapImages, partners
from torchgeo_ext.datasets._pair_figure import Color
from torchgeo_ext.datasets._pair_files import read_binary


class WHUBuilding(MapImages):
    """`WHU building dataset <http://gpcv.whu.edu.cn/data/building_dataset.html>`_, aerial imagery.

    * 8,189 RGB images of 512 x 512 pixels, 0.3 m, Christchurch: 4,736 for training, 1,036 for
      validation, 2,416 for testing
    * maps of buildings

    Licence: not stated.

    Ji, S., Wei, S., Lu, M. (2019). Fully convolutional networks for multisource building extraction
    from an open aerial and satellite imagery data set. IEEE TGRS 57.
    """

    page = 'http://gpcv.whu.edu.cn/data/building_dataset.html'
    layout = '{train,val,test}/{image,label}/*.tif'
    classes: tuple[str, ...] = ('background', 'building')
    colors: tuple[Color, ...] = ('black', 'white')

    def _find(self) -> Iterator[Files]:
        images, maps = (self.root / self.split / name for name in ('image', 'label'))
        if images.is_dir() and maps.is_dir():
            yield from partners(images, maps)

    def _load_map(self, files: Files, window: Window) -> NDArray[np.int64]:
        return read_binary(files['map'], window)
