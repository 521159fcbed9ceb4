"""What datasets of one's own rasters with labels have in common."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import geopandas
import numpy as np
import pandas as pd
import shapely
import torch
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset
from torchgeo.datasets.utils import GeoSlice, Sample

from torchgeo_ext.datasets._classes import IGNORE, LabelClass
from torchgeo_ext.datasets._scene import Pixels, Scene, inside, pad
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress, portion, silent

#: Says for a window of a grid which labels count, (h, w).
Where = Callable[[Grid, Window], NDArray[np.bool_]]


@runtime_checkable
class ExactSlice(Protocol):
    """A slice that also knows its pixels, as our samplers yield them."""

    scene: int
    window: Window
    core: Window


class SceneDataset(GeoDataset):
    """Rasters with labels, each read on its own grid.

    Subclasses set up ``scenes`` and say how a sample is shaped.

    Attributes:
        scenes: One per raster or pair.
        classes: Value, name and colour of each class; masks hold positions in this tuple.
        bands: Name of each band.
        fill: (c,) value given to pixels without measurement.
    """

    scenes: Sequence[Scene]
    classes: tuple[LabelClass, ...]
    bands: tuple[str, ...]

    def __init__(
        self, scenes: Sequence[Scene], transforms: Callable[[Sample], Sample] | None, cache: int
    ) -> None:
        self.scenes = scenes
        self.classes = scenes[0].labels.classes
        self.transforms = transforms
        self.fill: NDArray[np.float32] = np.zeros(scenes[0].scales.shape[1], dtype=np.float32)
        self._where: Where | None = None
        self._res = scenes[0].grid.resolution
        self.index = _index(scenes)
        self.paths = [source.path for scene in scenes for source in scene.sources]
        self._cache = cache

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The grid of each scene."""
        return tuple(scene.grid for scene in self.scenes)

    @property
    def fits_in_cache(self) -> bool:
        """Whether all rasters together stay below the limit for keeping them in memory."""
        return sum(scene.size for scene in self.scenes) <= self._cache

    def keep(self, progress: Progress = silent) -> None:
        """Keep all rasters in memory from now on."""
        for number, scene in enumerate(self.scenes):
            scene.keep(
                portion(progress, number / len(self.scenes), (number + 1) / len(self.scenes))
            )

    def only_where(self, where: Where) -> Self:
        """Give the same dataset with labels only where a function says so."""
        view = copy.copy(self)
        view._where = where
        return view

    def pixels(self, scene: int, window: Window) -> Pixels:
        """Read a window of a scene, extended where it reaches beyond the raster."""
        grid = self.scenes[scene].grid
        within = inside(window, grid)
        pixels = self.scenes[scene].read(within)
        if self._where is not None:
            used = self._where(grid, within)
            pixels = Pixels(pixels.image, pixels.valid, np.where(used, pixels.mask, IGNORE))
        return pad(pixels, window, within)

    def __getitem__(self, index: GeoSlice) -> Sample:
        """Read a sample.

        Args:
            index: ``[xmin:xmax, ymin:ymax, tmin:tmax]`` in the dataset's reference system, or a
                patch of our samplers. When several rasters match, the one that covers most of the
                query is read, of equals the first in time.

        Returns:
            ``image`` float32, ``mask`` int64 (class numbers, -1 = no label), and as float64
            ``bounds`` (9 numbers as TorchGeo's) and ``transform`` (9 numbers, of this very raster).

        Raises:
            IndexError: If no raster matches.
        """
        if isinstance(index, ExactSlice):
            scene, window, core = index.scene, index.window, index.core
        else:
            scene, window = self._find(index)
            core = window
        pixels = self.pixels(scene, window)
        image = torch.from_numpy(self._filled(pixels))
        mask = torch.from_numpy(_only_core(pixels.mask, window, core))
        grid = self.scenes[scene].grid.part(window)
        sample = self._shape(image, mask) | {
            'bounds': self._bounds(grid, self.scenes[scene].time),
            'transform': torch.tensor(tuple(grid.transform), dtype=torch.float64),
        }
        return sample if self.transforms is None else self.transforms(sample)

    def _shape(self, image: torch.Tensor, mask: torch.Tensor) -> Sample:
        """Bring an image (t, c, h, w) and a mask (h, w) into the form of a sample."""
        raise NotImplementedError

    def _filled(self, pixels: Pixels) -> NDArray[np.float32]:
        image: NDArray[np.float32] = np.where(
            pixels.valid, pixels.image, self.fill[:, None, None]
        ).astype(np.float32, copy=False)
        return image

    def _bounds(self, grid: Grid, time: pd.Interval) -> torch.Tensor:
        left, bottom, right, top = grid.bounds
        x, y = grid.resolution
        numbers = (left, right, x, bottom, top, y, time.left.timestamp(), time.right.timestamp(), 1)
        return torch.tensor(numbers, dtype=torch.float64)

    def _find(self, index: GeoSlice) -> tuple[int, Window]:
        """Find the raster and the pixels of a query in coordinates."""
        x, y, t = self._disambiguate_slice(index)
        query = shapely.box(x.start, y.start, x.stop, y.stop)
        then = pd.Interval(t.start, t.stop, closed='both')
        area = np.where(
            self.index.index.overlaps(then), self.index.intersection(query).area.to_numpy(), 0
        )
        if not area.any():
            raise IndexError(f'index: {index} not found in dataset with bounds: {self.bounds}')
        best = np.flatnonzero(area > area.max() * (1 - 1e-9)).tolist()
        scene: int = min(best, key=lambda number: self.scenes[number].time.left)
        return scene, self._window(scene, (x.start, y.start, x.stop, y.stop))

    def _window(self, scene: int, bounds: tuple[float, float, float, float]) -> Window:
        grid = self.scenes[scene].grid
        if grid.crs and self.crs != grid.crs:
            bounds = transform_bounds(CRS.from_user_input(self.crs), grid.crs, *bounds)
        left, bottom, right, top = bounds
        corners = [~grid.transform @ (x, y) for x in (left, right) for y in (bottom, top)]
        columns, rows = zip(*corners, strict=True)
        column, row = round(min(columns)), round(min(rows))
        return Window(column, row, round(max(columns)) - column, round(max(rows)) - row)


def _index(scenes: Sequence[Scene]) -> geopandas.GeoDataFrame:
    """Make TorchGeo's index: where and when each raster is, in the first one's system."""
    first = scenes[0].grid.crs
    outlines = geopandas.GeoSeries(
        pd.concat(
            [
                _outline(scene.grid).to_crs(first) if first else _outline(scene.grid)
                for scene in scenes
            ]
        )
    )
    return geopandas.GeoDataFrame(
        {'filepath': [scene.sources[0].path for scene in scenes]},
        index=pd.IntervalIndex([scene.time for scene in scenes], closed='both', name='datetime'),
        geometry=outlines.to_numpy(),
        crs=first,
    )


def _outline(grid: Grid) -> geopandas.GeoSeries:
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    polygon = shapely.Polygon([grid.transform @ corner for corner in corners])
    return geopandas.GeoSeries([polygon], crs=grid.crs)


def _only_core(mask: NDArray[Any], window: Window, core: Window) -> NDArray[Any]:
    """Keep the labels of the core of a tile; the rest of it is context."""
    if core == window:
        return mask
    rows, columns = Window(
        core.col_off - window.col_off, core.row_off - window.row_off, core.width, core.height
    ).toslices()
    only = np.full_like(mask, IGNORE)
    only[rows, columns] = mask[rows, columns]
    return only
