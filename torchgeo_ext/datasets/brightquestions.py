"""Questions on the damage of buildings, derived from the masks of BRIGHT."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torchgeo.datasets import BRIGHTDFC2025
from torchgeo.datasets.utils import Path

from torchgeo_ext.errors import BadParameter

_INTACT, _DAMAGED, _DESTROYED = 1, 2, 3
_STATES = {_INTACT: 'intact', _DAMAGED: 'damaged', _DESTROYED: 'destroyed'}
_NONE = 'there are no buildings'
#: Upper ends of ranges, and what they are called.
_COUNTS = {0: 'none', 10: '1 to 10', 50: '11 to 50', np.inf: 'more than 50'}
_SHARES = {0: 'none', 0.25: 'up to a quarter', 0.5: 'up to a half', 1: 'more than a half'}


class BRIGHTQuestions(BRIGHTDFC2025):
    """Questions and answers on the pairs of BRIGHT, of this package's own making.

    It stands in for BrightVQA (https://arxiv.org/abs/2508.08974), whose questions were not
    released; scores on it are not scores on BrightVQA. Four questions are asked on each pair, in
    the order of :attr:`questions`, and answered from the mask. Buildings that touch count as one.

    A sample has what BRIGHTDFC2025 of TorchGeo gives, ``questions`` and ``answers``, lists of
    texts, and ``label`` int64 (4,), the positions of the answers in :attr:`answers`.

    Licence of the images: see https://github.com/ChenHongruixuan/BRIGHT; CC BY-NC 4.0.

    Args:
        root: Folder with the data of BRIGHTDFC2025.
        split: ``train`` or ``val``; the test images have no masks.
        **kwargs: Further arguments of TorchGeo's class.

    Raises:
        BadParameter: If there is no such split.
    """

    questions: ClassVar[tuple[str, ...]] = (
        'Is any building damaged or destroyed?',
        'How many buildings are destroyed?',
        'Which share of the area of buildings is damaged or destroyed?',
        'In which state are most buildings, by area?',
    )
    answers: ClassVar[tuple[str, ...]] = tuple(
        dict.fromkeys(('yes', 'no', *_COUNTS.values(), *_SHARES.values(), *_STATES.values(), _NONE))
    )

    def __init__(
        self, root: Path = 'data', split: Literal['train', 'val'] = 'train', **kwargs: Any
    ) -> None:
        if split not in ('train', 'val'):
            raise BadParameter(f'split: {split!r} is not one of train, val.')
        super().__init__(root, split, **kwargs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read a pair and ask about it.

        Args:
            index: Number of the pair.
        """
        sample: dict[str, Any] = super().__getitem__(index)
        answers = answer(sample['mask'].squeeze(0).numpy())
        places = [self.answers.index(text) for text in answers]
        return sample | {
            'questions': list(self.questions),
            'answers': answers,
            'label': torch.tensor(places),
        }


def answer(mask: NDArray[np.int64]) -> list[str]:
    """Answer the questions of :class:`BRIGHTQuestions`.

    Args:
        mask: (h, w): 0 background, 1 intact, 2 damaged, 3 destroyed.

    Returns:
        A text for each question.
    """
    pixels = np.bincount(mask.ravel(), minlength=4)
    harmed, all_pixels = pixels[_DAMAGED:].sum(), pixels[_INTACT:].sum()
    _, destroyed = ndimage.label(mask == _DESTROYED, structure=np.ones((3, 3)))
    if all_pixels == 0:
        return ['no', _COUNTS[0], _NONE, _NONE]
    return [
        'yes' if harmed else 'no',
        _named(destroyed, _COUNTS),
        _named(harmed / all_pixels, _SHARES),
        _STATES[_INTACT + int(pixels[_INTACT:].argmax())],
    ]


def _named(value: float, ranges: Mapping[float, str]) -> str:
    return next(name for upper, name in ranges.items() if value <= upper)
