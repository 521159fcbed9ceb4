"""Labels from a raster or from polygons, on whatever grid an image has."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from torchgeo_ext.datasets._classes import IGNORE, LabelClass, make_classes
from torchgeo_ext.datasets._polygons import Polygons, class_codes, read_polygons
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, WindowReader, open_raster
from torchgeo_ext.progress import Progress, silent

log = logging.getLogger(__name__)

#: More classes than this are taken for a mistake, such as an identifier instead of a class.
_MOST_CLASSES = 256

#: Pixels read at once when looking through a raster.
_CHUNK = 2048

#: Reads a window as class numbers (h, w), ``IGNORE`` where there is no label.
LabelReader = Callable[[Window], NDArray[np.int64]]


class Labels(Protocol):
    """Where labels come from."""

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """What is told apart, by value."""

    def on(self, grid: Grid) -> LabelReader:
        """Prepare reading on a grid; windows lie inside of it."""


@dataclass(frozen=True)
class RasterLabels:
    """A raster whose pixel values are classes; warped by nearest neighbour where needed.

    Args:
        path: The raster.
        classes: Its classes, by value.
    """

    path: str
    classes: tuple[LabelClass, ...]

    def on(self, grid: Grid) -> LabelReader:
        """Prepare reading on a grid."""
        if not self._reaches(grid):
            return lambda window: np.full((window.height, window.width), IGNORE)
        reader = _label_source(self.path).open(grid)
        values = np.array([entry.value for entry in self.classes])

        def read(window: Window) -> NDArray[np.int64]:
            raw, valid = reader.read_native(window)
            place = np.minimum(np.searchsorted(values, raw[0]), len(values) - 1)
            known = valid & (values[place] == raw[0])
            return np.where(known, place, IGNORE)

        return read

    def _reaches(self, grid: Grid) -> bool:
        with open_raster(self.path, 'labels') as dataset:
            return Grid.of(dataset, 'labels').overlaps(grid)


@dataclass(frozen=True)
class PolygonLabels:
    """Polygons rasterised window by window; where they overlap, the later one counts.

    Args:
        polygons: Outlines and their reference system.
        codes: Class number of each.
        classes: The classes.
        outside: Class number of what lies in no polygon.
    """

    polygons: Polygons
    codes: NDArray[np.int64]
    classes: tuple[LabelClass, ...]
    outside: int = IGNORE

    def on(self, grid: Grid) -> LabelReader:
        """Prepare reading on a grid: project the polygons once and index them."""
        geometries = self.polygons.project(grid.crs)
        tree = shapely.STRtree(geometries)

        def read(window: Window) -> NDArray[np.int64]:
            part = grid.part(window)
            box = shapely.box(*part.bounds)
            found = np.sort(tree.query(box, predicate='intersects'))
            # cutting first keeps a country's outline from being burnt into every patch
            cut = shapely.clip_by_rect(geometries[found], *part.bounds)
            shapes = [
                (shape, code)
                for shape, code in zip(cut, self.codes[found].tolist(), strict=True)
                if not shape.is_empty
            ]
            if not shapes:
                return np.full(part.shape, self.outside, dtype=np.int64)
            return rasterize(
                shapes, part.shape, self.outside, transform=part.transform, dtype='int32'
            ).astype(np.int64)

        return read


def open_labels(
    path: str,
    grids: Sequence[Grid],
    *,
    class_field: str | None = None,
    ignore_value: int | None = None,
    change: bool = False,
    progress: Progress = silent,
) -> Labels:
    """Open a label layer and find its classes where the images are.

    Args:
        path: A raster with one band, or a polygon layer (``path`` or ``path|layername=name``).
        grids: The grids of the images.
        class_field: Field with the class of a polygon; text or whole numbers.
        ignore_value: Value that means "not labelled", besides the raster's nodata value.
        change: The labels say what changed: outside of polygons nothing did, value 0 is unchanged.
        progress: Told how far the look through a raster is.

    Raises:
        BadInput: If the layer is empty, lies elsewhere, lacks classes or holds only one.
    """
    if _is_raster(path):
        labels: Labels = _raster_labels(path, grids, ignore_value, change, progress)
    else:
        labels = _polygon_labels(path, grids, class_field, ignore_value, change)
    if len(labels.classes) < 2:
        only = labels.classes[0]
        raise BadInput(
            f'labels: {path} has a single class where the images are: {only.name} '
            f'(value {only.value}).',
            'At least two classes are needed to tell apart.',
        )
    return labels


def _is_raster(path: str) -> bool:
    if '|' in path:
        return False
    try:
        open_raster(path, 'labels').close()
    except BadInput:
        return False
    return True


def _label_source(path: str) -> RasterSource:
    return RasterSource(path, resampling='nearest', argument='labels')


def _raster_labels(
    path: str, grids: Sequence[Grid], ignore_value: int | None, change: bool, progress: Progress
) -> RasterLabels:
    with _label_source(path).open() as reader:
        if len(reader.bands) != 1:
            raise BadInput(
                f'labels: {path} has {len(reader.bands)} bands, but class labels have one.',
                'Choose a raster of class numbers (a picture of a map has none) or polygons.',
            )
        names, colors = _class_table(path, reader)
    values = _values(path, grids, progress) - {ignore_value}
    _check_values(path, values, ignore_value)
    if change and values <= {0, max(values)}:
        # 0/1, 0/255 and the like are one question: changed or not
        names = {max(values): 'change'} | names
        colors = {max(values): _CHANGE_COLORS[1]} | colors
    if change:
        names, colors = {0: 'unchanged'} | names, {0: _CHANGE_COLORS[0]} | colors
    return RasterLabels(path, make_classes(values, names, colors))


#: Unchanged and, where there is but one kind of it, change.
_CHANGE_COLORS = {0: '#d9d9d9', 1: '#d7191c'}


def _class_table(path: str, reader: WindowReader) -> tuple[dict[int, str], dict[int, str]]:
    """Read the names and colours of classes that a raster carries."""
    try:
        table = reader.dataset.colormap(reader.bands[0])
    except ValueError:
        table = {}
    colors = {value: f'#{r:02x}{g:02x}{b:02x}' for value, (r, g, b, _) in table.items()}
    return _category_names(Path(path + '.aux.xml')), colors


def _category_names(sidecar: Path) -> dict[int, str]:
    """Read the category names that GDAL keeps beside a raster; rasterio has no access to them."""
    if not sidecar.is_file():
        return {}
    try:
        # expat 2.4 and later limit how much entities may grow
        root = ElementTree.parse(sidecar).getroot()  # noqa: S314
    except ElementTree.ParseError:
        log.warning('The class names in %s cannot be read.', sidecar)
        return {}
    categories = root.findall("PAMRasterBand[@band='1']/CategoryNames/Category")
    return {value: entry.text for value, entry in enumerate(categories) if entry.text}


def _values(path: str, grids: Sequence[Grid], progress: Progress) -> set[int]:
    """Collect the values of a label raster that occur on the grids."""
    with open_raster(path, 'labels') as dataset:
        own = Grid.of(dataset, 'labels')
    covered = [grid for grid in grids if own.overlaps(grid)]
    if not covered:
        raise BadInput(
            f'labels: {path} covers {tuple(own.bounds)} in {own.crs}, where no image is.',
            'Choose labels of the same place and check both reference systems.',
        )
    if len(covered) < len(grids):
        log.warning(
            '%d of %d images have no labels and are not used.',
            len(grids) - len(covered),
            len(grids),
        )
    found: set[float] = set()
    for number, grid in enumerate(covered):
        with _label_source(path).open(grid) as reader:
            for window in grid.windows(_CHUNK):
                progress(number / len(covered), 'looking for classes')
                raw, valid = reader.read_native(window)
                found.update(np.unique(raw[0][valid]).tolist())
                _check_number(path, found)
    broken = [value for value in found if value != int(value)]
    if broken:
        raise BadInput(
            f'labels: {path} has values that are no whole numbers, such as {broken[0]:g}.',
            'Choose a raster of class numbers.',
        )
    return {int(value) for value in found}


def _check_values(path: str, values: set[int], ignore_value: int | None) -> None:
    if not values:
        besides = '' if ignore_value is None else f' besides ignore_value {ignore_value}'
        raise BadInput(
            f'labels: {path} has no labelled pixel where the images are{besides}.',
            'Check its extent, its nodata value and ignore_value.',
        )
    _check_number(path, values)
    if min(values) < 0 or max(values) > 65534:
        raise BadInput(
            f'labels: {path} has the value {min(values) if min(values) < 0 else max(values)}, '
            'but class numbers go from 0 to 65534.',
            'Give it as ignore_value if it means "no label", or renumber the classes.',
        )


def _check_number(path: str, values: Collection[float]) -> None:
    if len(values) > _MOST_CLASSES:
        raise BadInput(
            f'labels: {path} has more than {_MOST_CLASSES} different values.',
            'Choose class numbers, not measurements or identifiers.',
        )


def _polygon_labels(
    path: str,
    grids: Sequence[Grid],
    class_field: str | None,
    ignore_value: int | None,
    change: bool,
) -> PolygonLabels:
    polygons = read_polygons(path, grids, class_field, 'before' if change else 'image')
    if class_field is None:
        if not change:
            raise BadInput(
                f'class_field: labels ({path}) are polygons, so the field with their class is '
                'needed.',
                f'Its fields are: {", ".join(polygons.fields) or "none"}.',
            )
        classes = make_classes(
            (0, 1), {0: 'unchanged', 1: 'change'}, {**_CHANGE_COLORS, 1: '#d7191c'}
        )
        return PolygonLabels(polygons, np.ones(len(polygons), dtype=np.int64), classes, outside=0)
    keep, values, names = class_codes(polygons, class_field, ignore_value, unchanged=change)
    polygons = polygons.select(keep)
    kinds = set(values.tolist())
    _check_values(path, kinds, ignore_value)
    outside_unchanged = change and 0 not in kinds
    if outside_unchanged:
        names[0] = 'unchanged'
        log.info('What lies outside of the polygons of %s counts as unchanged.', path)
    if change:
        names.setdefault(0, 'unchanged')
    classes = make_classes(
        kinds | {0} if outside_unchanged else kinds, names, {0: '#d9d9d9'} if change else None
    )
    codes = np.searchsorted([entry.value for entry in classes], values)
    return PolygonLabels(polygons, codes, classes, outside=0 if outside_unchanged else IGNORE)
