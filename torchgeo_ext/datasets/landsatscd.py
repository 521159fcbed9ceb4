"""Landsat-SCD: thirty years of change around Tumushuke."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._change_pairs import CHANGE, Bands, Pair, SemanticPairs
from torchgeo_ext.datasets._pair_files import read_colors, read_pixels

#: Colours of the original map, which tells both dates at once, and the class before and after.
_FROM_TO = {
    (255, 255, 255): (0, 0),
    (255, 165, 0): (1, 2),
    (230, 30, 100): (1, 3),
    (70, 140, 0): (2, 1),
    (218, 112, 214): (2, 3),
    (0, 170, 240): (2, 4),
    (127, 235, 170): (3, 1),
    (230, 80, 0): (3, 2),
    (205, 220, 57): (4, 1),
    (218, 165, 32): (4, 2),
}
_WHITE = 255


class LandsatSCD(SemanticPairs):
    """Landsat-SCD.

    * pairs of 416 x 416 pixels, RGB of Landsat, 30 m, Tumushuke
    * land cover of both dates where it changed: farmland, desert, building, water
    * no split of its own: lists (``train_list.txt`` ...) tell. SCanNet
      (https://github.com/ggsDing/SCanNet) drops augmented copies, whose names hold "rotate",
      "Crop", "ZheDang" or "Zhedang", and shares out the others at random 3:1:1
    * statistics: SCanNet

    Labels may be a map for each date, as SCanNet prepares them, or the original one of both dates;
    of the latter, pixels that are white in an image do not count as changed.

    Licence: not stated. To be downloaded by hand.

    Yuan, P. et al. (2022). A transformer-based Siamese network and an open optical dataset for
    semantic change detection of remote sensing images. International Journal of Digital Earth 15.
    """

    page = 'https://drive.google.com/file/d/11CkLhakNtfaBH78SGTHxcXKNsBM524H5'
    layout = '{A,B,labelA,labelB}/*.png with {train,val,test}_list.txt'
    directories = ('Landsat-SCD', 'LandsatSCD')
    archives = ('Landsat*SCD*.zip',)
    classes = ('unchanged', 'farmland', 'desert', 'building', 'water')
    colors = ((255, 255, 255), (0, 155, 0), (255, 165, 0), (230, 30, 100), (0, 170, 240))
    mean: ClassVar[tuple[Bands, ...]] = ((141.53, 139.20, 137.73), (137.36, 136.50, 135.144))
    std: ClassVar[tuple[Bands, ...]] = ((81.99, 83.31, 83.89), (85.97, 86.01, 86.81))

    def _folders(self, base: Path) -> list[Path] | None:
        original = (self.before_folders, self.after_folders, CHANGE)
        return super()._folders(base) or self._search(base, original)

    def _load_labels(self, pair: Pair, window: Window | None) -> Sample:
        if len(pair.labels) == 2:
            return super()._load_labels(pair, window)
        number = read_colors(pair.labels[0], tuple(_FROM_TO), window)
        blank = [(read_pixels(path, window, 'RGB') == _WHITE).all(0) for path in pair.images]
        classes = np.array(list(_FROM_TO.values())).T[:, np.where(np.any(blank, 0), 0, number)]
        mask = torch.from_numpy(classes)
        return {'mask': mask, 'mask_change': self._change(mask)[None]}

    def _load_classes(self, path: Path, window: Window | None) -> NDArray[np.int64]:
        return read_colors(path, self.colors, window)

    def _change(self, mask: Tensor) -> Tensor:
        return mask.gt(0).any(dim=0).long()
