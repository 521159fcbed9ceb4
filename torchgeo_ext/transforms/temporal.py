"""Time inside a series: filling gaps between dates, and the day of the year as numbers.

Axes: t time, c channel, h height, w width, ... anything before, for instance a batch.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._base import Sample, SampleTransform
from torchgeo_ext.transforms._series import like_sample, read_days, read_series, take, write_valid

#: Mean length of a Gregorian year in days.
YEAR = 365.2425

type GapMethod = Literal['linear', 'nearest']


def fill_gaps(
    images: Tensor,
    valid: Tensor,
    days: Tensor,
    *,
    method: GapMethod = 'linear',
    max_gap: float = math.inf,
) -> tuple[Tensor, Tensor]:
    """Fill invalid pixels from the valid dates of the same pixel.

    Before the first and after the last valid date, its value is held, as ``numpy.interp`` does.

    Args:
        images: (..., t, c, h, w) pixel values. Invalid ones are never read, so they may be NaN.
        valid: (..., t, h, w) bool, where there is a measurement.
        days: (..., t) dates in days from any origin, in any order, as irregular as they come.
        method: 'linear' in time between the valid dates before and after, or the value of the
            'nearest' of them in time (the earlier one if both are equally near).
        max_gap: Longest gap that is filled, in days: from the valid date before to the valid date
            after, or, at the ends of the series, to the only one of them.

    Returns:
        The images with gaps filled, and where they were filled, (..., t, h, w) bool. What could not
        be filled is as before.
    """
    dates = valid.shape[-3]
    order = days.argsort(dim=-1, stable=True)[..., None, None]
    rank = order.argsort(dim=-3)
    seen = take(valid, order, -3)
    position = torch.arange(dates, device=valid.device)[:, None, None]
    before = torch.where(seen, position, -1).cummax(dim=-3).values
    after = torch.where(seen, position, dates).flip(-3).cummin(dim=-3).values.flip(-3)
    any_date = seen.any(dim=-3, keepdim=True)
    before, after = (
        torch.where(before >= 0, before, after).clamp(max=dates - 1),
        torch.where(after < dates, after, before).clamp(min=0),
    )

    days = days[..., None, None]
    now = take(days, order, -3)
    left, right = (take(now, index, -3) for index in (before, after))
    # where both are one date, any weight will do
    weight = (now - left) / torch.where(right > left, right - left, 1)
    if method == 'nearest':
        weight = (weight > 0.5).to(weight)
    gap = torch.maximum(right, now) - torch.minimum(left, now)
    filled = ~seen & any_date & (gap <= max_gap)

    before, after = (take(order, index, -3) for index in (before, after))
    before, after, weight, filled = (
        take(value, rank, -3) for value in (before, after, weight, filled)
    )
    left, right = (take(images, index.unsqueeze(-3), -4) for index in (before, after))
    between = torch.lerp(left, right, weight.to(images.dtype).unsqueeze(-3))
    return torch.where(filled.unsqueeze(-3), between, images), filled


def encode_day_of_year(doy: Tensor) -> Tensor:
    """Give days of the year as points on a circle, so that December meets January.

    Args:
        doy: (...) day of year, 1 to 366.

    Returns:
        (..., 2) sine and cosine, both from -1 to 1; 1 January is (0, 1).
    """
    angle = (doy - 1) * (2 * math.pi / YEAR)
    return torch.stack((angle.sin(), angle.cos()), dim=-1)


class FillGaps(SampleTransform):
    """Fill invalid pixels of a series from its other dates; see :func:`fill_gaps`.

    Filled pixels become valid, and ``mask_filled`` (t, h, w) bool tells which they are. Dates are
    read from ``seconds``, or else from ``doy`` as days of one year; dates flagged by ``gap`` are
    filled as a whole, and stay flagged.

    Example:
        >>> fill = FillGaps(max_gap=40)
        >>> image = torch.tensor([0.1, 0.0, 0.5]).reshape(3, 1, 1, 1)
        >>> valid = torch.tensor([True, False, True]).reshape(3, 1, 1)
        >>> sample = {'image': image, 'mask_valid': valid, 'doy': torch.tensor([10.0, 20.0, 50.0])}
        >>> fill(sample)['image'].flatten().tolist()
        [0.10000000149011612, 0.20000000298023224, 0.5]

    Args:
        method: 'linear' or 'nearest' in time.
        max_gap: Longest gap that is filled, in days.

    Raises:
        BadParameter: If the method is not known or ``max_gap`` is not above 0.
        BadInput: When called, if the sample is no series or does not tell its dates.
    """

    needs_sample = True

    def __init__(self, method: GapMethod = 'linear', max_gap: float = math.inf) -> None:
        super().__init__()
        methods = get_args(GapMethod.__value__)
        if method not in methods:
            raise BadParameter(f'method is {method!r}; it must be one of {", ".join(methods)}.')
        if not max_gap > 0:
            raise BadParameter(f'max_gap is {max_gap}; it must be a number of days above 0.')
        self.method = method
        self.max_gap = max_gap

    def transform(self, sample: Sample) -> Sample:
        """Fill, and say where."""
        series = read_series(sample)
        images, filled = fill_gaps(
            series.images, series.valid, read_days(sample), method=self.method, max_gap=self.max_gap
        )
        write_valid(sample, series.valid | filled)
        sample['mask_filled'] = like_sample(sample, filled)
        sample['image'] = images.reshape(sample['image'].shape)
        return sample


class EncodeDayOfYear(SampleTransform):
    """Add the day of the year as ``doy_encoding`` (t, 2); see :func:`encode_day_of_year`.

    Dates flagged by ``gap`` get (0, 0), which is no day.

    Example:
        >>> encode = EncodeDayOfYear()
        >>> sample = {'image': torch.zeros(2, 4, 8, 8), 'doy': torch.tensor([1.0, 92.31])}
        >>> encode(sample)['doy_encoding'].round(decimals=3).tolist()
        [[0.0, 1.0], [1.0, 0.0]]

    Raises:
        BadInput: When called, if the sample has no ``doy``.
    """

    needs_sample = True

    def transform(self, sample: Sample) -> Sample:
        """Add the encoding; the image stays as it is."""
        if 'doy' not in sample:
            raise BadInput('The sample has no doy (day of year, one number per date).')
        encoding = encode_day_of_year(sample['doy'])
        if 'gap' in sample:
            encoding = torch.where(sample['gap'][..., None] != 0, 0, encoding)
        sample['doy_encoding'] = encoding
        return sample
