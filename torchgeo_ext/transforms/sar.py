"""Transforms of radar images: speckle and the decibel scale."""

import dataclasses
import math
from typing import Literal

import torch

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms._base import Drawn, Images, ImageTransform, check_range, uniform

#: How the numbers of a radar image are to be read: power, its square root, or 10 log10 of power.
Form = Literal['intensity', 'amplitude', 'decibel']


class Speckle(ImageTransform):
    """Multiply by the speckle of a multi-look radar image.

    Intensity is multiplied by a gamma-distributed factor of mean 1 and variance 1 / looks (fully
    developed speckle, independent from pixel to pixel), amplitude by its square root; decibels have
    its logarithm added.

    Args:
        looks: Range of the (equivalent) number of looks.
        form: What the numbers of the image are.
        p: Probability that an image gets speckle.
        same_on_time: Use the same number of looks in all dates of a series; their speckle still
            differs.

    Raises:
        BadParameter: If ``looks`` is not a positive range.
    """

    def __init__(
        self,
        looks: tuple[float, float] = (1.0, 8.0),
        form: Form = 'intensity',
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(p, same_on_time)
        self.looks = check_range('looks', looks, 0)
        if self.looks[0] == 0:
            raise BadParameter(f'looks is {looks}; the number of looks must be positive.')
        self.form = form

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw the number of looks of each image."""
        return {'looks': uniform((count, 1, 1, 1), self.looks)}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Speckle the pixels."""
        pixels = images.pixels
        looks = drawn['looks'].float().expand(pixels.shape)
        factor = torch.distributions.Gamma(looks, looks).sample()
        # the smallest draws of few looks may underflow to 0, whose logarithm is infinite
        factor = factor.clamp(min=torch.finfo(factor.dtype).tiny)
        if self.form == 'decibel':
            return dataclasses.replace(images, pixels=pixels + (10 * factor.log10()).to(pixels))
        if self.form == 'amplitude':
            factor = factor.sqrt()
        return dataclasses.replace(images, pixels=pixels * factor.to(pixels))


class ToDecibel(ImageTransform):
    """Turn intensity into decibels: 10 log10(x).

    Args:
        floor: Smaller intensities, also 0 and below, become this one; 1e-5 is -50 dB.

    Raises:
        BadParameter: If ``floor`` is not positive.
    """

    def __init__(self, floor: float = 1e-5) -> None:
        super().__init__()
        if floor <= 0:
            raise BadParameter(f'floor is {floor}; it must be positive.')
        self.floor = floor

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Take the logarithm."""
        return dataclasses.replace(images, pixels=10 * images.pixels.clamp(min=self.floor).log10())


class FromDecibel(ImageTransform):
    """Turn decibels into intensity: 10^(x / 10)."""

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Raise 10 to the power."""
        return dataclasses.replace(images, pixels=torch.exp(images.pixels * (math.log(10) / 10)))


class LogScale(ImageTransform):
    """Compress large values: ln(1 + x / knee), linear well below the knee and logarithmic above.

    Args:
        knee: Value at which compression sets in, in units of the image. Values below 0 become 0.

    Raises:
        BadParameter: If ``knee`` is not positive.
    """

    def __init__(self, knee: float = 1.0) -> None:
        super().__init__()
        if knee <= 0:
            raise BadParameter(f'knee is {knee}; it must be positive.')
        self.knee = knee

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Take the logarithm."""
        pixels = (images.pixels.clamp(min=0) / self.knee).log1p()
        return dataclasses.replace(images, pixels=pixels)
