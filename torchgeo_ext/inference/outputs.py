"""What can be written: classes, a threshold, probabilities, confidence or plain values."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from torchgeo_ext.errors import BadParameter

#: ``classes``: value of the class with the highest score. ``threshold``: whether the score of one
#: band reaches a threshold. ``probabilities``: all scores. ``confidence``: score of the class that
#: was chosen. ``values``: what the model gives, in a data type of choice.
Kind = Literal['classes', 'threshold', 'probabilities', 'confidence', 'values']

#: Most scores of a pixel that are ranked to look for NaN, which the classes need anyway; more are
#: those of an embedding.
_CLASSES = 64
#: Rows that are ranked at once.
_ROWS = 64
_FLOATS = ('float32', 'float64')
_VALUE_TYPES = ('uint8', 'uint16', 'int16', 'uint32', 'int32', *_FLOATS)


class ClassLike(Protocol):
    """A class of a class table; :class:`RasterClass` and those of bundles are."""

    @property
    def value(self) -> int:
        """Pixel value, 0 to 65534."""

    @property
    def name(self) -> str:
        """Name for people."""

    @property
    def color(self) -> str:
        """Colour, ``#rrggbb``."""


@dataclass(frozen=True)
class RasterClass:
    """A class of a class table.

    Args:
        value: Pixel value, 0 to 65534.
        name: Name for people.
        color: Colour, ``#rrggbb``.
    """

    value: int
    name: str
    color: str


@dataclass(frozen=True)
class RasterOutput:
    """A raster to write.

    Args:
        path: Where; a GeoTIFF.
        kind: What, see :data:`Kind`.
        classes: For ``classes`` one per score band, in the order of the model's, or what
            ``decide`` chooses from; for ``threshold`` the one below and the one reached. Otherwise
            names for bands, if given.
        threshold: Score from which on a pixel counts.
        band: Score band, from 1: the one compared with the threshold (the last if not given) or
            the only one to write as ``values`` (all if not given).
        part: For a model of several maps: the score bands, from 0, that this output is about. All
            other arguments then count from the first of these.
        decide: For ``classes``: tells from the scores which of the classes a pixel has, as numbers
            (height, width) from 0, where the highest score alone does not tell.
        dtype: Data type of ``values``. Values are rounded to integers and kept in range.
        nodata: Value of invalid pixels; if not given NaN, or for integers one that is no class
            (255 or 65535 where possible). A valid value that happens to equal it is moved by one.
        descriptions: Names of the bands.
        unit: Unit of the values.
        tags: Metadata to add to the provenance.
        band_tags: Metadata of each band.
        scale: Factor from stored to physical values, noted in the file for other programs.
        offset: Added after scaling, likewise.
        argument: The argument the path came from, for messages.
    """

    path: str | Path
    kind: Kind
    classes: Sequence[ClassLike] = ()
    threshold: float = 0.5
    band: int | None = None
    part: slice | None = None
    decide: 'Callable[[Scores], np.ndarray] | None' = None
    dtype: str = 'float32'
    nodata: float | None = None
    descriptions: Sequence[str] = ()
    unit: str = ''
    tags: Mapping[str, str] = field(default_factory=dict)
    band_tags: Sequence[Mapping[str, str]] = ()
    scale: float = 1.0
    offset: float = 0.0
    argument: str = 'output'

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise BadParameter(f'{self.argument}: {self.kind!r} is not a kind of raster output.')
        if self.dtype not in _VALUE_TYPES:
            raise BadParameter(
                f'{self.argument}: {self.dtype!r} is not a data type to write.',
                f'Choose one of {", ".join(_VALUE_TYPES)}.',
            )
        if wrong := [c.value for c in self.classes if not 0 <= c.value < 2**16 - 1]:
            raise BadParameter(
                f'{self.argument}: the class value {wrong[0]} is not between 0 and 65534.'
            )


class Scores:
    """Scores of some pixels and what several outputs need of them, computed once.

    Args:
        values: Scores (k, height, width) on any device. Only what is asked for leaves the device.
    """

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._on_host = values.device.type == 'cpu'
        self._parts: dict[tuple[int, int], Scores] = {}

    def part(self, bands: slice) -> 'Scores':
        """Give the scores of some bands; what is computed of them is kept."""
        key = bands.start, bands.stop
        if key not in self._parts:
            self._parts[key] = Scores(self._values[bands])
        return self._parts[key]

    @cached_property
    def values(self) -> np.ndarray:
        """The scores (k, height, width)."""
        return self._values.contiguous().cpu().numpy()

    @property
    def best(self) -> np.ndarray:
        """Number of the band with the highest score, from 0; the first of equal ones."""
        return self._ranked[0]

    @property
    def maximum(self) -> np.ndarray:
        """The highest score; NaN if any is."""
        return self._ranked[1]

    @cached_property
    def undefined(self) -> np.ndarray | None:
        """Where the model gave NaN; ``None`` if nowhere."""
        if self._on_host and len(self._values) <= _CLASSES:
            nan = np.isnan(self.maximum)
            return nan if nan.any() else None
        there = self._values.amax(0).isnan()
        return there.cpu().numpy() if there.any() else None

    def reached(self, band: int, threshold: float) -> np.ndarray:
        """Whether the score of a band, from 0, is at least ``threshold``."""
        reached: np.ndarray = (self._values[band] >= threshold).cpu().numpy()
        return reached

    @cached_property
    def _ranked(self) -> tuple[np.ndarray, np.ndarray]:
        if self._on_host:
            return _rank(self._values)
        maximum, best = self._values.max(0)
        index = best.to(torch.uint8 if len(self._values) <= 256 else torch.int32)
        return index.cpu().numpy(), maximum.cpu().numpy()


class Encoder:
    """Turns scores into the pixels of one output.

    Args:
        output: The output.
        count: Number of score bands of the model.

    Attributes:
        output: The output.
        count: Number of bands to write.
        dtype: Data type to write.
        nodata: Value of invalid pixels.
        pixels: Valid pixels written so far per class value.

    Raises:
        BadParameter: If the output does not fit the model.
    """

    def __init__(self, output: RasterOutput, count: int) -> None:
        self.output = output
        self.pixels: Counter[int] = Counter()
        if output.part is not None:
            count = len(range(count)[output.part])
        self._scores = count
        _check(output, count)
        self._band = count - 1 if output.band is None else output.band - 1
        self._values = _class_values(output)
        self._written = slice(None)
        if output.kind == 'values' and output.band is not None:
            self._written = slice(self._band, output.band)
        several = output.kind in ('probabilities', 'values')
        self.count = len(range(count)[self._written]) if several else 1
        self.dtype, self.nodata = self._layout()

    def encode(self, scores: Scores | None, valid: np.ndarray) -> np.ndarray:
        """Return the pixels (count, height, width) to write.

        Args:
            scores: The scores; ``None`` where nothing is valid.
            valid: Valid pixels (height, width).
        """
        if scores is None:
            return np.full((self.count, *valid.shape), self.nodata, self.dtype)
        if self.output.part is not None:
            scores = scores.part(self.output.part)
        pixels = self._categories(scores, valid) if self.categorical else self._numbers(scores)
        np.copyto(pixels, self.dtype.type(self.nodata), where=~valid)
        return pixels

    @property
    def categorical(self) -> bool:
        """Whether pixels are class values."""
        return self.output.kind in ('classes', 'threshold')

    def _categories(self, scores: Scores, valid: np.ndarray) -> np.ndarray:
        if self.output.decide is not None:
            index = self.output.decide(scores)
        elif self.output.kind == 'classes':
            index = scores.best
        else:
            index = scores.reached(self._band, self.output.threshold).view(np.uint8)
        counts = np.bincount(index[valid], minlength=len(self._values))
        self.pixels.update(dict(zip(self._values.tolist(), counts.tolist(), strict=True)))
        return self._values.astype(self.dtype)[index][None]

    def _numbers(self, scores: Scores) -> np.ndarray:
        if self.output.kind == 'confidence':
            maximum = scores.maximum
            # one score speaks for its class and, being what is left of 1, against it
            return (np.maximum(maximum, 1 - maximum) if self._scores == 1 else maximum.copy())[None]
        values = scores.values[self._written]
        if self.dtype.kind == 'f':
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        with np.errstate(invalid='ignore'):  # undefined values are not valid
            rounded = np.clip(np.rint(values), limits.min, limits.max).astype(self.dtype)
        beside = self.nodata + (1 if self.nodata == limits.min else -1)
        rounded[rounded == self.nodata] = beside
        return rounded

    def _layout(self) -> tuple[np.dtype, float]:
        """Choose data type and nodata value."""
        wanted, kind = self.output.nodata, self.output.kind
        if self.categorical:
            return layout_of_classes(set(self._values.tolist()), wanted, self.output.argument)
        dtype = np.dtype(self.output.dtype if kind == 'values' else 'float32')
        if dtype.kind == 'f':
            return dtype, math.nan if wanted is None else wanted
        limits = np.iinfo(dtype)
        if wanted is None:
            return dtype, limits.min if limits.min < 0 else limits.max
        if wanted != int(wanted) or not limits.min <= wanted <= limits.max:
            raise BadParameter(f'{self.output.argument}: {dtype} cannot hold nodata {wanted}.')
        return dtype, wanted


def _check(output: RasterOutput, count: int) -> None:
    if output.kind == 'classes' and not output.decide and len(output.classes) != count:
        raise BadParameter(
            f'{output.argument}: {len(output.classes)} classes do not fit the {count} scores that '
            'the model gives.',
            'Give one class per score; for a model with one score write a threshold.',
        )
    if output.kind == 'threshold' and len(output.classes) not in (0, 2):
        raise BadParameter(
            f'{output.argument}: a threshold makes two classes, not {len(output.classes)}.'
        )
    if output.band is not None and not 1 <= output.band <= count:
        raise BadParameter(
            f'{output.argument}: score band {output.band} does not exist; the model gives {count}.'
        )


def _class_values(output: RasterOutput) -> np.ndarray:
    if output.kind == 'threshold' and not output.classes:
        return np.array([0, 1])
    return np.array([entry.value for entry in output.classes], np.int64)


def layout_of_classes(
    values: set[int], wanted: float | None, argument: str
) -> tuple[np.dtype, float]:
    """Choose the smallest type that has room for class values and for one that is none of them.

    Args:
        values: The class values, 0 to 65534.
        wanted: Value of invalid pixels; None to choose one.
        argument: The argument the raster's path came from, for messages.

    Returns:
        Data type and value of invalid pixels.

    Raises:
        BadParameter: If ``wanted`` is a class value or does not fit.
    """
    if wanted is None:
        if max(values) <= 255 and len(values) <= 255:
            free = 255 if 255 not in values else next(v for v in range(256) if v not in values)
            return np.dtype('uint8'), free
        return np.dtype('uint16'), 2**16 - 1
    if wanted in values or wanted != int(wanted) or not 0 <= wanted < 2**16:
        raise BadParameter(
            f'{argument}: nodata {wanted} is a class value or not between 0 and 65535.',
            'Choose a nodata value that is no class.',
        )
    return np.dtype('uint8' if max(*values, wanted) <= 255 else 'uint16'), wanted


def _rank(scores: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the largest score along the first axis, and that score.

    Comparing band by band, in rows that fit into the processor's cache, beats ``argmax``, which
    strides through memory, twenty times and more.
    """
    count, height, width = scores.shape
    best = np.zeros((height, width), np.uint8 if count <= 256 else np.uint16)
    maximum = np.empty((height, width), np.float32)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        _rank_rows(scores[:, rows].contiguous().numpy(), best[rows], maximum[rows])
    return best, maximum


def _rank_rows(scores: np.ndarray, best: np.ndarray, maximum: np.ndarray) -> None:
    maximum[...] = scores[0]
    for index in range(1, len(scores)):
        larger = scores[index] > maximum
        np.maximum(maximum, scores[index], out=maximum)
        # later bands have larger numbers, so a maximum is an assignment where larger
        np.maximum(best, larger * best.dtype.type(index), out=best)
