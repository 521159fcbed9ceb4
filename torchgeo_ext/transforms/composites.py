"""One image out of a series: composites over time that see only valid pixels.

Axes: t time, c channel, h height, w width, ... anything before, for instance a batch.
"""

import itertools
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._bands import Bands, positions
from torchgeo_ext.transforms._base import Sample, SampleTransform
from torchgeo_ext.transforms._series import (
    Series,
    date_masks,
    like_sample,
    read_series,
    take,
    write_valid,
)

type CompositeMethod = Literal['median', 'mean', 'max_ndvi', 'medoid']


class Composite(NamedTuple):
    """A composite and where it has any measurement.

    Attributes:
        image: (..., c, h, w); pixels without a valid date keep the value of the first date.
        valid: (..., h, w) bool, True where at least one date is valid.
    """

    image: Tensor
    valid: Tensor


def median_composite(images: Tensor, valid: Tensor) -> Composite:
    """Take the median over time of each band by itself.

    Args:
        images: (..., t, c, h, w) pixel values.
        valid: (..., t, h, w) bool, where there is a measurement.

    Returns:
        The composite. Of an even number of dates, the mean of the middle two.
    """
    # invalid dates sort behind all others
    ordered = torch.where(valid.unsqueeze(-3), images, torch.inf).sort(dim=-4).values
    count = valid.sum(dim=-3)[..., None, None, :, :]
    low, high = (
        take(ordered, index, -4).squeeze(-4)
        for index in (((count - 1) // 2).clamp(min=0), (count // 2).clamp(max=valid.shape[-3] - 1))
    )
    return _or_first((low + high) / 2, images, valid)


def mean_composite(images: Tensor, valid: Tensor) -> Composite:
    """Take the mean over time of each band by itself.

    Args:
        images: (..., t, c, h, w) pixel values.
        valid: (..., t, h, w) bool, where there is a measurement.

    Returns:
        The composite.
    """
    total = torch.where(valid.unsqueeze(-3), images, 0).sum(dim=-4)
    count = valid.sum(dim=-3).clamp(min=1).unsqueeze(-3)
    return _or_first(total / count, images, valid)


def greenest_date(images: Tensor, valid: Tensor, red: int, nir: int) -> Tensor:
    """Find the date with the highest NDVI of each pixel.

    Clouds lower NDVI, so this prefers clear dates. Source: Holben (1986), Characteristics of
    maximum-value composite images from temporal AVHRR data, International Journal of Remote
    Sensing 7(11), 1417-1434.

    Args:
        images: (..., t, c, h, w) reflectances.
        valid: (..., t, h, w) bool, where there is a measurement.
        red: Position of the red band, from 0.
        nir: Position of the near-infrared band, from 0.

    Returns:
        (..., h, w) int64, position of the date from 0; -1 where no date is valid.
    """
    red_band, nir_band = images[..., red, :, :], images[..., nir, :, :]
    total = nir_band + red_band
    ndvi = (nir_band - red_band) / torch.where(total == 0, 1, total)
    best = torch.where(valid, ndvi, -torch.inf).argmax(dim=-3)
    return torch.where(valid.any(dim=-3), best, -1)


@torch.no_grad()
def medoid_date(images: Tensor, valid: Tensor) -> Tensor:
    """Find the date that is nearest to all other valid dates of each pixel, over all bands.

    The medoid is the date with the smallest sum of Euclidean distances to the others: unlike the
    median it is a spectrum that was measured. Source: Flood (2013), Seasonal composite Landsat
    TM/ETM+ images using the medoid (a multi-dimensional median), https://doi.org/10.3390/rs5126481.

    Args:
        images: (..., t, c, h, w) pixel values, bands of one unit.
        valid: (..., t, h, w) bool, where there is a measurement.

    Returns:
        (..., h, w) int64, position of the date from 0, the first of equals; -1 where no date is
        valid.
    """
    images = torch.where(valid.unsqueeze(-3), images, 0)
    total = torch.zeros_like(images[..., 0, :, :])
    for one, other in itertools.combinations(range(valid.shape[-3]), 2):
        distance = (images[..., one, :, :, :] - images[..., other, :, :, :]).square_()
        distance = distance.sum(dim=-3).sqrt_()
        total[..., one, :, :] += distance * valid[..., other, :, :]
        total[..., other, :, :] += distance * valid[..., one, :, :]
    nearest = torch.where(valid, total, torch.inf).argmin(dim=-3)
    return torch.where(valid.any(dim=-3), nearest, -1)


def take_dates(images: Tensor, dates: Tensor) -> Tensor:
    """Put together an image from a date of its own for each pixel.

    Args:
        images: (..., t, c, h, w) pixel values.
        dates: (..., h, w) int64, position of the date from 0; the first date where it is -1.

    Returns:
        (..., c, h, w) pixel values.
    """
    index = dates.clamp(min=0)[..., None, None, :, :]
    return take(images, index, -4).squeeze(-4)


def _or_first(image: Tensor, images: Tensor, valid: Tensor) -> Composite:
    """A composite that keeps the first date's no-data where it has nothing to say."""
    any_date = valid.any(dim=-3)
    first = images[..., 0, :, :, :]
    return Composite(torch.where(any_date.unsqueeze(-3), image, first), any_date)


class TemporalComposite(SampleTransform):
    """Make one image (c, h, w) of a series (t, c, h, w), from its valid pixels.

    ``mask_valid`` becomes (h, w). With 'max_ndvi' and 'medoid', ``mask_date`` (h, w) int64 tells
    the date that each pixel is from, -1 where no date is valid, and masks of each date, such as
    ``mask_cloud``, become that date's; the other methods remove them. ``doy``, ``seconds`` and
    ``gap`` keep telling which dates went in.

    Example:
        >>> composite = TemporalComposite('max_ndvi', bands=['blue', 'green', 'red', 'nir'])
        >>> composite({'image': torch.rand(12, 4, 64, 64)})['image'].shape
        torch.Size([4, 64, 64])

    Args:
        method: 'median' or 'mean' of each band, the date of the highest NDVI ('max_ndvi',
            :func:`greenest_date`), or the most typical date ('medoid', :func:`medoid_date`).
        bands: For 'max_ndvi', bands of the image: a sensor or its name, or names, roles or centre
            wavelengths in micrometres. By default the ``wavelengths`` of the sample tell.

    Raises:
        BadParameter: If the method is not known, or red or near infrared are not among the bands.
        BadInput: When called, if the sample is no series, or nothing tells its bands.
    """

    needs_sample = True

    def __init__(self, method: CompositeMethod = 'median', bands: Bands | None = None) -> None:
        super().__init__()
        methods = get_args(CompositeMethod.__value__)
        if method not in methods:
            raise BadParameter(f'method is {method!r}; it must be one of {", ".join(methods)}.')
        self.method = method
        self.bands = bands
        self.red_nir = None if bands is None else positions(('red', 'nir'), bands)

    def transform(self, sample: Sample) -> Sample:
        """Replace the series by its composite."""
        series = read_series(sample)
        masks = date_masks(sample)
        if self.method in ('median', 'mean'):
            compose = median_composite if self.method == 'median' else mean_composite
            image, valid = compose(*series)
            for key in masks:
                del sample[key]
        else:
            dates = self._dates(series, sample)
            image, valid = take_dates(series.images, dates), dates >= 0
            for key, mask in masks.items():
                taken = take_dates(mask.unsqueeze(-3), dates).squeeze(-3)
                sample[key] = like_sample(sample, taken)
            sample['mask_date'] = like_sample(sample, dates)
        write_valid(sample, valid)
        sample['image'] = like_sample(sample, image)
        return sample

    def _dates(self, series: Series, sample: Sample) -> Tensor:
        if self.method == 'medoid':
            return medoid_date(*series)
        return greenest_date(*series, *(self.red_nir or _red_nir(sample)))


def _red_nir(sample: Sample) -> list[int]:
    """Where red and near infrared are, by the wavelengths that a sample or a batch tells."""
    if 'wavelengths' not in sample:
        raise BadInput(
            'Nothing tells which bands are red and near infrared.',
            'Give bands, or use samples with wavelengths.',
        )
    wavelengths = sample['wavelengths']
    return positions(('red', 'nir'), wavelengths.reshape(-1, wavelengths.shape[-1])[0].tolist())
