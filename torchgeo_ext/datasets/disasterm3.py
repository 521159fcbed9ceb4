"""DisasterM3: questions on images before and after disasters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets.utils import Path as AnyPath

from torchgeo_ext.datasets._change_pairs import ChangePairs, Pair
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput

_PATHS = ('pre_image_path', 'post_image_path', 'image_path')
_OPTIONS = ('options_str', 'option_str')


class DisasterM3(ChangePairs):
    """`DisasterM3 <https://github.com/Junjue-Wang/DisasterM3>`_.

    * 26,988 pairs of 36 events of ten kinds, optical before, optical or SAR after
    * 123,000 instructions of nine tasks; each split here is the file of one of them. ``landuse``
      and ``relational_reasoning_qa`` have single images

    A sample has ``image`` (2 or 1, 3, h, w) with single bands repeated, ``questions``, a list of
    texts, ``options``, the answers to choose from or an empty text, and ``texts``, a dict with all
    other fields of the record as published. The records name no masks: those of the buildings are
    in xBD and BRIGHT, which TorchGeo has.

    Licence: CC BY-NC-SA 4.0, for academic purposes only. To be asked for by a form.

    Wang, J. et al. (2025). DisasterM3: a remote sensing vision-language dataset for disaster damage
    assessment and response. NeurIPS. https://arxiv.org/abs/2505.21089

    Args:
        root: Folder with the data.
        split: One of ``splits``.
        **kwargs: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
    """

    page = 'https://forms.gle/APQpmyuThh28HsJdA'
    layout = 'data/{split}.json, data/images/...'
    splits = (
        'bearing_body', 'building_damage_counting', 'disaster_type', 'road_damage_counting',
        'landuse', 'relational_reasoning_qa', 'caption', 'recovery',
    )  # fmt: skip
    directories = ('data', 'DisasterM3/data')

    def __init__(self, root: AnyPath = 'data', split: str = 'bearing_body', **kwargs: Any) -> None:
        super().__init__(root, split, **kwargs)

    def _holds(self, base: Path) -> bool:
        return (base / f'{self.split}.json').is_file()

    def _load_files(self, base: Path) -> list[Pair]:
        self.records = json.loads((base / f'{self.split}.json').read_text('utf-8'))
        return [Pair(tuple(_images_of(record, base)), ()) for record in self.records]

    def _load_image(self, path: Path, window: Window | None) -> NDArray[np.float32]:
        values = read_pixels(path, window, 'RGB')
        if len(values) == 1:
            return np.repeat(values, len(self.bands), axis=0).astype(np.float32)
        return super()._load_image(path, window)

    def _targets(self, number: int, window: Window | None) -> dict[str, Any]:
        record = self.records[number]
        prompts = record['prompts']
        told = {'prompts', *_OPTIONS, *_PATHS}
        return {
            'questions': [prompts] if isinstance(prompts, str) else list(prompts),
            'options': next((record[name] for name in _OPTIONS if name in record), ''),
            'texts': {name: value for name, value in record.items() if name not in told},
        }


def _images_of(record: dict[str, Any], base: Path) -> list[Path]:
    """Find the images of a record, earlier first."""
    names = [record[name] for name in _PATHS if record.get(name)]
    paths = []
    for name in names:
        places = [base / 'images' / name, base / name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise BadInput(f'{places[0]} is missing, which a record names.', 'Unpack the images.')
        paths.append(found)
    return paths
