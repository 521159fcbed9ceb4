"""Rasters seen as cells: what is counted in them by streaming once, kept, and drawn from."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.samplers._place import cell_shape

log = logging.getLogger(__name__)

#: Reads an array (h, w) for a window that lies inside of a raster.
Read = Callable[[int, Window], NDArray[Any]]

#: Height and width of what is read at once, about; a multiple of the cell is taken.
_CHUNK = 1024
#: More different values are no classes.
_MOST_CLASSES = 1024


class CellSums:
    """Sums over whole cells of windows, from a summed-area table.

    Args:
        cells: (rows, columns) of counts.
        cell: Height and width of a cell in pixels.
        grid: The raster.
    """

    def __init__(self, cells: NDArray[Any], cell: int, grid: Grid) -> None:
        self._table = np.pad(np.cumsum(np.cumsum(cells, 0), 1), ((1, 0), (1, 0)))
        self._cell = cell
        self._grid = grid

    def touched(
        self, tops: NDArray[Any], lefts: NDArray[Any], size: tuple[int, int]
    ) -> NDArray[Any]:
        """Sum up the cells that windows touch: at least what lies in them."""
        return self.between(tops, tops + size[0], lefts, lefts + size[1])

    def between(
        self, tops: NDArray[Any], ends: NDArray[Any], lefts: NDArray[Any], rights: NDArray[Any]
    ) -> NDArray[Any]:
        """Sum up the cells that rectangles of pixels touch."""
        return self._sum(
            np.maximum(tops, 0) // self._cell,
            -(-np.minimum(ends, self._grid.height) // self._cell),
            np.maximum(lefts, 0) // self._cell,
            -(-np.minimum(rights, self._grid.width) // self._cell),
        )

    def within(
        self, tops: NDArray[Any], lefts: NDArray[Any], size: tuple[int, int]
    ) -> NDArray[Any]:
        """Sum up the cells that lie in windows: at most what lies in them."""
        rows, columns = self._table.shape[0] - 1, self._table.shape[1] - 1
        first_row = -(-np.maximum(tops, 0) // self._cell)
        first = -(-np.maximum(lefts, 0) // self._cell)
        end_row, end = (tops + size[0]) // self._cell, (lefts + size[1]) // self._cell
        # the last cells end with the raster
        end_row = np.where(tops + size[0] >= self._grid.height, rows, end_row)
        end = np.where(lefts + size[1] >= self._grid.width, columns, end)
        return self._sum(first_row, end_row, first, end)

    def _sum(self, top: Any, bottom: Any, left: Any, right: Any) -> NDArray[Any]:
        table = self._table
        # a window may lie beside the raster
        top, bottom = (np.clip(row, 0, table.shape[0] - 1) for row in (top, bottom))
        left, right = (np.clip(column, 0, table.shape[1] - 1) for column in (left, right))
        bottom, right = np.maximum(top, bottom), np.maximum(left, right)
        sums: NDArray[Any] = (
            table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
        )
        return sums


def positive_cells(
    weights: Sequence[NDArray[Any]], cell: int, grids: Sequence[Grid]
) -> list[CellSums]:
    """Prepare telling which windows of rasters hold a cell with a positive weight.

    Args:
        weights: For each raster (rows, columns) weights.
        cell: Height and width of a cell in pixels.
        grids: The rasters.

    Raises:
        BadParameter: If there are not as many rasters or cells.
    """
    check_cells(weights, cell, grids)
    return [
        CellSums(np.asarray(array) > 0, cell, grid)
        for array, grid in zip(weights, grids, strict=True)
    ]


def check_cells(weights: Sequence[NDArray[Any]], cell: int, grids: Sequence[Grid]) -> None:
    """See that there is a weight for each cell of each raster.

    Raises:
        BadParameter: If not.
    """
    shapes = [cell_shape(grid, cell) for grid in grids]
    if [np.shape(array) for array in weights] != shapes:
        raise BadParameter(
            f'weights: shapes {[np.shape(array) for array in weights]} are not those of cells of '
            f'{cell} pixels, {shapes}.'
        )


class CellChoice:
    """Draws cells of all rasters, each as likely as its weight says.

    Args:
        weights: For each raster (rows, columns) weights, none negative.
    """

    def __init__(self, weights: Sequence[NDArray[Any]]) -> None:
        self._starts = np.cumsum([0, *(array.size for array in weights)])
        self._columns = np.array([array.shape[1] for array in weights])
        flat = np.concatenate([np.ravel(array).astype(np.float64) for array in weights])
        self._cumulative = np.cumsum(flat)

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self._cumulative[-1]) if self._cumulative.size else 0.0

    def draw(self, number: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Draw cells, (n, 4): raster, row, column, and the number of the cell among all."""
        # rounding must not lead beyond the last cell that has a weight
        point = np.minimum(random.random(number) * self.total, np.nextafter(self.total, 0))
        cells = np.searchsorted(self._cumulative, point, side='right')
        scene = np.searchsorted(self._starts, cells, side='right') - 1
        row, column = np.divmod(cells - self._starts[scene], self._columns[scene])
        return np.column_stack([scene, row, column, cells])


def chunks(grids: Sequence[Grid], cell: int, progress: Progress) -> Iterator[tuple[int, Window]]:
    """Go through rasters in windows that are made of whole cells."""
    size = max(1, _CHUNK // cell) * cell
    total = sum(grid.height * grid.width for grid in grids)
    done = 0
    for scene, grid in enumerate(grids):
        for window in grid.windows(size):
            progress(done / total, 'looking through rasters')
            yield scene, window
            done += window.height * window.width


def sum_cells(
    grids: Sequence[Grid], cell: int, read: Read, progress: Progress = silent
) -> list[NDArray[np.float64]]:
    """Sum what is read over the cells of each raster, (rows, columns)."""
    sums = [np.zeros(cell_shape(grid, cell)) for grid in grids]
    for scene, window in chunks(grids, cell, progress):
        values = np.asarray(read(scene, window), dtype=np.float64)
        rows, columns = (np.arange(0, length, cell) for length in values.shape)
        part = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
        row, column = window.row_off // cell, window.col_off // cell
        sums[scene][row : row + part.shape[0], column : column + part.shape[1]] = part
    return sums


def count_classes(
    grids: Sequence[Grid], cell: int, read: Read, progress: Progress = silent
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Count the pixels of each class in the cells of each raster.

    Args:
        grids: The rasters.
        cell: Height and width of a cell in pixels.
        read: Gives class values; negative ones are not counted.
        progress: Told how far it is.

    Returns:
        (k,) class values, sorted, and for each raster (rows, columns, k) pixels.

    Raises:
        BadInput: If there are so many values that they are no classes.
    """
    counts: dict[int, list[NDArray[np.int64]]] = {}
    for scene, window in chunks(grids, cell, progress):
        values = read(scene, window)
        rows, columns = (np.arange(0, length, cell) for length in values.shape)
        row, column = window.row_off // cell, window.col_off // cell
        for value in np.unique(values[values >= 0]).tolist():
            if value not in counts:
                counts[value] = [np.zeros(cell_shape(grid, cell), np.int64) for grid in grids]
                if len(counts) > _MOST_CLASSES:
                    raise BadInput(
                        f'labels: there are more than {_MOST_CLASSES} different values.',
                        'Choose a raster of classes.',
                    )
            equal = (values == value).astype(np.int64)
            part = np.add.reduceat(np.add.reduceat(equal, rows, axis=0), columns, axis=1)
            counts[value][scene][row : row + part.shape[0], column : column + part.shape[1]] = part
    found = sorted(counts)
    stacked = [
        np.stack([counts[value][scene] for value in found], axis=-1)
        if found
        else np.zeros((*cell_shape(grid, cell), 0), np.int64)
        for scene, grid in enumerate(grids)
    ]
    return np.array(found, dtype=np.int64), stacked


def read_band(path: str, grids: Sequence[Grid], argument: str, resampling: str) -> Read:
    """Read the first band of a raster on the grids of others; NaN where it has no value."""
    source = RasterSource(path, bands=(1,), resampling=resampling, argument=argument)
    with source.open() as reader:
        own = reader.grid
    readers: dict[int, Any] = {}

    def read(scene: int, window: Window) -> NDArray[np.float64]:
        if own.crs and grids[scene].crs and not own.overlaps(grids[scene]):
            return np.full((window.height, window.width), np.nan)
        if scene not in readers:
            readers[scene] = source.open(grids[scene])
        values, valid = readers[scene].read_native(window)
        return np.where(valid, values[0].astype(np.float64), np.nan)

    return read


def kept(
    cache: str | os.PathLike[str] | None,
    files: Sequence[str],
    grids: Sequence[Grid],
    settings: Sequence[Any],
    compute: Callable[[], list[NDArray[Any]]],
) -> list[NDArray[Any]]:
    """Compute arrays, or take them from an earlier time.

    Args:
        cache: Folder to keep them in; by default one in the user's cache.
        files: What they depend on: when one has another size or date, they are computed anew.
        grids: They depend on these too.
        settings: And on these.
        compute: Computes them.
    """
    folder = Path(cache) if cache is not None else _default_folder()
    where = [
        (grid.crs.to_wkt() if grid.crs else '', *grid.transform, *grid.shape) for grid in grids
    ]
    stamps = [(file, *_stamp(file)) for file in files]
    key = hashlib.sha256(json.dumps([stamps, where, list(settings)]).encode()).hexdigest()[:32]
    path = folder / f'{key}.npz'
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return [stored[f'arr_{number}'] for number in range(len(stored.files))]
    arrays = compute()
    try:
        _store(path, arrays)
    except OSError as error:
        # the arrays are there; only the next run has to wait again
        log.warning('%s cannot be written (%s).', path, error)
    return arrays


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = Path(file.split('|', 1)[0]).stat()
    except FileNotFoundError:
        # a /vsi path or an URL; whoever reads it says whether it exists
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _store(path: Path, arrays: list[NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix='.part', delete=False) as file:
        np.savez_compressed(file, *arrays)
    Path(file.name).replace(path)


def _default_folder() -> Path:
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(home, 'torchgeo_ext', 'cells')
