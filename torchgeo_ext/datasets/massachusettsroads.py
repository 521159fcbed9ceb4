"""Massachusetts Roads: roads in aerial images."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._maps import Files, MapImages, partners
from torchgeo_ext.datasets._pair_figure import Color
from torchgeo_ext.datasets._pair_files import read_binary

#: Folders of images and maps of a split, as its author and as others have them.
_FOLDERS = (('{}/sat', '{}/map'), ('{}', '{}_labels'), ('{}_imgs', '{}_labels'))


class MassachusettsRoads(MapImages):
    """`Massachusetts Roads <https://www.cs.toronto.edu/~vmnih/data/>`_.

    * 1171 RGB images of 1500 x 1500 pixels, 1 m: 1108 for training, 14 for validation, 49 for
      testing
    * maps of roads, drawn from OpenStreetMap as lines seven pixels wide

    Licence: not stated.

    Mnih, V. (2013). Machine learning for aerial image labeling. PhD thesis, University of Toronto.
    """

    page = 'https://www.cs.toronto.edu/~vmnih/data/'
    layout = '{train,valid,test}/{sat,map}/*.tif*, or {train,val,test}{,_labels}/*.tif*'
    classes: tuple[str, ...] = ('background', 'road')
    colors: tuple[Color, ...] = ('black', 'white')

    def _find(self) -> Iterator[Files]:
        for split in (self.split, {'val': 'valid'}.get(self.split, self.split)):
            for names in _FOLDERS:
                images, maps = (self.root / name.format(split) for name in names)
                if images.is_dir() and maps.is_dir():
                    yield from partners(images, maps)
                    return

    def _load_map(self, files: Files, window: Window) -> NDArray[np.int64]:
        return read_binary(files['map'], window)
