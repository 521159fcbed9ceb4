"""Degrades images to a coarser resolution as the optics of a sensor would have done."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._base import Sample, SampleTransform, fold

#: Modulation transfer at the Nyquist frequency of the multispectral bands, in the sensor's order,
#: and of the panchromatic band; as in PanCollection's ``genMTF.py``.
MTF: Mapping[str, tuple[tuple[float, ...], float]] = {
    'quickbird': ((0.34, 0.32, 0.30, 0.22), 0.15),
    'ikonos': ((0.26, 0.28, 0.29, 0.28), 0.17),
    'geoeye1': ((0.23, 0.23, 0.23, 0.23), 0.16),
    'worldview2': ((0.35, 0.35, 0.35, 0.35, 0.35, 0.35, 0.35, 0.27), 0.11),
    'worldview3': ((0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315), 0.14),
}

#: Kernels reach this many standard deviations to each side.
_REACH = 5.0


class Degrade(SampleTransform):
    """Make a sample coarser by a whole ratio, following Wald's protocol.

    Each band is filtered with the Gaussian whose response at the Nyquist frequency of the coarse
    grid is the sensor's, and sampled at the centres of the coarse pixels, so that they cover
    ``ratio`` x ``ratio`` fine ones exactly. Invalid pixels do not bleed into others: a coarse pixel
    is valid if at least half of it was, and otherwise holds the mean of the invalid values. Integer
    masks take the most frequent value, floating-point masks the mean. ``transform`` and ``bounds``
    follow.

    L. Wald, T. Ranchin, M. Mangolini (1997), Fusion of satellite images of different spatial
    resolutions: assessing the quality of resulting images.

    Example:
        >>> sample = {'image': torch.rand(4, 64, 64), 'mask': torch.zeros(64, 64).long()}
        >>> coarse = Degrade(4, 'quickbird')(sample)
        >>> coarse['image'].shape, coarse['mask'].shape
        (torch.Size([4, 16, 16]), torch.Size([16, 16]))

    Args:
        ratio: Size of coarse pixels in fine ones.
        mtf: Modulation transfer at the coarse Nyquist frequency, above 0 and below 1 (0.707 for the
            ratio 2): one for all bands, one per band, or the name of a sensor of :data:`MTF` for
            its multispectral bands.

    Raises:
        BadParameter: If the ratio is below 2, a gain out of range or the sensor not known.
    """

    needs_sample: ClassVar[bool] = True

    def __init__(self, ratio: int = 4, mtf: float | Sequence[float] | str = 0.3) -> None:
        super().__init__()
        self.ratio = ratio
        self.mtf = _gains(mtf, ratio)

    def transform(self, sample: Sample) -> Sample:
        """Make image, masks and georeference coarser."""
        image, ratio = sample['image'], self.ratio
        images = fold(sample)
        coarse = degrade(images.pixels, ratio, self.mtf, images.valid)
        if images.valid is not None:
            missing = ~images.valid
            valid = _block_mean(images.valid.to(coarse), ratio) >= 0.5
            values = torch.where(missing, image.reshape(images.pixels.shape), 0)
            lost = _block_mean(missing.to(coarse), ratio).clamp(min=1 / ratio**2)
            coarse = torch.where(valid, coarse, _block_mean(values, ratio) / lost)
        sample['image'] = coarse.reshape(*image.shape[:-2], *coarse.shape[-2:])
        for key in sample:
            if key.startswith('mask') and key != 'mask_valid':
                sample[key] = _coarse_mask(sample[key], ratio)
        if images.valid is not None:
            old = sample['mask_valid']
            sample['mask_valid'] = valid.reshape(*old.shape[:-2], *valid.shape[-2:]).to(old.dtype)
        # pixel sizes in TorchGeo's nine values of a geotransform, and steps in those of bounds
        for key, places in (('transform', (0, 1, 3, 4)), ('bounds', (2, 5))):
            if isinstance(sample.get(key), Tensor) and sample[key].shape[-1] == 9:
                factors = [ratio if i in places else 1 for i in range(9)]
                sample[key] = sample[key] * sample[key].new_tensor(factors)
        return sample


def degrade(
    image: Tensor, ratio: int, mtf: float | Sequence[float] = 0.3, valid: Tensor | None = None
) -> Tensor:
    """Filter an image by a modulation transfer function and sample it on a coarser grid.

    Differentiable.

    Args:
        image: (..., c, h, w) image; h and w are multiples of ``ratio``.
        ratio: Size of coarse pixels in fine ones, at least 2.
        mtf: Modulation transfer at the coarse Nyquist frequency, for all bands or each.
        valid: (..., 1, h, w) bool, the pixels that count; by default all.

    Returns:
        (..., c, h / ratio, w / ratio) image; 0 where no valid pixel is near.

    Raises:
        BadParameter: If the ratio is below 2 or a gain not between 0 and 1.
        BadInput: If the size is no multiple of the ratio, or there are neither one gain nor as many
            as channels.
    """
    gains = _gains(mtf, ratio)
    channels, height, width = image.shape[-3:]
    if height % ratio or width % ratio:
        raise BadInput(
            f'An image of {height} x {width} pixels cannot be divided into pixels {ratio} times '
            'as large.',
            f'Crop it to {height // ratio * ratio} x {width // ratio * ratio} pixels.',
        )
    if len(gains) not in (1, channels):
        raise BadInput(f'mtf has {len(gains)} gains, but the image has {channels} channels.')
    pixels = image.reshape(-1, channels, height, width)
    if valid is None:
        weight = pixels.new_ones(1, 1, height, width)
    else:
        weight = valid.reshape(-1, 1, height, width).to(pixels)
        pixels = torch.where(weight > 0, pixels, 0)
    weight = weight.expand(-1, channels, -1, -1)
    kernels = [_kernel(gain, ratio) for gain in gains] * (channels // len(gains))
    # what lies beyond the rim or is invalid has no weight
    above, below = _filter(pixels, kernels, ratio), _filter(weight, kernels, ratio)
    seen = below > 1e-3
    coarse = torch.where(seen, above / torch.where(seen, below, 1), 0)
    return coarse.reshape(*image.shape[:-2], *coarse.shape[-2:])


def _gains(mtf: float | Sequence[float] | str, ratio: int) -> tuple[float, ...]:
    if ratio < 2:
        raise BadParameter(f'ratio is {ratio}; it must be a whole number from 2.')
    if isinstance(mtf, str):
        if mtf not in MTF:
            raise BadParameter(f'mtf is {mtf!r}; sensors are {", ".join(MTF)}.')
        return MTF[mtf][0]
    gains = tuple(float(gain) for gain in (mtf if isinstance(mtf, Sequence) else [mtf]))
    # the centre of a coarse pixel of even size lies between fine ones, of which the mean is taken
    highest = 1.0 if ratio % 2 else math.cos(math.pi / (2 * ratio))
    if not gains or not all(0 < gain < highest for gain in gains):
        raise BadParameter(
            f'mtf is {mtf}; for the ratio {ratio} gains must be between 0 and {highest:.3g}.'
        )
    return gains


@functools.lru_cache
def _kernel(gain: float, ratio: int) -> tuple[float, ...]:
    """Weights of the sampled Gaussian that has this gain at the coarse Nyquist frequency.

    Centred on a coarse pixel: on a pixel for odd ratios, between two for even ones. Its width is
    found by bisection, since a narrow sampled Gaussian responds differently from a continuous one.
    """
    # the continuous Gaussian's, and some more
    narrow, wide = 0.0, ratio * math.sqrt(-2 * math.log(gain)) / math.pi + ratio
    for _ in range(60):
        sigma = (narrow + wide) / 2
        weights = _gaussian(sigma, ratio)
        middle = (len(weights) - 1) / 2
        response = sum(
            weight * math.cos(math.pi * (i - middle) / ratio) for i, weight in enumerate(weights)
        )
        narrow, wide = (sigma, wide) if response > gain else (narrow, sigma)
    return weights


def _gaussian(sigma: float, ratio: int) -> tuple[float, ...]:
    count = ratio + 2 * math.ceil(max(_REACH * sigma - ratio / 2, 0))
    squares = [(i - (count - 1) / 2) ** 2 for i in range(count)]
    # relative to the highest, which would underflow in narrow ones
    weights = [math.exp(-0.5 * (square - min(squares)) / sigma**2) for square in squares]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def _filter(images: Tensor, kernels: Sequence[Sequence[float]], ratio: int) -> Tensor:
    """Filter (n, c, h, w) images, each channel by its kernel, at the centres of coarse pixels."""
    channels = images.shape[1]
    size = max(map(len, kernels))
    padded = [[0.0] * ((size - len(k)) // 2) + list(k) for k in kernels]
    weights = images.new_tensor([k + [0.0] * (size - len(k)) for k in padded])[:, None]
    margin = (size - ratio) // 2
    rows = functional.conv2d(
        images, weights[..., None], stride=(ratio, 1), padding=(margin, 0), groups=channels
    )
    return functional.conv2d(
        rows, weights[..., None, :], stride=(1, ratio), padding=(0, margin), groups=channels
    )


def _block_mean(images: Tensor, ratio: int) -> Tensor:
    return functional.avg_pool2d(images, ratio)


def _coarse_mask(mask: Tensor, ratio: int) -> Tensor:
    """Most frequent value of each block (the smallest of several), or the mean of real numbers."""
    blocks = mask.unflatten(-1, (-1, ratio)).unflatten(-3, (-1, ratio))
    blocks = blocks.transpose(-3, -2).flatten(-2)
    if mask.is_floating_point():
        return blocks.mean(dim=-1)
    return blocks.to(torch.int64).mode(dim=-1).values.to(mask.dtype)
