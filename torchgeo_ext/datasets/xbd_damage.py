"""xBD: damage of buildings in satellite images before and after a disaster."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from rasterio.windows import Window
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._change_pairs import ChangePairs, Pair
from torchgeo_ext.datasets._pair_files import SUFFIXES, read_classes
from torchgeo_ext.errors import BadInput

_BEFORE, _AFTER = '_pre_disaster', '_post_disaster'
_TARGETS = ('targets', 'masks')


class XBDDamage(ChangePairs):
    """`xBD <https://xview2.org>`_ with its damage levels.

    * pairs of satellite images of 1024 x 1024 pixels, RGB, up to 0.8 m, before and after 19
      disasters
    * buildings after the disaster: 0 no building, 1 no damage, 2 minor damage, 3 major damage,
      4 destroyed; pixels of 255 have no label
    * statistics: ImageNet's, as ChangeMamba

    TorchGeo's ``xBD`` gives the difference between the labels of both dates, in which a building
    without damage is as 0 as no building; this class gives the labels after the disaster as they
    are.

    Licence: CC BY-NC-SA 4.0. To be downloaded by hand; ``train``, ``test`` and ``hold`` (or
    ``holdout``) are splits, ``targets`` may be called ``masks`` as in ChangeMamba.

    Gupta, R. et al. (2019). xBD: a dataset for assessing building damage from satellite imagery.
    CVPR workshops. https://arxiv.org/abs/1911.09296
    """

    page = 'https://xview2.org'
    layout = '{train,test,hold}/{images,targets}/*_{pre,post}_disaster[_target].png'
    splits: ClassVar[tuple[str, ...]] = ('train', 'test', 'hold')
    directories: ClassVar[tuple[str, ...]] = ('xBD', 'xbd', 'xview2')
    classes = ('no building', 'no damage', 'minor damage', 'major damage', 'destroyed')
    colors = ('black', 'green', 'blue', 'orange', 'red')
    table: ClassVar[Mapping[int, int]] = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 255: -1}

    def _folders(self, base: Path) -> list[Path] | None:
        names = [self.split] if self.split != 'hold' else ['hold', 'holdout']
        for place in (base / name for name in names):
            targets = [place / name for name in _TARGETS if (place / name).is_dir()]
            if (place / 'images').is_dir() and targets:
                return [place / 'images', targets[0]]
        return None

    def _load_files(self, base: Path) -> list[Pair]:
        folders = self._folders(base)
        assert folders is not None
        images, targets = folders
        firsts = [
            path
            for path in sorted(images.iterdir())
            if path.stem.endswith(_BEFORE) and path.suffix.lower() in SUFFIXES
        ]
        return [self._pair(path, targets) for path in firsts]

    def _pair(self, first: Path, targets: Path) -> Pair:
        after = first.stem.removesuffix(_BEFORE) + _AFTER
        second = first.with_name(after + first.suffix)
        label = targets / f'{after}_target{first.suffix}'
        for path in (second, label):
            if not path.is_file():
                raise BadInput(f'{first} has no partner {path}.', 'Unpack the dataset again.')
        return Pair((first, second), (label,))

    def _load_labels(self, pair: Pair, window: Window | None) -> Sample:
        damage = read_classes(pair.labels[0], self.table, window)
        return {'mask': torch.from_numpy(damage)[None]}
