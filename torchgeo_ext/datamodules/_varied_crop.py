"""Crops that one class does not fill.

Axes: b batch, t date, h height, w width.
"""

from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor, nn

from torchgeo_ext.transforms import KorniaSequential

#: How often a crop is drawn, as ChangeMamba and mmsegmentation do.
_TRIES = 10


class VariedCrop(nn.Module):
    """Draws crops anew as long as one class covers more than a share of them.

    Pixels without label do not count, and a crop without labels is never varied. After ten tries
    a crop stays as it is, so images of one class alone are cropped too.

    Args:
        crop: Cuts the images of a batch.
        max_ratio: Share of the labelled pixels that one class may cover, 0 to 1.
    """

    def __init__(self, crop: K.RandomCrop, max_ratio: float) -> None:
        super().__init__()
        self.crop = KorniaSequential(crop)
        self.max_ratio = max_ratio

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Crop a batch with ``image`` and ``mask`` (b, t, h, w)."""
        kept = self.crop(dict(batch))
        for _ in range(_TRIES - 1):
            dull = self._is_dull(kept)
            if not dull.any():
                break
            drawn = self.crop(dict(batch))
            kept = {key: _choose(dull, drawn[key], value) for key, value in kept.items()}
        return kept

    def _is_dull(self, batch: dict[str, Any]) -> Tensor:
        """Tell which samples (b,) one class covers."""
        masks: Tensor = batch.get('mask_change', batch['mask']).flatten(1)
        counts = torch.stack([torch.bincount(mask[mask >= 0], minlength=1).max() for mask in masks])
        return counts > self.max_ratio * (masks >= 0).sum(dim=1)


def _choose(dull: Tensor, drawn: Any, kept: Any) -> Any:
    """Take what was drawn for dull samples."""
    if not isinstance(kept, Tensor) or kept.shape[:1] != dull.shape:
        return kept
    return torch.where(dull.reshape(-1, *[1] * (kept.ndim - 1)), drawn, kept)
