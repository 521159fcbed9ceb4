"""Looks at the files of a folder: what rasters and polygon layers there are, and how they differ.

Only headers are read, and the values of small single-band rasters, which may be class numbers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.enums import Resampling
from rasterio.warp import transform_bounds

from torchgeo_ext.datasets._dates import acquired
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import READ_ERRORS, open_raster
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.sensors import detect_sensor, identify_bands

_RASTERS = {'.tif', '.tiff', '.vrt', '.jp2', '.img', '.png', '.bsq', '.dat', '.nc'}
_VECTORS = {'.gpkg', '.geojson', '.json', '.shp', '.fgb', '.gml', '.kml', '.parquet'}

#: A raster or field with more different values holds measurements or identifiers, not classes.
MOST_CLASSES = 64
#: Rows and columns up to which a raster is looked at pixel by pixel, above that thinned out.
_LOOK = 4096
#: Up to so many polygons may each be of another class.
_FEW = 10
#: Features whose fields are looked at.
_FEATURES = 20_000

_DATES = re.compile(r'(?<!\d)((?:19|20)\d{2})[-_]?(0[1-9]|1[0-2])[-_]?([0-2]\d|3[01])(?!\d)')
_YEARS = re.compile(r'(?<!\d)((?:19|20)\d{2})(?!\d)')


@dataclass(frozen=True)
class RasterFile:
    """What the header of a raster says, and its values if they may be classes.

    Args:
        path: Where it is.
        bands: Name of each band, empty where it has none.
        dtype: Type of the first band.
        grid: Where its pixels lie.
        days: Days in its name, in their order; else the one in its tags.
        classes: Pixels (of those looked at) per value of a band of whole numbers, else None.
        sensor: Name of the sensor, if that is known.
    """

    path: Path
    bands: tuple[str, ...]
    dtype: str
    grid: Grid
    days: tuple[pd.Timestamp, ...]
    classes: Mapping[int, int] | None
    sensor: str | None

    @property
    def kind(self) -> tuple[int, str]:
        """What images that are used together have in common: number of bands and type."""
        return len(self.bands), self.dtype


@dataclass(frozen=True)
class ClassField:
    """A field of a polygon layer that may hold classes.

    Args:
        name: Of the field.
        names: Name of each value; text fields are their own names.
        missing: How many polygons have no value.
        text: Whether it holds text.
    """

    name: str
    names: Mapping[int | str, str]
    missing: int
    text: bool


@dataclass(frozen=True)
class PolygonLayer:
    """A layer of polygons.

    Args:
        path: ``file`` or ``file|layername=name``.
        fields: Those that may hold classes.
        features: How many polygons.
        outline: Around all of them, in degrees or in the units of a layer without system.
        days: Days in its name.
    """

    path: str
    fields: tuple[ClassField, ...]
    features: int
    outline: shapely.Polygon
    days: tuple[pd.Timestamp, ...]


@dataclass(frozen=True)
class Folder:
    """What lies in a folder.

    Args:
        root: The folder.
        rasters: By path.
        layers: Polygon layers by path.
        broken: Files that cannot be read, and why.
    """

    root: Path
    rasters: tuple[RasterFile, ...]
    layers: tuple[PolygonLayer, ...]
    broken: Mapping[Path, str]


def look_at(root: Path, progress: Progress = silent) -> Folder:
    """Look at all files in a folder and below it.

    Args:
        root: The folder.
        progress: Told how far it is.

    Raises:
        BadInput: If there is no such folder or nothing in it that can be read.
    """
    if not root.is_dir():
        raise BadInput(f'folder: {root} does not exist.', 'Give the folder of images and labels.')
    files = sorted(
        path
        for path in root.rglob('*')
        if path.suffix.lower() in _RASTERS | _VECTORS
        and not any(part.startswith('.') for part in path.relative_to(root).parts)
    )
    rasters: list[RasterFile] = []
    layers: list[PolygonLayer] = []
    broken: dict[Path, str] = {}
    for number, path in enumerate(files):
        progress(number / len(files), 'looking at files')
        try:
            if path.suffix.lower() in _RASTERS:
                rasters.append(_raster(path))
            else:
                layers += _layers(path)
        except (BadInput, DataSourceError, DataLayerError, *READ_ERRORS) as error:
            broken[path] = error.message if isinstance(error, BadInput) else str(error)
    if not rasters:
        why = ''.join(f' {path.name} cannot be read.' for path in list(broken)[:3])
        raise BadInput(
            f'folder: {root} has no raster that can be read.{why}',
            f'Images end with {", ".join(sorted(_RASTERS))}.',
        )
    return Folder(root, tuple(rasters), tuple(layers), broken)


def _raster(path: Path) -> RasterFile:
    with open_raster(str(path), 'folder') as dataset:
        sensor = detect_sensor(dataset)
        bands = tuple(name or '' for name in dataset.descriptions)
        if bands == ('',) and sensor is not None:
            # a file for each band says in its name which it is
            bands = tuple(band.name if band else '' for band in identify_bands(dataset, sensor))
        return RasterFile(
            path,
            bands,
            dataset.dtypes[0],
            Grid.of(dataset, 'folder'),
            days_in(path.stem) or _tagged_day(path, dataset.tags()),
            _classes(dataset) if dataset.count == 1 else None,
            None if sensor is None else sensor.title,
        )


def _tagged_day(path: Path, tags: dict[str, str]) -> tuple[pd.Timestamp, ...]:
    found = acquired(str(path), tags)
    return () if found is None else (found.left.normalize(),)


def days_in(name: str) -> tuple[pd.Timestamp, ...]:
    """Find days in a file name, or years if it has no days."""
    days = [pd.to_datetime('-'.join(found), errors='coerce') for found in _DATES.findall(name)] or [
        pd.Timestamp(int(year), 1, 1) for year in _YEARS.findall(name)
    ]
    return tuple(pd.Timestamp(day) for day in days if not pd.isna(day))


def _classes(dataset: Any) -> dict[int, int] | None:
    if not np.issubdtype(np.dtype(dataset.dtypes[0]), np.integer):
        return None
    shape = min(dataset.height, _LOOK), min(dataset.width, _LOOK)
    pixels = dataset.read(1, out_shape=shape, resampling=Resampling.nearest, masked=True)
    values, counts = np.unique(pixels.compressed(), return_counts=True)
    if not 1 <= len(values) <= MOST_CLASSES:
        return None
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _layers(path: Path) -> Iterator[PolygonLayer]:
    listed = pyogrio.list_layers(path)
    for name, kind in listed:
        if kind is None or 'Polygon' not in kind:
            continue
        information = pyogrio.read_info(path, layer=name, force_total_bounds=True)
        if not information['features']:
            continue
        table = pyogrio.read_dataframe(
            path, layer=name, read_geometry=False, max_features=_FEATURES
        )
        yield PolygonLayer(
            str(path) if len(listed) == 1 else f'{path}|layername={name}',
            tuple(_class_fields(table)),
            int(information['features']),
            _outline(information['total_bounds'], information['crs']),
            days_in(path.stem),
        )


def _class_fields(table: pd.DataFrame) -> Iterator[ClassField]:
    for name, column in table.items():
        text = column.dtype.kind in 'OTU' or str(column.dtype) in ('str', 'string')
        if not text and column.dtype.kind not in 'iu':
            continue
        missing = column.isna() | (column.astype(str) == '') if text else column.isna()
        values = sorted(column[~missing].unique().tolist(), key=str)
        if not 1 <= len(values) <= MOST_CLASSES or (text and _all_days(values)):
            continue
        # a value of its own for each polygon is an identifier
        if len(values) == len(table) > _FEW:
            continue
        names = {value: str(value) for value in values} if text else _names(table, str(name))
        yield ClassField(str(name), names, int(missing.sum()), text)


def _all_days(words: Sequence[str]) -> bool:
    return all(re.fullmatch(r'\d{4}[-/:.T \d+Z]*', str(word)) for word in words)


def _names(table: pd.DataFrame, field: str) -> dict[int | str, str]:
    """Find the text field that names the numbers of another one by one; empty text stays empty."""
    for other in table.columns:
        if table[other].dtype.kind != 'O' and str(table[other].dtype) not in ('str', 'string'):
            continue
        pairs = table[[field, other]].fillna('').drop_duplicates()
        if pairs[field].is_unique and pairs[other].is_unique and len(pairs) > 1:
            return dict(sorted(zip(pairs[field].tolist(), pairs[other].tolist(), strict=True)))
    return {value: f'class {value}' for value in sorted(table[field].dropna().unique().tolist())}


def _outline(bounds: Sequence[float], crs: str | None) -> shapely.Polygon:
    return shapely.box(*(transform_bounds(crs, 'EPSG:4326', *bounds) if crs else bounds))


def outline(grid: Grid) -> shapely.Polygon:
    """Give the box around a raster in degrees, or in its own units if it lies nowhere."""
    return _outline(grid.bounds, grid.crs.to_wkt() if grid.crs else None)
