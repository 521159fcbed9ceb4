"""Kornia's augmentations for samples with several masks and dates."""

import kornia.augmentation as K
import torch
from torch import Tensor, nn

from torchgeo_ext.errors import BadInput
from torchgeo_ext.transforms._base import Sample, SampleTransform, fold, with_valid


class KorniaSequential(SampleTransform):
    """Kornia augmentations that keep masks what they are and move all dates together.

    ``kornia.augmentation.AugmentationSequential(..., data_keys=None)`` gives every mask the type of
    the last one, so that labels turn into bool beside ``mask_valid``; it labels what a rotation
    brings in from outside as class 0; and its way for series does not take their masks along.
    Here each mask keeps its type, what comes from outside is not valid (``mask_valid`` is added if
    there is none) and has no label (-1), and the dates of a series stand in as channels meanwhile.
    Invalid pixels take the mean of the valid ones of their image, lest they colour their
    neighbours when pixels are interpolated.

    Example:
        >>> augment = KorniaSequential(K.RandomHorizontalFlip(), K.RandomRotation(30.0))
        >>> pairs = {'image': torch.rand(8, 2, 4, 64, 64), 'mask': torch.zeros(8, 1, 64, 64).long()}
        >>> augment(pairs)['mask'].dtype
        torch.int64

    Args:
        *augmentations: Kornia augmentations of images; for series such that work on any number of
            channels.
        series: Whether an image of four axes is one series (t, c, h, w) instead of a batch.

    Raises:
        BadInput: When called, if there are not as many masks as images.
    """

    def __init__(self, *augmentations: nn.Module, series: bool = False) -> None:
        super().__init__()
        self.augment = K.AugmentationSequential(
            *augmentations,  # type: ignore[arg-type]  # any module will do
            data_keys=None,
            keepdim=True,
        )
        self.series = series

    def transform(self, sample: Sample) -> Sample:
        """Augment image and masks."""
        sample = with_valid(sample)
        image = _filled(sample)
        batched = image.ndim - self.series >= 4
        masks = {key: value for key, value in sample.items() if key.startswith('mask')}
        # kornia works in the image's type; numbers are shifted so that its zeros become -1
        handed = {key: mask.to(image) + _shift(mask) for key, mask in masks.items()}
        handed['image'] = image
        if not batched:
            handed = {key: value[None] for key, value in handed.items()}
        for key in masks:
            if len(handed[key]) != len(handed['image']):
                raise BadInput(
                    f'{key} of the shape {tuple(masks[key].shape)} does not fit a batch of images '
                    f'of the shape {tuple(image.shape)}.',
                    'If that is one series, say series=True.',
                )
        dates = handed['image'].shape[1:-3]
        handed['image'] = handed['image'].reshape(-1, *_folded(handed['image']))
        result = self.augment(sample | handed)
        if not batched:
            result |= {key: result[key][0] for key in handed}
        unfolded = result['image']
        result['image'] = unfolded.unflatten(-3, (*dates, -1)) if dates else unfolded
        for key, mask in masks.items():
            result[key] = (result[key] - _shift(mask)).round().to(mask.dtype)
        return result


def _filled(sample: Sample) -> Tensor:
    images = fold(sample)
    assert images.valid is not None
    return torch.where(images.valid, images.pixels, images.means()).reshape_as(sample['image'])


def _folded(image: Tensor) -> torch.Size:
    """Sizes of an image (b, [t], c, h, w) without b, dates and channels being one axis."""
    return torch.Size((image.shape[1:-2].numel(), *image.shape[-2:]))


def _shift(mask: Tensor) -> int:
    return int(not mask.is_floating_point() and mask.dtype != torch.bool)
