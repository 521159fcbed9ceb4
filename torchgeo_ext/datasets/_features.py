"""Features of a vector layer, the class each has, and their pixels on any grid."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.windows import Window

from torchgeo_ext.datasets._classes import IGNORE, LabelClass
from torchgeo_ext.datasets._geometry import is_geographic, project_box, turns
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid

#: Share of the smaller of two polygons up to which their overlap is a matter of digitising.
_SLIVER = 0.01
#: Words for "nothing changed" in a text field of change classes.
UNCHANGED = {'0', 'no change', 'no_change', 'no-change', 'nochange', 'stable', 'unchanged'}

#: Words for "nobody can tell" in a text field whose classes are given, without signs.
UNKNOWN = {'un classified', 'unclassified', 'unknown', 'unlabelled', 'unlabeled'}

#: Geometry types of layers that can hold polygons contain one of these.
_AREAS = ('Polygon', 'Surface', 'Unknown', 'Collection')


@dataclass(frozen=True)
class Features:
    """Features and what is known of each.

    Args:
        path: Where they came from, for messages.
        frame: Geometries, and the class field if one was asked for.
        fields: Names of all fields of the layer.
        number: How many features the layer has in all.
    """

    path: str
    frame: geopandas.GeoDataFrame
    fields: tuple[str, ...]
    number: int

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, keep: NDArray[np.bool_]) -> 'Features':
        """Keep some of them."""
        return replace(self, frame=self.frame[keep])


def read_features(
    path: str,
    field: str | None,
    *,
    grids: Sequence[Grid] = (),
    buffer: float | None = None,
    any_geometry: bool = False,
    argument: str = 'labels',
) -> Features:
    """Read the polygons of a layer, and lines and points if they are made polygons.

    Args:
        path: ``path`` or ``path|layername=name``.
        field: A field to read.
        grids: If given, features that lie elsewhere may be left out.
        buffer: Metres to widen all features by.
        any_geometry: Whether lines and points are welcome as they are.
        argument: The argument it came from, for messages.

    Raises:
        BadInput: If it is no vector layer, is empty, or holds lines or points and no ``buffer`` is
            given.
        BadParameter: If it has no such field.
    """
    file, _, options = path.partition('|')
    layer = dict(part.split('=', 1) for part in options.split('|') if '=' in part).get('layername')
    try:
        information = pyogrio.read_info(file, layer=layer)
    except (DataSourceError, DataLayerError) as error:
        raise BadInput(
            f'{argument}: {path} can be opened neither as a raster nor as a vector layer '
            f'({error}).',
            'Choose a GeoTIFF, GeoPackage or another file GDAL reads.',
        ) from error
    fields = tuple(map(str, information['fields']))
    where = f'{argument}: {path}'
    _check_layer(where, information, fields, field, any_geometry or bool(buffer))
    _check_crs(where, information['crs'], grids)
    frame = pyogrio.read_dataframe(
        file,
        layer=layer,
        columns=[] if field is None else [field],
        bbox=None if buffer else _extent(grids, information['crs']),
    )
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    if buffer:
        frame = frame.set_geometry(_widened(where, frame.geometry, buffer))
    if not any_geometry:
        _check_areas(where, frame)
    return Features(path, frame, fields, information['features'])


def join_features(layers: Sequence[Features]) -> Features:
    """Put the features of several layers after each other, in the reference system of the first."""
    if len(layers) == 1:
        return layers[0]
    first = layers[0]
    frames = [layer.frame for layer in layers]
    if first.frame.crs is not None:
        frames = [frame.to_crs(first.frame.crs) for frame in frames]
    return Features(
        f'{first.path} and {len(layers) - 1} more',
        pd.concat(frames, ignore_index=True),
        first.fields,
        sum(layer.number for layer in layers),
    )


def class_codes(
    features: Features,
    field: str,
    ignore_value: int | str | None,
    *,
    unchanged: bool = False,
    table: Mapping[int, str] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.int64], dict[int, str]]:
    """Give the class value of each feature.

    Text is numbered from 1 in alphabetical order; with ``unchanged``, words that mean "nothing
    changed" become 0. With a ``table`` of names by value text is numbered by that, whatever the
    case and the signs between words, and words that mean "unknown" do not count.

    Returns:
        Which features count (those without ``ignore_value``), the values of these, and names.

    Raises:
        BadInput: If a feature has no class or one that is not in the table, or the field holds
            neither text nor whole numbers.
    """
    column = features.frame[field]
    if column.dtype.kind in 'OTU' or str(column.dtype) in ('str', 'string'):
        return _text_codes(features, field, ignore_value, unchanged, table)
    if column.dtype.kind not in 'iufb':
        raise BadInput(
            f'class_field: {field} of {features.path} is of type {column.dtype}.',
            'Choose a field with text or whole numbers.',
        )
    _check_missing(features, field, column.isna().to_numpy())
    numbers = column.to_numpy(dtype=np.float64)
    broken = numbers[numbers != np.rint(numbers)]
    if broken.size:
        raise BadInput(
            f'class_field: {field} of {features.path} has values that are no whole numbers, such '
            f'as {broken[0]:g}.',
            'Choose a field with text or whole numbers.',
        )
    values = numbers.astype(np.int64)
    keep = np.ones(len(values), dtype=bool) if ignore_value is None else values != ignore_value
    if table is not None:
        _check_table(features, field, sorted(set(values[keep].tolist()) - set(table)), table)
    return keep, values[keep], {}


def plain(name: str) -> str:
    """Give a name in small letters, its words parted by single spaces."""
    return ' '.join(re.findall(r'[^\W_]+', name.casefold()))


def _text_codes(
    features: Features,
    field: str,
    ignore_value: int | str | None,
    unchanged: bool,
    table: Mapping[int, str] | None,
) -> tuple[NDArray[np.bool_], NDArray[np.int64], dict[int, str]]:
    column = features.frame[field]
    _check_missing(features, field, (column.isna() | (column == '')).to_numpy())
    words = column.astype(str).to_numpy(dtype=object)
    keep = words != str(ignore_value)
    if table is not None:
        numbers = {plain(name): value for value, name in table.items()}
        known = np.array([plain(word) in numbers for word in words], dtype=bool)
        keep &= known | np.array([plain(word) not in UNKNOWN for word in words], dtype=bool)
        _check_table(features, field, sorted(set(words[keep & ~known])), table)
        values = np.array([numbers[plain(word)] for word in words[keep]], dtype=np.int64)
        return keep, values, {}
    words = words[keep]
    zero = [word for word in sorted(set(words)) if unchanged and word.lower() in UNCHANGED]
    others = sorted(set(words) - set(zero), key=str.casefold)
    order = dict.fromkeys(zero, 0) | {word: i for i, word in enumerate(others, start=1)}
    values = np.array([order[word] for word in words], dtype=np.int64)
    return keep, values, {n: str(word) for word, n in order.items()}


def _check_table(
    features: Features, field: str, strange: Sequence[int | str], table: Mapping[int, str]
) -> None:
    if strange:
        known = ', '.join(f'{value} {name}' for value, name in sorted(table.items()))
        raise BadInput(
            f'class_field: {field} of {features.path} has the value {strange[0]!r}, which is none '
            f'of the classes {known}.',
            'Add it to classes, or give it as ignore_value.',
        )


@dataclass(frozen=True, eq=False)
class FeatureLabels:
    """Features rasterised window by window; where they overlap, the later one counts.

    Args:
        geometry: Polygons and their reference system.
        codes: Class number of each, ``IGNORE`` for those that mean "not labelled".
        classes: The classes.
        outside: Class number of what lies in no feature.
        all_touched: Whether a feature takes all pixels it touches, not only those whose centre it
            covers.
        named: Whether the features have names of classes, whose values only number them.
    """

    geometry: geopandas.GeoSeries
    codes: NDArray[np.int64]
    classes: tuple[LabelClass, ...]
    outside: int = IGNORE
    all_touched: bool = False
    named: bool = False
    _trees: dict[str, tuple[NDArray[Any], shapely.STRtree]] = field(
        default_factory=dict, repr=False
    )

    def on(self, grid: Grid) -> Callable[[Window], NDArray[np.int64]]:
        """Prepare reading on a grid: project the features once for each reference system."""
        shapes, tree = self.tree(grid)

        def read(window: Window) -> NDArray[np.int64]:
            part = grid.part(window)
            found = np.sort(tree.query(shapely.box(*part.bounds), predicate='intersects'))
            # cutting first keeps a country's outline from being burnt into every patch
            cut = shapely.clip_by_rect(shapes[found], *part.wide_bounds)
            pairs = [
                (shape, code)
                for shape, code in zip(cut, self.codes[found].tolist(), strict=True)
                if not shape.is_empty
            ]
            if not pairs:
                return np.full(part.shape, self.outside, dtype=np.int64)
            return rasterize(
                pairs,
                part.shape,
                self.outside,
                transform=part.transform,
                all_touched=self.all_touched,
                dtype='int32',
            ).astype(np.int64)

        return read

    def tree(self, grid: Grid) -> tuple[NDArray[Any], shapely.STRtree]:
        """Give the shapes in the reference system of a grid, and an index of them."""
        near = (grid.bounds.left + grid.bounds.right) / 2
        turn = round(near / 180) if is_geographic(grid.crs) else 0
        key = f'{turn} {grid.crs and grid.crs.to_wkt()}'
        if key not in self._trees:
            shapes = project(self.geometry, grid.crs, near)
            self._trees[key] = shapes, shapely.STRtree(shapes)
        return self._trees[key]


def disputed(shapes: NDArray[Any], codes: NDArray[np.int64]) -> int:
    """Count the pairs of polygons of different classes that share ground.

    Slivers, of which boundaries that were drawn twice are full, do not count.

    Args:
        shapes: Outlines (n,).
        codes: Class of each.
    """
    tree = shapely.STRtree(shapes)
    one, other = tree.query(shapes, predicate='intersects')
    apart = (one < other) & (codes[one] != codes[other])
    first, second = shapes[one[apart]], shapes[other[apart]]
    inside = shapely.relate_pattern(first, second, '2********')
    first, second = first[inside], second[inside]
    # outlines that cross themselves have no intersection
    valid = shapely.is_valid(first) & shapely.is_valid(second)
    first, second = first[valid], second[valid]
    shared = shapely.area(shapely.intersection(first, second))
    return int((shared > _SLIVER * np.minimum(shapely.area(first), shapely.area(second))).sum())


def touched(geometry: geopandas.GeoSeries, grids: Sequence[Grid]) -> NDArray[np.bool_]:
    """Say which features lie on any of some grids."""
    labels = FeatureLabels(geometry, np.zeros(0, dtype=np.int64), ())
    found = np.zeros(len(geometry), dtype=bool)
    for grid in grids:
        found[labels.tree(grid)[1].query(shapely.box(*grid.bounds), predicate='intersects')] = True
    return found


def project(geometry: geopandas.GeoSeries, crs: CRS | None, near: float) -> NDArray[Any]:
    """Give outlines in another reference system; longitudes next to ``near``."""
    if crs is not None and geometry.crs is not None and geometry.crs != crs:
        geometry = geometry.to_crs(crs.to_wkt())
    shapes = np.asarray(geometry.values)
    return _joined(shapes, near) if is_geographic(crs) else shapes


def _joined(shapes: NDArray[Any], near: float) -> NDArray[Any]:
    """Undo the cut at the antimeridian and move whole turns next to a longitude."""
    left, _, right, _ = shapely.bounds(shapes).T
    torn = right - left > 180
    shifts = np.array([turns(x, near) for x in (left + right) / 2])
    if not torn.any() and not shifts.any():
        return shapes
    shapes = shapes.copy()
    for number in np.flatnonzero(torn):
        shapes[number] = shapely.transform(shapes[number], _unwrapped)
        left, _, right, _ = shapely.bounds(shapes[number])
        shifts[number] = turns((left + right) / 2, near)
    for shift in np.unique(shifts[shifts != 0]):
        moved = shifts == shift
        shapes[moved] = shapely.transform(
            shapes[moved], lambda points, by=shift: points + np.array([by, 0.0])
        )
    return shapes


def _unwrapped(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points + np.where(points[:, :1] < 0, [[360.0, 0.0]], 0.0)


def _widened(where: str, geometry: geopandas.GeoSeries, distance: float) -> geopandas.GeoSeries:
    """Widen features by metres, each in the UTM zone (or polar system) that it lies in."""
    if geometry.crs is None:
        raise BadInput(
            f'{where} has no coordinate reference system, so a buffer has no metres.',
            'Assign the right one (in QGIS: Vector > Data Management > Define projection).',
        )
    places = geometry.to_crs('EPSG:4326').representative_point()
    zones = np.floor((places.x + 180) % 360 / 6).astype(int) + 1
    codes = np.where(places.y < 0, 32700, 32600) + zones
    codes = np.select([places.y > 84, places.y < -80], [32661, 32761], codes)
    wide = geometry.copy()
    for code in np.unique(codes):
        there = codes == code
        wide[there] = (
            geometry[there].to_crs(epsg=int(code)).buffer(distance).to_crs(geometry.crs).values
        )
    return wide


def _check_missing(features: Features, field: str, missing: NDArray[np.bool_]) -> None:
    if missing.any():
        raise BadInput(
            f'class_field: {missing.sum()} of {len(missing)} features of {features.path} have no '
            f'value in {field}.',
            'Fill in their class or delete them.',
        )


def _check_layer(
    where: str,
    information: dict[str, Any],
    fields: tuple[str, ...],
    field: str | None,
    any_geometry: bool,
) -> None:
    if information['features'] == 0:
        raise BadInput(f'{where} has no features.', 'Digitise some, or choose another layer.')
    kind = information['geometry_type']
    if kind is None or not (any_geometry or any(word in kind for word in _AREAS)):
        raise BadInput(
            f'{where} holds {kind or "no geometry"}, but polygons are needed.',
            'Choose a polygon layer; lines and points are widened by the buffer of VectorLabels.',
        )
    if field is not None and field not in fields:
        raise BadParameter(
            f'class_field: {where} has no field {field!r}.',
            f'Its fields are: {", ".join(fields) or "none"}.',
        )


def _check_areas(where: str, frame: geopandas.GeoDataFrame) -> None:
    others = frame.geom_type[~frame.geom_type.isin(['Polygon', 'MultiPolygon'])]
    if len(others):
        raise BadInput(
            f'{where} also holds {others.iloc[0]} features, but polygons are needed.',
            'Choose a polygon layer.',
        )


def _check_crs(where: str, crs: str | None, grids: Sequence[Grid]) -> None:
    without = [grid for grid in grids if grid.crs is None]
    if crs is not None and without:
        raise BadInput(
            f'An image has no coordinate reference system, but {where} has {crs}.',
            'Assign the right one (in QGIS: Raster > Projections > Assign projection).',
        )
    if crs is None and len(without) < len(grids):
        raise BadInput(
            f'{where} has no coordinate reference system, but the images have.',
            'Assign the right one (in QGIS: Vector > Data Management > Define projection).',
        )


def _extent(grids: Sequence[Grid], crs: str | None) -> tuple[float, float, float, float] | None:
    """Give the box around all grids in the layer's reference system, None for everywhere."""
    if not grids:
        return None
    target = None if crs is None else CRS.from_user_input(crs)
    boxes = np.array([project_box(grid.bounds, grid.crs, target, near=0) for grid in grids])
    (left, bottom), (right, top) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    if is_geographic(target) and (left < -180 or right > 180):
        return None
    return float(left), float(bottom), float(right), float(top)
