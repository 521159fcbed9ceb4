"""One place: its images at one or more dates on one grid, and its labels."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._classes import IGNORE, LabelClass
from torchgeo_ext.datasets._clouds import CloudRule
from torchgeo_ext.datasets._dates import period
from torchgeo_ext.datasets._image import Image
from torchgeo_ext.datasets._labels import LabelReader, Labels
from torchgeo_ext.datasets._mosaic import Mosaic
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress, silent

#: Height and width of what is read at once.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Pixels:
    """What was read of a window.

    Args:
        image: (t, c, h, w) float32, physical values (scale and offset applied).
        measured: (t, h, w) True where every band of a date holds a measurement and no cloud is.
        mask: (h, w) class numbers, ``IGNORE`` where there is no label or no measurement.
        maps: Further maps of classes (h, w) by name, ``IGNORE`` where nothing is known.
    """

    image: NDArray[np.float32]
    measured: NDArray[np.bool_]
    mask: NDArray[np.int64]
    maps: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(h, w) True where every date holds a measurement."""
        every: NDArray[np.bool_] = (
            self.measured[0] if len(self.measured) == 1 else self.measured.all(0)
        )
        return every

    def part(self, window: Window) -> 'Pixels':
        """Cut out a window."""
        rows, columns = window.toslices()
        return Pixels(
            self.image[..., rows, columns],
            self.measured[:, rows, columns],
            self.mask[rows, columns],
            {name: values[rows, columns] for name, values in self.maps.items()},
        )

    def beside(self, other: 'Pixels') -> 'Pixels':
        """Add the bands of other pixels of the same window, and their labels if it has none.

        Pixels of a single date are added to every date.
        """
        measured = self.measured & other.measured
        mask = np.where(self.mask == IGNORE, other.mask, self.mask)
        image = np.broadcast_to(other.image, (len(self.image), *other.image.shape[1:]))
        return Pixels(
            np.concatenate([self.image, image], axis=1),
            measured,
            np.where(measured.any(0), mask, IGNORE),
            self.maps,
        )


@runtime_checkable
class Layer(Protocol):
    """Something else that is known of places, read on the grid of a scene."""

    @property
    def dates(self) -> int:
        """Number of its dates."""

    @property
    def labelled(self) -> bool:
        """Whether it has labels."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands it adds."""

    @property
    def wavelengths(self) -> NDArray[np.float32]:
        """Centres of these in micrometres."""

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The classes of the labels it adds."""

    def on(self, grid: Grid, time: pd.Interval) -> Callable[[Window], Pixels]:
        """Prepare reading windows of a grid."""


@dataclass
class Scene:
    """Images of one place with labels, read in windows of one grid.

    Args:
        grid: The grid.
        dates: The images of each date (t of them); several make a mosaic, none are a gap.
        times: When each date was, None if unknown.
        labels: Where labels come from, if there are any.
        clouds: The cloud masks of each date, if there are any.
        cloud_rule: Which of their values mean cloud.
        every: Whether labels count where every date has a measurement; otherwise where any has.
        layers: What else belongs to the scene.
        maps: Where further labels come from, by name.
        inputs: Names of those that are no labels but something to predict from: they are known
            without a measurement, and where labels are held out.
    """

    grid: Grid
    dates: tuple[tuple[Image, ...], ...]
    times: tuple[pd.Interval | None, ...]
    labels: Labels | None = None
    clouds: tuple[tuple[Image, ...], ...] = ()
    cloud_rule: CloudRule = field(default_factory=CloudRule)
    every: bool = True
    layers: tuple[Layer, ...] = ()
    maps: Mapping[str, Labels] = field(default_factory=dict)
    inputs: frozenset[str] = frozenset()
    _kept: Pixels | None = field(default=None, repr=False)
    _open: '_Readers | None' = field(default=None, repr=False)

    @property
    def images(self) -> tuple[Image, ...]:
        """All its images, date by date."""
        return tuple(image for date in self.dates for image in date)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands, those of other layers after its own."""
        return sum((layer.bands for layer in self.layers), self.images[0].names)

    @property
    def wavelengths(self) -> NDArray[np.float32]:
        """(c,) centres of its bands in micrometres, NaN where unknown."""
        layers = (layer.wavelengths for layer in self.layers)
        return np.concatenate([self.images[0].wavelengths, *layers])

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Its classes, none if it has no labels."""
        sources = (self.labels, *self.layers)
        return next((s.classes for s in sources if s is not None and s.classes), ())

    @property
    def labelled(self) -> bool:
        """Whether it has labels."""
        return self.labels is not None or any(layer.labelled for layer in self.layers)

    @functools.cached_property
    def time(self) -> pd.Interval:
        """From the first to the last date; all time if one is unknown."""
        return period([time for time, date in zip(self.times, self.dates, strict=True) if date])

    def geometry(self, window: Window) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Give the ``bounds`` and the ``transform`` of a window, nine numbers each, as TorchGeo."""
        a, b, c, d, e, f, x, y, start, stop = self._numbers
        width, height = window.width, window.height
        left = a * window.col_off + b * window.row_off + c
        top = d * window.col_off + e * window.row_off + f
        xs = left, left + a * width, left + b * height, left + a * width + b * height
        ys = top, top + d * width, top + e * height, top + d * width + e * height
        bounds = min(xs), max(xs), x, min(ys), max(ys), y, start, stop, 1.0
        return bounds, (a, b, left, d, e, top, 0.0, 0.0, 1.0)

    @functools.cached_property
    def _numbers(self) -> tuple[float, ...]:
        # there are many patches, and arithmetic with affine objects is slow
        time = self.time.left.timestamp(), self.time.right.timestamp()
        return (*tuple(self.grid.transform)[:6], *self.grid.resolution, *time)

    @property
    def size(self) -> int:
        """Bytes of memory the whole scene takes."""
        per_pixel = len(self.dates) * (4 * len(self.bands) + 1) + 8 * (1 + len(self.maps))
        return self.grid.height * self.grid.width * per_pixel

    @property
    def kept(self) -> bool:
        """Whether the scene is in memory."""
        return self._kept is not None

    def keep(self, progress: Progress = silent) -> None:
        """Read everything now and answer from memory from then on."""
        dates, shape = len(self.dates), self.grid.shape
        kept = Pixels(
            np.empty((dates, len(self.bands), *shape), dtype=np.float32),
            np.empty((dates, *shape), dtype=bool),
            np.empty(shape, dtype=np.int64),
            {name: np.empty(shape, dtype=np.int64) for name in self.maps},
        )
        for window in self.grid.windows(_CHUNK):
            progress(window.row_off / self.grid.height, 'reading images')
            part, there = self._read(window), kept.part(window)
            there.image[:], there.measured[:], there.mask[:] = part.image, part.measured, part.mask
            for name, values in part.maps.items():
                there.maps[name][:] = values
        self._kept = kept

    def read(self, window: Window, out: NDArray[np.float32] | None = None) -> Pixels:
        """Read a window that lies inside of the grid.

        Args:
            window: The window.
            out: (t, c, h, w) memory for the image, used unless it is kept or has other layers.
        """
        return self._read(window, out) if self._kept is None else self._kept.part(window)

    def moved(self, grid: Grid, others: Sequence['Scene'] = ()) -> 'Scene':
        """Give the same on another grid, joined with other scenes of the same dates.

        Args:
            grid: The grid; pixels that lie elsewhere than the images' own are resampled.
            others: What fills the places that this one has no measurement of.
        """
        scenes = (self, *others)
        return replace(
            self,
            grid=grid,
            dates=tuple(sum(images, ()) for images in zip(*(s.dates for s in scenes), strict=True)),
            clouds=tuple(
                sum(images, ()) for images in zip(*(s.clouds for s in scenes), strict=True)
            ),
            _kept=None,
            _open=None,
        )

    def _read(self, window: Window, out: NDArray[np.float32] | None = None) -> Pixels:
        if self._open is None:
            self._open = _Readers(self)
        pixels = self._open.read(window, None if self.layers else out)
        for read in self._open.layers:
            pixels = pixels.beside(read(window))
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        # each worker of a DataLoader opens the files for itself
        return self.__dict__ | {'_open': None}


class _Readers:
    """What a scene reads from."""

    def __init__(self, scene: Scene) -> None:
        grid, bands = scene.grid, len(scene.images[0].names)
        self._dates = [Mosaic(images, grid, bands) for images in scene.dates]
        self._clouds = [Mosaic(images, grid, 1) for images in scene.clouds]
        self._rule, self._every = scene.cloud_rule, scene.every
        self._labels: LabelReader | None = scene.labels.on(grid) if scene.labels else None
        self._maps = {name: labels.on(grid) for name, labels in scene.maps.items()}
        self._inputs = scene.inputs
        self.layers = [layer.on(grid, scene.time) for layer in scene.layers]

    def read(self, window: Window, out: NDArray[np.float32] | None) -> Pixels:
        image, measured = self._images(window, out)
        for date, mosaic in enumerate(self._clouds):
            values, known = mosaic.read(window)
            measured[date] &= ~(known & self._rule.clouds(values[0]))
        counted = measured.all(0) if self._every else measured.any(0)
        maps = {
            name: read(window) if name in self._inputs else _where(counted, read(window))
            for name, read in self._maps.items()
        }
        if self._labels is None:
            # takes no memory
            nothing = np.broadcast_to(np.int64(IGNORE), measured.shape[1:])
            return Pixels(image, measured, nothing, maps)
        return Pixels(image, measured, _where(counted, self._labels(window)), maps)

    def _images(
        self, window: Window, out: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        shape = window.height, window.width
        if out is None:
            out = np.empty((len(self._dates), self._dates[0].bands, *shape), dtype=np.float32)
        if len(self._dates) == 1:
            return out, self._dates[0].read(window, out[0])[1][None]
        measured = np.empty((len(self._dates), *shape), dtype=bool)
        for date, mosaic in enumerate(self._dates):
            measured[date] = mosaic.read(window, out[date])[1]
        return out, measured


def _where(counted: NDArray[np.bool_], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Keep the labels of pixels that count."""
    return labels if counted.all() else np.where(counted, labels, IGNORE)


def pad(pixels: Pixels, window: Window, inside: Window) -> Pixels:
    """Extend what was read ``inside`` of a raster to a window that reaches beyond it."""
    if inside == window:
        return pixels
    top, left = inside.row_off - window.row_off, inside.col_off - window.col_off
    around = (
        (top, window.height - inside.height - top),
        (left, window.width - inside.width - left),
    )
    return Pixels(
        np.pad(pixels.image, ((0, 0), (0, 0), *around)),
        np.pad(pixels.measured, ((0, 0), *around)),
        np.pad(pixels.mask, around, constant_values=IGNORE),
        {
            name: np.pad(values, around, constant_values=IGNORE)
            for name, values in pixels.maps.items()
        },
    )
