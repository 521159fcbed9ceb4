"""Pseudo-labels of change from what is seen in the single dates, as SemiCD-VL generates them.

Li, K. et al. (2024). SemiCD-VL: visual-language model guidance makes better semi-supervised change
detector. IEEE TGRS 62. https://arxiv.org/abs/2405.04788

Axes: c channel, h height, w width, k classes, n instances.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchgeo.datasets.utils import Path as AnyPath

from torchgeo_ext.datasets._change_pairs import PSEUDO_LABELS, ChangePairs
from torchgeo_ext.datasets._pair_files import IGNORE
from torchgeo_ext.errors import BadInput, BadParameter

#: How files mark pixels that are not known.
_UNKNOWN = 255


class ImageContent(NamedTuple):
    """What some model sees in an image.

    Attributes:
        probabilities: Of each class (k, h, w), from 0 to 1; they need not add up to 1.
        instances: Pixels of each object of the classes whose change is looked for, bool (n, h, w).
    """

    probabilities: Tensor
    instances: Tensor


#: Tells what is in an image (c, h, w) with values as stored.
type Source = Callable[[Tensor], ImageContent]


def change_events(
    before: ImageContent, after: ImageContent, targets: Sequence[int], doubt: float = 0.8
) -> tuple[Tensor, Tensor]:
    """Generate pseudo-labels of change by the mixed rule of SemiCD-VL.

    The class of a pixel is the likeliest, but unknown if none reaches ``doubt``. A pixel has
    changed if it is one of the targets on one date only and lies within an object that overlaps
    none of the other date.

    Args:
        before: What is seen before.
        after: What is seen after.
        targets: Numbers of the classes whose change is looked for; house and building there.
        doubt: Probability below which the class is unknown, 0 to 1.

    Returns:
        Change (h, w) and whether each date shows a target (2, h, w): 1 yes, 0 no, -1 unknown.

    Raises:
        BadParameter: If a target is no class, or ``doubt`` not from 0 to 1.
        BadInput: If what is seen differs in size.
    """
    _check(before, after, targets, doubt)
    dates = torch.stack([_is_target(content, targets, doubt) for content in (before, after)])
    changed = dates[0].ne(dates[1]) & (_alone(before, after) | _alone(after, before))
    return changed.long().where(dates.ge(0).all(dim=0), IGNORE), dates


def _check(before: ImageContent, after: ImageContent, targets: Sequence[int], doubt: float) -> None:
    classes = len(before.probabilities)
    if not 0 <= doubt <= 1:
        raise BadParameter(f'doubt is {doubt}; it must be from 0 to 1.')
    if not targets or not all(0 <= target < classes for target in targets):
        raise BadParameter(
            f'targets is {list(targets)}; the source tells the classes 0 to {classes - 1}.',
            'Name one of them or more.',
        )
    sizes = [tuple(part.shape[-2:]) for content in (before, after) for part in content]
    if len(set(sizes)) != 1:
        raise BadInput(
            f'Probabilities and instances of the dates have the sizes {sizes}.',
            'A source must answer in the size of the image, also without instances (0, h, w).',
        )


def _is_target(content: ImageContent, targets: Sequence[int], doubt: float) -> Tensor:
    """Tell where a date shows a target (h, w), -1 where its classes are all too unlikely."""
    likeliest, classes = content.probabilities.max(dim=0)
    shown = torch.isin(classes, classes.new_tensor(targets)).long()
    return shown.where(likeliest >= doubt, IGNORE)


def _alone(content: ImageContent, other: ImageContent) -> Tensor:
    """Give the pixels (h, w) of objects that overlap none of another date."""
    covered = other.instances.any(dim=0)
    overlaps = (content.instances & covered).flatten(1).any(dim=1)
    return content.instances[~overlaps].any(dim=0)


@torch.no_grad()
def write_pseudo_labels(
    dataset: ChangePairs,
    source: Source,
    folder: AnyPath,
    targets: Sequence[int],
    doubt: float = 0.8,
) -> None:
    """Write pseudo-labels of all pairs of a dataset, for its argument ``pseudo_labels``.

    Args:
        dataset: Whose pairs; whole images, whatever its tiles are.
        source: Tells what is in an image; :class:`torchgeo_ext.inference.SegmenterContent` asks a
            trained model, :class:`torchgeo_ext.inference.CLIPSegContent` one of vision and
            language, and any function will do.
        folder: Gets ``{change,A,B}/*.png``, 0, 1 and 255 for unknown, as the authors have them.
        targets: Numbers of the classes whose change is looked for.
        doubt: Probability below which the class of a pixel is unknown, 0 to 1.

    Raises:
        BadParameter: If a target is no class, or ``doubt`` not from 0 to 1.
        BadInput: If the source answers in other sizes.
    """
    for kind in PSEUDO_LABELS:
        (Path(folder) / kind).mkdir(parents=True, exist_ok=True)
    for pair in dataset.pairs:
        before, after = (source(image) for image in dataset.load_images(pair))
        change, dates = change_events(before, after, targets, doubt)
        for kind, values in zip(PSEUDO_LABELS, (change, *dates), strict=True):
            stored = values.where(values != IGNORE, _UNKNOWN).cpu().numpy().astype(np.uint8)
            Image.fromarray(stored).save(Path(folder) / kind / f'{pair.images[0].stem}.png')
