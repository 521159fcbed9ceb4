"""What datasets of one's own rasters have in common.

What samplers and data modules may rely on: ``grids`` (the pixels of each scene), ``pixels(scene,
window)`` (what the files hold there), ``classes``, ``bands`` and ``dates``. A query is either a
slice in coordinates, as TorchGeo's samplers make them, or an :class:`ExactSlice`, as ours do.
"""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import geopandas
import numpy as np
import pandas as pd
import pyproj
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window
from torch.utils.data import get_worker_info
from torchgeo.datasets import GeoDataset
from torchgeo.datasets.utils import GeoSlice, Sample

from torchgeo_ext.datasets._batch import one_after_another
from torchgeo_ext.datasets._classes import IGNORE, LabelClass
from torchgeo_ext.datasets._combine import intersect, unite
from torchgeo_ext.datasets._dates import ALWAYS
from torchgeo_ext.datasets._geometry import GridTree, is_geographic, outline, project_box
from torchgeo_ext.datasets._scene import Pixels, Scene, pad
from torchgeo_ext.datasets._threads import each
from torchgeo_ext.datasets._windows import inside
from torchgeo_ext.inference.globe import to_degrees
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress, portion, silent

#: Rasters of up to this many bytes (as float32) are kept in memory.
CACHE = 2**30
#: More threads than this are not used to read, whatever the number of cores.
_MOST_THREADS = 8

#: Says for a window of a grid which labels count, (h, w).
Where = Callable[[Grid, Window], NDArray[np.bool_]]


@runtime_checkable
class ExactSlice(Protocol):
    """A slice that also knows its pixels, as our samplers yield them."""

    scene: int
    window: Window
    core: Window


class SceneDataset(GeoDataset):
    """Scenes, each read on its own grid.

    A slice in coordinates is answered by the scene that covers most of it; of equals the earliest
    counts, then the one given first. Only where that has no pixel, others of the same time fill
    in; different dates are never mixed. Pixels are those of the file unless the slice has steps
    other than the dataset's resolution, or ``crs`` or ``res`` were set to other values: then they
    are resampled onto the grid of the slice.

    Attributes:
        scenes: The scenes.
        classes: Value, name and colour of each class; masks hold positions in this tuple. Empty
            without labels.
        bands: Name of each band.
        wavelengths: (c,) their centres in micrometres, NaN where unknown.
        labelled: Whether samples have a ``mask``.
        scene_numbers: The scene of each row of the index.
        fill: (c,) value given to pixels without measurement.

    Args:
        scenes: One or more, of the same bands and number of dates.
        transforms: Called with each sample.
        cache: Bytes of memory up to which :attr:`fits_in_cache` holds.
    """

    #: Whether the index has a row for each date of a scene, which can then be queried by itself.
    row_per_date = False

    def __init__(
        self,
        scenes: Sequence[Scene],
        transforms: Callable[[Sample], Sample] | None,
        cache: int = CACHE,
    ) -> None:
        self.transforms = transforms
        self.fill: NDArray[np.float32] = np.zeros(len(scenes[0].bands), dtype=np.float32)
        self._where: Where | None = None
        self._cache = cache
        self._res = scenes[0].grid.resolution
        self._resampled = False
        self._set_scenes(scenes, scenes[0].grid.crs)

    def _set_scenes(self, scenes: Sequence[Scene], crs: CRS | None) -> None:
        self.scenes = list(scenes)
        self.classes: tuple[LabelClass, ...] = scenes[0].classes
        self.bands = scenes[0].bands
        self.wavelengths = scenes[0].wavelengths
        self.labelled = scenes[0].labelled
        self.index, self.scene_numbers = self._make_index(crs)
        self._tree: GridTree | None = None
        self.paths = [image.path for scene in scenes for image in scene.images]

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The grid of each scene."""
        return tuple(scene.grid for scene in self.scenes)

    @property
    def dates(self) -> int:
        """Number of dates of a scene."""
        return len(self.scenes[0].dates)

    @property
    def mask_layers(self) -> int:
        """Number of label layers of a sample's mask."""
        return 1

    @property
    def map_classes(self) -> tuple[LabelClass, ...]:
        """Classes of a map that samples have besides to predict from."""
        return ()

    @property
    def told_classes(self) -> tuple[LabelClass, ...]:
        """What a bundle of a model of it lists as classes."""
        return self.classes

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

    def with_scenes(self, scenes: Sequence[Scene]) -> Self:
        """Give a dataset of the same kind with other scenes."""
        view = copy.copy(self)
        view._set_scenes(scenes, _rasterio(self.crs))
        if len(view.fill) != len(view.bands):
            view.fill = np.zeros(len(view.bands), dtype=np.float32)
        return view

    def pixels(self, scene: int, window: Window) -> Pixels:
        """Read a window of a scene, extended where it reaches beyond the raster."""
        return self._pixels(self.scenes[scene], window)

    def _pixels(
        self, scene: Scene, window: Window, out: NDArray[np.float32] | None = None
    ) -> Pixels:
        """Read, if that is possible into ``out`` (t, c, h, w)."""
        within = inside(window, scene.grid)
        if not (within.width and within.height):
            return self._nothing(window)
        pixels = scene.read(within, out if within == window else None)
        if self._where is not None:
            used = self._where(scene.grid, within)
            mask = np.where(used, pixels.mask, IGNORE)
            maps = {
                name: values if name in scene.inputs else np.where(used, values, IGNORE)
                for name, values in pixels.maps.items()
            }
            pixels = Pixels(pixels.image, pixels.measured, mask, maps)
        return pad(pixels, window, within)

    def _nothing(self, window: Window) -> Pixels:
        shape = window.height, window.width
        return Pixels(
            np.zeros((self.dates, len(self.bands), *shape), dtype=np.float32),
            np.zeros((self.dates, *shape), dtype=bool),
            np.full(shape, IGNORE),
            {name: np.full(shape, IGNORE) for name in self.scenes[0].maps},
        )

    def __getitem__(self, index: GeoSlice) -> Sample:
        """Read a sample.

        Args:
            index: ``[xmin:xmax, ymin:ymax, tmin:tmax]`` in the dataset's reference system, or a
                patch of our samplers.

        Returns:
            ``image`` float32; ``mask_valid`` bool, True where there is a measurement; with labels
            ``mask`` int64 (class numbers, -1 = no label); if known ``wavelengths`` float32 (c,);
            and as float64 ``bounds`` (9 numbers as TorchGeo's) and ``transform`` (9 numbers, of
            this very patch), and, with a reference system, ``point``: longitude and latitude of
            the middle in degrees.

        Raises:
            IndexError: If no raster matches.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[GeoSlice]) -> list[Sample]:
        """Read the samples of a batch, as loaders ask for them.

        Where no worker processes do so already, several are read at once. What is random in
        transforms is drawn in the order of the batch. Images of one shape lie one after another in
        memory, for :func:`collate_samples` to take them as they are.

        Args:
            indices: As for a single sample.
        """
        places = [self._locate(index) for index in indices]
        images = one_after_another([self._image_shape(place) for place in places])
        kept = all(place.scene.kept for place in places)
        read = each(
            self._read,
            list(zip(places, images, strict=True)),
            # what a thread has read of a file lately, the others have not
            near=[(id(place.scene), place.window.row_off) for place in places],
            most=1 if kept or get_worker_info() is not None else _MOST_THREADS,
        )
        return [self._sample(*parts) for parts in zip(places, images, read, strict=True)]

    def _locate(self, index: GeoSlice) -> '_Place':
        if not isinstance(index, ExactSlice):
            scene, window, dates = self._find(index)
            return _Place(scene, window, window, dates)
        scene, dates = self.scenes[index.scene], None
        if self.row_per_date and len(index) == 3:
            dates = self._dates_in(scene, index[2])
        return _Place(scene, index.window, index.core, dates)

    def _image_shape(self, place: '_Place') -> tuple[int, int, int, int]:
        dates = len(place.scene.dates if place.dates is None else place.dates)
        return dates, len(self.bands), place.window.height, place.window.width

    def _read(self, place: '_Place', image: torch.Tensor) -> tuple[Pixels, NDArray[np.bool_]]:
        """Read an image (t, c, h, w) and return what else was read, and where it is measured."""
        out = image.numpy()
        pixels = self._pixels(place.scene, place.window, out if place.dates is None else None)
        values, measured = pixels.image, pixels.measured
        if place.dates is not None:
            values, measured = values[place.dates], measured[place.dates]
        if not np.may_share_memory(values, out):
            np.copyto(out, values)
        if not measured.all():
            np.copyto(out, self.fill[:, None, None], where=~measured[:, None])
        return pixels, measured

    def _sample(
        self, place: '_Place', image: torch.Tensor, read: tuple[Pixels, NDArray[np.bool_]]
    ) -> Sample:
        scene, window, core, dates = place
        pixels, measured = read
        mask = _only_core(pixels.mask, window, core) if self.labelled else None
        sample = self._shape(
            image,
            torch.from_numpy(measured.copy() if scene.kept else measured),
            None if mask is None else torch.from_numpy(mask.copy() if scene.kept else mask),
        )
        sample |= self._layers(
            {
                name: _tensor(values if name in scene.inputs else _only_core(values, window, core))
                for name, values in pixels.maps.items()
            }
        )
        if not np.isnan(self.wavelengths).all():
            sample['wavelengths'] = torch.from_numpy(self.wavelengths.copy())
        sample |= self._moments(scene, dates) | self._beside(scene, window)
        bounds, transform = scene.geometry(window)
        sample['bounds'] = torch.tensor(bounds, dtype=torch.float64)
        sample['transform'] = torch.tensor(transform, dtype=torch.float64)
        if scene.grid.crs is not None:
            place_in_degrees = to_degrees(scene.grid.crs, *_middle(transform, window))
            sample['point'] = torch.tensor(place_in_degrees, dtype=torch.float64)
        return sample if self.transforms is None else self.transforms(sample)

    def _shape(
        self, image: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor | None
    ) -> Sample:
        """Make a sample of image (t, c, h, w), validity (t, h, w) and mask (h, w)."""
        raise NotImplementedError

    def _layers(self, maps: Mapping[str, torch.Tensor]) -> Sample:
        """Give further maps (h, w) of a sample, by the names they have in scenes, their form."""
        return {}

    def _beside(self, scene: Scene, window: Window) -> Sample:
        """Tell what else belongs to the place of a sample."""
        return {}

    def _moments(self, scene: Scene, dates: NDArray[np.intp] | None) -> Sample:
        """Tell when the dates of a sample were."""
        return {}

    @property
    def crs(self) -> pyproj.CRS:
        """Reference system of the index and of slices."""
        return self.index.crs

    @crs.setter
    def crs(self, new: pyproj.CRS) -> None:
        if new != self.crs:
            self.index = self.index.to_crs(new)
            self._resampled = True

    @property
    def res(self) -> tuple[float, float]:
        """Width and height of a pixel."""
        return self._res

    @res.setter
    def res(self, new: float | tuple[float, float]) -> None:
        new = (new, new) if isinstance(new, int | float) else new
        if new != self._res:
            self._res = new
            self._resampled = True

    def __and__(self, other: GeoDataset) -> Self:  # type: ignore[override]
        """Add the bands or labels of another dataset, see :func:`intersect`."""
        return intersect(self, other)

    def __or__(self, other: GeoDataset) -> Self:  # type: ignore[override]
        """Put the scenes of another dataset beside one's own, see :func:`unite`."""
        return unite(self, other)

    def on(self, grid: Grid, time: pd.Interval) -> Callable[[Window], Pixels]:
        """Prepare reading windows of any grid, from the scenes of a time: see :class:`Layer`."""
        if self._tree is None:
            self._tree = GridTree(self.grids)
        scenes = [self.scenes[number] for number in self._tree.near(grid)]
        scenes = [scene for scene in scenes if scene.time.overlaps(time)]
        if not scenes:
            return self._nothing
        scene, *others = sorted(scenes, key=lambda scene: scene.time.left)
        return functools.partial(self._pixels, scene.moved(grid, others))

    def _find(self, index: GeoSlice) -> tuple[Scene, Window, NDArray[np.intp] | None]:
        """Find the scene, the pixels and the dates of a slice in coordinates."""
        x, y, t = self._disambiguate_slice(index)
        time = pd.Interval(t.start, t.stop, closed='both')
        for shift in (0.0, 360.0, -360.0) if is_geographic(_rasterio(self.crs)) else (0.0,):
            box = x.start + shift, y.start, x.stop + shift, y.stop
            numbers = self._ranked(shapely.box(*box), time)
            if numbers:
                break
        else:
            raise IndexError(f'index: {index} not found in dataset with bounds: {self.bounds}')
        scene = self.scenes[numbers[0]]
        dates = self._dates_in(scene, t) if self.row_per_date else None
        if self._resampled or (x.step, y.step) != self.res:
            grid = _grid(self.crs, box, (x.step, y.step))
        else:
            window = _window(scene.grid, box, self.crs)
            if inside(window, scene.grid) == window:
                return scene, window, dates
            grid = scene.grid.part(window)
        others = [self.scenes[n] for n in numbers[1:]]
        others = [other for other in others if other.time.overlaps(scene.time)]
        return scene.moved(grid, others), grid.window, dates

    def _ranked(self, query: shapely.Polygon, time: pd.Interval) -> list[int]:
        """Give the scenes that lie on a query, those first that cover most of it."""
        rows = self.index.sindex.query(query, predicate='intersects')
        rows = rows[self.index.index[rows].overlaps(time)]
        areas = shapely.area(shapely.intersection(self.index.geometry.values[rows], query))
        found = {
            int(self.scene_numbers[row]): area
            for row, area in zip(rows, areas, strict=True)
            if area > 0
        }
        most = max(found.values(), default=0)
        return sorted(
            found, key=lambda n: (-round(found[n] / most, 9), self.scenes[n].time.left, n)
        )

    def _dates_in(self, scene: Scene, time: slice) -> NDArray[np.intp]:
        period = pd.Interval(time.start, time.stop, closed='both')
        return np.flatnonzero([when is None or when.overlaps(period) for when in scene.times])

    def _make_index(self, crs: CRS | None) -> tuple[geopandas.GeoDataFrame, NDArray[np.intp]]:
        """Make TorchGeo's index: where and when each scene is, in the first one's system."""
        first = self.scenes[0].grid
        left, _, right, _ = outline(first, crs).bounds
        middle = (left + right) / 2
        places, numbers, files, times = [], [], [], []
        for number, scene in enumerate(self.scenes):
            rows = self._rows(scene)
            files += [path for path, _ in rows]
            times += [time for _, time in rows]
            places += [outline(scene.grid, crs, middle)] * len(rows)
            numbers += [number] * len(rows)
        index = geopandas.GeoDataFrame(
            {'filepath': files},
            index=pd.IntervalIndex(times, closed='both', name='datetime'),
            geometry=places,
            crs=crs and crs.to_wkt(),
        )
        return index, np.array(numbers)

    def _rows(self, scene: Scene) -> list[tuple[str, pd.Interval]]:
        """Give file and time of each row a scene has in the index."""
        if not self.row_per_date:
            return [(scene.images[0].path, scene.time)]
        dates = zip(scene.dates, scene.times, strict=True)
        return [(images[0].path, time or ALWAYS) for images, time in dates if images]


class _Place(NamedTuple):
    """Where a sample is."""

    scene: Scene
    window: Window
    core: Window
    dates: NDArray[np.intp] | None


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    """Give a copy: what is kept in memory must not be changed."""
    return torch.from_numpy(values.copy())


def _rasterio(crs: Any) -> CRS | None:
    return None if crs is None else CRS.from_user_input(crs)


def _grid(
    crs: Any, box: tuple[float, float, float, float], resolution: tuple[float, float]
) -> Grid:
    left, bottom, right, top = box
    x, y = resolution
    width, height = max(1, round((right - left) / x)), max(1, round((top - bottom) / y))
    return Grid(_rasterio(crs), Affine(x, 0, left, 0, -y, top), width, height)


def _window(grid: Grid, box: tuple[float, float, float, float], crs: Any) -> Window:
    """Give the pixels of a grid that are nearest to a box in another reference system."""
    middle = (grid.bounds.left + grid.bounds.right) / 2
    left, bottom, right, top = project_box(box, _rasterio(crs), grid.crs, middle)
    corners = [~grid.transform @ (x, y) for x in (left, right) for y in (bottom, top)]
    columns, rows = zip(*corners, strict=True)
    column, row = round(min(columns)), round(min(rows))
    return Window(column, row, max(1, round(max(columns)) - column), max(1, round(max(rows)) - row))


def _middle(transform: Sequence[float], window: Window) -> tuple[float, float]:
    """Give the coordinates of the middle of a window with a transform of its own."""
    a, b, c, d, e, f, *_ = transform
    column, row = window.width / 2, window.height / 2
    return a * column + b * row + c, d * column + e * row + f


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
