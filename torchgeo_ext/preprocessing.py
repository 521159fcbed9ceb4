"""What weights were trained to see, and whether an image can be that.

The numbers a network sees are part of its weights: the same image as digital numbers, as
reflectance or stretched to 8 bits are three different images to it, and none of them makes it fail.

Axes: b batch, c bands, h height, w width.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torchvision.transforms.v2 as T
from torch import Tensor, nn

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import find_bands
from torchgeo_ext.sensors._names import plain

log = logging.getLogger(__name__)

#: What stored pixel values are, before anything is done to them: ``8 bit`` 0 to 255, stretched or
#: of a camera; ``digital numbers`` reflectance times 10,000 or alike; ``reflectance`` a share;
#: ``decibel`` radar backscatter; ``other`` anything else.
Units = Literal['8 bit', 'digital numbers', 'reflectance', 'decibel', 'other']
Interpolation = Literal['nearest', 'bilinear', 'bicubic']

#: Values that images of these units can have, with room for instruments that overshoot.
_POSSIBLE: dict[Units, tuple[float, float]] = {
    '8 bit': (0, 255),
    'digital numbers': (-2_000, 65_535),
    'reflectance': (-0.5, 4),
    'decibel': (-100, 60),
    'other': (-math.inf, math.inf),
}
#: Images whose brightest pixel stays below are of other units: not even deep water is so dark all
#: over, nor is one tone of 255 a photograph.
_TOO_DARK: dict[Units, float] = {'8 bit': 1.5, 'digital numbers': 255.5}
_GUESSES: tuple[tuple[float, str], ...] = (
    (4, 'reflectance from 0 to 1'),
    (255, '8-bit values from 0 to 255'),
    (math.inf, 'digital numbers of 16 bits'),
)


@dataclass(frozen=True)
class Preprocessing:
    """What is done to stored pixel values before a network sees them, in this order.

    Each band is scaled, (x - low) / (high - low), clipped and rounded where that was done in
    training, standardised, (x - mean) / std, resized and cropped. Numbers are one for all bands or
    one for each.

    Args:
        units: What stored pixel values are.
        bands: Names of the bands, in the order of the network's input; empty if not known.
        low: Value that becomes 0.
        high: Value that becomes 1.
        clip: Whether what lies outside becomes 0 or 1.
        levels: Steps that 0 to 1 was cut into, for instance 256 where training images were 8 bit;
            0 for none. Values are rounded down.
        mean: Subtracted after that.
        std: Divided by after that.
        resize: Height and width in pixels that images are resized to, if they were.
        crop: Height and width in pixels that are cut from the middle, if they were.
        interpolation: How images are resized.
        source: Where these facts are from.

    Raises:
        BadParameter: If numbers are neither one nor as many as the bands, or a scale is not
            positive.
    """

    units: Units
    bands: tuple[str, ...] = ()
    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (1.0,)
    clip: bool = False
    levels: int = 0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: int | None = None
    crop: int | None = None
    interpolation: Interpolation = 'bilinear'
    source: str = ''

    def __post_init__(self) -> None:
        """Check the numbers."""
        numbers = {name: getattr(self, name) for name in ('low', 'high', 'mean', 'std')}
        count = len(self.bands) or max(map(len, numbers.values()))
        for name, values in numbers.items():
            if len(values) not in (1, count):
                raise BadParameter(
                    f'{name} has {len(values)} numbers, but there are {count} bands.',
                    'Give one number per band, or a single one for all.',
                )
        if not (self._of('high') > self._of('low')).all() or not (self._of('std') > 0).all():
            raise BadParameter(
                f'low is {self.low}, high {self.high} and std {self.std}; each high must be above '
                'its low and each std above 0.'
            )

    @classmethod
    def of_deviations(
        cls,
        units: Units,
        mean: Sequence[float],
        std: Sequence[float],
        bands: Sequence[str] = (),
        levels: int = 256,
        **more: Any,
    ) -> 'Preprocessing':
        """Scale from two standard deviations below the mean to two above, clipped and rounded.

        Args:
            units: What stored pixel values are.
            mean: Of each band.
            std: Of each band.
            bands: Their names.
            levels: See :class:`Preprocessing`.
            more: Further arguments of it.
        """
        ends = [(m - 2 * s, m + 2 * s) for m, s in zip(mean, std, strict=True)]
        low, high = zip(*ends, strict=True)
        return cls(units, tuple(bands), low, high, clip=True, levels=levels, **more)

    def for_bands(self, bands: Sequence[str | float]) -> 'Preprocessing':
        """Give the same for some of the bands, or in another order.

        Args:
            bands: Names, roles or wavelengths of the bands of the image, in its order.

        Raises:
            BadParameter: If a band is not among those of the weights.
        """
        places = find_bands(bands, self.bands)
        chosen: dict[str, Any] = {
            name: tuple(values[place] for place in places)
            for name in ('low', 'high', 'mean', 'std')
            if len(values := getattr(self, name)) > 1
        }
        return replace(self, bands=tuple(self.bands[place] for place in places), **chosen)

    def apply(self, image: Tensor) -> Tensor:
        """Do to pixel values what was done in training, without resizing.

        Args:
            image: (..., c, h, w) stored pixel values.

        Returns:
            What the network is to see, of the same shape.

        Raises:
            BadInput: If it has another number of bands.
        """
        channels = image.shape[-3]
        count = max(len(self.bands), *(len(v) for v in (self.low, self.high, self.mean, self.std)))
        if (self.bands or count > 1) and channels != count:
            raise BadInput(
                f'The image has {channels} bands, but the weights were trained on {count}'
                f'{self._listed()}.',
                'Choose these bands of the image, in this order.',
            )
        low, high, mean, std = (
            self._of(name)[:, None, None].to(image) for name in ('low', 'high', 'mean', 'std')
        )
        image = (image - low) / (high - low)
        if self.clip:
            image = image.clamp(0, 1)
        if self.levels:
            image = (image * (self.levels - 1)).floor() / (self.levels - 1)
        return (image - mean) / std

    def transform(self, resized: bool = True) -> nn.Module:
        """Give all of it as one transform of images (..., c, h, w).

        Args:
            resized: Whether images are resized and cropped as well. Leave it out where a map is
                wanted: pixels then stay where they are.
        """
        steps: list[nn.Module] = [_Values(self)]
        if resized and self.resize:
            size = [self.resize, self.resize]
            steps.append(T.Resize(size, T.InterpolationMode(self.interpolation)))
        if resized and self.crop:
            steps.append(T.CenterCrop([self.crop, self.crop]))
        return nn.Sequential(*steps)

    def problems(self, image: Tensor, bands: Sequence[str] = ()) -> list[str]:
        """Tell why an image cannot be what the weights expect.

        Args:
            image: (..., c, h, w) stored pixel values; NaN where there are none.
            bands: Names of its bands, if known.

        Returns:
            Sentences; none if it can be.
        """
        known = image[image.isfinite()]
        if not known.numel():
            return ['The image has no valid pixel.']
        span = known.min().item(), known.max().item()
        whole = not image.is_floating_point() or bool((known == known.round()).all())
        return [*self._band_problems(image.shape[-3], bands), *self._value_problems(*span, whole)]

    def warn(self, image: Tensor, bands: Sequence[str] = (), what: str = 'The image') -> None:
        """Log a warning if an image cannot be what the weights expect.

        Args:
            image: (..., c, h, w) stored pixel values; NaN where there are none.
            bands: Names of its bands, if known.
            what: What it is, for the message.
        """
        for problem in self.problems(image, bands):
            log.warning('%s does not suit the weights: %s', what, problem)

    def _band_problems(self, channels: int, bands: Sequence[str]) -> Iterator[str]:
        if self.bands and channels != len(self.bands):
            yield (
                f'it has {channels} bands, but the weights were trained on {len(self.bands)}'
                f'{self._listed()}.'
            )
        elif self.bands and bands:
            theirs, ours = [plain(name) for name in bands], [plain(name) for name in self.bands]
            if theirs == ours:
                return
            if sorted(theirs) == sorted(ours):
                yield (
                    f'its bands are in the order {", ".join(bands)}, but the weights want '
                    f'{", ".join(self.bands)}.'
                )
            elif strange := [
                name for name, word in zip(bands, theirs, strict=True) if word not in ours
            ]:
                yield (
                    f'the weights do not know {", ".join(strange)}; they were trained on'
                    f'{self._listed()}.'
                )

    def _value_problems(self, low: float, high: float, whole: bool) -> Iterator[str]:
        lowest, highest = _POSSIBLE[self.units]
        found = f'its values go from {low:g} to {high:g}'
        if low == high:
            yield f'all its values are {low:g}.'
        elif self.units == 'other':
            return
        elif self.units == 'decibel':
            if low >= 0 or high > highest:
                yield (
                    f'{found}, but the weights expect decibel, which are negative over land; it '
                    'may hold powers or amplitudes (decibel are 10 log10 of the power).'
                )
        elif low < lowest or (high <= 20 and low < -0.5 and not whole):
            yield (
                f'{found}, but the weights expect {self.units}; it may have been standardised '
                'already.'
            )
        elif high > highest or high < _TOO_DARK.get(self.units, 0):
            guess = next(words for limit, words in _GUESSES if high <= limit)
            yield f'{found}, which may be {guess}, but the weights expect {self.units}.'

    def _listed(self) -> str:
        return f' ({", ".join(self.bands)})' if self.bands else ''

    def _of(self, name: str) -> Tensor:
        return torch.tensor(getattr(self, name), dtype=torch.float64)


class _Values(nn.Module):
    """Applies a preprocessing to pixel values."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.preprocessing = preprocessing

    def forward(self, image: Tensor) -> Tensor:
        """Map stored pixel values (..., c, h, w) to what the network is to see."""
        return self.preprocessing.apply(image)

    def extra_repr(self) -> str:
        """Tell the numbers in the printed form."""
        return repr(self.preprocessing)
