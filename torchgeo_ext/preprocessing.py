"""What weights were trained to see, and whether an image can be that.

The numbers a network sees are part of its weights: the same image as digital numbers, as
reflectance or stretched to 8 bits are three different images to it, and none of them makes it fail.

Axes: b batch, c bands, h height, w width.
"""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
import torchvision.transforms.v2 as T
from torch import Tensor, nn

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import SensorBand, find_bands
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
#: Names of bands that say nothing of them.
_NUMBER = re.compile(r'^(band )?\d*$', re.IGNORECASE)
#: Fields of a preprocessing that are one number for all bands or one for each.
_NUMBERS = ('low', 'high', 'mean', 'std')


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
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        count = self.count
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

    @property
    def count(self) -> int:
        """Bands that the numbers are of; 1 if they are the same for all."""
        return len(self.bands) or max(len(getattr(self, name)) for name in _NUMBERS)

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
            for name in _NUMBERS
            if len(values := getattr(self, name)) > 1
        }
        return replace(self, bands=tuple(self.bands[place] for place in places), **chosen)

    def for_image(self, bands: Sequence[SensorBand]) -> 'Preprocessing':
        """Give the same for the bands of an image.

        Bands are found by name, by what they show, or by wavelength; those of an image that tells
        nothing of them are taken in the order of the weights if there are as many.

        Args:
            bands: What is known of the bands of the image, in its order.

        Raises:
            BadParameter: If a band is not among those of the weights.
        """
        if not self.bands and self.count in (1, len(bands)):
            return self
        told = any(band.role or band.wavelength or not _NUMBER.search(band.name) for band in bands)
        if self.count == len(bands) and not told:
            return self
        return self.for_bands([self._name_of(band) for band in bands])

    def _name_of(self, band: SensorBand) -> str | float:
        for name in (band.name, *band.aliases, band.role, band.wavelength):
            if name and self._knows(name):
                return name
        return band.name

    def _knows(self, name: str | float) -> bool:
        try:
            find_bands([name], self.bands)
        except BadParameter:
            return False
        return True

    def apply(self, image: Tensor) -> Tensor:
        """Do to pixel values what was done in training, without resizing.

        Args:
            image: (..., c, h, w) stored pixel values.

        Returns:
            What the network is to see, of the same shape.

        Raises:
            BadInput: If it has another number of bands.
        """
        channels, count = image.shape[-3], self.count
        if (self.bands or count > 1) and channels != count:
            raise BadInput(
                f'The image has {channels} bands, but the weights were trained on {count}'
                f'{self._listed()}.',
                'Choose these bands of the image, in this order.',
            )
        low, high, mean, std = (self._of(name)[:, None, None].to(image) for name in _NUMBERS)
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
        if resized:
            steps.append(resizing(self.resize, self.crop, self.interpolation))
        return nn.Sequential(*steps)

    def of_physical(self, scale: Sequence[float], offset: Sequence[float]) -> 'Preprocessing':
        """Give the same for physical values: stored ones times a scale plus an offset.

        Args:
            scale: Of each band, in their order; positive.
            offset: Of each band.
        """

        def physical(values: tuple[float, ...]) -> tuple[float, ...]:
            each = values * len(scale) if len(values) == 1 else values
            return tuple(v * s + o for v, s, o in zip(each, scale, offset, strict=True))

        return replace(self, units='other', low=physical(self.low), high=physical(self.high))

    def figures(self, count: int) -> list['BandFigures']:
        """Give what is done to each band as a mean, a standard deviation and a range.

        Args:
            count: How many bands there are.
        """
        numbers = (self._of(name).expand(count).tolist() for name in _NUMBERS)
        return [
            BandFigures(
                low + (high - low) * mean,
                (high - low) * std,
                (low, high) if self.clip else None,
                self.levels,
            )
            for low, high, mean, std in zip(*numbers, strict=True)
        ]

    def problems(self, image: Tensor, bands: Sequence[str] = ()) -> list[str]:
        """Tell why an image cannot be what the weights expect.

        Args:
            image: (..., c, h, w) stored pixel values; NaN where there are none.
            bands: Names of its bands, if known.

        Returns:
            Sentences; none if it can be.
        """
        return [*self._band_problems(image.shape[-3], bands), *self.value_problems(image)]

    def value_problems(self, image: Tensor) -> list[str]:
        """Tell why the values of an image cannot be what the weights expect.

        Args:
            image: Stored pixel values of any shape; NaN where there are none.

        Returns:
            Sentences; none if they can be.
        """
        known = image[image.isfinite()]
        if not known.numel():
            return ['The image has no valid pixel.']
        span = known.min().item(), known.max().item()
        whole = not image.is_floating_point() or bool((known == known.round()).all())
        return [*self._value_problems(*span, whole)]

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


#: What networks pre-trained on photographs saw: https://pytorch.org/vision/stable/models.html
IMAGENET = Preprocessing(
    '8 bit',
    ('red', 'green', 'blue'),
    high=(255.0,),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    source='https://pytorch.org/vision/stable/models.html',
)


class BandFigures(NamedTuple):
    """What is done to a band: clipped to a range, cut into steps of it, standardised.

    Attributes:
        mean: Value that becomes 0.
        std: Divided by.
        clip: Lowest and highest value, beyond which values become these; None without.
        levels: Steps that the range is cut into; 0 for none.
    """

    mean: float
    std: float
    clip: tuple[float, float] | None
    levels: int


def resizing(resize: int | None, crop: int | None, interpolation: Interpolation) -> nn.Module:
    """Give what resizes images (..., c, h, w) and then cuts out their middle.

    Args:
        resize: Height and width in pixels that they are brought to, if they are.
        crop: Height and width in pixels of what is cut out, if it is.
        interpolation: How they are resized.
    """
    steps: list[nn.Module] = []
    if resize:
        steps.append(T.Resize([resize, resize], T.InterpolationMode(interpolation)))
    if crop:
        steps.append(T.CenterCrop([crop, crop]))
    return nn.Sequential(*steps)


def standardising_steps(transforms: Any) -> list[Any]:
    """Find the steps that standardise among the transforms of weights.

    Args:
        transforms: Of weights of TorchGeo or torchvision, which may be made when asked for.

    Raises:
        BadParameter: If there are others than those, resizing and cropping.
    """
    if callable(transforms) and not isinstance(transforms, nn.Module):
        transforms = transforms()  # torchvision's are made when asked for
    if hasattr(transforms, 'mean') and hasattr(transforms, 'std'):
        return [transforms]
    if isinstance(transforms, nn.Sequential):
        return [step for each in transforms for step in standardising_steps(each)]
    if type(transforms).__name__ in ('Identity', 'Resize', 'CenterCrop'):
        return []
    raise BadParameter(
        f'weights: their transforms hold {type(transforms).__name__}, which is more than '
        'standardising.',
        'Use the transforms of the weights themselves.',
    )


def joined_steps(transforms: Any) -> tuple[Tensor, Tensor]:
    """Join the steps of transforms that standardise.

    Args:
        transforms: See :func:`standardising_steps`.

    Returns:
        What is subtracted and what is divided by, one number for all bands or one for each.

    Raises:
        BadParameter: See :func:`standardising_steps`.
    """
    mean, std = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for step in standardising_steps(transforms):
        mean = mean + std * torch.as_tensor(step.mean, dtype=torch.float64)
        std = std * torch.as_tensor(step.std, dtype=torch.float64)
    return mean, std


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
