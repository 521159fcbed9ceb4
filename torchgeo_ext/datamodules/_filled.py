"""Tiles of several sizes in one batch."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchgeo.datasets.utils import Sample


def stack_maps(samples: Sequence[Sample]) -> dict[str, Any]:
    """Join tiles and their maps, filled up to one size with 0 and -1 on the right and below."""
    return {
        'image': filled_up([sample['image'] for sample in samples], 0.0),
        'mask': filled_up([sample['mask'] for sample in samples], -1),
    }


def filled_up(tiles: Sequence[Tensor], value: float) -> Tensor:
    """Join tiles (..., h, w) of several sizes."""
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (-2, -1))
    joined = [
        F.pad(tile, (0, width - tile.shape[-1], 0, height - tile.shape[-2]), value=value)
        for tile in tiles
    ]
    return torch.stack(joined)
