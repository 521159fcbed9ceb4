"""A vector layer with all it says of its features, to be written again with more columns."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference._geopackage import (
    DATASET_OPTIONS,
    check_geopackage,
    explaining_full_disks,
    layer_name,
)
from torchgeo_ext.inference._geoparquet import geoparquet_metadata, is_geoparquet
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
            layer = named.get('layername') or only_layer(file, argument)
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
            raise no_map(path, argument)
        geometry = about['geometry_name'] or 'wkb_geometry'
        return cls(table, geometry, about['geometry_type'], about['crs'], identifier)

    @cached_property
    def shapes(self) -> NDArray[Any]:
        """The geometries (n,), None where there is none or none that can be read."""
        binary = self.table[self.geometry].to_numpy(zero_copy_only=False)
        return shapely.from_wkb(binary, on_invalid='ignore')

    def joined(self, others: Sequence['FeatureTable']) -> 'FeatureTable':
        """Put further features of the same layer behind these."""
        return replace(self, table=pa.concat_tables([self.table, *(o.table for o in others)]))

    def extended(self, columns: Mapping[str, pa.Array]) -> 'ExtendedTable':
        """Put further columns behind the attributes.

        Attributes keep their names, and features their identifiers. A further column whose name
        is taken, in whatever case, gets a number behind it.

        Args:
            columns: Values (n,) by name.
        """
        own = [name for name in self.table.column_names if name != self.geometry]
        *names, geometry, identifier = distinct([*own, *columns, 'geom', 'fid'])
        called = dict(zip(columns, names[len(own) :], strict=True))
        table = self.table.select([*own, self.geometry])
        table = table.rename_columns([*names[: len(own)], geometry])
        for name, values in columns.items():
            table = table.append_column(called[name], values)
        if self.identifier:
            identifier = names[own.index(self.identifier)]
        return ExtendedTable(table, geometry, identifier, called)

    def write(self, path: Any, columns: Mapping[str, pa.Array], argument: str) -> dict[str, str]:
        """Write the features and further columns, see :meth:`extended`, as a GeoPackage.

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
        check_geopackage(Path(path), argument)
        with FeatureWriter(path, argument) as writer:
            return writer.add(self, columns)


class ExtendedTable(NamedTuple):
    """Features with further columns.

    Attributes:
        table: All columns.
        geometry: Name of the one with the geometries.
        identifier: Name of the one with the identifiers, or what it would be called.
        called: What each of the further columns is called.
    """

    table: pa.Table
    geometry: str
    identifier: str
    called: dict[str, str]


class FeatureWriter:
    """Writes features with further columns, part by part, as a GeoPackage or as GeoParquet.

    The file appears when the ``with`` block ends well.

    Args:
        path: The file; ends in ``.gpkg`` or ``.parquet``.
        argument: The argument it came from, for messages.

    Raises:
        BadParameter: If it is neither or cannot be written.
        NoSpace: If the disk is full.
    """

    def __init__(self, path: Any, argument: str) -> None:
        self._path, self._argument = Path(path), argument
        if not is_geoparquet(self._path) and self._path.suffix.lower() != '.gpkg':
            raise BadParameter(
                f'{argument}: {path} is neither a GeoPackage nor GeoParquet.',
                'Give it a name that ends in .gpkg or .parquet.',
            )
        self._stack = ExitStack()
        self._part = Path()
        self._parquet: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        self._part = self._stack.enter_context(staged(self._path, self._argument))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def add(self, features: FeatureTable, columns: Mapping[str, pa.Array]) -> dict[str, str]:
        """Write some features.

        Args:
            features: Features with the same columns as all before.
            columns: Further values (n,) by name, see :meth:`FeatureTable.extended`.

        Returns:
            What each of the further columns is called.
        """
        extended = features.extended(columns)
        if is_geoparquet(self._path):
            self._add_to_parquet(features, extended)
        else:
            self._add_to_geopackage(features, extended)
        return extended.called

    def _add_to_parquet(self, features: FeatureTable, extended: ExtendedTable) -> None:
        table = extended.table
        if self._parquet is None:
            metadata = geoparquet_metadata(extended.geometry, features.geometry_type, features.crs)
            schema = table.schema.with_metadata(metadata)
            self._parquet = pq.ParquetWriter(self._part, schema, compression='zstd')
            self._stack.callback(self._parquet.close)
        self._parquet.write_table(table.replace_schema_metadata(self._parquet.schema.metadata))

    def _add_to_geopackage(self, features: FeatureTable, extended: ExtendedTable) -> None:
        with warnings.catch_warnings(), explaining_full_disks(self._path):
            # a layer without reference system stays one
            warnings.filterwarnings('ignore', "'crs' was not provided", UserWarning)
            pyogrio.write_arrow(
                extended.table,
                self._part,
                layer=layer_name(self._path),
                driver='GPKG',
                geometry_name=extended.geometry,
                geometry_type=features.geometry_type,
                crs=features.crs,
                append=self._part.exists(),
                dataset_options=DATASET_OPTIONS,
                layer_options={'FID': extended.identifier, 'GEOMETRY_NAME': extended.geometry},
            )


def only_layer(file: str, argument: str) -> str:
    """Name the layer of a file; tables without geometries, such as those of styles, are none.

    Args:
        file: The file.
        argument: The argument it came from, for messages.

    Raises:
        BadInput: If there is none, or more than one.
    """
    names = [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
    if not names:
        raise no_map(file, argument)
    if len(names) > 1:
        raise BadInput(
            f'{argument}: {file} has {len(names)} layers: {", ".join(names)}.',
            f'Name the one you mean, as in {file}|layername={names[0]}.',
        )
    return names[0]


def no_map(path: str, argument: str) -> BadInput:
    """Make the error that says that a file is a table without geometries."""
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
