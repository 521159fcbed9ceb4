"""How transforms that look across dates read a series out of a sample."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput
from torchgeo_ext.transforms._base import Sample, fold_valid

SECONDS_PER_DAY = 86400


class Series(NamedTuple):
    """The dates of a sample, always as a batch.

    Attributes:
        images: (b, t, c, h, w) pixel values as they are.
        valid: (b, t, h, w) bool, where there is a measurement. Dates without a file have none.
    """

    images: Tensor
    valid: Tensor


def read_series(sample: Sample) -> Series:
    """Look at a sample, or a batch of samples, as series.

    Args:
        sample: Sample with an ``image`` (t, c, h, w) or (b, t, c, h, w) and, if known,
            ``mask_valid`` and ``gap``.

    Returns:
        Images and validity with a leading batch axis.

    Raises:
        BadInput: If the image has no time axis, or the masks do not fit it.
    """
    image = sample['image']
    if image.ndim < 4:
        raise BadInput(
            f'An image of the shape {tuple(image.shape)} has no dates; (t, c, h, w) or '
            '(b, t, c, h, w) is needed.'
        )
    images = image.reshape(-1, *image.shape[-4:])
    shape = images[:, :, 0].shape
    valid = fold_valid(sample)
    valid = (
        torch.ones(shape, dtype=torch.bool, device=image.device)
        if valid is None
        else valid.reshape(shape)
    )
    if 'gap' in sample:
        gap = sample['gap'].reshape(-1, 1, 1) != 0
        valid = valid & ~gap.reshape(-1, shape[1], 1, 1)
    return Series(images, valid)


def read_days(sample: Sample) -> Tensor:
    """Give the dates of a sample in days, (b, t) float64, from ``seconds`` or else ``doy``.

    Raises:
        BadInput: If the sample has neither, or not one for each date.
    """
    image = sample['image']
    for key, unit in (('seconds', SECONDS_PER_DAY), ('doy', 1)):
        if key in sample:
            times = sample[key]
            if times.shape != image.shape[:-3]:
                raise BadInput(
                    f'{key} has the shape {tuple(times.shape)}, but an image of the shape '
                    f'{tuple(image.shape)} needs {tuple(image.shape[:-3])}.'
                )
            return times.reshape(-1, image.shape[-4]).to(image.device, torch.float64) / unit
    raise BadInput(
        'The sample does not tell its dates.',
        'Add seconds (UTC since 1970, float64) or doy (day of year) with one number per date.',
    )


def date_masks(sample: Sample) -> dict[str, Tensor]:
    """Give the masks that tell something of each date, such as ``mask_cloud``; not ``mask_valid``.

    Returns:
        (b, t, h, w) masks by their keys.
    """
    shape = sample['image'].shape[:-3] + sample['image'].shape[-2:]
    return {
        key: value.reshape(-1, *shape[-3:])
        for key, value in sample.items()
        if key.startswith('mask') and key != 'mask_valid' and value.shape == shape
    }


def take(values: Tensor, index: Tensor, dim: int) -> Tensor:
    """Pick along an axis, all others broadcast: ``torch.take_along_dim`` without its checks.

    They take longer than the picking.
    """
    sizes = torch.broadcast_shapes(*(x.narrow(dim, 0, 1).shape for x in (values, index)))

    def widen(tensor: Tensor) -> Tensor:
        lengths = list(sizes)
        lengths[dim] = tensor.shape[dim]
        return tensor.expand(lengths)

    return widen(values).gather(dim, widen(index))


def write_valid(sample: Sample, valid: Tensor) -> None:
    """Put validity (b, t, h, w) or (b, h, w) into a sample in the form it had before."""
    dtype = sample['mask_valid'].dtype if 'mask_valid' in sample else torch.bool
    sample['mask_valid'] = like_sample(sample, valid).to(dtype)


def like_sample(sample: Sample, values: Tensor) -> Tensor:
    """Drop the batch axis again if the sample's ``image`` has none."""
    return values if sample['image'].ndim == 5 else values[0]
