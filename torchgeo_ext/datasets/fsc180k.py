"""FSC-180k: aerial images of France and altered copies of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from rasterio.windows import Window
from torchgeo.datasets.utils import Sample

from torchgeo_ext.colors import choose_colors
from torchgeo_ext.datasets._change_pairs import Pair, SemanticPairs
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput, BadParameter

#: Share of the images that is for training, in the order of their numbers.
_TRAINING = 0.8


class FSC180k(SemanticPairs):
    """`FSC-180k <https://yb23.github.io/projects/cywd/>`_: real image before, generated one after.

    * about 60,000 images of FLAIR of 512 x 512 pixels, RGB, each with three altered copies
    * land cover of both dates everywhere, the 19 classes of FLAIR; change as it was generated
    * as in HySCDG (https://github.com/yb23/HySCDG) the first 80 % of images are for training, the
      others for validation; copies of an image stay together

    Infrared and elevation of the real images have no counterpart, so they are not read.

    Licence: not stated. To be downloaded by hand.

    Args:
        *args: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
        versions: Which altered copies to take, of 11, 12 and 13.
        **kwargs: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
    """

    page = 'https://huggingface.co/datasets/Yanis236/FSC-ZIP'
    layout = '{IMG,IMG11,IMG12,IMG13}/NN/IMG_*.tif, {LBL11,LBL12,LBL13}/NN/LBL_*.tif'
    splits = ('train', 'val')
    directories = ('FSC-180k', 'FSC-ZIP')
    archives = ('IMG*.zip', 'LBL*.zip')
    classes = (
        'unchanged', 'building', 'pervious surface', 'impervious surface', 'bare soil', 'water',
        'coniferous', 'deciduous', 'brushwood', 'vineyard', 'grass', 'agricultural vegetation',
        'plowed land', 'swimming pool', 'snow', 'clear cut', 'mixed', 'ligneous', 'greenhouse',
        'other',
    )  # fmt: skip
    colors = ('white', *choose_colors(classes[1:]))
    _known: ClassVar[tuple[int, ...]] = (11, 12, 13)

    def __init__(self, *args: Any, versions: Sequence[int] = (11, 12, 13), **kwargs: Any) -> None:
        strange = [version for version in versions if version not in self._known]
        if strange or not versions:
            raise BadParameter(f'versions is {tuple(versions)}; known are 11, 12 and 13.')
        self.versions = tuple(versions)
        super().__init__(*args, **kwargs)

    def _holds(self, base: Path) -> bool:
        kinds = ['IMG', *(f'{kind}{v}' for kind in ('IMG', 'LBL') for v in self.versions)]
        return all((base / kind).is_dir() for kind in kinds)

    def _load_files(self, base: Path) -> list[Pair]:
        real = sorted((base / 'IMG').glob('*/IMG_*.tif'))
        border = int(_TRAINING * len(real))
        chosen = real[:border] if self.split == 'train' else real[border:]
        return [_altered(base, path, version) for version in self.versions for path in chosen]

    def _load_labels(self, pair: Pair, window: Window | None) -> Sample:
        change, *maps = read_pixels(pair.labels[0], window).astype(np.int64)
        mask = torch.from_numpy(np.stack(maps))
        if int(mask.max()) >= len(self.classes):
            raise BadInput(f'{pair.labels[0]} has the class {int(mask.max())}; known are 0 to 19.')
        return {
            'mask': mask.where(mask > 0, -1),
            'mask_change': torch.from_numpy(change > 0).long()[None],
        }


def _altered(base: Path, real: Path, version: int) -> Pair:
    """Give the pair of an image and one of its copies."""
    folder, name = real.parent.name, real.name
    after = base / f'IMG{version}' / folder / name
    label = base / f'LBL{version}' / folder / name.replace('IMG', 'LBL')
    for path in (after, label):
        if not path.exists():
            raise BadInput(f'{real} has no partner {path}.', 'Unpack the dataset again.')
    return Pair((real, after), (label,))
