"""Where to process: a raster or polygons that say so, read per window of a grid."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import shapely
from rasterio.features import rasterize
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, WindowReader


class MaskReader(AbstractContextManager[Any], Protocol):
    """Tells which pixels of a window to process; may be shared between threads."""

    def read(self, window: Window) -> np.ndarray:
        """Return a boolean array (height, width)."""


class Mask(Protocol):
    """Marks what to process."""

    def open(self, grid: Grid) -> MaskReader:
        """Open the mask for reading windows of a grid."""


@dataclass(frozen=True)
class CommonMask:
    """Marks what all of several masks mark.

    Args:
        masks: The masks, at least one.
    """

    masks: Sequence[Mask]

    def open(self, grid: Grid) -> MaskReader:
        """Open all masks for reading windows of a grid.

        Raises:
            BadInput: If one of them cannot be brought onto the grid.
        """
        return _CommonReader(self.masks, grid)


@dataclass(frozen=True)
class MaskSource:
    """Marks what to process: non-zero pixels of a raster, or pixels centred inside of polygons.

    Args:
        path: A raster (its first band counts), or a vector file, optionally followed by
            ``|layername=NAME``.
        argument: The argument the path came from, for messages.
    """

    path: str
    argument: str = 'mask'

    def open(self, grid: Grid) -> MaskReader:
        """Open the mask for reading windows of a grid.

        Raises:
            BadInput: If it is neither a raster nor polygons, or cannot be brought onto the grid.
        """
        if '|' not in self.path:
            try:
                source = RasterSource(
                    self.path, bands=(1,), resampling='nearest', argument=self.argument
                )
                return _RasterMask(source.open(grid))
            except BadInput as error:
                if not _is_vector(self.path):
                    raise error
        return _PolygonMask(self.path, grid, self.argument)


class _CommonReader(ExitStack):
    def __init__(self, masks: Sequence[Mask], grid: Grid) -> None:
        super().__init__()
        with ExitStack() as failing:
            failing.callback(self.close)
            self._readers = [self.enter_context(mask.open(grid)) for mask in masks]
            failing.pop_all()

    def read(self, window: Window) -> np.ndarray:
        first, *others = self._readers
        marked = first.read(window)
        for reader in others:
            if marked.any():
                marked = marked & reader.read(window)
        return marked


class _RasterMask:
    def __init__(self, reader: WindowReader) -> None:
        self._reader = reader
        self._reading = threading.Lock()

    def read(self, window: Window) -> np.ndarray:
        with self._reading:
            values, valid = self._reader.read(window)
        return valid & (values[0] != 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.close()


class _PolygonMask:
    def __init__(self, path: str, grid: Grid, argument: str) -> None:
        self._grid = grid
        self._polygons = _polygons(path, grid, argument)

    def read(self, window: Window) -> np.ndarray:
        part = self._grid.part(window)
        index = self._polygons.sindex.query(shapely.box(*part.bounds))
        if not len(index):
            return np.zeros(part.shape, bool)
        burnt = rasterize(
            self._polygons.iloc[index], part.shape, transform=part.transform, dtype='uint8'
        )
        return burnt != 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Geometries are kept in memory; nothing is to be closed."""


def _is_vector(path: str) -> bool:
    import pyogrio

    try:
        return len(pyogrio.list_layers(path)) > 0
    except pyogrio.errors.DataSourceError:
        return False


def _polygons(path: str, grid: Grid, argument: str) -> Any:
    """Read polygons in the CRS of the grid as a GeoSeries."""
    import geopandas
    import pyogrio

    file, _, layer = path.partition('|layername=')
    try:
        frame = geopandas.read_file(file, layer=layer or None, columns=[])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise BadInput(
            f'{argument}: {path} cannot be opened as a raster or vector layer ({error}).',
            'Choose a raster or a layer of polygons.',
        ) from error
    shapes = frame.geometry[frame.geometry.notna() & ~frame.geometry.is_empty]
    if not shapes.geom_type.isin(['Polygon', 'MultiPolygon']).any():
        raise BadInput(f'{argument}: {path} has no polygons.', 'Choose a layer with polygons.')
    if grid.crs is None or shapes.crs is None:
        raise BadInput(
            f'{argument}: {path} or the image has no coordinate reference system.',
            'Assign a CRS to both.',
        )
    return shapes.to_crs(grid.crs.to_wkt())
