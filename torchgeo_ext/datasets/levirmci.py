"""LEVIR-MCI: pairs with masks of new roads and buildings, and with captions."""

import functools
import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from rasterio.windows import Window
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._change_pairs import Bands, ChangePairs, Pair
from torchgeo_ext.datasets._pair_files import read_classes
from torchgeo_ext.errors import BadInput

_CAPTIONS = 'LevirCCcaptions.json'


class LEVIRMCI(ChangePairs):
    """`LEVIR-MCI <https://github.com/Chen-Yang-Liu/Change-Agent>`_.

    * 10,077 pairs of 256 x 256 pixels, RGB, 0.5 m; 6,815 for training, 1,333 for validation and
      1,929 for testing
    * a mask of change: 1 road, 2 building
    * five sentences on what changed
    * statistics: Change-Agent

    A sample has ``mask`` int64 (1, h, w), ``texts``, a list of sentences, and ``label``, 1 if
    anything changed.

    Licence: not stated. To be downloaded by hand.

    Liu, C. et al. (2024). Change-Agent: toward interactive comprehensive remote sensing change
    interpretation and analysis. IEEE TGRS 62. https://arxiv.org/abs/2403.19646
    """

    page = 'https://huggingface.co/datasets/lcybuaa/LEVIR-MCI'
    layout = 'images/{train,val,test}/{A,B,label}/*.png, LevirCCcaptions.json'
    directories = ('images', 'LEVIR-MCI-dataset/images', 'Levir-MCI-dataset/images')
    archives = ('LEVIR-MCI*.zip', 'Levir-MCI*.zip')
    classes = ('unchanged', 'road', 'building')
    colors = ('black', '#ffff00', '#ff0000')
    mean: ClassVar[tuple[Bands, ...]] = ((99.6362, 98.4887, 84.1220),)
    std: ClassVar[tuple[Bands, ...]] = ((39.0890, 37.3014, 34.8024),)

    def _there(self) -> bool:
        found = self._find_folders()
        return found is not None and _captions_of(found[0][0]).is_file()

    @functools.cached_property
    def _texts(self) -> dict[str, dict[str, Any]]:
        """What is told of each image, by name."""
        records = json.loads(_captions_of(self.pairs[0].images[0].parent).read_text('utf-8'))
        return {record['filename']: record for record in records['images']}

    def _targets(self, number: int, window: Window | None) -> dict[str, Any]:
        pair = self.pairs[number]
        record = self._texts.get(pair.images[0].name)
        if record is None:
            raise BadInput(f'{pair.images[0]} has no captions in {_CAPTIONS}.')
        return {
            **super()._targets(number, window),
            'texts': [sentence['raw'].strip() for sentence in record['sentences']],
            'label': torch.tensor(int(record['changeflag'])),
        }

    def _load_labels(self, pair: Pair, window: Window | None) -> Sample:
        classes = read_classes(pair.labels[0], {0: 0, 128: 1, 255: 2}, window)
        return {'mask': torch.from_numpy(classes)[None]}


def _captions_of(folder: Path) -> Path:
    """Give the file with the captions of the images in ``images/{split}/A``."""
    return folder.parents[2] / _CAPTIONS
