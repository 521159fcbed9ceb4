"""Labels from rasters or features, on whatever grid an image has."""

import functools
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._class_table import class_table
from torchgeo_ext.datasets._classes import IGNORE, LabelClass, make_classes
from torchgeo_ext.datasets._features import (
    FeatureLabels,
    Features,
    class_codes,
    disputed,
    join_features,
    read_features,
    touched,
)
from torchgeo_ext.datasets._files import Paths, expand, list_paths
from torchgeo_ext.datasets._geometry import GridTree, turned, window_of
from torchgeo_ext.datasets._handles import LazyReader
from torchgeo_ext.datasets._header import read_headers
from torchgeo_ext.datasets._windows import intersection, shifted
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, open_raster
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
    """Rasters whose pixel values are classes; warped by nearest neighbour where needed.

    Args:
        paths: The rasters; where they overlap, the first with a label counts.
        grids: Their grids.
        classes: The classes, by value.
    """

    paths: tuple[str, ...]
    grids: tuple[Grid, ...]
    classes: tuple[LabelClass, ...]

    @functools.cached_property
    def _tree(self) -> GridTree:
        return GridTree(self.grids)

    def readers(self, grid: Grid) -> Iterator[tuple[Window, LazyReader]]:
        """Yield what to read from on a grid, and where."""
        for number in self._tree.near(grid):
            own = self.grids[number]
            place = window_of(grid, own)
            if place is not None:
                part = turned(grid.part(place), own)
                yield place, LazyReader(_label_source(self.paths[number]), part)

    def on(self, grid: Grid) -> LabelReader:
        """Prepare reading on a grid."""
        parts = list(self.readers(grid))
        codes = _code_table([entry.value for entry in self.classes])

        def read(window: Window) -> NDArray[np.int64]:
            if len(parts) == 1 and parts[0][0] == grid.window:
                return _codes(parts[0][1], window, codes)
            mask = np.full((window.height, window.width), IGNORE)
            for place, reader in parts:
                common = intersection(window, place)
                if common is not None:
                    rows, columns = shifted(common, window).toslices()
                    part, there = mask[rows, columns], _codes(reader, shifted(common, place), codes)
                    np.copyto(part, there, where=part == IGNORE)
            return mask

        return read


def _code_table(values: Sequence[int]) -> NDArray[np.int64]:
    """Make a table from class value to class number; its last entry is that of all others."""
    table = np.full(max(values) + 2, IGNORE)
    table[list(values)] = np.arange(len(values))
    return table


def _codes(reader: LazyReader, window: Window, table: NDArray[np.int64]) -> NDArray[np.int64]:
    raw, valid = reader.read_native(window)
    values = raw[0]
    last = len(table) - 1
    if values.dtype.kind != 'u' or np.iinfo(values.dtype).max > last:
        values = np.where((values >= 0) & (values < last), values, last).astype(np.intp)
    codes = table[values]
    return codes if valid.all() else np.where(valid, codes, IGNORE)


@dataclass(frozen=True)
class LabelOptions:
    """How labels are read; see the datasets.

    Args:
        class_field: Field with the class of a polygon.
        ignore_value: Value that means "not labelled".
        classes: Names of classes by value.
        index_cache: File that keeps headers.
        strict: Whether ``classes`` are all there may be: text is numbered by them, and other
            values are an error.
        argument: The argument that labels come from, for messages.
    """

    class_field: str | None = None
    ignore_value: int | str | None = None
    classes: Mapping[int, str] | None = None
    index_cache: Path | None = None
    strict: bool = False
    argument: str = 'labels'

    @property
    def table(self) -> Mapping[int, str] | None:
        """The classes, if there may be no others."""
        return self.classes if self.strict else None


def open_labels(
    paths: Paths,
    grids: Sequence[Grid],
    options: LabelOptions,
    *,
    change: bool = False,
    progress: Progress = silent,
) -> Labels:
    """Open a label layer and find its classes where the images are.

    Args:
        paths: Rasters with one band (files, folders, patterns), or layers of polygons (``path`` or
            ``path|layername=name``), of which the later ones count where they overlap.
        grids: The grids of the images.
        options: How to read them.
        change: The labels say what changed: outside of polygons nothing did, value 0 is unchanged.
        progress: Told how far the look through rasters is.

    Raises:
        BadInput: If the layer is empty, lies elsewhere, lacks classes or holds only one.
    """
    labels = read_labels(paths, grids, options, change=change, progress=progress)
    if len(labels.classes) < 2:
        only = labels.classes[0]
        raise BadInput(
            f'{options.argument}: {list_paths(paths)[0]} has a single class where the images are: '
            f'{only.name} (value {only.value}).',
            'At least two classes are needed to tell apart.',
        )
    return labels


def read_labels(
    paths: Paths,
    grids: Sequence[Grid],
    options: LabelOptions,
    *,
    change: bool = False,
    background: int | None = None,
    progress: Progress = silent,
) -> FeatureLabels | RasterLabels:
    """Open a label layer that may hold a single class.

    Args:
        paths: See :func:`open_labels`.
        grids: The grids of the images.
        options: How to read them.
        change: See :func:`open_labels`.
        background: Class value of what no polygon covers; without one it has no label.
        progress: Told how far the look through rasters is.

    Raises:
        BadInput: If the layer is empty, lies elsewhere or lacks classes.
    """
    given = list_paths(paths)
    if not Path(given[0]).is_dir() and _is_vector(given[0]):
        return _feature_labels(given, grids, options, change, background)
    files = [file for path in given for file in expand(path, options.argument)]
    return _raster_labels(files, grids, options, change, progress)


def _is_vector(path: str) -> bool:
    if '|' in path:
        return True
    if any(sign in path for sign in '*?['):
        return False
    try:
        open_raster(path, 'labels').close()
    except BadInput:
        return True
    return False


def _label_source(path: str) -> RasterSource:
    return RasterSource(path, resampling='nearest', argument='labels')


def _raster_labels(
    paths: Sequence[str],
    grids: Sequence[Grid],
    options: LabelOptions,
    change: bool,
    progress: Progress,
) -> RasterLabels:
    argument = options.argument
    headers = read_headers(paths, argument, cache=options.index_cache)
    for header in headers:
        if len(header.bands) != 1:
            raise BadInput(
                f'{argument}: {header.path} has {len(header.bands)} bands, but class labels have '
                'one.',
                'Choose a raster of class numbers (a picture of a map has none) or polygons.',
            )
    places = RasterLabels(
        tuple(header.path for header in headers), tuple(header.grid for header in headers), ()
    )
    _check_places(places, grids, argument)
    with _label_source(paths[0]).open() as reader:
        names, colors = class_table(paths[0], reader)
    values = set(options.classes or ())
    if options.classes is None or options.strict:
        found = _values(places, grids, argument, progress)
        found = {value for value in found if value != options.ignore_value}
        values = values or found
    else:
        found = values
    names |= dict(options.classes or {})
    _check_values(f'{argument}: {paths[0]}', found, options.ignore_value)
    if strange := sorted(found - values):
        known = ', '.join(f'{value} {names[value]}' for value in sorted(values))
        raise BadInput(
            f'{argument}: {paths[0]} has the value {strange[0]}, which is none of the classes '
            f'{known}.',
            'Add it to classes, or give it as ignore_value or nodata value.',
        )
    if change and values <= {0, max(values)}:
        # 0/1, 0/255 and the like are one question: changed or not
        names = {max(values): 'change'} | names
        colors = {max(values): _CHANGE_COLORS[1]} | colors
    if change:
        names, colors = {0: 'unchanged'} | names, {0: _CHANGE_COLORS[0]} | colors
    return replace(places, classes=make_classes(values, names, colors))


def _check_places(labels: RasterLabels, grids: Sequence[Grid], argument: str) -> None:
    without = sum(next(labels.readers(grid), None) is None for grid in grids)
    if without == len(grids):
        path, own = labels.paths[0], labels.grids[0]
        raise BadInput(
            f'{argument}: {path} covers {tuple(own.bounds)} in {own.crs}, where no image is.',
            'Choose labels of the same place and check both reference systems.',
        )
    if without:
        log.warning('%d of %d images have no %s and are not used.', without, len(grids), argument)


#: Of what did not change.
UNCHANGED_COLOR = '#d9d9d9'

#: Unchanged and, where there is but one kind of it, change.
_CHANGE_COLORS = {0: UNCHANGED_COLOR, 1: '#d7191c'}


def _values(
    labels: RasterLabels, grids: Sequence[Grid], argument: str, progress: Progress
) -> set[int]:
    """Collect the values of label rasters that occur on the grids."""
    found: set[float] = set()
    for number, grid in enumerate(grids):
        for _, reader in labels.readers(grid):
            for window in reader.grid.windows(_CHUNK):
                progress(number / len(grids), 'looking for classes')
                raw, valid = reader.read_native(window)
                found.update(np.unique(raw[0][valid]).tolist())
                _check_number(f'{argument}: {reader.source.path}', found)
    broken = [value for value in found if value != int(value)]
    if broken:
        raise BadInput(
            f'{argument}: {labels.paths[0]} has values that are no whole numbers, such as '
            f'{broken[0]:g}.',
            'Choose a raster of class numbers.',
        )
    return {int(value) for value in found}


def _check_values(where: str, values: set[int], ignore_value: int | str | None) -> None:
    if not values:
        besides = '' if ignore_value is None else f' besides ignore_value {ignore_value}'
        raise BadInput(
            f'{where} has no labelled pixel where the images are{besides}.',
            'Check its extent, its nodata value and ignore_value.',
        )
    _check_number(where, values)
    if min(values) < 0 or max(values) > 65534:
        raise BadInput(
            f'{where} has the value {min(values) if min(values) < 0 else max(values)}, '
            'but class numbers go from 0 to 65534.',
            'Give it as ignore_value if it means "no label", or renumber the classes.',
        )


def _check_number(where: str, values: Collection[float]) -> None:
    if len(values) > _MOST_CLASSES:
        raise BadInput(
            f'{where} has more than {_MOST_CLASSES} different values.',
            'Choose class numbers, not measurements or identifiers.',
        )


def _feature_labels(
    paths: Sequence[str],
    grids: Sequence[Grid],
    options: LabelOptions,
    change: bool,
    background: int | None,
) -> FeatureLabels:
    if options.class_field is None and not change:
        raise _field_needed(paths[0], options.argument)
    features = join_features(
        [
            read_features(path, options.class_field, grids=grids, argument=options.argument)
            for path in paths
        ]
    )
    there = touched(features.frame.geometry, grids)
    if not there.any():
        raise BadInput(
            f'{options.argument}: none of the {features.number} polygons of {features.path} lies '
            'on an image.',
            'Choose labels of the same place and check both reference systems.',
        )
    return make_labels(features.select(there), options, change=change, background=background)


def _field_needed(path: str, argument: str) -> BadInput:
    fields = read_features(path, None, argument=argument).fields
    return BadInput(
        f'class_field: {argument} ({path}) are polygons, so the field with their class is needed.',
        f'Its fields are: {", ".join(fields) or "none"}.',
    )


def make_labels(
    features: Features,
    options: LabelOptions,
    *,
    change: bool = False,
    background: int | None = None,
    all_touched: bool = False,
) -> FeatureLabels:
    """Find the classes of features.

    Args:
        features: The features.
        options: How to read them; without a field, what they cover is 1 and the rest 0.
        change: See :func:`open_labels`.
        background: Class value of what no feature covers; without one it has no label.
        all_touched: See :class:`FeatureLabels`.
    """
    geometry, path = features.frame.geometry, features.path
    if options.class_field is None:
        words = ('unchanged', 'change') if change else ('background', 'feature')
        colors = _CHANGE_COLORS if change else {0: _CHANGE_COLORS[0]}
        classes = make_classes((0, 1), dict(enumerate(words)), colors)
        codes = np.ones(len(features), dtype=np.int64)
        return FeatureLabels(geometry, codes, classes, 0, all_touched)
    keep, values, names = class_codes(
        features, options.class_field, options.ignore_value, unchanged=change, table=options.table
    )
    named, kinds = bool(names), set(values.tolist())
    _check_values(f'{options.argument}: {path}', kinds, options.ignore_value)
    kinds |= set(options.table or ())
    if change and 0 not in kinds:
        background = 0
        log.info('What lies outside of the polygons of %s counts as unchanged.', path)
    if change:
        names.setdefault(0, 'unchanged')
    elif background is not None:
        names.setdefault(background, 'background')
    kinds |= set() if background is None else {background}
    classes = make_classes(
        kinds, names | dict(options.classes or {}), {0: _CHANGE_COLORS[0]} if change else None
    )
    order = [entry.value for entry in classes]
    outside = IGNORE if background is None else order.index(background)
    codes = np.full(len(features), IGNORE)
    codes[keep] = np.searchsorted(order, values)
    if pairs := disputed(np.asarray(geometry.values), codes):
        log.warning(
            '%s: %d pairs of features of %s overlap and have different classes; the later one in '
            'the file counts there. Draw each place once, or give one of them another class.',
            options.argument, pairs, path,
        )  # fmt: skip
    if background is None:
        geometry, codes = geometry[keep], codes[keep]
    # else what is not labelled must not become background
    return FeatureLabels(geometry, codes, classes, outside, all_touched, named)
