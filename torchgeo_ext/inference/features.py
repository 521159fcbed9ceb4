"""A vector layer with all it says of its features, to be written again with more columns."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference._geopackage import (
    DATASET_OPTIONS,
    check_geopackage,
    explaining_full_disks,
    layer_name,
)
from torchgeo_ext.staging import staged


@dataclass(frozen=True)
class FeatureTable:
    """Features in the order of their layer.

    Held as Arrow has them, which knows what pandas does not: whole numbers that are missing, and
    the types of a layer without features.

    Args:
        table: Attributes, geometries as well-known binary and, where the layer has them, the
            identifiers of features.
        geometry: Name of the column with the geometries.
        geometry_type: What the layer may hold, as OGR calls it.
        crs: Reference system; None without one.
        identifier: Name of the column with the identifiers; empty without one.
    """

    table: pa.Table
    geometry: str
    geometry_type: str
    crs: str | None
    identifier: str = ''

    @classmethod
    def read(cls, path: str, argument: str, columns: Sequence[str] | None = None) -> Self:
        """Read a layer of any format GDAL reads.

        Args:
            path: A file, optionally followed by ``|layername=NAME``.
            argument: The argument it came from, for messages.
            columns: The attributes to read; all if not given.

        Raises:
            BadInput: If it is no vector layer, one without geometries, or one of several.
        """
        file, _, options = path.partition('|')
        named = dict(part.split('=', 1) for part in options.split('|') if '=' in part)
        try:
            layer = named.get('layername') or _only_layer(file, argument)
            identifier = pyogrio.read_info(file, layer=layer)['fid_column']
            about, table = pyogrio.read_arrow(
                file, layer=layer, columns=columns, return_fids=bool(identifier)
            )
        except (DataSourceError, DataLayerError) as error:
            raise BadInput(
                f'{argument}: {path} cannot be opened as a vector layer ({error}).',
                'Choose a GeoPackage or another file GDAL reads.',
            ) from error
        if about['geometry_type'] is None:
            raise _no_map(path, argument)
        geometry = about['geometry_name'] or 'wkb_geometry'
        return cls(table, geometry, about['geometry_type'], about['crs'], identifier)

    @cached_property
    def shapes(self) -> NDArray[Any]:
        """The geometries (n,), None where there is none or none that can be read."""
        binary = self.table[self.geometry].to_numpy(zero_copy_only=False)
        return shapely.from_wkb(binary, on_invalid='ignore')

    def write(self, path: Any, columns: Mapping[str, pa.Array], argument: str) -> dict[str, str]:
        """Write the features and further columns as a GeoPackage.

        Attributes keep their names, and features their identifiers. A further column whose name
        is taken, in whatever case, gets a number behind it.

        Args:
            path: The file.
            columns: Values (n,) by name.
            argument: The argument it came from, for messages.

        Returns:
            What each of the further columns is called.

        Raises:
            BadParameter: If it is no GeoPackage or cannot be written.
            NoSpace: If the disk is full.
        """
        destination = Path(path)
        check_geopackage(destination, argument)
        own = [name for name in self.table.column_names if name != self.geometry]
        *names, geometry, identifier = distinct([*own, *columns, 'geom', 'fid'])
        called = dict(zip(columns, names[len(own) :], strict=True))
        table = self.table.select([*own, self.geometry])
        table = table.rename_columns([*names[: len(own)], geometry])
        for name, values in columns.items():
            table = table.append_column(called[name], values)
        if self.identifier:
            identifier = names[own.index(self.identifier)]
        with (
            staged(destination, argument) as part,
            warnings.catch_warnings(),
            explaining_full_disks(destination),
        ):
            # a layer without reference system stays one
            warnings.filterwarnings('ignore', "'crs' was not provided", UserWarning)
            pyogrio.write_arrow(
                table,
                part,
                layer=layer_name(destination),
                driver='GPKG',
                geometry_name=geometry,
                geometry_type=self.geometry_type,
                crs=self.crs,
                dataset_options=DATASET_OPTIONS,
                layer_options={'FID': identifier, 'GEOMETRY_NAME': geometry},
            )
        return called


def _only_layer(file: str, argument: str) -> str:
    """Name the layer of a file; tables without geometries, such as those of styles, are none."""
    names = [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
    if not names:
        raise _no_map(file, argument)
    if len(names) > 1:
        raise BadInput(
            f'{argument}: {file} has {len(names)} layers: {", ".join(names)}.',
            f'Name the one you mean, as in {file}|layername={names[0]}.',
        )
    return names[0]


def _no_map(path: str, argument: str) -> BadInput:
    return BadInput(
        f'{argument}: {path} has no geometries, only a table.', 'Choose a layer with geometries.'
    )


def distinct(names: Sequence[str]) -> list[str]:
    """Put numbers behind names that were there before, in whatever case.

    Args:
        names: Names of columns.

    Returns:
        Names that a database can tell apart, of which the first ones stay as they are.
    """
    taken: set[str] = set()
    found = []
    for name in names:
        free, number = name, 1
        while free.lower() in taken:
            number += 1
            free = f'{name}_{number}'
        taken.add(free.lower())
        found.append(free)
    return found
