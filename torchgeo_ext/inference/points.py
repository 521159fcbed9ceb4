"""Points of a layer of any size, as longitude and latitude, batch by batch."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import ProjError

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference._geoparquet import is_geoparquet, open_geoparquet
from torchgeo_ext.inference.features import FeatureTable, no_map, only_layer

log = logging.getLogger(__name__)

#: Features read at once.
BATCH = 16_384
#: Longitude and latitude in degrees.
WGS84 = 'EPSG:4326'

_POINT, _MULTIPOINT = 0, 4
_MISSING = -1


class PointBatch(NamedTuple):
    """Some features in the order of their layer.

    Attributes:
        features: What the layer says of them.
        places: Longitude and latitude in degrees (n, 2), NaN for those at no single place.
    """

    features: FeatureTable
    places: NDArray[np.float64]

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Which of them have a place (n,)."""
        return ~np.isnan(self.places[:, 0])


@dataclass(frozen=True)
class PointLayer:
    """A layer of points, of which only some are in memory at once.

    A feature without geometry and a multipoint of several points are at no single place; the
    longitudes of the others may be beyond 180 degrees, as in systems from 0 to 360.

    Args:
        path: A file GDAL reads, optionally followed by ``|layername=NAME``, or GeoParquet.
        argument: The argument it came from, for messages.
        layer: Name of the layer; empty for GeoParquet.
        geometry: Name of the column with the geometries.
        geometry_type: What the layer may hold, as OGR calls it.
        crs: Reference system.
        identifier: Name of the column with the identifiers of features; empty without one.
        fields: Names of the attributes.
        number: Number of features.
    """

    path: str
    argument: str
    layer: str
    geometry: str
    geometry_type: str
    crs: str
    identifier: str
    fields: tuple[str, ...]
    number: int

    @classmethod
    def open(cls, path: Any, argument: str) -> Self:
        """Look what a layer is.

        Args:
            path: The layer.
            argument: The argument it came from, for messages.

        Raises:
            BadInput: If it is no layer of points, is empty or has no reference system.
        """
        found = _parquet(str(path), argument) if _is_parquet(path) else _ogr(str(path), argument)
        where = f'{argument}: {path}'
        if found['number'] == 0:
            raise BadInput(f'{where} has no features.', 'Choose another layer.')
        if not any(word in found['geometry_type'] for word in ('Point', 'Unknown')):
            raise BadInput(
                f'{where} holds {found["geometry_type"]}, but points are needed.',
                'Take the middle of each feature first (in QGIS: Vector > Geometry Tools > '
                'Centroids).',
            )
        if found['crs'] is None:
            raise BadInput(
                f'{where} has no coordinate reference system, so nobody knows where it is.',
                'Assign the right one (in QGIS: Vector > Data Management > Define projection).',
            )
        return cls(path=str(path), argument=argument, **found)

    def batches(
        self, columns: Sequence[str] | None = None, size: int = BATCH, *, quiet: bool = False
    ) -> Iterator[PointBatch]:
        """Read the features in their order.

        Args:
            columns: The attributes to read; all if not given.
            size: Features at once.
            quiet: Say nothing of features at no single place, as was said before.

        Raises:
            BadInput: If the layer holds something else than points, coordinates that are no
                degrees in a system of degrees, or no feature that has a place.
        """
        locate = _Locator(self)
        for table in self._tables(columns, size):
            features = self._features(table)
            yield PointBatch(features, locate(features.shapes))
        locate.conclude(quiet)

    def located(self) -> NDArray[np.float64]:
        """Read longitude and latitude (n, 2) of those features that have a place."""
        return np.concatenate([batch.places[batch.placed] for batch in self.batches([])])

    def rows(self, numbers: NDArray[np.int64]) -> FeatureTable:
        """Read some features in any order.

        Args:
            numbers: Their positions in the layer (k,).
        """
        order = np.argsort(numbers)
        parts, first = [], 0
        for table in self._tables(None, BATCH):
            last = first + len(table)
            inside = order[slice(*np.searchsorted(numbers[order], (first, last)))]
            parts.append(table.take(pa.array(numbers[inside] - first)))
            first = last
        back = pa.array(np.argsort(order))
        return self._features(pa.concat_tables(parts).take(back))

    def _features(self, table: pa.Table) -> FeatureTable:
        return FeatureTable(table, self.geometry, self.geometry_type, self.crs, self.identifier)

    def _tables(self, columns: Sequence[str] | None, size: int) -> Iterator[pa.Table]:
        if not self.layer:
            file, _ = open_geoparquet(self.path, self.argument)
            wanted = None if columns is None else [*columns, self.geometry]
            with file:
                for batch in file.iter_batches(size, columns=wanted):
                    yield pa.Table.from_batches([batch]).replace_schema_metadata()
            return
        with (
            self._explained(),
            pyogrio.open_arrow(
                self.path.partition('|')[0],
                layer=self.layer,
                columns=columns,
                return_fids=bool(self.identifier),
                batch_size=size,
                use_pyarrow=True,
            ) as (_, reader),
        ):
            for batch in reader:
                yield pa.Table.from_batches([batch])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (DataSourceError, DataLayerError, pa.ArrowInvalid) as error:
            raise _unreadable(self.path, self.argument, error) from error


def _is_parquet(path: Any) -> bool:
    return is_geoparquet(Path(path))


def _parquet(path: str, argument: str) -> dict[str, Any]:
    file, column = open_geoparquet(path, argument)
    with file:
        names = [name for name in file.schema_arrow.names if name != column.name]
        return {
            'layer': '',
            'geometry': column.name,
            'geometry_type': column.geometry_type,
            'crs': column.crs,
            'identifier': '',
            'fields': tuple(names),
            'number': file.metadata.num_rows,
        }


def _ogr(path: str, argument: str) -> dict[str, Any]:
    file, _, options = path.partition('|')
    named = dict(part.split('=', 1) for part in options.split('|') if '=' in part)
    try:
        layer = named.get('layername') or only_layer(file, argument)
        about = pyogrio.read_info(file, layer=layer, force_feature_count=True)
    except (DataSourceError, DataLayerError) as error:
        raise _unreadable(path, argument, error) from error
    if about['geometry_type'] is None:
        raise no_map(path, argument)
    return {
        'layer': layer,
        'geometry': about['geometry_name'] or 'wkb_geometry',
        'geometry_type': about['geometry_type'],
        'crs': about['crs'],
        'identifier': about['fid_column'],
        'fields': tuple(map(str, about['fields'])),
        'number': about['features'],
    }


def _unreadable(path: str, argument: str, error: Exception) -> BadInput:
    return BadInput(
        f'{argument}: {path} cannot be opened as a vector layer ({error}).',
        'Choose a GeoPackage, GeoParquet or another file GDAL reads.',
    )


@dataclass
class _Locator:
    """From geometries to longitude and latitude, counting those that have none.

    Args:
        layer: Where they come from.
    """

    layer: PointLayer
    _number: int = 0
    _counts: dict[str, int] = field(default_factory=dict)
    _widest: float = 0.0

    def __post_init__(self) -> None:
        crs = pyproj.CRS.from_user_input(self.layer.crs)
        try:
            self._transform = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True).transform
        except ProjError as error:
            raise BadInput(
                f'{self._where} has the coordinate reference system {crs.name}, from which there '
                'is no way to longitude and latitude.',
                'Assign the right one.',
            ) from error
        self._in_degrees = crs.is_geographic and crs.axis_info[0].unit_name == 'degree'

    def __call__(self, shapes: NDArray[Any]) -> NDArray[np.float64]:
        """Give longitude and latitude (n, 2) of geometries (n,), NaN for those without."""
        points = self._points(shapes)
        x, y = shapely.get_x(points), shapely.get_y(points)
        self._count('have no geometry', shapely.is_missing(shapes) | shapely.is_empty(shapes))
        if self._in_degrees:
            y = self._inside(x, y)
        there = np.isfinite(x) & np.isfinite(y)
        places = np.full((len(x), 2), np.nan)
        places[there] = np.column_stack(self._transform(x[there], y[there]))
        nowhere = there & ~np.isfinite(places).all(axis=1)
        self._count('lie where their reference system does not reach', nowhere)
        places[~np.isfinite(places).all(axis=1)] = np.nan
        self._number += len(places)
        return places

    def conclude(self, quiet: bool) -> None:
        """Say what features are at no single place, and raise if that are all."""
        left_out = sum(self._counts.values())
        said = ', '.join(f'{count} {why}' for why, count in self._counts.items() if count)
        if left_out == self._number:
            raise BadInput(
                f'{self._where}: none of the {left_out} features has a place: {said}.'
                f'{self._swapped()}',
                'Check geometries and reference system; parts of multipoints are split by '
                'Multipart to singleparts.',
            )
        if left_out and not quiet:
            log.warning(
                '%s: %d of %d features are at no single place and left empty: %s.%s',
                self._where, left_out, self._number, said, self._swapped(),
            )  # fmt: skip

    @property
    def _where(self) -> str:
        return f'{self.layer.argument}: {self.layer.path}'

    def _points(self, shapes: NDArray[Any]) -> NDArray[Any]:
        """Take points, and multipoints of one, as they are; None for the others."""
        kinds = shapely.get_type_id(shapes)
        strange = shapes[~np.isin(kinds, (_POINT, _MULTIPOINT, _MISSING))]
        if len(strange):
            raise BadInput(
                f'{self._where} also holds {strange[0].geom_type} features, but points are needed.',
                'Take the middle of each feature first (in QGIS: Vector > Geometry Tools > '
                'Centroids).',
            )
        several = (kinds == _MULTIPOINT) & (shapely.get_num_geometries(shapes) > 1)
        self._count('are multipoints of several points', several)
        points = np.where(kinds == _MULTIPOINT, shapely.get_geometry(shapes, 0), shapes)
        points[several | shapely.is_empty(points)] = None
        return points

    def _inside(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take latitudes that are none for missing, and refuse longitudes that are none."""
        far = np.abs(x) > 360
        if far.any():
            raise BadInput(
                f'{self._where} has an x of {x[far][0]:g}, but its coordinate reference system '
                f'({pyproj.CRS.from_user_input(self.layer.crs).name}) has degrees.',
                'Assign the system the coordinates are really in.',
            )
        beyond = np.abs(y) > 90
        self._count('have a latitude beyond 90 degrees', beyond)
        if beyond.any():
            self._widest = max(self._widest, float(np.abs(x[beyond]).max()))
        return np.where(beyond, np.nan, y)

    def _swapped(self) -> str:
        """Say so where latitudes can only be longitudes."""
        if self._counts.get('have a latitude beyond 90 degrees') and self._widest <= 90:
            return ' Longitude and latitude seem to be swapped: x has to be the longitude.'
        return ''

    def _count(self, why: str, which: NDArray[np.bool_]) -> None:
        self._counts[why] = self._counts.get(why, 0) + int(np.count_nonzero(which))
