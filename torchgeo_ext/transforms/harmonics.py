"""Harmonic regression: a season and a trend fitted to each pixel of an irregular series.

Axes: t time, p coefficient, c channel, h height, w width, ... anything before, for instance a
batch.
"""

import dataclasses
import math

import torch
from torch import Tensor

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms._base import Sample, SampleTransform
from torchgeo_ext.transforms._series import (
    date_masks,
    like_sample,
    read_days,
    read_series,
    write_valid,
)
from torchgeo_ext.transforms.temporal import YEAR


@dataclasses.dataclass(frozen=True)
class HarmonicFit:
    """A season and a trend for each pixel.

    Attributes:
        coefficients: (..., p, c, h, w) float64 in units of the image: constant, trend per year if
            there is one, then cosine and sine of 1, 2, ... cycles per year.
        observations: (..., h, w) int64, number of valid dates it is fitted to. Without any, all
            coefficients are 0.
        origin: (..., ) float64, the day at which the trend is 0.
        harmonics: Number of cycles per year of the fastest wave.
        trend: Whether there is a trend.
    """

    coefficients: Tensor
    observations: Tensor
    origin: Tensor
    harmonics: int
    trend: bool

    def predict(self, days: Tensor) -> Tensor:
        """Give the fitted values at any dates.

        Args:
            days: (..., t) dates in days from the origin that the fit was given.

        Returns:
            (..., t, c, h, w) float64.
        """
        design = harmonic_design(days, self.origin, harmonics=self.harmonics, trend=self.trend)
        flat = self.coefficients.flatten(-3)
        return (design @ flat).unflatten(-1, self.coefficients.shape[-3:])


def harmonic_design(
    days: Tensor, origin: Tensor, *, harmonics: int = 2, trend: bool = True
) -> Tensor:
    """Give the regressors of a harmonic model.

    Args:
        days: (..., t) dates in days.
        origin: (...) the day at which the trend is 0.
        harmonics: Number of cycles per year of the fastest wave.
        trend: Whether to add a linear trend, in years.

    Returns:
        (..., t, p) float64 with p = 1 + trend + 2 * harmonics.
    """
    days = days.double()
    columns = [torch.ones_like(days)]
    if trend:
        columns.append((days - origin[..., None]) / YEAR)
    for cycles in range(1, harmonics + 1):
        angle = days * (2 * math.pi * cycles / YEAR)
        columns += [angle.cos(), angle.sin()]
    return torch.stack(columns, dim=-1)


def fit_harmonics(
    images: Tensor,
    valid: Tensor,
    days: Tensor,
    *,
    harmonics: int = 2,
    trend: bool = True,
    ridge: float = 1e-3,
) -> HarmonicFit:
    """Fit a constant, a trend and yearly waves to the valid dates of each pixel.

    Least squares by the normal equations of each pixel, all in float64. Source of the model: Zhu
    and Woodcock (2014), Continuous change detection and classification of land cover using all
    available Landsat data, Remote Sensing of Environment 144, 152-171.

    Args:
        images: (..., t, c, h, w) pixel values. Invalid ones are never read, so they may be NaN.
        valid: (..., t, h, w) bool, where there is a measurement.
        days: (..., t) dates in days from any origin, in any order.
        harmonics: Number of cycles per year of the fastest wave, 0 for none.
        trend: Whether to fit a linear trend.
        ridge: Penalty on the squares of all coefficients but the constant, in observations: with
            many dates it hardly matters, with fewer dates than coefficients it keeps the waves
            small. Above 0.

    Returns:
        The fit; gradients flow from it to the images.
    """
    origin = days.double().mean(dim=-1)
    design = harmonic_design(days, origin, harmonics=harmonics, trend=trend)
    size = design.shape[-1]
    seen = torch.where(valid.unsqueeze(-3), images, 0).double()
    weights = valid.double().flatten(-2)
    products = (design[..., :, None] * design[..., None, :]).flatten(-2)
    # one small symmetric matrix and one right-hand side per band, for each pixel
    normal = (products.mT @ weights).mT.unflatten(-1, (size, size))
    right = (design.mT @ seen.flatten(-3)).unflatten(-1, (images.shape[-3], -1)).movedim(-1, -3)
    penalty = torch.full_like(normal[..., 0], ridge)
    penalty[..., 0] = (normal[..., 0, 0] == 0).double()
    factor, _ = torch.linalg.cholesky_ex(normal + torch.diag_embed(penalty))
    solution = torch.cholesky_solve(right, factor)
    coefficients = solution.movedim(-3, -1).unflatten(-1, valid.shape[-2:])
    return HarmonicFit(coefficients, valid.sum(dim=-3), origin, harmonics, trend)


class _HarmonicTransform(SampleTransform):
    """What transforms by harmonic regression share: the model's size and its checks."""

    needs_sample = True

    def __init__(self, harmonics: int = 2, trend: bool = True, ridge: float = 1e-3) -> None:
        super().__init__()
        if harmonics < 0:
            raise BadParameter(f'harmonics is {harmonics}; it must be 0 or more cycles per year.')
        if not ridge > 0:
            raise BadParameter(f'ridge is {ridge}; it must be above 0.')
        self.harmonics = harmonics
        self.trend = trend
        self.ridge = ridge

    def fit(self, images: Tensor, valid: Tensor, days: Tensor) -> HarmonicFit:
        """Fit the model; see :func:`fit_harmonics`."""
        return fit_harmonics(
            images, valid, days, harmonics=self.harmonics, trend=self.trend, ridge=self.ridge
        )


class HarmonicFill(_HarmonicTransform):
    """Fill invalid pixels of a series by the season and trend of the same pixel.

    See :func:`fit_harmonics`. Filled pixels become valid, and ``mask_filled`` (t, h, w) bool tells
    which they are. Dates are read from ``seconds`` or else ``doy``; dates flagged by ``gap`` are
    filled as a whole, and stay flagged.

    Example:
        >>> days = torch.arange(0, 730, 30, dtype=torch.float64)
        >>> image = (0.4 + 0.2 * (days * 2 * torch.pi / 365.2425).cos()).float()
        >>> valid = torch.arange(25) != 12
        >>> sample = {
        ...     'image': torch.where(valid, image, 0).reshape(-1, 1, 1, 1),
        ...     'mask_valid': valid.reshape(-1, 1, 1),
        ...     'seconds': days * 86400,
        ... }
        >>> filled = HarmonicFill(ridge=1e-6)(sample)['image'].flatten()
        >>> bool((filled - image).abs().max() < 1e-5)
        True

    Args:
        harmonics: Number of cycles per year of the fastest wave, 0 for none.
        trend: Whether to fit a linear trend.
        ridge: Penalty on all coefficients but the constant, in observations.
        minimum_dates: Valid dates that a pixel needs to be filled.

    Raises:
        BadParameter: If a number is out of its range.
        BadInput: When called, if the sample is no series or does not tell its dates.
    """

    def __init__(
        self, harmonics: int = 2, trend: bool = True, ridge: float = 1e-3, minimum_dates: int = 6
    ) -> None:
        super().__init__(harmonics, trend, ridge)
        if minimum_dates < 1:
            raise BadParameter(f'minimum_dates is {minimum_dates}; it must be 1 or more.')
        self.minimum_dates = minimum_dates

    def transform(self, sample: Sample) -> Sample:
        """Fill, and say where."""
        images, valid = read_series(sample)
        days = read_days(sample)
        fit = self.fit(images, valid, days)
        filled = ~valid & (fit.observations >= self.minimum_dates).unsqueeze(-3)
        values = torch.where(filled.unsqueeze(-3), fit.predict(days).to(images.dtype), images)
        write_valid(sample, valid | filled)
        sample['mask_filled'] = like_sample(sample, filled)
        sample['image'] = like_sample(sample, values)
        return sample


class HarmonicCoefficients(_HarmonicTransform):
    """Describe a series (t, c, h, w) by its season and trend, as an image (p * c, h, w).

    Channels are the constant of every band, the trend per year of every band if there is one, then
    the cosine and the sine of 1, 2, ... cycles per year of every band: p = 1 + trend +
    2 * harmonics. See :func:`fit_harmonics`. ``mask_valid`` becomes (h, w), ``wavelengths`` become
    NaN, masks of each date are removed. Dates are read from ``seconds`` or else ``doy``.

    Example:
        >>> describe = HarmonicCoefficients(harmonics=1)
        >>> sample = {'image': torch.rand(12, 3, 8, 8), 'doy': torch.arange(12.0) * 30 + 1}
        >>> describe(sample)['image'].shape
        torch.Size([12, 8, 8])

    Args:
        harmonics: Number of cycles per year of the fastest wave, 0 for none.
        trend: Whether to fit a linear trend.
        ridge: Penalty on all coefficients but the constant, in observations.

    Raises:
        BadParameter: If a number is out of its range.
        BadInput: When called, if the sample is no series or does not tell its dates.
    """

    def transform(self, sample: Sample) -> Sample:
        """Replace the series by its coefficients."""
        images, valid = read_series(sample)
        fit = self.fit(images, valid, read_days(sample))
        for key in date_masks(sample):
            del sample[key]
        write_valid(sample, fit.observations > 0)
        sample['image'] = like_sample(sample, fit.coefficients.flatten(-4, -3).to(images.dtype))
        if (wavelengths := sample.get('wavelengths')) is not None:
            shape = (*wavelengths.shape[:-1], sample['image'].shape[-3])
            sample['wavelengths'] = wavelengths.new_full(shape, math.nan)
        return sample
