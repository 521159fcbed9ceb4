"""Dates, or bands, that do not quite lie on each other.

Even a fifth of a pixel shows as change: Townshend et al. (1992), The impact of misregistration on
change detection, IEEE Transactions on Geoscience and Remote Sensing 30(5), 1054-1060; Dai and
Khorram (1998), The effects of image misregistration on the accuracy of remotely sensed change
detection, IEEE Transactions on Geoscience and Remote Sensing 36(5), 1566-1577.
"""

import dataclasses
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms._base import (
    Drawn,
    Images,
    ImageTransform,
    Sample,
    SampleTransform,
    check_fraction,
    uniform,
    with_valid,
)
from torchgeo_ext.transforms._series import date_masks, like_sample, read_series, write_valid

type Resampling = Literal['bilinear', 'bicubic']


def misregistered_grid(
    size: tuple[int, int],
    shift: Tensor,
    rotation: Tensor | float = 0.0,
    scale: Tensor | float = 1.0,
) -> Tensor:
    """Say where each pixel of a moved image comes from.

    Args:
        size: Height and width in pixels.
        shift: (n, 2) how far the image is moved, right and down, in pixels.
        rotation: (n,) angle it is turned by about its centre, clockwise, in degrees.
        scale: (n,) factor it is enlarged by about its centre.

    Returns:
        (n, h, w, 2) places in the image before it was moved, as ``grid_sample`` wants them without
        ``align_corners``.
    """
    height, width = size
    angle = torch.deg2rad(torch.as_tensor(rotation).to(shift)).expand(len(shift))
    factor = torch.as_tensor(scale).to(shift).expand(len(shift))
    cos, sin = angle.cos() / factor, angle.sin() / factor
    back = torch.stack((cos, sin, -sin, cos), dim=-1).unflatten(-1, (2, 2))
    # places run from -1 to 1 along either axis
    half = shift.new_tensor((width / 2, height / 2))
    moved = -(back @ shift[:, :, None]) / half[:, None]
    theta = torch.cat((back * half / half[:, None], moved), dim=-1)
    return affine_grid(theta, [len(shift), 1, height, width], align_corners=False)


def resample(
    images: Tensor, valid: Tensor, grid: Tensor, resampling: Resampling = 'bilinear'
) -> tuple[Tensor, Tensor]:
    """Read images at fractional places.

    Args:
        images: (n, c, h, w) pixel values, 0 where invalid.
        valid: (n, 1, h, w) bool.
        grid: (n, h, w, 2) places to read at, of :func:`misregistered_grid`.
        resampling: 'bilinear' or 'bicubic'.

    Returns:
        The images, and where no invalid pixel or rim had a part in them, (n, 1, h, w) bool.
    """
    read = grid_sample(images, grid, mode=resampling, align_corners=False)
    weight = grid_sample(valid.to(images), grid, mode=resampling, align_corners=False)
    return read, (weight - 1).abs() < 1e-3


def _check_resampling(resampling: str) -> None:
    known = get_args(Resampling.__value__)
    if resampling not in known:
        raise BadParameter(f'resampling is {resampling!r}; it must be one of {", ".join(known)}.')


def _check_size(name: str, value: float) -> None:
    if not value >= 0:
        raise BadParameter(f'{name} is {value}; it must be 0 or more.')


class Misregister(SampleTransform):
    """Move the dates of a pair or series against the first one, by fractions of a pixel.

    The first date and the labels stay where they are. Pixels that would need values from outside
    the image, or invalid ones, keep their values and become invalid; ``mask_valid`` is added if
    there was none. Masks of each date, such as ``mask_cloud``, move along.

    Example:
        >>> move = Misregister(shift=0.5)
        >>> result = move({'image': torch.rand(2, 4, 64, 64)})
        >>> result['image'].shape, result['mask_valid'].shape
        (torch.Size([2, 4, 64, 64]), torch.Size([2, 64, 64]))

    Args:
        shift: Furthest that a date is moved along rows and along columns, in pixels.
        rotation: Largest angle it is turned by about the centre, in degrees.
        scale: Largest share it is enlarged or shrunk by.
        resampling: 'bilinear', which blurs a little, or 'bicubic'.
        p: Probability that a date is moved.

    Raises:
        BadParameter: If a number is out of its range or the resampling not known.
        BadInput: When called, if the sample is no series.
    """

    needs_sample = True

    def __init__(
        self,
        shift: float = 0.5,
        rotation: float = 0.0,
        scale: float = 0.0,
        resampling: Resampling = 'bilinear',
        p: float = 0.5,
    ) -> None:
        super().__init__()
        for name, value in (('shift', shift), ('rotation', rotation)):
            _check_size(name, value)
        if not 0 <= scale < 1:
            raise BadParameter(f'scale is {scale}; it must be 0 or more and below 1.')
        check_fraction('p', p)
        _check_resampling(resampling)
        self.shift = shift
        self.rotation = rotation
        self.scale = scale
        self.resampling: Resampling = resampling
        self.p = p

    def transform(self, sample: Sample) -> Sample:
        """Move all dates but the first, each by its own amount."""
        images, valid = read_series(sample)
        count, dates = valid.shape[:2]
        chosen = torch.rand(count, dates) < self.p
        chosen[:, 0] = False
        grid = self._grid(count * dates, images)
        flat = torch.where(valid.unsqueeze(2), images, 0).flatten(0, 1)
        moved, known = resample(flat, valid.flatten(0, 1)[:, None], grid, self.resampling)
        chosen = chosen.to(images.device)[:, :, None, None]
        known = known.reshape(valid.shape) & valid
        write_valid(sample, valid & (known | ~chosen))
        taken = known & chosen
        for key, mask in date_masks(sample).items():
            other = _nearest(mask.flatten(0, 1), grid).reshape(mask.shape)
            sample[key] = like_sample(sample, torch.where(taken, other, mask))
        moved = moved.reshape(images.shape)
        sample['image'] = like_sample(sample, torch.where(taken.unsqueeze(2), moved, images))
        return sample

    def _grid(self, count: int, images: Tensor) -> Tensor:
        within = (-1.0, 1.0)
        return misregistered_grid(
            (images.shape[-2], images.shape[-1]),
            (uniform((count, 2), within) * self.shift).to(images),
            uniform(count, within) * self.rotation,
            1 + uniform(count, within) * self.scale,
        )


class MisregisterBands(ImageTransform):
    """Move the bands of an image against the first one, by fractions of a pixel.

    The first band and the labels stay where they are. Pixels that would need values from outside
    the image, or invalid ones, keep their values and become invalid; ``mask_valid`` is added if
    there was none.

    Example:
        >>> move = MisregisterBands(shift=0.2, same_on_time=True)
        >>> move({'image': torch.rand(2, 4, 64, 64)})['image'].shape
        torch.Size([2, 4, 64, 64])

    Args:
        shift: Furthest that a band is moved along rows and along columns, in pixels.
        resampling: 'bilinear', which blurs a little, or 'bicubic'.
        p: Probability that an image (a series, with ``same_on_time``) is changed.
        same_on_time: Move the bands of all dates of a series alike.

    Raises:
        BadParameter: If a number is out of its range or the resampling not known.
    """

    needs_sample = True

    def __init__(
        self,
        shift: float = 0.3,
        resampling: Resampling = 'bilinear',
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(p, same_on_time)
        _check_size('shift', shift)
        _check_resampling(resampling)
        self.shift = shift
        self.resampling: Resampling = resampling

    def transform(self, sample: Sample) -> Sample:
        """Move bands, and mark what became invalid."""
        return super().transform(with_valid(sample))

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw how far each band but the first is moved, right and down."""
        others = images.pixels.shape[1] - 1
        return {'shift': uniform((count, others, 2), (-1.0, 1.0)) * self.shift}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Move each band but the first as an image of its own."""
        first, others = images.pixels[:, :1], images.pixels[:, 1:]
        size = (first.shape[-2], first.shape[-1])
        valid = torch.ones_like(first, dtype=torch.bool) if images.valid is None else images.valid
        moved, known = resample(
            others.reshape(-1, 1, *size),
            valid.repeat_interleave(others.shape[1], dim=0),
            misregistered_grid(size, drawn['shift'].flatten(0, 1)),
            self.resampling,
        )
        known = known.reshape(others.shape).all(dim=1, keepdim=True)
        moved = torch.where(known, moved.reshape(others.shape), others)
        return dataclasses.replace(images, pixels=torch.cat((first, moved), dim=1), valid=known)


def _nearest(masks: Tensor, grid: Tensor) -> Tensor:
    """Read (n, h, w) masks at the pixels nearest to places."""
    values = masks[:, None].to(grid)
    return grid_sample(values, grid, mode='nearest', align_corners=False)[:, 0].to(masks.dtype)
