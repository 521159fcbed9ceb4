"""fMoW-Sentinel: the places of fMoW as Sentinel-2 sees them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
from numpy.typing import NDArray

from torchgeo_ext.datasets._fmow import FMoWScenes, known_class
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput

#: Folder of the images of each split.
_FOLDERS = {'train': 'train', 'val': 'val', 'test': 'test_gt'}
_COLUMNS = ('category', 'location_id', 'image_id')


class SentinelScene(NamedTuple):
    """A scene.

    Attributes:
        path: Its file.
        use: Name of its class.
    """

    path: Path
    use: str


class FMoWSentinel(FMoWScenes):
    """`fMoW-Sentinel <https://purl.stanford.edu/vg497cb6002>`_.

    * 882,779 images of the places of fMoW: 712,874 for training, 84,939 for validation, 84,966 for
      testing; 62 uses
    * composites of 90 days of Sentinel-2, 13 bands, digital numbers; sizes differ
    * a table for each split, ``train.csv``, ``val.csv`` and ``test.csv``, with ``category``,
      ``location_id`` and ``image_id`` of each image

    Licence: see its page; contains modified Copernicus Sentinel data.

    Cong, Y. et al. (2022). SatMAE: pre-training transformers for temporal and multi-spectral
    satellite imagery. NeurIPS. https://arxiv.org/abs/2207.08051
    """

    page = 'https://purl.stanford.edu/vg497cb6002'
    layout = '{train,val,test}.csv, fmow-sentinel/{train,val,test_gt}/<class>/<class>_<place>/*.tif'
    splits: ClassVar[tuple[str, ...]] = tuple(_FOLDERS)
    all_bands: tuple[str, ...] = (
        'B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B10', 'B11', 'B12',
    )  # fmt: skip
    rgb_bands: tuple[str, ...] = ('B4', 'B3', 'B2')

    def _find(self) -> Sequence[SentinelScene]:
        source = self.root / f'{self.split}.csv'
        if not source.is_file():
            return []
        table = pd.read_csv(source)
        missing = [name for name in _COLUMNS if name not in table]
        if missing:
            raise BadInput(
                f'{source} has no column {missing[0]}, but {", ".join(map(str, table))}.',
                'Take the tables that are published with the images.',
            )
        folder = self.root / 'fmow-sentinel' / _FOLDERS[self.split]
        for use in table['category'].unique():
            known_class(use, source)
        return [
            SentinelScene(folder / use / f'{use}_{place}' / f'{use}_{place}_{image}.tif', use)
            for use, place, image in table[list(_COLUMNS)].itertuples(index=False)
        ]

    def _read(self, scene: Any) -> NDArray[Any]:
        if not scene.path.is_file():
            raise BadInput(
                f'{scene.path} is missing.', f'Unpack all images of the split {self.split}.'
            )
        return read_pixels(scene.path)
