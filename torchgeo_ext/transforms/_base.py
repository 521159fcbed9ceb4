"""What all transforms have in common: how they read a sample, draw at random and write back.

A transform takes and returns TorchGeo's sample dict, of one sample or of a batch, or a plain image
tensor. It never changes what it was given. Axes (b batch, t time, c channel, h height, w width):

| image           | read as                                                                       |
| --------------- | ----------------------------------------------------------------------------- |
| (c, h, w)       | one image                                                                     |
| (b, c, h, w)    | a batch of images, each with parameters of its own ...                        |
| (t, c, h, w)    | ... but one series by transforms that look across dates or have               |
|                 | ``same_on_time=True``: their batches have five axes, so nothing is guessed    |
| (b, t, c, h, w) | a batch of series                                                             |

``mask_valid`` has the axes of the image without c. Where it is False, nothing is changed.

Where they can stand:

- ``nn.Sequential``, a data module's ``aug`` slots and a dataset's ``transforms`` hand over the
  whole sample. Kornia's augmentations go beside, in :class:`KorniaSequential`.
- Inside kornia's ``AugmentationSequential`` a transform gets the bare image: fine where only pixel
  values change, but invalid pixels are not known there. What changes masks too refuses
  (``needs_sample``). Inside ``VideoSequential`` dates come as a batch, so ``same_on_time`` would
  mean all of it.

Random parameters come from torch's default generator on the CPU, so that ``seed_everything`` rules
on every device; noise per pixel is drawn on the image's device.
"""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, overload

import torch
from torch import Tensor, nn

from torchgeo_ext.errors import BadInput, BadParameter

type Sample = dict[str, Any]
#: Drawn at random: name -> (images, ...), one row per image.
type Drawn = Mapping[str, Tensor]


class SampleTransform(nn.Module):
    """Something done to a sample; the base of all transforms.

    A subclass implements :meth:`transform`.
    """

    #: Whether it changes or needs more than the image, so that a bare tensor will not do.
    needs_sample: ClassVar[bool] = False

    def transform(self, sample: Sample) -> Sample:
        """Transform a sample.

        Args:
            sample: A dict that may be changed, with tensors that may not.

        Returns:
            The transformed sample, usually the same dict.
        """
        raise NotImplementedError

    @overload
    def forward(self, sample: Tensor) -> Tensor: ...

    @overload
    def forward(self, sample: Sample) -> Sample: ...

    def forward(self, sample: Sample | Tensor) -> Sample | Tensor:
        """Transform a sample, a batch or a bare image.

        Args:
            sample: Sample dict with a floating-point ``image``, or such an image alone.

        Returns:
            The same form, transformed.

        Raises:
            BadInput: If there is no such image, or a bare image is given to a transform that
                changes more than the image.
        """
        name = type(self).__name__
        if isinstance(sample, Tensor):
            if self.needs_sample:
                raise BadInput(
                    f'{name} changes more than the image, so it needs the whole sample, not a '
                    'tensor.',
                    "Put it beside kornia's AugmentationSequential in nn.Sequential, not inside.",
                )
            return self.forward({'image': sample})['image']
        image = sample.get('image')
        fits = isinstance(image, Tensor) and image.is_floating_point() and 3 <= image.ndim <= 5
        if not fits:
            found = f'{image.dtype} {tuple(image.shape)}' if isinstance(image, Tensor) else image
            raise BadInput(
                f'{name} needs a floating-point image of three to five axes in the sample, not '
                f'{found}.'
            )
        return self.transform(dict(sample))

    def extra_repr(self) -> str:
        """Tell the arguments in the printed form."""
        arguments = [
            name for name in inspect.signature(type(self)).parameters if name in vars(self)
        ]
        return ', '.join(f'{name}={getattr(self, name)!r}' for name in arguments)


@dataclasses.dataclass(frozen=True)
class Images:
    """The images of a sample, with whatever axes stood before the channels folded into one.

    Attributes:
        pixels: (n, c, h, w) pixel values. Invalid pixels are 0, so that no NaN gets anywhere.
        valid: (n, 1, h, w) bool, where there is a measurement; None if all over.
        wavelengths: (n, c) centre wavelengths in micrometres, NaN where unknown; None if the sample
            does not tell.
        dates: How many images in a row are dates of one series and treated alike; 1 without
            ``same_on_time``.
        masks: Masks that a transform makes, (n, 1, h, w) int64, by their keys in the sample; 0 for
            images that chance did not select.
    """

    pixels: Tensor
    valid: Tensor | None
    wavelengths: Tensor | None
    dates: int = 1
    masks: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __getitem__(self, rows: Tensor) -> 'Images':
        """Some of the images."""
        return Images(
            self.pixels[rows],
            None if self.valid is None else self.valid[rows],
            None if self.wavelengths is None else self.wavelengths[rows],
            self.dates,
        )

    def means(self) -> Tensor:
        """Mean of each band over the valid pixels of each image, (n, c, 1, 1); 0 without any."""
        if self.valid is None:
            return self.pixels.mean(dim=(2, 3), keepdim=True)
        # invalid pixels are 0
        count = self.valid.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        return self.pixels.sum(dim=(2, 3), keepdim=True) / count


def fold(sample: Sample, dates: int = 1) -> Images:
    """Look at a sample of any form as a list of images, of which ``dates`` in a row are alike."""
    image = sample['image']
    pixels = image.reshape(-1, *image.shape[-3:])
    valid = fold_valid(sample)
    if valid is not None:
        pixels = torch.where(valid, pixels, 0)
    return Images(pixels, valid, _fold_wavelengths(sample, len(pixels)), dates)


def fold_valid(sample: Sample) -> Tensor | None:
    """Give ``mask_valid`` as (n, 1, h, w) bool, or None if the sample has none.

    Raises:
        BadInput: If its axes are not those of the image without the channels.
    """
    image, valid = sample['image'], sample.get('mask_valid')
    if valid is None:
        return None
    expected = image.shape[:-3] + image.shape[-2:]
    if valid.numel() != expected.numel() or valid.shape[-2:] != expected[-2:]:
        raise BadInput(
            f'mask_valid has the shape {tuple(valid.shape)}, but an image of the shape '
            f'{tuple(image.shape)} needs {tuple(expected)}.'
        )
    return valid.reshape(-1, 1, *expected[-2:]) != 0


def with_valid(sample: Sample) -> Sample:
    """Add ``mask_valid`` if there is none, so that what a sample holds does not hang on chance."""
    if 'mask_valid' not in sample:
        image = sample['image']
        shape = image.shape[:-3] + image.shape[-2:]
        sample['mask_valid'] = torch.ones(shape, dtype=torch.bool, device=image.device)
    return sample


def _fold_wavelengths(sample: Sample, images: int) -> Tensor | None:
    wavelengths = sample.get('wavelengths')
    if wavelengths is None:
        return None
    channels = sample['image'].shape[-3]
    rows = wavelengths.reshape(-1, wavelengths.shape[-1])
    if rows.shape[1] != channels or images % len(rows):
        raise BadInput(
            f'wavelengths have the shape {tuple(wavelengths.shape)}, which does not fit an image '
            f'of the shape {tuple(sample["image"].shape)}.'
        )
    return rows.repeat_interleave(images // len(rows), dim=0)


class ImageTransform(SampleTransform):
    """A transform that looks at one image at a time, at random or always.

    A subclass implements :meth:`apply_transform` and, if it is random, :meth:`draw`. Invalid pixels
    keep their values whatever :meth:`apply_transform` does to them.

    Args:
        p: Probability that an image (a series, with ``same_on_time``) is transformed.
        same_on_time: Treat all dates of a series alike: one decision, one set of parameters.

    Raises:
        BadParameter: If ``p`` is not from 0 to 1.
    """

    def __init__(self, p: float = 1.0, same_on_time: bool = False) -> None:
        super().__init__()
        check_fraction('p', p)
        self.p = p
        self.same_on_time = same_on_time

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw random parameters on the CPU.

        Args:
            count: Number of images, or of series if dates share them.
            images: What they are for; only their sizes matter.

        Returns:
            Tensors with ``count`` rows; they are repeated over dates and moved to the image's
            device and, if they are floating-point, its dtype.
        """
        return {}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Transform images.

        Args:
            images: Images of shape (n, c, h, w).
            drawn: What :meth:`draw` gave, with n rows.

        Returns:
            Images of the same size; ``dataclasses.replace`` says what is new. What was invalid
            stays so.
        """
        raise NotImplementedError

    def transform(self, sample: Sample) -> Sample:
        """Transform the images that chance selects, where they are valid."""
        series, dates = self._series(sample['image'])
        images = fold(sample, dates)
        chosen = torch.rand(series) < self.p if self.p < 1 else torch.ones(series, dtype=torch.bool)
        drawn = self.draw(series, images)
        if not chosen.any():
            return sample
        like = images.pixels
        rows = chosen.repeat_interleave(dates).nonzero()[:, 0].to(like.device)
        # all of them is the usual case, which need not be copied
        selected = images if chosen.all() else images[rows]
        drawn = {
            name: _like(value[chosen].repeat_interleave(dates, dim=0), like)
            for name, value in drawn.items()
        }
        _write(sample, selected, self.apply_transform(selected, drawn), rows)
        return sample

    def _series(self, image: Tensor) -> tuple[int, int]:
        """How many groups of images share parameters, and how many images a group has."""
        leading = image.shape[:-3]
        if not self.same_on_time or not leading:
            return leading.numel(), 1
        return leading[:-1].numel(), leading[-1]


def _like(value: Tensor, like: Tensor) -> Tensor:
    """Drawn values where the image is, and as exact as it is."""
    return value.to(like) if value.is_floating_point() else value.to(like.device)


def _write(sample: Sample, selected: Images, result: Images, rows: Tensor) -> None:
    """Put transformed images back into their rows, where they were valid."""
    image = sample['image']
    flat = image.reshape(-1, *image.shape[-3:])
    every = len(rows) == len(flat)
    pixels = result.pixels.to(image.dtype)
    if selected.valid is not None:
        pixels = torch.where(selected.valid, pixels, flat if every else flat[rows])
    sample['image'] = (pixels if every else flat.index_copy(0, rows, pixels)).reshape(image.shape)
    if result.valid is not None:
        old = with_valid(sample)['mask_valid']
        valid = old.reshape(len(flat), 1, *image.shape[-2:])
        valid = valid.index_copy(0, rows, valid[rows] & result.valid.to(valid.dtype))
        sample['mask_valid'] = valid.reshape(old.shape)
    for key, mask in result.masks.items():
        empty = mask.new_zeros(len(flat), *mask.shape[1:])
        shape = image.shape[:-3] + image.shape[-2:]
        sample[key] = empty.index_copy(0, rows, mask).reshape(shape)


def check_fraction(name: str, value: float) -> None:
    """Refuse a number outside 0 to 1."""
    if not 0 <= value <= 1:
        raise BadParameter(f'{name} is {value}; it must be from 0 to 1.')


def check_range(
    name: str, value: Sequence[float], low: float = -float('inf'), high: float = float('inf')
) -> tuple[float, float]:
    """Refuse what is not a range (lower, upper) within [low, high]."""
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise BadParameter(
            f'{name} is {value}; it must be a lower and an upper number from {low} to {high}.'
        )
    return float(value[0]), float(value[1])


def per_channel(name: str, values: Sequence[float], pixels: Tensor) -> Tensor:
    """Shape one number per channel, or one for all, to go with (n, c, h, w) images.

    Raises:
        BadInput: If there are neither one nor as many numbers as channels.
    """
    channels = pixels.shape[-3]
    if len(values) not in (1, channels):
        raise BadInput(
            f'{name} has {len(values)} numbers, but the image has {channels} channels.',
            'Give one number per band of the image, in its order, or a single one for all.',
        )
    return torch.tensor(values, dtype=pixels.dtype, device=pixels.device)[:, None, None]


def uniform(shape: int | tuple[int, ...], within: tuple[float, float]) -> Tensor:
    """Draw uniform numbers within (lower, upper) on the CPU."""
    return torch.rand(shape) * (within[1] - within[0]) + within[0]
