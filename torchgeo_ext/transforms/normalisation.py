"""Brings pixel values into the range that networks like: by statistics or by each image itself."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torchvision.models._api import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.preprocessing import Preprocessing, joined_steps
from torchgeo_ext.sensors import find_bands
from torchgeo_ext.transforms._base import (
    Drawn,
    Images,
    ImageTransform,
    Sample,
    check_range,
    fold_valid,
    per_channel,
)


class BandSummary(Protocol):
    """What statistics tell of a band."""

    @property
    def mean(self) -> float:
        """Mean of the valid pixels."""

    @property
    def std(self) -> float:
        """Their standard deviation."""

    @property
    def quantiles(self) -> Mapping[float, float]:
        """Their quantiles, by share from 0 to 1."""


class Standardise(ImageTransform):
    """Subtract a mean and divide by a standard deviation, per band.

    Args:
        mean: Mean of each band, or one for all.
        std: Standard deviation of each band, or one for all; not 0.
        fill: Given to invalid pixels afterwards; left as they are if None. A network wants 0, the
            mean, whatever stood there before.

    Raises:
        BadParameter: If a standard deviation is not positive.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], fill: float | None = None
    ) -> None:
        super().__init__()
        self.fill = fill
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        if not all(0 < value < math.inf for value in self.std):
            raise BadParameter(
                f'std is {list(self.std)}; each standard deviation must be positive.',
                'Leave out bands that are the same everywhere.',
            )

    @classmethod
    def from_statistics(cls, bands: Iterable[BandSummary]) -> 'Standardise':
        """Standardise by statistics of the bands of the image, in its order.

        Args:
            bands: For instance the ``bands`` that ``compute_statistics`` found.
        """
        known = list(bands)
        return cls([band.mean for band in known], [band.std for band in known])

    @classmethod
    def from_weights(
        cls, weights: WeightsEnum, bands: Sequence[str | float] | None = None
    ) -> 'Standardise':
        """Standardise as weights were trained with, without their resizing and cropping.

        Args:
            weights: Weights of TorchGeo or torchvision.
            bands: Bands of the image, in its order, by name, role or wavelength; by default those
                of the weights in theirs.

        Raises:
            BadParameter: If the weights' own transforms do more than standardise, resize and crop,
                or a band is not among theirs.
        """
        mean, std = joined_steps(weights.transforms)
        if bands is not None and len(mean) > 1:
            places = list(find_bands(bands, weights.meta['bands']))
            mean, std = mean[places], std[places]
        return cls(mean.tolist(), std.tolist())

    def transform(self, sample: Sample) -> Sample:
        """Standardise what is valid and fill what is not."""
        sample = super().transform(sample)
        valid = None if self.fill is None else fold_valid(sample)
        if valid is not None and self.fill is not None:
            image = sample['image']
            flat = image.reshape(-1, *image.shape[-3:])
            sample['image'] = flat.where(valid, self.fill).reshape(image.shape)
        return sample

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Standardise the pixels."""
        pixels = images.pixels
        mean, std = per_channel('mean', self.mean, pixels), per_channel('std', self.std, pixels)
        return dataclasses.replace(images, pixels=(pixels - mean) / std)


class AsPretrained(Standardise):
    """Do to pixel values what was done in the pre-training of weights, without resizing.

    Args:
        preprocessing: What was done.
        fill: Given to invalid pixels afterwards; left as they are if None.
    """

    def __init__(self, preprocessing: Preprocessing, fill: float | None = None) -> None:
        figures = preprocessing.figures(preprocessing.count)
        super().__init__([band.mean for band in figures], [band.std for band in figures], fill)
        self.preprocessing = preprocessing

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Scale, clip and standardise the pixels."""
        return dataclasses.replace(images, pixels=self.preprocessing.apply(images.pixels))


class MinMaxScale(ImageTransform):
    """Bring a fixed range of each band to 0 to 1.

    Args:
        low: Value of each band that becomes 0, or one for all; for instance a quantile.
        high: Value of each band that becomes 1, or one for all.
        clip: Bring what lies outside to 0 or 1.

    Raises:
        BadParameter: If ``low`` is not below ``high``.
    """

    def __init__(self, low: Sequence[float], high: Sequence[float], clip: bool = True) -> None:
        super().__init__()
        self.low = tuple(float(value) for value in low)
        self.high = tuple(float(value) for value in high)
        self.clip = clip
        sizes = {len(self.low), len(self.high)} - {1}
        if len(sizes) > 1 or not (torch.tensor(self.low) < torch.tensor(self.high)).all():
            raise BadParameter(f'low is {low} and high is {high}; each low must be below its high.')

    @classmethod
    def from_statistics(
        cls, bands: Iterable[BandSummary], low: float = 0.02, high: float = 0.98, clip: bool = True
    ) -> 'MinMaxScale':
        """Scale between two quantiles of the bands of the image, in its order.

        Args:
            bands: For instance the ``bands`` that ``compute_statistics`` found.
            low: Quantile that becomes 0.
            high: Quantile that becomes 1.
            clip: Bring what lies outside to 0 or 1.

        Raises:
            BadParameter: If the statistics do not hold a quantile.
        """
        known = list(bands)
        for name, quantile in (('low', low), ('high', high)):
            if any(quantile not in band.quantiles for band in known):
                there = ', '.join(f'{each:g}' for each in known[0].quantiles)
                raise BadParameter(f'{name} is {quantile}; the statistics hold {there}.')
        return cls(
            [band.quantiles[low] for band in known], [band.quantiles[high] for band in known], clip
        )

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Scale the pixels."""
        pixels = images.pixels
        low, high = per_channel('low', self.low, pixels), per_channel('high', self.high, pixels)
        scaled = (pixels - low) / (high - low)
        return dataclasses.replace(images, pixels=scaled.clamp(0, 1) if self.clip else scaled)


class PercentileScale(ImageTransform):
    """Bring the bulk of each image's values to 0 to 1, whatever its outliers.

    The range is found in each image, over valid pixels; for one known beforehand use
    :class:`MinMaxScale`. A band that is the same all over becomes 0.

    Args:
        percentiles: Which percentiles (0 to 100) become 0 and 1.
        per_band: Find a range for each band; otherwise one for all, which keeps colours.
        clip: Bring what lies outside to 0 or 1.
        same_on_time: Find one range for all dates of a series, which keeps change.

    Raises:
        BadParameter: If ``percentiles`` is not a range within 0 to 100.
    """

    def __init__(
        self,
        percentiles: tuple[float, float] = (2.0, 98.0),
        per_band: bool = True,
        clip: bool = True,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(same_on_time=same_on_time)
        self.percentiles = check_range('percentiles', percentiles, 0, 100)
        self.per_band = per_band
        self.clip = clip

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Find the ranges and scale the pixels."""
        pixels = images.pixels
        low, high = self._range(images)
        span = high - low
        scaled = (pixels - low) / torch.where(span > 0, span, 1)
        scaled = torch.where(span > 0, scaled, 0)
        return dataclasses.replace(images, pixels=scaled.clamp(0, 1) if self.clip else scaled)

    def _range(self, images: Images) -> Tensor:
        """(2, n, c or 1, 1, 1) lower and upper ends."""
        count, channels = images.pixels.shape[:2]
        pixels = images.pixels.unflatten(0, (-1, images.dates)).transpose(1, 2)
        if images.valid is not None:
            valid = images.valid.unflatten(0, (-1, images.dates)).transpose(1, 2)
            pixels = pixels.masked_fill(~valid, math.inf)
        # per group of dates and band (or all bands): its values in one row
        rows = pixels.flatten(2 if self.per_band else 1).reshape(
            count // images.dates, channels if self.per_band else 1, -1
        )
        ends = quantiles(rows, torch.tensor(self.percentiles) / 100)
        return ends.repeat_interleave(images.dates, dim=1)[..., None, None]


def quantiles(values: Tensor, fractions: Tensor) -> Tensor:
    """Linearly interpolated quantiles of the finite values; 0 where there are none.

    Unlike ``torch.nanquantile`` it has no limit of 16 million values.

    Args:
        values: (..., n) numbers, infinite where they do not count.
        fractions: (q,) fractions from 0 to 1.

    Returns:
        (q, ...) quantiles.
    """
    ordered = values.sort(dim=-1).values
    count = ordered.isfinite().sum(dim=-1)
    # in double precision: half precision cannot count to the number of pixels
    share = fractions.to(ordered.device, torch.float64).reshape(-1, *[1] * count.ndim)
    place = share * (count - 1).clamp(min=0)
    below = place.floor().long()
    above = place.ceil().long()
    ordered = torch.where(ordered.isfinite(), ordered, 0).expand(len(fractions), *ordered.shape)
    low = ordered.gather(-1, below[..., None])[..., 0]
    high = ordered.gather(-1, above[..., None])[..., 0]
    return torch.lerp(low, high, (place - below).to(low))
