"""What models of image pairs share: their input, and the output of those that name classes."""

from typing import NamedTuple

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from torchgeo_ext.errors import BadInput


class SemanticChange(NamedTuple):
    """Logits of change and of the land cover of both dates.

    Attributes:
        change: (b, k, h, w).
        before: (b, classes, h, w).
        after: (b, classes, h, w).
    """

    change: Tensor
    before: Tensor
    after: Tensor


class SeriesChange(NamedTuple):
    """Logits of change, of the land cover of both dates and of what a series alone tells.

    Attributes:
        change: (b, k, h, w).
        before: (b, classes, h, w).
        after: (b, classes, h, w).
        series: (b, classes, h, w).
    """

    change: Tensor
    before: Tensor
    after: Tensor
    series: Tensor


class GuidedChange(NamedTuple):
    """What a network tells while it learns from labels and from pseudo-labels.

    Attributes:
        change: Logits of change (b, k, h, w).
        pseudo: Logits of change as pseudo-labels have it (b, k, h, w).
        before: Logits of the land cover before (b, classes, h, w), if it is told.
        after: Logits of the land cover after (b, classes, h, w), if it is told.
        distance: Distance of the features of the dates (b, h, w), if it is told.
    """

    change: Tensor
    pseudo: Tensor
    before: Tensor | None = None
    after: Tensor | None = None
    distance: Tensor | None = None


def two_dates(x: Tensor, multiple: int = 1, smallest: int = 1) -> tuple[Tensor, Tensor]:
    """Take a batch of pairs apart and pad them at the bottom and right with their edge pixels.

    Args:
        x: Images before and after (b, t=2, c, h, w).
        multiple: What height and width are to be a multiple of.
        smallest: What they are to be at least.

    Returns:
        Images before and after, each (b, c, h', w').

    Raises:
        BadInput: If these are no pairs.
    """
    if x.ndim != 5 or x.shape[1] != 2:
        raise BadInput(
            f'The input has the shape {tuple(x.shape)}, not (batch, 2, bands, height, width).',
            'Stack the images before and after along the second axis.',
        )
    bottom, right = (max(smallest, -(-size // multiple) * multiple) - size for size in x.shape[-2:])
    padded = F.pad(rearrange(x, 'b t c h w -> (b t) c h w'), (0, right, 0, bottom), 'replicate')
    before, after = rearrange(padded, '(b t) c h w -> t b c h w', t=2)
    return before, after
