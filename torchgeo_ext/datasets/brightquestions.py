"""Questions on the damage of buildings, derived from the masks of BRIGHT."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torchgeo.datasets import BRIGHTDFC2025
from torchgeo.datasets.utils import Path

from torchgeo_ext.errors import BadParameter

type _Split = Literal['train', 'val', 'test']

#: Lists whose pairs have masks.
_MASKED: tuple[_Split, ...] = ('train', 'val')

_INTACT, _DAMAGED, _DESTROYED = 1, 2, 3
_STATES = {_INTACT: 'intact', _DAMAGED: 'damaged', _DESTROYED: 'destroyed'}
_NONE = 'there are no buildings'
#: Upper ends of ranges, and what they are called.
_COUNTS = {0: 'none', 10: '1 to 10', 50: '11 to 50', np.inf: 'more than 50'}
_SHARES = {0: 'none', 0.25: 'up to a quarter', 0.5: 'up to a half', 1: 'more than a half'}


class BRIGHTQuestions(BRIGHTDFC2025):
    """Questions and answers on the pairs of BRIGHT, of this package's own making.

    It stands in for BrightVQA (https://arxiv.org/abs/2508.08974), whose questions and format were
    not released (https://github.com/Elman295/TCSSM has a README only); scores on it are not scores
    on BrightVQA. Four questions are asked on each pair, in the order of :attr:`questions`, and
    answered from the mask. Buildings that touch count as one.

    A sample has what BRIGHTDFC2025 of TorchGeo gives, ``questions`` and ``answers``, lists of
    texts, ``label`` int64 (4,), the positions of the answers in :attr:`answers`, and
    ``description``, a text about the event: its name, such as "Earthquake in Turkey", unless there
    is a longer one in ``descriptions``.

    With ``unseen`` events are kept apart, to see whether what was learned holds elsewhere:
    ``train`` and ``val`` leave them out, and ``test`` has all pairs of them that have a mask.

    Licence of the images: see https://github.com/ChenHongruixuan/BRIGHT; CC BY-NC 4.0.

    Args:
        root: Folder with the data of BRIGHTDFC2025.
        split: ``train`` or ``val``, and ``test`` with ``unseen``; the test images of the contest
            have no masks.
        unseen: Events kept for ``test``, by the beginnings of the files' names, such as
            ``turkey-earthquake``.
        descriptions: What is told about events, by their names; about the place and about
            disasters of this kind in BrightVQA, from an encyclopedia.
        **kwargs: Further arguments of TorchGeo's class.

    Raises:
        BadParameter: If there is no such split or event.
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
        self,
        root: Path = 'data',
        split: _Split = 'train',
        *,
        unseen: Sequence[str] = (),
        descriptions: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        known = ('train', 'val', 'test') if unseen else ('train', 'val')
        if split not in known:
            raise BadParameter(
                f'split: {split!r} is not one of {", ".join(known)}.',
                'test has events that are kept apart: name them as unseen.',
            )
        self.unseen = frozenset(unseen)
        self.descriptions = descriptions or {}
        self.lists: tuple[_Split, ...] = _MASKED if split == 'test' else (split,)
        self.tests = split == 'test'
        super().__init__(root, 'val' if split == 'test' else split, **kwargs)
        events = {_event(path) for name in _MASKED for path in self._listed(name)}
        if strange := sorted(self.unseen - events):
            raise BadParameter(
                f'unseen: {", ".join(strange)} is not among the events {", ".join(sorted(events))}.'
            )
        if not self.sample_paths:
            raise BadParameter(
                f'unseen is {sorted(self.unseen)}, which leaves no pair for {split}.',
                'Name some events, as the names of the files begin, and not all.',
            )

    def _get_paths(self) -> list[dict[str, str]]:
        """Find the files of the pairs, with or without those of unseen events."""
        paths = [path for split in self.lists for path in self._listed(split)]
        return [path for path in paths if (_event(path) in self.unseen) == self.tests]

    def _listed(self, split: _Split) -> list[dict[str, str]]:
        """Give the files of all pairs of a list."""
        own, self.split = self.split, split
        paths: list[dict[str, str]] = super()._get_paths()
        self.split = own
        return paths

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read a pair and ask about it.

        Args:
            index: Number of the pair.
        """
        sample: dict[str, Any] = super().__getitem__(index)
        answers = answer(sample['mask'].squeeze(0).numpy())
        event = _event(self.sample_paths[index])
        places = [self.answers.index(text) for text in answers]
        return sample | {
            'questions': list(self.questions),
            'answers': answers,
            'label': torch.tensor(places),
            'description': self.descriptions.get(event) or _described(event),
        }


def _event(paths: Mapping[str, str]) -> str:
    """Tell the event of a pair: what stands before the number in the names of its files."""
    name = PurePath(paths['image_pre']).name
    return name.removesuffix('_pre_disaster.tif').rpartition('_')[0]


def _described(event: str) -> str:
    """Make a text of ``la_palma-volcano``: Volcano in La Palma."""
    place, _, disaster = event.rpartition('-')
    return f'{disaster.capitalize()} in {place.replace("_", " ").title()}'


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
