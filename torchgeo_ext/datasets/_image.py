"""Images: what one acquisition gives of one place, in one file or in one file per band."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._dates import acquired
from torchgeo_ext.datasets._files import ImageFiles, find_images
from torchgeo_ext.datasets._geometry import turned
from torchgeo_ext.datasets._handles import LazyReader
from torchgeo_ext.datasets._header import Header, OnError, read_headers
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.sensors import find_bands

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageOptions:
    """How images are found and read; see the datasets."""

    bands: Sequence[int | float | str] | None = None
    assets: Sequence[str] | None = None
    nodata: float | Sequence[float | None] | None = None
    resampling: str = 'bilinear'
    date_pattern: str | None = None
    index_cache: Path | None = None
    on_error: OnError = 'raise'


@dataclass(frozen=True, eq=False)
class Image:
    """Bands on one grid.

    Args:
        grid: The grid of the file with the smallest pixels.
        sources: The files; their bands follow each other.
        names: Name of each band (c of them).
        wavelengths: (c,) centres in micrometres, NaN where unknown.
        dtypes: Data types of the files.
        scale: (c, 1, 1) factors that make physical values of stored ones.
        offset: (c, 1, 1) added after that.
        time: When it was taken, None if unknown.
        on_error: Whether damaged pixels are an error or missing.
    """

    grid: Grid
    sources: tuple[RasterSource, ...]
    names: tuple[str, ...]
    wavelengths: NDArray[np.float32]
    dtypes: tuple[str, ...]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    time: pd.Interval | None = None
    on_error: OnError = 'raise'

    @property
    def path(self) -> str:
        """The (first) file, to name it by."""
        return self.sources[0].path

    @property
    def argument(self) -> str:
        """The argument it came from, for messages."""
        return self.sources[0].argument

    def on(self, grid: Grid) -> 'ImageReader':
        """Prepare reading on a grid that it overlaps."""
        grid = turned(grid, self.grid)
        return ImageReader(self, tuple(LazyReader(source, grid) for source in self.sources))


@dataclass
class ImageReader:
    """Reads windows of a grid from an image."""

    image: Image
    readers: tuple[LazyReader, ...]
    _scaled: bool = field(init=False)
    _damaged: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._scaled = bool((self.image.scale != 1).any() or (self.image.offset != 0).any())

    def read(
        self, window: Window, out: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read physical values (c, h, w) as float32 and validity (h, w).

        Raises:
            BadInput: If the file is damaged and the image's ``on_error`` is ``raise``.
        """
        try:
            values, valid = self._read(window, out)
        except BadInput as error:
            if self.image.on_error == 'raise':
                raise
            if not self._damaged:
                log.warning('%s Its damaged pixels are left out.', error.message)
                self._damaged = True
            shape = window.height, window.width
            values = np.zeros((len(self.image.names), *shape), np.float32) if out is None else out
            return values, np.zeros(shape, dtype=bool)
        if self._scaled:
            values *= self.image.scale
            values += self.image.offset
        return values, valid

    def _read(
        self, window: Window, out: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if len(self.readers) == 1:
            return self.readers[0].read(window, out)
        shape = window.height, window.width
        values = np.empty((len(self.image.names), *shape), np.float32) if out is None else out
        valid, first = np.ones(shape, dtype=bool), 0
        for reader in self.readers:
            bands = len(reader.source.bands or ())
            valid &= reader.read(window, values[first : first + bands])[1]
            first += bands
        return values, valid


def open_images(
    paths: Any, options: ImageOptions, argument: str, progress: Progress = silent
) -> list[Image]:
    """Find rasters and look at their headers.

    Args:
        paths: Files, folders, patterns or STAC items; see :func:`find_images`.
        options: How to read them.
        argument: The argument they came from, for messages.
        progress: Told how far it is.

    Returns:
        The images in time order, those without date first; of the same time in the order given.

    Raises:
        BadInput: If there is none, one cannot be opened, or their bands differ.
        BadParameter: If a band does not exist.
    """
    found = find_images(paths, options.assets, argument)
    headers = {
        header.path: header
        for header in read_headers(
            [path for files in found for path in files.paths],
            argument,
            cache=options.index_cache,
            on_error=options.on_error,
            progress=progress,
        )
    }
    images = [
        _image(files, [headers[path] for path in files.paths], options, argument)
        for files in found
        if all(path in headers for path in files.paths)
    ]
    if not images:
        raise BadInput(f'{argument}: no image has all its files.', 'Check the files.')
    check_bands(images, chosen=options.bands is not None)
    return sorted(images, key=_begin)


def _begin(image: Image) -> pd.Timestamp:
    return pd.Timestamp.min if image.time is None else image.time.left


def _image(
    files: ImageFiles, headers: Sequence[Header], options: ImageOptions, argument: str
) -> Image:
    bands = [(header, number) for header in headers for number in header.bands]
    fits = len(files.bands) == len(bands)
    given = files.bands if fits else ({},) * len(bands)
    names = tuple(header.names[number - 1] or f'band {number}' for header, number in bands)
    names = files.names if fits and files.names else names
    given_bands = list(zip(given, bands, strict=True))
    wavelengths = [
        entry.get('wavelength', header.wavelengths[number - 1])
        for entry, (header, number) in given_bands
    ]
    scales, offsets = (
        [
            entry.get(key, getattr(header, f'{key}s')[number - 1])
            for entry, (header, number) in given_bands
        ]
        for key in ('scale', 'offset')
    )
    chosen = _choose(options.bands, names, wavelengths, f'{argument}: {files.paths[0]}')
    return Image(
        grid=min((header.grid for header in headers), key=lambda grid: grid.resolution),
        sources=_sources([bands[i] for i in chosen], [given[i] for i in chosen], options, argument),
        names=tuple(names[i] for i in chosen),
        wavelengths=np.array([wavelengths[i] for i in chosen], dtype=np.float32),
        dtypes=tuple(dict.fromkeys(bands[i][0].dtypes[bands[i][1] - 1] for i in chosen)),
        scale=_column([scales[i] for i in chosen]),
        offset=_column([offsets[i] for i in chosen]),
        time=files.time or acquired(files.paths[0], headers[0].tags, options.date_pattern),
        on_error=options.on_error,
    )


def _column(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)[:, None, None]


def _sources(
    bands: Sequence[tuple[Header, int]],
    given: Sequence[dict[str, float]],
    options: ImageOptions,
    argument: str,
) -> tuple[RasterSource, ...]:
    """Join neighbouring bands of one file into one source."""
    joined: list[tuple[str, float | None, list[int]]] = []
    missing = _missing(options.nodata, len(bands), f'{argument}: {bands[0][0].path}')
    for (header, number), entry, own in zip(bands, given, missing, strict=True):
        nodata = entry.get('nodata') if own is None else own
        if joined and joined[-1][:2] == (header.path, nodata):
            joined[-1][2].append(number)
        else:
            joined.append((header.path, nodata, [number]))
    return tuple(
        RasterSource(
            path,
            bands=tuple(numbers),
            nodata=nodata,
            resampling=options.resampling,
            argument=argument,
        )
        for path, nodata, numbers in joined
    )


def _missing(
    nodata: float | Sequence[float | None] | None, number: int, what: str
) -> Sequence[float | None]:
    """Give the nodata value that the user names for each band, if any."""
    if not isinstance(nodata, Sequence):
        return [nodata] * number
    if len(nodata) != number:
        raise BadParameter(
            f'nodata: {list(nodata)} are {len(nodata)} values, but of {what} {number} bands are '
            'used.',
            'Give one for all, or one for each band that is used, in their order.',
        )
    return nodata


def _choose(
    bands: Sequence[int | float | str] | None,
    names: Sequence[str],
    wavelengths: Sequence[float],
    what: str,
) -> list[int]:
    """Give the positions, from 0, of the bands wanted by number, name, role or wavelength."""
    if bands is None:
        return list(range(len(names)))
    chosen: list[int] = []
    for band in bands:
        if not isinstance(band, int):
            chosen.append(_find_band(band, names, wavelengths))
        elif 1 <= band <= len(names):
            chosen.append(band - 1)
        else:
            raise BadParameter(
                f'{what} has bands 1 to {len(names)}, but not {band}.', 'Choose bands that exist.'
            )
    return chosen


def _find_band(wanted: float | str, names: Sequence[str], wavelengths: Sequence[float]) -> int:
    try:
        return find_bands([wanted], list(names))[0]
    except BadParameter:
        if np.isnan(wavelengths).all():
            raise
    known = [name if np.isnan(w) else w for name, w in zip(names, wavelengths, strict=True)]
    return find_bands([wanted], known)[0]


def check_bands(images: Sequence[Image], *, chosen: bool) -> None:
    """Refuse images whose bands cannot stand for each other.

    Args:
        images: The images.
        chosen: Whether the user chose the bands, by name or number.

    Raises:
        BadInput: If numbers, data types or the order of bands differ.
    """
    first = images[0]
    for image in images[1:]:
        if len(image.names) != len(first.names):
            raise BadInput(
                f'{image.argument}: {image.path} has {len(image.names)} bands, but '
                f'{first.path} has {len(first.names)}.',
                'Use images of the same bands, or choose those that all have with bands.',
            )
        if set(image.dtypes) != set(first.dtypes):
            raise BadInput(
                f'{image.argument}: {image.path} holds {", ".join(image.dtypes)}, but '
                f'{first.path} holds {", ".join(first.dtypes)}.',
                'Values of different types mostly mean different things; convert one of them.',
            )
        if image.names != first.names and not chosen:
            if sorted(image.names) == sorted(first.names):
                raise BadInput(
                    f'{image.argument}: {image.path} has the bands {", ".join(image.names)}, but '
                    f'{first.path} has them in the order {", ".join(first.names)}.',
                    'Name those to use with bands, in one order for all.',
                )
            log.warning(
                'The bands of %s (%s) have other names than those of %s (%s); they are taken in '
                'this order.',
                image.path,
                ', '.join(image.names),
                first.path,
                ', '.join(first.names),
            )
