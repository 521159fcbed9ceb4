"""One place: its raster at one or more dates, brought onto one grid, and its labels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._classes import IGNORE
from torchgeo_ext.datasets._labels import LabelReader, Labels
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, WindowReader
from torchgeo_ext.progress import Progress, silent

#: Height and width of what is read at once.
_CHUNK = 1024

_DATE_TAGS = ('date', 'DATE', 'ACQUISITION_DATE', 'ACQUISITIONDATETIME', 'TIFFTAG_DATETIME')
_DATE_IN_NAME = re.compile(r'(?<!\d)((?:19|20)\d{2})[-_]?(0[1-9]|1[0-2])[-_]?([0-2]\d|3[01])(?!\d)')


@dataclass(frozen=True)
class Pixels:
    """What was read of a window.

    Args:
        image: (t, c, h, w) float32, physical values (scale and offset applied).
        valid: (h, w) True where every band of every date holds a measurement.
        mask: (h, w) class numbers, ``IGNORE`` where there is no label or no measurement.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    mask: NDArray[np.int64]

    def part(self, window: Window) -> 'Pixels':
        """Cut out a window."""
        rows, columns = window.toslices()
        return Pixels(
            self.image[..., rows, columns], self.valid[rows, columns], self.mask[rows, columns]
        )


@dataclass
class Scene:
    """Rasters of one place with labels, read in windows of the first one's grid.

    Args:
        grid: The grid of the first raster.
        sources: One per date.
        scales: (t, c, 1, 1) factors that make physical values of stored ones.
        offsets: (t, c, 1, 1) added after that.
        labels: Where labels come from.
        time: First and last moment.
    """

    grid: Grid
    sources: tuple[RasterSource, ...]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32]
    labels: Labels
    time: pd.Interval
    _kept: Pixels | None = field(default=None, repr=False)
    _open: tuple[list[WindowReader], LabelReader] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes of memory the whole scene takes."""
        return self.grid.height * self.grid.width * (self.scales.size * 4 + 9)

    def keep(self, progress: Progress = silent) -> None:
        """Read everything now and answer from memory from then on."""
        image = np.empty((*self.scales.shape[:2], *self.grid.shape), dtype=np.float32)
        valid = np.empty(self.grid.shape, dtype=bool)
        mask = np.empty(self.grid.shape, dtype=np.int64)
        for window in self.grid.windows(_CHUNK):
            progress(window.row_off / self.grid.height, 'reading images')
            part, (rows, columns) = self._read(window), window.toslices()
            image[..., rows, columns] = part.image
            valid[rows, columns], mask[rows, columns] = part.valid, part.mask
        self._kept = Pixels(image, valid, mask)

    def read(self, window: Window) -> Pixels:
        """Read a window that lies inside of the grid."""
        return self._read(window) if self._kept is None else self._kept.part(window)

    def _read(self, window: Window) -> Pixels:
        if self._open is None:
            readers = [source.open(self.grid) for source in self.sources]
            self._open = readers, self.labels.on(self.grid)
        readers, read_labels = self._open
        parts = [reader.read(window) for reader in readers]
        image = np.stack([values for values, _ in parts])
        valid = np.logical_and.reduce([part for _, part in parts])
        if (self.scales != 1).any() or (self.offsets != 0).any():
            image = image * self.scales + self.offsets
        return Pixels(image, valid, np.where(valid, read_labels(window), IGNORE))

    def __getstate__(self) -> dict[str, Any]:
        # each worker of a DataLoader opens the files for itself
        return self.__dict__ | {'_open': None}


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
        np.pad(pixels.valid, around),
        np.pad(pixels.mask, around, constant_values=IGNORE),
    )


def inside(window: Window, grid: Grid) -> Window:
    """Give the part of a window that lies on a grid; may be empty."""
    first_row, first = max(0, window.row_off), max(0, window.col_off)
    end_row = min(grid.height, window.row_off + window.height)
    end = min(grid.width, window.col_off + window.width)
    return Window(first, first_row, max(0, end - first), max(0, end_row - first_row))


def acquisition(path: str, tags: dict[str, str]) -> pd.Timestamp | None:
    """Find the day an image was taken, in its tags or its file name."""
    for tag in _DATE_TAGS:
        # TIFF writes 2015:07:11 10:00:00
        text = re.sub(r'^(\d{4}):(\d\d):(\d\d)', r'\1-\2-\3', tags.get(tag, ''))
        day = pd.to_datetime(text, errors='coerce', utc=True)
        if not pd.isna(day):
            return pd.Timestamp(day.tz_localize(None))
    match = _DATE_IN_NAME.search(Path(path).stem)
    day = pd.to_datetime('-'.join(match.groups()), errors='coerce') if match else pd.NaT
    return None if pd.isna(day) else pd.Timestamp(day)


def period(days: Sequence[pd.Timestamp | None]) -> pd.Interval:
    """Give the time from the first to the last of some days; all time if one is unknown."""
    known = [day for day in days if day is not None]
    if len(known) < len(days):
        return pd.Interval(pd.Timestamp.min, pd.Timestamp.max, closed='both')
    end = max(known) + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    return pd.Interval(min(known), end, closed='both')
