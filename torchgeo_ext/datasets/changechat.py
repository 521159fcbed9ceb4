"""ChangeChat-105k: questions and answers on the pairs of LEVIR-CC."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from rasterio.windows import Window
from torchgeo.datasets.utils import download_url

from torchgeo_ext.datasets._change_pairs import ChangePairs, Pair
from torchgeo_ext.errors import BadInput, BadParameter

#: Which file holds the records of a task.
_FILES = {
    'train': {'all': 'train', 'loc': 'train_loc'},
    'test': {
        'caption': 'test', 'binary': 'test_binary', 'count': 'test_count', 'loc': 'test_loc',
        'dialog': 'test_dialog', 'open': 'test_open',
    },
}  # fmt: skip
_PLACEHOLDER = '<image>'

type Task = Literal['all', 'loc', 'caption', 'binary', 'count', 'dialog', 'open']


class ChangeChat105k(ChangePairs):
    """`ChangeChat-105k <https://github.com/hanlinwu/DeltaVLM>`_.

    * conversations on pairs of LEVIR-CC, 256 x 256 pixels, RGB: 87,935 records for training
    * six tests: captions, change or not, counts, cells of a 3 x 3 grid and dialogues with 1,929
      records each, open questions with 7,527

    A sample has ``questions`` and ``answers``, lists of as many texts (captions have no questions),
    and, where the record tells, ``label``, 1 if anything changed. It has no mask.

    The images are those of LEVIR-CC or LEVIR-MCI, which are to be put into ``root`` as
    ``images/{train,val,test}/{A,B}``; the texts can be downloaded.

    Licence: CC BY 4.0 (texts).

    Deng, P., Zhou, W., Wu, H. (2025). DeltaVLM: interactive remote sensing image change analysis
    via instruction-guided difference perception. https://arxiv.org/abs/2507.22346

    Args:
        root: Folder with ``images`` and the JSON files.
        split: ``train`` or ``test``.
        task: Of ``train`` all kinds of conversations, or those with ``loc``, the same with answers
            on where; of ``test`` one of ``caption``, ``binary``, ``count``, ``loc``, ``dialog`` and
            ``open``. The first of each if not given.
        **kwargs: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`; with ``download``
            the texts are fetched.
    """

    page = 'https://huggingface.co/datasets/hlwu/changechat-105k'
    layout = 'changechat_105k_*.json, images/{train,val,test}/{A,B}/*.png'
    splits = ('train', 'test')
    url = 'https://huggingface.co/datasets/hlwu/changechat-105k/resolve/main'

    def __init__(
        self,
        root: str | Path = 'data',
        split: str = 'train',
        task: Task | None = None,
        **kwargs: Any,
    ) -> None:
        tasks = _FILES.get(split, {})
        chosen: str = next(iter(tasks), '') if task is None else task
        if tasks and chosen not in tasks:
            raise BadParameter(f'task: {task!r} is not one of {", ".join(tasks)} of split {split}.')
        self.file = f'changechat_105k_{tasks.get(chosen)}.json'
        super().__init__(root, split, **kwargs)

    def _unpack(self) -> None:
        """Fetch the texts."""
        if self.download:
            download_url(f'{self.url}/{self.file}', self.root)

    def _holds(self, base: Path) -> bool:
        return (base / self.file).is_file() and (base / 'images').is_dir()

    def _load_files(self, base: Path) -> list[Pair]:
        self.records = json.loads((base / self.file).read_text('utf-8'))
        return [Pair(_images_of(record, base / 'images'), ()) for record in self.records]

    def _targets(self, number: int, window: Window | None) -> dict[str, Any]:
        record = self.records[number]
        said = record.get('conversations', ())
        texts = {
            speaker: [turn['value'] for turn in said if turn['from'] == speaker]
            for speaker in ('human', 'gpt')
        }
        sample: dict[str, Any] = {
            'questions': [text.replace(_PLACEHOLDER, '').strip() for text in texts['human']],
            'answers': [text.strip() for text in record.get('captions') or texts['gpt']],
        }
        if 'changeflag' in record:
            sample['label'] = torch.tensor(int(record['changeflag']))
        return sample


def _images_of(record: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Find the images of a record."""
    names = record.get('image') or [record['image_A'], record['image_B']]
    before, after = (folder / name for name in names)
    for path in (before, after):
        if not path.is_file():
            raise BadInput(f'{path} is missing.', 'Put the images of LEVIR-CC there.')
    return before, after
