"""How likely places are: by their classes, the features on them, a raster or a function."""

import abc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import geopandas
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError
from rasterio.enums import MergeAlg
from rasterio.features import rasterize
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.samplers._cells import count_classes, kept, read_band, sum_cells
from torchgeo_ext.samplers._place import cell_shape, features_to_pixels

Balance = Literal['none', 'inverse', 'square_root']

#: Weight of each pixel of a window of a raster, (h, w), none negative.
WeightFunction = Callable[[Grid, Window], NDArray[Any]]


class CellWeights(abc.ABC):
    """Gives each cell of some rasters a weight."""

    @abc.abstractmethod
    def weigh(
        self,
        grids: Sequence[Grid],
        cell: int,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
    ) -> list[NDArray[Any]]:
        """Weigh the cells of rasters.

        Args:
            grids: The rasters.
            cell: Height and width of a cell in pixels.
            cache: Folder to keep what was computed in; by default one in the user's cache.
            progress: Told how far it is.

        Returns:
            For each raster (rows, columns) weights, none negative.

        Raises:
            BadInput: If a file cannot be used.
        """


@dataclass(frozen=True)
class ClassBalance(CellWeights):
    """Draw places with rare classes more often.

    A cell weighs as much as its pixels, and these as much as their class. With ``inverse`` every
    class is drawn equally often, with ``square_root`` half-way.

    Args:
        labels: Raster of class numbers on any grid; negative ones and nodata are no class.
        balance: How classes are weighed, see :func:`class_weights`.
        ignore_value: Label value that means "not labelled" too.
    """

    labels: str
    balance: Balance = 'inverse'
    ignore_value: int | None = None

    def weigh(
        self,
        grids: Sequence[Grid],
        cell: int,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
    ) -> list[NDArray[Any]]:
        """Weigh the cells of rasters by the classes in them."""
        _, counts = class_cells(self.labels, grids, cell, self.ignore_value, cache, progress)
        total = sum(count.sum((0, 1)) for count in counts)
        weights = class_weights(np.asarray(total), self.balance)
        return [count @ weights for count in counts]


@dataclass(frozen=True)
class FeatureDensity(CellWeights):
    """Draw places in proportion to the features that touch them.

    Args:
        features: Points, lines or polygons, any file GDAL reads.
        background: Added to the number of features of every cell, so that empty ones are drawn too.
    """

    features: str
    background: float = 0.0

    def weigh(
        self,
        grids: Sequence[Grid],
        cell: int,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
    ) -> list[NDArray[Any]]:
        """Count the features that touch each cell."""
        frame = read_features(self.features, 'features')
        return [self._count(frame, grid, cell) for grid in grids]

    def _count(self, frame: geopandas.GeoDataFrame, grid: Grid, cell: int) -> NDArray[np.float64]:
        shapes = features_to_pixels(frame.geometry.to_numpy(), frame.crs, grid)
        shape = cell_shape(grid, cell)
        touching: NDArray[np.float64] = rasterize(
            shapes,
            shape,
            transform=Affine.scale(cell),
            all_touched=True,
            merge_alg=MergeAlg.add,
            dtype='float64',
        )
        return touching + self.background


@dataclass(frozen=True)
class RasterWeight(CellWeights):
    """Draw places in proportion to the values of a raster.

    Args:
        raster: A raster on any grid; none of its values is negative, nodata counts as 0.
    """

    raster: str

    def weigh(
        self,
        grids: Sequence[Grid],
        cell: int,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
    ) -> list[NDArray[Any]]:
        """Sum up the values in each cell."""

        def compute() -> list[NDArray[Any]]:
            read = read_band(self.raster, grids, 'raster', 'bilinear')
            return list(
                sum_cells(grids, cell, lambda s, window: np.nan_to_num(read(s, window)), progress)
            )

        return kept(cache, [self.raster], grids, ['raster', cell], compute)


@dataclass(frozen=True)
class FunctionWeight(CellWeights):
    """Draw places in proportion to what a function says of their pixels.

    Args:
        function: Gives the weights (h, w) of a window of a raster.
    """

    function: WeightFunction

    def weigh(
        self,
        grids: Sequence[Grid],
        cell: int,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
    ) -> list[NDArray[Any]]:
        """Sum up the weights in each cell; nothing is kept, since functions cannot be compared."""
        return list(
            sum_cells(grids, cell, lambda s, window: self.function(grids[s], window), progress)
        )


def class_weights(counts: NDArray[np.int64], balance: Balance) -> NDArray[np.float64]:
    """Weigh classes by how rare they are.

    Args:
        counts: (k,) pixels per class.
        balance: ``none`` gives 1, ``inverse`` 1 / n, ``square_root`` 1 / sqrt(n).

    Returns:
        (k,) weights with a mean of 1 over the classes that occur; 0 for the others.
    """
    present = counts > 0
    power = {'none': 0.0, 'square_root': -0.5, 'inverse': -1.0}[balance]
    weights = np.zeros(len(counts))
    weights[present] = counts[present].astype(np.float64) ** power
    scaled: NDArray[np.float64] = weights / weights[present].mean() if present.any() else weights
    return scaled


def class_cells(
    labels: str,
    grids: Sequence[Grid],
    cell: int,
    ignore_value: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Count the pixels of each class of a label raster in the cells of rasters, once.

    Args:
        labels: Raster of class numbers on any grid.
        grids: The rasters.
        cell: Height and width of a cell in pixels.
        ignore_value: Label value that means "not labelled", besides negative ones and nodata.
        cache: Folder to keep the counts in; by default one in the user's cache.
        progress: Told how far it is.

    Returns:
        (k,) class values, sorted, and for each raster (rows, columns, k) pixels.

    Raises:
        BadInput: If the raster cannot be read or holds no classes.
    """

    def compute() -> list[NDArray[Any]]:
        band = read_band(labels, grids, 'labels', 'nearest')

        def read(scene: int, window: Window) -> NDArray[np.int64]:
            values = np.nan_to_num(band(scene, window), nan=-1).astype(np.int64)
            return values if ignore_value is None else np.where(values == ignore_value, -1, values)

        values, counts = count_classes(grids, cell, read, progress)
        return [values, *counts]

    values, *counts = kept(cache, [labels], grids, ['classes', cell, ignore_value], compute)
    if not len(values):
        raise BadInput(
            f'labels: {labels} has no class where the images are.',
            'Choose labels of the same place, and check their nodata value.',
        )
    return values, counts


def read_features(path: str, argument: str) -> geopandas.GeoDataFrame:
    """Read features that have a geometry.

    Raises:
        BadInput: If the file cannot be read or holds none.
    """
    try:
        frame = geopandas.read_file(path)
    except DataSourceError as error:
        raise BadInput(
            f'{argument}: {path} cannot be read ({error}).', 'Choose a file of features.'
        ) from error
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    if frame.empty:
        raise BadInput(f'{argument}: {path} has no features.', 'Choose a file with some.')
    return frame
