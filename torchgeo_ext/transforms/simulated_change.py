"""Change, and what only looks like it, made up from images without any: pairs for training.

Events are put into one of the two dates of a pair: the same image twice, or two real dates of a
place that did not change. What else differs between dates comes from the other transforms of this
room: :class:`Misregister`, :class:`SpectralJitter`, :class:`Haze`, :class:`SensorNoise`.

The three kinds of events are those of Zheng et al. (2024), Changen2,
https://arxiv.org/abs/2406.17998, where a diffusion model paints them; copying texture within the
batch as here follows the cut-and-paste of Dwibedi et al. (2017), https://arxiv.org/abs/1708.01642.
"""

import dataclasses
import math
from functools import cache
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._base import (
    Drawn,
    Images,
    ImageTransform,
    Sample,
    SampleTransform,
    check_fraction,
    check_range,
    uniform,
)
from torchgeo_ext.transforms._series import like_sample, read_series
from torchgeo_ext.transforms.mixing import IGNORE

type Event = Literal['create', 'remove', 'convert']

#: Value of the mask where something changed.
CHANGED = 1
#: Places tried for an event (as many as Changen2 tries), and pixels looked at to judge each.
_TRIES, _LOOKED_AT = 50, 64
#: Share of the pixels of a place that counts as all of it.
_MOST = 0.8
#: Fewest pixels of an event.
_SMALLEST = 4
#: Rounds of k-means, and pixels that it looks at.
_ROUNDS, _PIXELS = 5, 1024
#: How sharply looks give way to each other.
_SHARPNESS = 8.0


def land_classes(pixels: Tensor, valid: Tensor, count: int) -> Tensor:
    """Give each pixel of an image one of a few classes by its values: k-means from random pixels.

    Args:
        pixels: (c, h, w) pixel values, finite.
        valid: (h, w) bool.
        count: Number of classes.

    Returns:
        (h, w) int64 classes from 0, -1 where invalid.
    """
    smooth = _smooth(torch.where(valid, pixels.detach(), 0))
    weight = _smooth(valid[None].to(pixels)).clamp(min=1e-6)
    features = (smooth / weight).flatten(1).T[valid.flatten()]
    classes = torch.full(valid.shape, -1, dtype=torch.int64, device=valid.device)
    if len(features):
        features = features / features.std(dim=0, correction=0).clamp(min=1e-6)
        drawn = features[_draw(len(features), _PIXELS)]
        centres = drawn[:count]
        for _ in range(_ROUNDS):
            members = torch.cdist(drawn, centres).argmin(dim=1)
            sums = torch.zeros_like(centres).index_add_(0, members, drawn)
            sizes = torch.bincount(members, minlength=len(centres))[:, None]
            centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
        classes[valid] = torch.cdist(features, centres).argmin(dim=1)
    return classes


def _smooth(pixels: Tensor) -> Tensor:
    """Average over 3 x 3 pixels, fewer at the rim."""
    return avg_pool2d(pixels[None], 3, 1, 1, count_include_pad=False)[0]


def _draw(count: int, most: int) -> Tensor:
    """Draw numbers below ``count``, each once."""
    return torch.randperm(count)[:most]


def objects(classes: Tensor) -> Tensor:
    """Number the connected areas of each class.

    Args:
        classes: (h, w) classes; negative ones are nothing.

    Returns:
        (h, w) int64 numbers from 1, 0 where there is nothing.
    """
    grouped = classes.cpu().numpy()
    numbers, found = np.zeros(grouped.shape, np.int64), 0
    for value in np.unique(grouped[grouped >= 0]):
        areas, count = ndimage.label(grouped == value)
        numbers[areas > 0] = areas[areas > 0] + found
        found += count
    return torch.from_numpy(numbers).to(classes.device)


def random_outline(size: tuple[int, int], centre: tuple[int, int], area: float) -> Tensor:
    """Draw an outline between ellipse and rectangle, of any direction, with a wavy rim.

    Args:
        size: Height and width of the image in pixels.
        centre: Row and column of its centre.
        area: About how many pixels are inside.

    Returns:
        (height, width) bool, True inside.
    """
    stretch, angle, power, turn = torch.rand(4).tolist()
    stretch, angle, power = math.sqrt(1 + 2 * stretch), math.pi * angle, 2 + 8 * power
    y = torch.arange(size[0])[:, None] - centre[0]
    x = torch.arange(size[1]) - centre[1]
    along = (x * math.cos(angle) + y * math.sin(angle)).abs() / stretch
    across = (y * math.cos(angle) - x * math.sin(angle)).abs() * stretch
    waves = 1 + 0.2 * torch.sin(3 * torch.atan2(y, x) + 2 * math.pi * turn)
    # an ellipse with power 2, nearly a rectangle with 10
    return along**power + across**power <= (math.sqrt(area / math.pi) * waves) ** power


class _Scene(NamedTuple):
    """What events are made of.

    Attributes:
        pixels: (c, h, w) pixel values, of mean 0 and deviation 1 in each band.
        valid: (h, w) bool.
        classes: (h, w) int64, -1 where there is none.
        numbers: (h, w) int64 of :func:`objects`.
    """

    pixels: Tensor
    valid: Tensor
    classes: Tensor
    numbers: Tensor


class _Placed(NamedTuple):
    """Where an event is.

    Attributes:
        region: (h, w) bool, the pixels that change.
        shift: From how many rows below and columns to the right their new content comes.
    """

    region: Tensor
    shift: tuple[int, int]


class SimulateChange(SampleTransform):
    """Put events of change into the dates of pairs, and label them 1 in ``mask``.

    - create: an object gets a copy somewhere else, of this image or the next one of the batch.
    - remove: an object is filled with what continues its surroundings best.
    - convert: an object gets the texture of another class, of this image or the next one.

    Which of the dates is changed is drawn, so that things appear and disappear. Objects are
    connected areas of one class, large ones cut to size by a random outline. An event that would
    hardly be seen is left out. Without a ``mask`` there is one afterwards, 0 where nothing was
    done; of a mask that was there, other pixels keep their labels and -1 stays -1.

    Example:
        >>> simulate = SimulateChange(events=(1, 3))
        >>> image = torch.rand(4, 64, 64)
        >>> sample = simulate({'image': torch.stack((image, image))})
        >>> sample['mask'].shape
        torch.Size([1, 64, 64])

    Args:
        events: Least and greatest number of events in a pair.
        kinds: Kinds of events, drawn alike.
        area: Least and greatest share of the image that an event covers.
        contrast: How much most pixels of a place must change for an event, in standard deviations
            of the image, as mean over the bands.
        classes: Number of classes found in the image by its values, for lack of given ones.
        given: Key of a mask (h, w) or (b, h, w) of classes in the sample, to take instead; -1 is
            no class.
        p: Probability that there are events in a pair.

    Raises:
        BadParameter: If a number is out of its range or a kind not known.
        BadInput: When called, if the sample is no pair or the mask does not fit it.
    """

    needs_sample = True

    def __init__(
        self,
        events: tuple[int, int] = (1, 4),
        kinds: tuple[Event, ...] = ('create', 'remove', 'convert'),
        area: tuple[float, float] = (0.002, 0.08),
        contrast: float = 0.6,
        classes: int = 6,
        given: str | None = None,
        p: float = 0.8,
    ) -> None:
        super().__init__()
        known = get_args(Event.__value__)
        if not kinds or not set(kinds) <= set(known):
            raise BadParameter(f'kinds is {kinds}; it must be some of {", ".join(known)}.')
        if classes < 2:
            raise BadParameter(f'classes is {classes}; there must be at least 2.')
        check_range('contrast', (0, contrast))
        check_fraction('p', p)
        check_range('events', events, 0)
        self.events = events
        self.kinds = kinds
        self.area = check_range('area', area, 0, 1)
        self.contrast = contrast
        self.classes = classes
        self.given = given
        self.p = p

    def transform(self, sample: Sample) -> Sample:
        """Put events into pairs and their labels into the mask."""
        images, valid = read_series(sample)
        if images.shape[1] != 2:
            raise BadInput(
                f'SimulateChange needs pairs, but an image of the shape '
                f'{tuple(sample["image"].shape)} has {images.shape[1]} dates.',
                'Stack an image with itself: (2, c, h, w), or (b, 2, c, h, w) for a batch.',
            )
        chosen = (torch.rand(len(images)) < self.p).nonzero()[:, 0].tolist()
        values = torch.where(valid.unsqueeze(2), images, 0)
        mean, deviation = _moments(values.detach(), valid)
        both = valid.all(dim=1)

        @cache
        def scene(number: int) -> _Scene:
            pixels = (values[number, 0].detach() - mean[number, 0]) / deviation[number, 0]
            classes = self._classes(sample, number, pixels, both[number])
            return _Scene(pixels, both[number], classes, objects(classes))

        edited, changed = list(values), torch.zeros_like(both)
        for number in chosen:
            dates = list(values[number])
            for _ in range(int(torch.randint(self.events[0], self.events[1] + 1, ()))):
                date, away = torch.randint(2, (2,)).tolist()
                kind = self.kinds[int(torch.randint(len(self.kinds), ()))]
                own, donor = scene(number), scene((number + away) % len(images))
                placed = self._place(kind, own, own if kind == 'remove' else donor)
                if placed is None:
                    continue
                content = values[number, date]
                if kind != 'remove' and away:
                    # looks of another place are brought to those of this one
                    content = donor.pixels * deviation[number, date] + mean[number, date]
                usable = own.valid & _moved(donor.valid, placed.shift)
                share = _smooth(placed.region[None].to(content)) * usable
                dates[date] = torch.lerp(dates[date], _moved(content, placed.shift), share)
                changed[number] |= share[0] >= 0.5
            edited[number] = torch.stack(dates)
        sample['mask'] = _labelled(sample, changed)
        result = torch.where(valid.unsqueeze(2), torch.stack(edited), images)
        sample['image'] = like_sample(sample, result)
        return sample

    def _classes(self, sample: Sample, number: int, pixels: Tensor, valid: Tensor) -> Tensor:
        """Give the classes of an image, those in the sample if they are to be taken."""
        if self.given is None:
            return land_classes(pixels, valid, self.classes)
        if self.given not in sample:
            raise BadInput(f'given is {self.given!r}, but the sample has no such mask.')
        given: Tensor = sample[self.given]
        return torch.where(valid, given.reshape(-1, *valid.shape)[number], -1)

    def _place(self, kind: Event, own: _Scene, donor: _Scene) -> _Placed | None:
        """Find a place for an event, if there is one."""
        region = self._region(donor if kind == 'create' else own)
        if region is None:
            return None
        inside, rim = region.nonzero(), (_grown(region) & ~region).nonzero()
        first, last = inside.amin(dim=0), inside.amax(dim=0)
        room = first.new_tensor(region.shape) - (last - first)
        shifts = (torch.rand(_TRIES, 2).to(region.device) * room).long() - first
        inside, rim = (pixels[_draw(len(pixels), _LOOKED_AT)] for pixels in (inside, rim))
        inside = inside.expand(_TRIES, -1, -1)
        away = inside + shifts[:, None]
        # a created object is brought away, everything else comes from there
        source, target = (inside, away) if kind == 'create' else (away, inside)
        change = (_at(donor.pixels, source) - _at(own.pixels, target)).abs().mean(dim=0)
        usable = _at(donor.valid, source) & _at(own.valid, target)
        good = usable.all(dim=1) & _mostly(change >= self.contrast)
        if kind == 'convert':
            found = _at(donor.classes, source)
            good &= _mostly(found == found.mode(dim=1, keepdim=True).values)
        places = shifts[good]
        if not len(places):
            return None
        best = 0
        if kind == 'remove':
            around = _at(own.pixels, rim + places[:, None]) - _at(own.pixels, rim)[:, None]
            best = int(around.abs().mean(dim=(0, 2)).argmin())
        down, right = places[best].tolist()
        if kind == 'create':
            down, right = -down, -right
            region = _moved(region, (down, right))
        return _Placed(region, (down, right))

    def _region(self, scene: _Scene) -> Tensor | None:
        """Draw an object, or part of one that is too large."""
        height, width = scene.numbers.shape
        smallest, largest = (share * height * width for share in self.area)
        pixels = scene.numbers.nonzero()
        for row, column in pixels[_draw(len(pixels), _TRIES)].tolist():
            region = scene.numbers == scene.numbers[row, column]
            if region.sum() > largest:
                area = uniform(1, (smallest, largest)).item()
                outline = random_outline((height, width), (row, column), area)
                region &= outline.to(region.device)
            if region.sum() >= max(smallest, _SMALLEST):
                return region
        return None


def _moments(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each band of each date, (b, t, c, 1, 1), of values 0 where invalid."""
    weight = valid.unsqueeze(2).to(values)
    count = weight.sum(dim=(3, 4), keepdim=True).clamp(min=1)
    mean = values.sum(dim=(3, 4), keepdim=True) / count
    spread = ((values - mean).square() * weight).sum(dim=(3, 4), keepdim=True) / count
    deviation = spread.sqrt()
    return mean, torch.where(deviation > 0, deviation, 1)


def _labelled(sample: Sample, changed: Tensor) -> Tensor:
    """The mask of a sample with label 1 where (b, h, w) something changed."""
    mask = sample.get('mask')
    if mask is None:
        mask = like_sample(sample, torch.zeros_like(changed, dtype=torch.int64)[:, None])
    if mask.numel() != changed.numel():
        raise BadInput(
            f'mask has the shape {tuple(mask.shape)}, which is not one label for each pixel of '
            f'pairs of the shape {tuple(sample["image"].shape)}.'
        )
    return mask.masked_fill(changed.reshape(mask.shape) & (mask != IGNORE), CHANGED)


def _at(values: Tensor, places: Tensor) -> Tensor:
    """Read (..., h, w) values at (..., 2) rows and columns; beyond the rim those of the rim."""
    height, width = values.shape[-2:]
    return values[..., places[..., 0].clamp(0, height - 1), places[..., 1].clamp(0, width - 1)]


def _moved(values: Tensor, shift: tuple[int, int]) -> Tensor:
    """Give each pixel of (..., h, w) what is so many rows below and to the right, 0 beyond."""
    down, right = shift
    return pad(values, (-right, right, -down, down))


def _mostly(holds: Tensor) -> Tensor:
    """Tell for each row whether something holds for most of it."""
    return holds.float().mean(dim=1) >= _MOST


def _grown(region: Tensor) -> Tensor:
    """Add the neighbours of the pixels of (h, w) that are True."""
    return max_pool2d(region[None].float(), 3, 1, 1)[0] > 0


class SimulateSeason(ImageTransform):
    """Change the looks of land cover as seasons do, which is no change: labels stay.

    Around pixels drawn at random, whatever looks alike and lies near gets a gain and an offset of
    its own in each band; in between they blend. So fields of one kind change together, those of
    another kind or far away in another way, and outlines stay where they are.

    Args:
        strength: Standard deviation of gains, and of offsets in standard deviations of the band.
        looks: Number of pixels drawn, each with looks of its own.
        reach: How far looks reach, in widths of the image; a step of one standard deviation in all
            bands counts as much.
        p: Probability that an image (a series, with ``same_on_time``) is changed.
        same_on_time: Change all dates of a series alike.

    Raises:
        BadParameter: If a number is out of its range.
    """

    def __init__(
        self,
        strength: float = 0.3,
        looks: int = 12,
        reach: float = 1.0,
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(p, same_on_time)
        check_range('strength', (0, strength), 0)
        if looks < 1 or not reach > 0:
            raise BadParameter(
                f'looks is {looks} and reach {reach}; looks must be at least 1, reach above 0.'
            )
        self.strength = strength
        self.looks = looks
        self.reach = reach

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw pixels, and the gain and offset that go with each."""
        bands = images.pixels.shape[1]
        return {
            'places': torch.rand(count, self.looks, 2),
            'effects': self.strength * torch.randn(count, self.looks, 2 * bands),
        }

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Multiply and add."""
        pixels = images.pixels
        count, bands, height, width = pixels.shape
        valid = torch.ones_like(pixels[:, 0]) if images.valid is None else images.valid[:, 0]
        mean, deviation = (x[:, 0] for x in _moments(pixels.detach()[:, None], valid[:, None]))
        looks = torch.stack([_smooth(image) for image in (pixels.detach() - mean) / deviation])
        y = torch.arange(height).to(pixels) / (width * self.reach)
        x = torch.arange(width).to(pixels) / (width * self.reach)
        where = torch.stack(torch.meshgrid(y, x, indexing='ij')).expand(count, -1, -1, -1)
        features = torch.cat((looks / math.sqrt(bands), where), dim=1)
        rows, columns = (drawn['places'] * pixels.new_tensor((height, width))).long().unbind(2)
        drawn_from = torch.arange(count)[:, None].to(rows.device)
        centres = features[drawn_from, :, rows, columns]
        distances = torch.cdist(features.flatten(2).mT, centres)
        weights = (-_SHARPNESS * distances).softmax(dim=2)
        effects = (weights @ drawn['effects']).mT.unflatten(2, (height, width))
        gain, offset = effects.split(bands, dim=1)
        return dataclasses.replace(images, pixels=pixels * (1 + gain) + offset * deviation)
