"""Windows of rasters on a grid: values as float32 and which of them are valid.

A raster whose pixels coincide with those of the grid is read as it is; any other one is warped on
the fly. What is valid is decided by nodata values, NaN, alpha and mask bands, never by the value 0.
"""

import math
import os
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, Interleaving, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid

#: What GDAL raises through rasterio when it cannot read.
READ_ERRORS = (RasterioError, CPLE_BaseError)

#: Bands of a file that are read at once.
_BANDS = 32

# catch_warnings swaps global state
_opening = threading.Lock()


def open_raster(path: str, argument: str = 'image') -> Any:
    """Open a raster for reading.

    Args:
        path: Anything GDAL opens: a file, a subdataset, a ``/vsi...`` path.
        argument: The argument the path came from, for messages.

    Returns:
        The open :class:`rasterio.DatasetReader`; closing it is up to the caller.

    Raises:
        BadInput: If there is nothing, or nothing that is a raster with bands.
    """
    try:
        dataset = quiet_open(path)
    except READ_ERRORS as error:
        raise _cannot_open(str(path), argument, error) from error
    if dataset.count == 0:
        parts = dataset.subdatasets
        dataset.close()
        hint = f'Name one of the rasters in it: {", ".join(parts[:5])}' if parts else ''
        raise BadInput(f'{argument}: {path} has no raster bands.', hint)
    return dataset


def quiet_open(path: str | os.PathLike[str], mode: str = 'r', **options: Any) -> Any:
    """Call :func:`rasterio.open` without its warning that a raster has no georeference."""
    with _opening, warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        return rasterio.open(path, mode, **options)


def _cannot_open(path: str, argument: str, error: Exception) -> BadInput:
    # subdatasets ("driver:file:name"), URLs and archives are no names of files
    is_file_name = ':' not in path[2:] and not path.startswith('/vsi')
    if is_file_name and not Path(path).exists():
        return BadInput(f'{argument}: {path} does not exist.', 'Check the path.')
    return BadInput(
        f'{argument}: {path} cannot be opened as a raster ({error}).',
        'Choose a file that GDAL reads, such as a GeoTIFF; save web layers to a file first.',
    )


@dataclass(frozen=True)
class RasterSource:
    """A raster to read, and how.

    Args:
        path: Anything GDAL opens.
        bands: Band numbers from 1, in the order wanted; all but alpha if not given.
        nodata: Value of invalid pixels, in place of the one(s) the file names.
        resampling: Method when the raster has to be warped, one of GDAL's names.
        fill: Value given to invalid pixels, one per band or one for all; 0 if not given.
        argument: The argument the path came from, for messages.
    """

    path: str
    bands: tuple[int, ...] | None = None
    nodata: float | None = None
    resampling: str = 'bilinear'
    fill: tuple[float, ...] | None = None
    argument: str = 'image'

    def open(self, grid: Grid | None = None) -> 'WindowReader':
        """Open the raster for reading windows of a grid.

        A reader serves one thread; open one for each thread.

        Args:
            grid: The grid; that of the raster if not given.

        Raises:
            BadInput: If the raster cannot be opened, or not brought onto the grid.
            BadParameter: If a band or resampling method does not exist.
        """
        return WindowReader(self, grid)


class WindowReader:
    """Reads windows of a grid from a :class:`RasterSource`.

    Attributes:
        grid: The grid that windows refer to.
        bands: The band numbers that are read.
        count: How many bands there are in what is read.
        warped: Whether the raster is warped onto the grid.
        dataset: The open raster itself.
    """

    def __init__(self, source: RasterSource, grid: Grid | None = None) -> None:
        self.source = source
        self._stack = ExitStack()
        with ExitStack() as failing:
            failing.callback(self._stack.close)
            self.dataset = self._stack.enter_context(open_raster(source.path, source.argument))
            self.bands = choose_bands(self.dataset, source)
            self.count = len(self.bands)
            self._fill = _fill_values(source, len(self.bands))
            self._layers, self.grid, self.warped = self._prepare(grid)
            failing.pop_all()

    def read(self, window: Window, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read a window as float32.

        Args:
            window: Whole pixels inside of the grid.
            out: Array (bands, height, width) of float32 to write to, of any memory layout.

        Returns:
            Values (bands, height, width), finite, and validity (height, width): a pixel is valid
            if it is in every band. Invalid pixels have the source's fill value.

        Raises:
            BadInput: If the file is damaged.
        """
        there = self._there(window)
        shape = window.height, window.width
        valid = np.ones(shape, bool)
        if out is None:
            out = np.empty((len(self.bands), *shape), np.float32)
        with self._explained(there), np.errstate(over='ignore', invalid='ignore'):
            for layer in self._layers:
                values = layer.read(there, valid)
                for place, part in layer.placed(values):
                    np.copyto(out[place], part, casting='unsafe')
                    if part.dtype.kind == 'f':
                        valid &= np.isfinite(out[place]).all(0)
        if not valid.all():
            for band, fill in zip(out, self._fill, strict=True):
                np.copyto(band, fill, where=~valid)
        return out, valid

    def read_native(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window in the raster's own data type, for labels and large integers.

        Returns:
            Values (bands, height, width) and validity (height, width), as :meth:`read`.

        Raises:
            BadInput: If the file is damaged.
        """
        values, valid = self._read(window)
        if values.dtype.kind == 'f':
            valid &= np.isfinite(values).all(0)
        if not valid.all():
            values[:, ~valid] = np.asarray(self._fill, values.dtype)[:, None]
        native = np.result_type(*(self.dataset.dtypes[band - 1] for band in self.bands))
        if values.dtype != native and native.kind in 'iu':
            limits = np.iinfo(native)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return values.astype(native, copy=False), valid

    def read_each(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window in the raster's own data type (floating point if warped).

        Returns:
            Values (bands, height, width), and validity of each band (bands, height, width).

        Raises:
            BadInput: If the file is damaged.
        """
        there = self._there(window)
        valid = np.ones((len(self.bands), window.height, window.width), bool)
        parts = []
        with self._explained(there):
            for layer in self._layers:
                part = layer.dataset.read(layer.indexes, window=there)
                own = ~layer.missing(part)
                if part.dtype.kind == 'f':
                    own &= np.isfinite(part)
                shown = np.ones(own.shape[1:], bool)
                layer.hide(there, shown)
                # a layer without positions is the mask of the others
                valid[list(layer.positions) or slice(None)] &= own & shown
                parts.append((layer.positions, part))
        return self._joined(parts), valid

    def close(self) -> None:
        """Close the raster."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _prepare(self, grid: Grid | None) -> tuple[Sequence['_Layer'], Grid, bool]:
        if grid is None:
            grid = Grid.of(self.dataset, self.source.argument)
        offset = _offset_inside(grid, self.dataset)
        if offset is not None:
            self._offset = offset
            return _plain_layers(self.dataset, self.source, self.bands), grid, False
        self._offset = 0, 0
        _check_warp(grid, self.dataset, self.source)
        return _warped_layers(self.dataset, self.source, self.bands, grid, self._stack), grid, True

    def _read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        there = self._there(window)
        valid = np.ones((window.height, window.width), bool)
        with self._explained(there):
            parts = [(layer.positions, layer.read(there, valid)) for layer in self._layers]
        return self._joined(parts), valid

    def _there(self, window: Window) -> Window:
        """The window in the raster itself."""
        return Window(
            window.col_off + self._offset[0],
            window.row_off + self._offset[1],
            window.width,
            window.height,
        )

    @contextmanager
    def _explained(self, there: Window) -> Iterator[None]:
        try:
            yield
        except READ_ERRORS as error:
            raise BadInput(
                f'{self.source.argument}: {self.source.path} cannot be read at column '
                f'{there.col_off}, row {there.row_off} ({error.__cause__ or error}).',
                'The file seems to be damaged or cut short; copy or download it again.',
            ) from error

    def _joined(self, parts: Sequence[tuple[tuple[int, ...], np.ndarray]]) -> np.ndarray:
        if len(parts) == 1:
            return parts[0][1]
        values = np.empty((len(self.bands), *parts[0][1].shape[1:]), parts[0][1].dtype)
        for positions, part in parts:
            values[list(positions)] = part
        return values


@dataclass(frozen=True)
class _Layer:
    """Bands of one dataset that share their nodata value.

    Args:
        dataset: Where to read.
        indexes: Band numbers in that dataset.
        positions: Places of these bands among those asked for.
        nodata: Marks invalid values.
        mask: Band number whose mask counts, or 0.
        alpha: Band number of alpha, or 0.
    """

    dataset: Any
    indexes: tuple[int, ...]
    positions: tuple[int, ...]
    nodata: float | None
    mask: int = 0
    alpha: int = 0

    def read(self, window: Window, valid: np.ndarray) -> np.ndarray:
        """Read values and take the invalid pixels out of ``valid``."""
        values: np.ndarray = self.dataset.read(self.indexes, window=window)
        if self.nodata is not None:
            valid &= ~self.missing(values).any(0)
        self.hide(window, valid)
        return values

    def placed(self, values: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Tell where values belong among the bands asked for, in as few parts as possible."""
        if not self.positions:
            return  # the mask of the others
        first, last = self.positions[0], self.positions[-1]
        if self.positions == tuple(range(first, last + 1)):
            yield slice(first, last + 1), values
        else:
            for number, position in enumerate(self.positions):
                yield slice(position, position + 1), values[number : number + 1]

    def missing(self, values: np.ndarray) -> np.ndarray:
        """Tell which values are the nodata value."""
        if self.nodata is None:
            return np.zeros(values.shape, bool)
        if math.isnan(self.nodata):
            return np.isnan(values)
        same: np.ndarray = values == values.dtype.type(self.nodata)
        return same

    def hide(self, window: Window, valid: np.ndarray) -> None:
        """Take the pixels that mask and alpha hide out of ``valid``."""
        if self.mask:
            valid &= self.dataset.read_masks(self.mask, window=window) != 0
        if self.alpha:
            valid &= self.dataset.read(self.alpha, window=window) != 0


def choose_bands(dataset: Any, source: RasterSource) -> tuple[int, ...]:
    """Return the band numbers to read.

    Raises:
        BadParameter: If a band does not exist.
        BadInput: If the bands are complex numbers.
    """
    alpha = _alpha_band(dataset)
    bands = source.bands or tuple(band for band in dataset.indexes if band != alpha)
    for band in bands:
        if band not in dataset.indexes:
            raise BadParameter(
                f'{source.argument}: band {band} does not exist; {source.path} has bands 1 to '
                f'{dataset.count}.',
                'Choose bands that exist.',
            )
        if dataset.dtypes[band - 1].startswith('complex'):
            raise BadInput(
                f'{source.argument}: band {band} of {source.path} holds complex numbers.',
                'Compute amplitude or intensity first.',
            )
    return tuple(bands)


def _fill_values(source: RasterSource, count: int) -> tuple[float, ...]:
    fill = source.fill or (0.0,)
    if len(fill) == 1:
        return fill * count
    if len(fill) != count:
        raise BadParameter(f'fill: {len(fill)} values do not fit {count} bands.')
    return fill


def _alpha_band(dataset: Any) -> int:
    for band, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True):
        if meaning == ColorInterp.alpha:
            return band
    return 0


def _masked_band(dataset: Any) -> int:
    """Return a band with a mask of its own, or 0.

    GDAL makes such a mask of alpha too, but only in files of two or four bands.
    """
    for band, flags in zip(dataset.indexes, dataset.mask_flag_enums, strict=True):
        if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
            return band
    return 0


def _nodata_groups(
    dataset: Any, source: RasterSource, bands: Sequence[int]
) -> dict[float | None, list[int]]:
    """Map each nodata value to the positions of the bands that have it."""
    groups: dict[float | None, list[int]] = defaultdict(list)
    for position, band in enumerate(bands):
        nodata = dataset.nodatavals[band - 1] if source.nodata is None else source.nodata
        groups[_representable(nodata, dataset.dtypes[band - 1])].append(position)
    return groups


def _representable(nodata: float | None, dtype: str) -> float | None:
    """Return a nodata value that can occur in a band, else ``None``: files name -9999 for uint8."""
    if nodata is None or not np.isfinite(nodata):
        return None
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return nodata if limits.min <= nodata <= limits.max and nodata == int(nodata) else None
    # float32 files may name the nearest double of their value, even one just out of range
    limit = float(np.finfo(dtype).max)
    return float(np.dtype(dtype).type(min(max(nodata, -limit), limit)))


def _offset_inside(grid: Grid, dataset: Any) -> tuple[int, int] | None:
    """Return where the grid lies in a raster whose pixels it consists of, else ``None``."""
    if dataset.transform.is_identity and dataset.gcps[0]:
        return None
    own = Grid(dataset.crs, dataset.transform, dataset.width, dataset.height)
    offset = grid.offset_in(own)
    if offset is None or min(offset) < 0:
        return None
    fits = offset[0] + grid.width <= own.width and offset[1] + grid.height <= own.height
    return offset if fits else None


def _plain_layers(dataset: Any, source: RasterSource, bands: Sequence[int]) -> list[_Layer]:
    """Read the file's own pixels, of so few bands at a time that copies of them stay small."""
    mask, alpha = _masked_band(dataset), _alpha_band(dataset)
    # pixel by pixel all bands are decoded together
    apart = dataset.interleaving != Interleaving.pixel
    layers = []
    for nodata, positions in _nodata_groups(dataset, source, bands).items():
        size = _BANDS if apart else len(positions)
        for first in range(0, len(positions), size):
            part = tuple(positions[first : first + size])
            numbers = tuple(bands[p] for p in part)
            layers.append(_Layer(dataset, numbers, part, nodata, mask, alpha))
    return layers


def _check_warp(grid: Grid, dataset: Any, source: RasterSource) -> None:
    own = Grid.of(dataset, source.argument)
    if own.crs is None or grid.crs is None:
        raise BadInput(
            f'{source.argument}: {source.path} must be brought onto another grid, but '
            f'{"it has" if own.crs is None else "that has"} no coordinate reference system.',
            'Assign the CRS to the file, for example with "Assign projection" in QGIS.',
        )
    if not own.overlaps(grid):
        raise BadInput(
            f'{source.argument}: {source.path} covers {tuple(own.bounds)} in {own.crs}, which does '
            f'not overlap {tuple(grid.bounds)} in {grid.crs}.',
            'Choose rasters of the same place and check their CRS.',
        )
    if source.resampling not in Resampling.__members__ or source.resampling == 'gauss':
        raise BadParameter(
            f'resampling: {source.resampling!r} is not a method.',
            'Choose nearest, bilinear, cubic, cubic_spline, lanczos, average, mode, max, min, med.',
        )


def _warped_layers(
    dataset: Any, source: RasterSource, bands: Sequence[int], grid: Grid, stack: ExitStack
) -> list[_Layer]:
    """Warp bands to floating point, with NaN where a band has nothing valid."""
    masked, layers = _masked_band(dataset) or _alpha_band(dataset), []
    for nodata, positions in _nodata_groups(dataset, source, bands).items():
        chosen = tuple(bands[p] for p in positions)
        if nodata is None and not masked:
            nodata = math.nan
        warped = _warp(dataset, chosen, source, grid, nodata, stack)
        layers.append(_Layer(*warped, tuple(positions), math.nan))
        if masked and nodata is not None:
            # GDAL does not look at masks when there is a nodata value
            layers.append(
                _Layer(*_warp(dataset, chosen[:1], source, grid, None, stack), (), math.nan)
            )
    return layers


def _warp(
    dataset: Any,
    bands: tuple[int, ...],
    source: RasterSource,
    grid: Grid,
    nodata: float | None,
    stack: ExitStack,
) -> tuple[Any, tuple[int, ...]]:
    """Warp a dataset onto the grid.

    Returns:
        The warped dataset and the numbers the bands have in it.
    """
    dtype = np.result_type(np.float32, *(dataset.dtypes[band - 1] for band in bands))
    dataset, bands = _only(dataset, bands, stack)
    warped = WarpedVRT(
        dataset,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=Resampling[source.resampling],
        src_nodata=nodata,
        nodata=math.nan,
        dtype=dtype.name,
        # by default a pixel counts as missing only if all bands are
        UNIFIED_SRC_NODATA='NO',
    )
    return stack.enter_context(warped), bands


def _only(dataset: Any, bands: tuple[int, ...], stack: ExitStack) -> tuple[Any, tuple[int, ...]]:
    """Leave the other bands of a file away, since GDAL always warps all of them."""
    alpha = _alpha_band(dataset)
    kept = bands if alpha in (0, *bands) else (*bands, alpha)
    if len(kept) == dataset.count or '?' in dataset.name or not Path(dataset.name).is_file():
        return dataset, bands
    numbers = ','.join(map(str, kept))
    subset = quiet_open(f'vrt://{dataset.name}?bands={numbers}')
    return stack.enter_context(subset), tuple(range(1, len(bands) + 1))
