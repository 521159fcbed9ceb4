"""GeoParquet: what it says of its geometries, where GDAL was built without it.

See the specification, https://geoparquet.org/releases/v1.1.0/.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyproj import CRS

from torchgeo_ext.errors import BadInput

#: What coordinates are if the file does not say.
_DEFAULT_CRS = 'OGC:CRS84'
#: Types that have a name there.
_TYPES = (
    'Point', 'LineString', 'Polygon', 'MultiPoint', 'MultiLineString', 'MultiPolygon',
    'GeometryCollection',
)  # fmt: skip


class GeoColumn(NamedTuple):
    """The column of a file that has the geometries.

    Attributes:
        name: Of the column.
        geometry_type: What it may hold, as OGR calls it.
        crs: Reference system as WKT; None without one.
    """

    name: str
    geometry_type: str
    crs: str | None


def is_geoparquet(path: Path) -> bool:
    """Tell by its name whether a file is GeoParquet."""
    return path.suffix.lower() in ('.parquet', '.geoparquet')


def geoparquet_metadata(
    geometry: str, geometry_type: str, crs: str | None
) -> dict[bytes | str, bytes | str]:
    """Describe a column of geometries as well-known binary.

    Args:
        geometry: Name of the column.
        geometry_type: What it may hold, as OGR calls it.
        crs: Reference system; None without one.
    """
    kind = f'{geometry_type[5:]} Z' if geometry_type.startswith('2.5D ') else geometry_type
    column = {
        'encoding': 'WKB',
        'geometry_types': [kind] if kind.removesuffix(' Z') in _TYPES else [],
        'crs': None if crs is None else CRS.from_user_input(crs).to_json_dict(),
    }
    about = {'version': '1.1.0', 'primary_column': geometry, 'columns': {geometry: column}}
    return {'geo': json.dumps(about)}


def open_geoparquet(path: str, argument: str) -> tuple[pq.ParquetFile, GeoColumn]:
    """Open a file and find its geometries.

    Args:
        path: The file.
        argument: The argument it came from, for messages.

    Raises:
        BadInput: If it is no GeoParquet, or has geometries in another encoding.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(
            f'{argument}: {path} cannot be opened as GeoParquet ({error}).', 'Check the file.'
        ) from error
    about: Mapping[str, Any] = json.loads((file.schema_arrow.metadata or {}).get(b'geo', b'{}'))
    if 'primary_column' not in about:
        raise BadInput(
            f'{argument}: {path} has no geometries, only a table.',
            'Choose a layer with geometries.',
        )
    name = about['primary_column']
    column = about['columns'][name]
    if column['encoding'] != 'WKB':
        raise BadInput(
            f'{argument}: the geometries of {path} are encoded as {column["encoding"]}.',
            'Write the file with geometries as WKB.',
        )
    crs = column.get('crs', _DEFAULT_CRS)
    types = column['geometry_types']
    return file, GeoColumn(
        name,
        types[0] if len(types) == 1 else 'Unknown',
        None if crs is None else CRS.from_user_input(crs).to_wkt(),
    )
