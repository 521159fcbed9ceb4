"""Samples mixed of others: pieces exchanged inside a batch, or between the dates of one place.

What is exchanged between samples is everything there is at a pixel - image, labels, validity - so
that it still fits together.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._base import (
    Sample,
    SampleTransform,
    check_fraction,
    check_range,
    uniform,
)
from torchgeo_ext.transforms._series import date_masks, like_sample, read_series, take

#: Mask value of pixels without a label.
IGNORE = -1

type SeasonalMode = Literal['exchange', 'blend']


def random_boxes(count: int, height: int, width: int, areas: Tensor) -> Tensor:
    """Draw boxes of given areas and of the image's shape, anywhere inside the image.

    Args:
        count: Number of boxes.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        areas: (count,) shares of the image that the boxes cover, up to whole rows and columns.

    Returns:
        (count, height, width) bool, True inside the box.
    """
    inside = []
    for length in (height, width):
        sides = (areas.sqrt() * length).round()
        starts = (torch.rand(count) * (length - sides + 1)).floor()
        place = torch.arange(length)
        inside.append((place >= starts[:, None]) & (place < (starts + sides)[:, None]))
    rows, columns = inside
    return rows[:, :, None] & columns[:, None, :]


def random_classes(mask: Tensor, ignore: int = IGNORE, weights: Tensor | None = None) -> Tensor:
    """Draw half of the classes (rounded down) that each mask shows.

    Args:
        mask: (b, ...) int64 classes.
        ignore: Value that is no class.
        weights: (k,) how much each class from 0 on deserves to be drawn; all alike if not given.

    Returns:
        (b, ...) bool, True at the pixels of the classes drawn.
    """
    flat = mask.flatten(1)
    # the masks' own values, renumbered: class values may be large
    values, numbers = torch.unique(flat, return_inverse=True)
    present = torch.zeros(len(flat), len(values), dtype=torch.bool, device=mask.device)
    present.scatter_(1, numbers, True)
    present &= values != ignore
    order = torch.rand(present.shape).to(mask.device)
    if weights is not None:
        # waiting times: those of larger weights are shorter
        order = -order.log() / weights[values.clamp(min=0)]
    order = order.masked_fill(~present, torch.inf)
    rank = order.argsort(dim=1).argsort(dim=1)
    drawn = present & (rank < present.sum(dim=1, keepdim=True) // 2)
    return drawn.gather(1, numbers).reshape(mask.shape)


def paste(sample: Sample, partner: Tensor, where: Tensor) -> Sample:
    """Replace pixels of a batch by those of partners in the same batch.

    Takes along ``image`` and every other key that starts with it or with ``mask`` and has the
    image's height and width. Whatever else the sample tells, such as its dates, stays.

    Args:
        sample: Batch.
        partner: (b,) int64, from which sample each takes pixels.
        where: (b, h, w) bool, which pixels.

    Returns:
        A new batch.
    """
    result = dict(sample)
    for key, value in sample.items():
        if key.startswith(('image', 'mask')) and value.shape[-2:] == where.shape[-2:]:
            shape = (len(where), *(1,) * (value.ndim - 3), *where.shape[-2:])
            result[key] = torch.where(where.reshape(shape), value[partner], value)
    return result


class _BatchMix(SampleTransform):
    """What mixing inside a batch shares: partners, chance and the refusal of single samples.

    A subclass implements :meth:`regions`.
    """

    needs_sample = True

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        check_fraction('p', p)
        self.p = p

    def regions(self, sample: Sample, partner: Tensor) -> Tensor:
        """Choose the pixels that each sample takes from its partner, (b, h, w) bool."""
        raise NotImplementedError

    def transform(self, sample: Sample) -> Sample:
        """Let each sample, if chance wants it, take pixels of the next one in a random order."""
        name = type(self).__name__
        mask = sample.get('mask')
        if mask is None:
            raise BadInput(f'{name} mixes labels of pixels too, but the batch has no mask.')
        image = sample['image']
        # a mask of a batch has an axis more than (h, w) or, of pairs, (1, h, w)
        if image.ndim < 4 or mask.ndim < 3 or len(mask) != len(image):
            raise BadInput(
                f'{name} mixes the samples of a batch, but was given an image of the shape '
                f'{tuple(image.shape)} with a mask of the shape {tuple(mask.shape)}.',
                "Use it on batches: in a data module's aug, not in a dataset's transforms.",
            )
        count = len(image)
        order = torch.randperm(count)
        partner = torch.empty_like(order)
        partner[order] = order.roll(1)
        chosen = (torch.rand(count) < self.p).to(image.device)
        partner = partner.to(image.device)
        where = self.regions(sample, partner) & chosen[:, None, None]
        return paste(sample, partner, where)


class CutMix(_BatchMix):
    """Let samples of a batch take a box of another's image, mask and validity.

    Dates of pairs and series take the same box. Sources: Yun et al. (2019), CutMix,
    https://arxiv.org/abs/1905.04899; for segmentation French et al. (2020), Semi-supervised
    semantic segmentation needs strong, varied perturbations, https://arxiv.org/abs/1906.01916.

    Example:
        >>> batch = {'image': torch.rand(8, 4, 64, 64), 'mask': torch.zeros(8, 64, 64).long()}
        >>> CutMix()(batch)['image'].shape
        torch.Size([8, 4, 64, 64])

    Args:
        area: Least and greatest share of the image that the box covers.
        p: Probability that a sample takes a box.

    Raises:
        BadParameter: If a number is not from 0 to 1.
        BadInput: When called, if there is no batch or no mask.
    """

    def __init__(self, area: tuple[float, float] = (0.1, 0.5), p: float = 0.5) -> None:
        super().__init__(p)
        self.area = check_range('area', area, 0, 1)

    def regions(self, sample: Sample, partner: Tensor) -> Tensor:
        """Choose a box for each sample."""
        height, width = sample['image'].shape[-2:]
        count = len(partner)
        boxes = random_boxes(count, height, width, uniform(count, self.area))
        return boxes.to(partner.device)


class ClassMix(_BatchMix):
    """Let samples of a batch take half of another's classes: image, mask and validity.

    Each takes the pixels of half (rounded down) of the classes in its partner's mask; a partner
    with a single class gives nothing. Pixels without a label are never taken. Source: Olsson et
    al. (2021), ClassMix, https://arxiv.org/abs/2007.07936.

    Example:
        >>> batch = {
        ...     'image': torch.rand(8, 2, 4, 64, 64),
        ...     'mask': torch.randint(0, 2, (8, 1, 64, 64)),
        ... }
        >>> ClassMix()(batch)['mask'].shape
        torch.Size([8, 1, 64, 64])

    Args:
        p: Probability that a sample takes classes.
        ignore: Value of the mask that is no class.

    Raises:
        BadParameter: If ``p`` is not from 0 to 1.
        BadInput: When called, if there is no batch or no mask.
    """

    def __init__(self, p: float = 0.5, ignore: int = IGNORE) -> None:
        super().__init__(p)
        self.ignore = ignore

    def regions(self, sample: Sample, partner: Tensor) -> Tensor:
        """Choose the pixels of half of the partner's classes."""
        mask = sample['mask']
        classes = mask[partner].reshape(len(mask), *mask.shape[-2:])
        return random_classes(classes, self.ignore)


class SeasonalMix(SampleTransform):
    """Mix the dates of one place, so that a model does not hang on one season's looks.

    'exchange' lets two dates swap a box; where the mask tells change, it stays true, because
    change between two dates is the same in either direction. 'blend' makes every date a weighted
    mean of itself and another one, as mixup does with samples. Pixels invalid at either date stay
    as they are, and so does validity. Masks of each date, such as ``mask_cloud``, are exchanged
    too; ``doy`` and ``seconds`` go on telling the dates of most pixels. Labels stay: use it where
    they hold for all dates, or are of change.

    Sources: seasons as natural augmentation, Manas et al. (2021), Seasonal Contrast,
    https://arxiv.org/abs/2103.16607; exchange between the two dates (of features), Fang et al.
    (2022), Changer, https://arxiv.org/abs/2209.08290; mixup, Zhang et al. (2018),
    https://arxiv.org/abs/1710.09412.

    Example:
        >>> mix = SeasonalMix('blend', share=(0.0, 0.3))
        >>> mix({'image': torch.rand(12, 4, 64, 64)})['image'].shape
        torch.Size([12, 4, 64, 64])

    Args:
        mode: 'exchange' or 'blend'.
        share: Least and greatest share of the image that is exchanged, or weight of the other date.
        p: Probability that a series is mixed.

    Raises:
        BadParameter: If the mode is not known or a number not from 0 to 1.
        BadInput: When called, if the sample is no series.
    """

    def __init__(
        self,
        mode: SeasonalMode = 'exchange',
        share: tuple[float, float] = (0.1, 0.5),
        p: float = 0.5,
    ) -> None:
        super().__init__()
        modes = get_args(SeasonalMode.__value__)
        if mode not in modes:
            raise BadParameter(f'mode is {mode!r}; it must be one of {", ".join(modes)}.')
        check_fraction('p', p)
        self.mode = mode
        self.share = check_range('share', share, 0, 1)
        self.p = p

    def transform(self, sample: Sample) -> Sample:
        """Mix the dates where both are valid."""
        images, valid = read_series(sample)
        count, dates, _, height, width = images.shape
        partner = _partners(count, dates).to(images.device)
        share = uniform(count, self.share)
        chosen = (torch.rand(count) < self.p).to(images.device)
        others = take(images, partner[:, :, None, None, None], 1)
        both = valid & take(valid, partner[:, :, None, None], 1)
        both &= chosen[:, None, None, None]
        if self.mode == 'blend':
            mixed = torch.lerp(images, others, share.to(images)[:, None, None, None, None])
        else:
            mixed = others
            both &= random_boxes(count, height, width, share).to(images.device)[:, None]
            for key, mask in date_masks(sample).items():
                other = take(mask, partner[:, :, None, None], 1)
                sample[key] = like_sample(sample, torch.where(both, other, mask))
        sample['image'] = like_sample(sample, torch.where(both.unsqueeze(2), mixed, images))
        return sample


def _partners(count: int, dates: int) -> Tensor:
    """Pair up dates at random: (count, dates) int64; an odd one is its own partner."""
    order = torch.rand(count, dates).argsort(dim=1)
    paired = order.clone()
    even = dates - dates % 2
    paired[:, :even] = order[:, :even].unflatten(1, (-1, 2)).flip(2).flatten(1)
    return torch.empty_like(order).scatter_(1, order, paired)
