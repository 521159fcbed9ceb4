"""Polygons of a layer that lie where the images are, and the class each has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas
import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid

#: Words for "nothing changed" in a text field of change classes.
UNCHANGED = {'0', 'no change', 'no_change', 'no-change', 'nochange', 'stable', 'unchanged'}

#: Geometry types of layers that can hold polygons begin or end like this.
_AREAS = ('Polygon', 'Surface', 'Unknown', 'Collection')


@dataclass(frozen=True)
class Polygons:
    """Polygons and what is known of each.

    Args:
        path: Where they came from, for messages.
        frame: Geometries, and the class field if one was asked for.
        fields: Names of all fields of the layer.
    """

    path: str
    frame: geopandas.GeoDataFrame
    fields: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, keep: NDArray[np.bool_]) -> 'Polygons':
        """Keep some of them."""
        return Polygons(self.path, self.frame[keep], self.fields)

    def project(self, crs: CRS | None) -> NDArray[Any]:
        """Give the outlines in another reference system."""
        geometry = self.frame.geometry
        if crs is not None and geometry.crs is not None and geometry.crs != crs:
            geometry = geometry.to_crs(crs)
        return np.asarray(geometry.values)


def read_polygons(
    path: str, grids: Sequence[Grid], field: str | None, image: str = 'image'
) -> Polygons:
    """Read the polygons of a layer that lie on the grids.

    Args:
        path: ``path`` or ``path|layername=name``.
        grids: Where to look.
        field: A field to read.
        image: The argument the grids came from, for messages.

    Raises:
        BadInput: If it is no polygon layer, is empty, lies elsewhere or lacks a reference system.
        BadParameter: If it has no such field.
    """
    file, _, options = path.partition('|')
    layer = dict(part.split('=', 1) for part in options.split('|') if '=' in part).get('layername')
    try:
        information = pyogrio.read_info(file, layer=layer)
    except (DataSourceError, DataLayerError) as error:
        raise BadInput(
            f'labels: {path} can be opened neither as a raster nor as a vector layer ({error}).',
            'Choose a GeoTIFF, GeoPackage or another file GDAL reads.',
        ) from error
    fields = tuple(map(str, information['fields']))
    _check_layer(path, information, fields, field)
    _check_crs(path, information['crs'], grids, image)
    frame = pyogrio.read_dataframe(
        file,
        layer=layer,
        columns=[] if field is None else [field],
        bbox=_bounds(grids, information['crs']),
    )
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    polygons = Polygons(path, frame, fields)
    found = [_hits(polygons, grid) for grid in grids]
    if not any(hit.any() for hit in found):
        raise BadInput(
            f'labels: none of the {information["features"]} polygons of {path} lies on an image.',
            'Choose labels of the same place and check both reference systems.',
        )
    _check_geometry(path, frame)
    return polygons.select(np.logical_or.reduce(found))


def _hits(polygons: Polygons, grid: Grid) -> NDArray[np.bool_]:
    """Say which polygons touch a grid."""
    hits: NDArray[np.bool_] = shapely.intersects(
        polygons.project(grid.crs), shapely.box(*grid.bounds)
    )
    return hits


def class_codes(
    polygons: Polygons, field: str, ignore_value: int | None, *, unchanged: bool = False
) -> tuple[NDArray[np.bool_], NDArray[np.int64], dict[int, str]]:
    """Give the class value of each polygon.

    Text is numbered from 1 in alphabetical order; with ``unchanged``, words that mean "nothing
    changed" become 0.

    Returns:
        Which polygons count (those without ``ignore_value``), the values of these, and names.

    Raises:
        BadInput: If a polygon has no class or the field holds neither text nor whole numbers.
    """
    column = polygons.frame[field]
    if column.dtype.kind in 'OTU' or str(column.dtype) in ('str', 'string'):
        return _text_codes(polygons, field, unchanged)
    if column.dtype.kind not in 'iufb':
        raise BadInput(
            f'class_field: {field} of {polygons.path} is of type {column.dtype}.',
            'Choose a field with text or whole numbers.',
        )
    _check_missing(polygons, field, column.isna().to_numpy())
    numbers = column.to_numpy(dtype=np.float64)
    broken = numbers[numbers != np.rint(numbers)]
    if broken.size:
        raise BadInput(
            f'class_field: {field} of {polygons.path} has values that are no whole numbers, such '
            f'as {broken[0]:g}.',
            'Choose a field with text or whole numbers.',
        )
    values = numbers.astype(np.int64)
    keep = np.ones(len(values), dtype=bool) if ignore_value is None else values != ignore_value
    return keep, values[keep], {}


def _text_codes(
    polygons: Polygons, field: str, unchanged: bool
) -> tuple[NDArray[np.bool_], NDArray[np.int64], dict[int, str]]:
    column = polygons.frame[field]
    _check_missing(polygons, field, (column.isna() | (column == '')).to_numpy())
    words = column.astype(str).to_numpy()
    zero = [word for word in np.unique(words) if unchanged and word.lower() in UNCHANGED]
    others = sorted(set(words) - set(zero), key=str.casefold)
    numbers = dict.fromkeys(zero, 0) | {word: i for i, word in enumerate(others, start=1)}
    values = np.array([numbers[word] for word in words], dtype=np.int64)
    return np.ones(len(values), dtype=bool), values, {n: str(word) for word, n in numbers.items()}


def _check_missing(polygons: Polygons, field: str, missing: NDArray[np.bool_]) -> None:
    if missing.any():
        raise BadInput(
            f'class_field: {missing.sum()} of {len(missing)} polygons of {polygons.path} have no '
            f'value in {field}.',
            'Fill in their class or delete them.',
        )


def _check_layer(
    path: str, information: dict[str, Any], fields: tuple[str, ...], field: str | None
) -> None:
    if information['features'] == 0:
        raise BadInput(
            f'labels: {path} has no features.', 'Digitise some, or choose another layer.'
        )
    kind = information['geometry_type']
    if kind is None or not any(
        word in kind for word in ('Polygon', 'Surface', 'Unknown', 'Collec')
    ):
        raise BadInput(
            f'labels: {path} holds {kind or "no geometry"}, but polygons are needed.',
            'Choose a polygon layer; lines and points can be buffered.',
        )
    if field is not None and field not in fields:
        raise BadParameter(
            f'class_field: {path} has no field {field!r}.',
            f'Its fields are: {", ".join(fields) or "none"}.',
        )


def _check_geometry(path: str, frame: geopandas.GeoDataFrame) -> None:
    others = frame.geom_type[~frame.geom_type.isin(['Polygon', 'MultiPolygon'])]
    if len(others):
        raise BadInput(
            f'labels: {path} also holds {others.iloc[0]} features, but polygons are needed.',
            'Choose a polygon layer.',
        )


def _check_crs(path: str, crs: str | None, grids: Sequence[Grid], image: str) -> None:
    without = [grid for grid in grids if grid.crs is None]
    if crs is not None and without:
        raise BadInput(
            f'{image}: it has no coordinate reference system, but labels ({path}) have {crs}.',
            'Assign the right one (in QGIS: Raster > Projections > Assign projection).',
        )
    if crs is None and len(without) < len(grids):
        raise BadInput(
            f'labels: {path} has no coordinate reference system, but {image} has.',
            'Assign the right one (in QGIS: Vector > Data Management > Define projection).',
        )


def _bounds(grids: Sequence[Grid], crs: str | None) -> tuple[float, float, float, float]:
    """Give the box around all grids in the layer's reference system."""
    boxes = np.array(
        [
            grid.bounds
            if crs is None or grid.crs is None
            else transform_bounds(grid.crs, CRS.from_user_input(crs), *grid.bounds)
            for grid in grids
        ]
    )
    (left, bottom), (right, top) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return float(left), float(bottom), float(right), float(top)
