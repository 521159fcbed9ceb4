"""SECOND: land cover before and after, where it changed."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor

from torchgeo_ext.datasets._change_pairs import Bands, SemanticPairs, one_of
from torchgeo_ext.datasets._pair_files import read_colors

#: Class names and colours by ChangeMamba's numbers.
_CLASSES = {
    'unchanged': (255, 255, 255),
    'low vegetation': (0, 128, 0),
    'ground': (128, 128, 128),
    'tree': (0, 255, 0),
    'water': (0, 0, 255),
    'building': (128, 0, 0),
    'playground': (255, 0, 0),
}
#: ChangeMamba's numbers in the order of each system.
_ORDERS = {'changemamba': (0, 1, 2, 3, 4, 5, 6), 'scannet': (0, 4, 2, 1, 3, 5, 6)}


class SECOND(SemanticPairs):
    """`SECOND <https://captain-whu.github.io/SCD/>`_.

    * 4,662 pairs of aerial images of 512 x 512 pixels, RGB; 2,968 are public, which SCanNet
      (https://github.com/ggsDing/SCanNet) parts into 2,375 for training and 593 for validation by
      the lists ``train_info.txt`` and ``val_info.txt``
    * land cover of both dates where it changed, six classes
    * statistics: SCanNet

    Labels may be coloured as published, or numbered as in ChangeMamba's copy
    (https://zenodo.org/records/14037769). Where there is no ``val`` folder or list, systems choose
    their best epoch on ``test``.

    Licence: not stated. To be downloaded by hand.

    Yang, K. et al. (2022). Asymmetric Siamese networks for semantic change detection in aerial
    images. IEEE TGRS 60. https://arxiv.org/abs/2010.05687

    Args:
        *args: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
        order: Whose numbers classes have: ``scannet`` (water is 1) or ``changemamba``, which
            Mamba-FCS shares (low vegetation is 1).
        **kwargs: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
    """

    page = 'https://captain-whu.github.io/SCD/'
    layout = '{train,val,test}/{im1,im2,label1,label2}/*.png or {T1,T2,GT_T1,GT_T2}'
    directories = ('SECOND', 'second_dataset')
    archives = ('SECOND*.zip', 'second*.zip')
    mean: ClassVar[tuple[Bands, ...]] = ((113.40, 114.08, 116.45), (111.07, 114.04, 118.18))
    std: ClassVar[tuple[Bands, ...]] = ((48.30, 46.27, 48.14), (49.41, 47.01, 47.94))

    def __init__(
        self, *args: Any, order: Literal['scannet', 'changemamba'] = 'scannet', **kwargs: Any
    ) -> None:
        names = tuple(_CLASSES)
        self._order = _ORDERS[one_of('order', order, tuple(_ORDERS))]
        self.classes = tuple(names[number] for number in self._order)
        self.colors = tuple(_CLASSES[name] for name in self.classes)
        super().__init__(*args, **kwargs)

    def _load_classes(self, path: Path, window: Window | None) -> NDArray[np.int64]:
        number = read_colors(path, tuple(_CLASSES.values()), window)
        return np.argsort(self._order)[number]

    def _change(self, mask: Tensor) -> Tensor:
        return mask.gt(0).any(dim=0).long()
