"""LEVIR-MCI: pairs with masks of new roads and buildings, and with captions."""

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

    Args:
        *args: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
        captions: Whether to give ``texts`` and ``label``; TorchGeo's tasks take no texts.
        **kwargs: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
    """

    page = 'https://huggingface.co/datasets/lcybuaa/LEVIR-MCI'
    layout = 'images/{train,val,test}/{A,B,label}/*.png, LevirCCcaptions.json'
    directories = ('images', 'LEVIR-MCI-dataset/images', 'Levir-MCI-dataset/images')
    archives = ('LEVIR-MCI*.zip', 'Levir-MCI*.zip')
    classes = ('unchanged', 'road', 'building')
    colors = ('black', '#ffff00', '#ff0000')
    mean: ClassVar[tuple[Bands, ...]] = ((99.6362, 98.4887, 84.1220),)
    std: ClassVar[tuple[Bands, ...]] = ((39.0890, 37.3014, 34.8024),)

    def __init__(self, *args: Any, captions: bool = True, **kwargs: Any) -> None:
        self.captions = captions
        super().__init__(*args, **kwargs)

    def _holds(self, base: Path) -> bool:
        return super()._holds(base) and (base.parent / _CAPTIONS).is_file()

    def _load_files(self, base: Path) -> list[Pair]:
        told = json.loads((base.parent / _CAPTIONS).read_text('utf-8'))
        self.records = {record['filename']: record for record in told['images']}
        return super()._load_files(base)

    def _targets(self, number: int, window: Window | None) -> dict[str, Any]:
        targets = super()._targets(number, window)
        if not self.captions:
            return targets
        pair = self.pairs[number]
        record = self.records.get(pair.images[0].name)
        if record is None:
            raise BadInput(f'{pair.images[0]} has no captions in {_CAPTIONS}.')
        return {
            **targets,
            'texts': [sentence['raw'].strip() for sentence in record['sentences']],
            'label': torch.tensor(int(record['changeflag'])),
        }

    def _load_labels(self, pair: Pair, window: Window | None) -> Sample:
        classes = read_classes(pair.labels[0], {0: 0, 128: 1, 255: 2}, window)
        return {'mask': torch.from_numpy(classes)[None]}
