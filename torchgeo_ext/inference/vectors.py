"""From a class raster to polygons in a GeoPackage, streamed.

One polygon is one set of equal pixels connected through their sides (4-connectivity), which is
what makes it a valid polygon: pixels that meet only at a corner belong to different ones.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyogrio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference._geopackage import (
    DATASET_OPTIONS,
    check_geopackage,
    explaining_full_disks,
    layer_name,
)
from torchgeo_ext.inference._outlines import Outlines, OutlineTracer
from torchgeo_ext.inference.area import GroundArea
from torchgeo_ext.inference.reader import READ_ERRORS, open_raster
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.staging import staged

#: Pixels looked at in one step; bounds the memory and how long a cancel has to wait.
_BAND_PIXELS = 2**18
#: Vertices collected before they are written, as opening the file has its price.
_BATCH_VERTICES = 250_000


class NamedValue(Protocol):
    """A value of a class raster and what it means."""

    @property
    def value(self) -> int:
        """Pixel value."""

    @property
    def name(self) -> str:
        """Name of the class."""


class PolygonSummary(NamedTuple):
    """What :func:`polygonize` wrote.

    Args:
        polygons: Number of polygons.
        area_m2: Their area on the ground in square metres.
    """

    polygons: int
    area_m2: float


def polygonize(
    raster_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    *,
    classes: Sequence[NamedValue],
    values: Sequence[int] | None = None,
    minimum_area: float = 0.0,
    field: str = 'class',
    joined: int | None = None,
    progress: Progress = silent,
) -> PolygonSummary:
    """Turn a class raster into polygons with class and area.

    The result is that of polygonising the whole raster at once, without seams, although only some
    rows are in memory; on top of them come the corners of the polygons that are still open, so a
    single polygon all over the raster needs memory for its own outline.

    The layer has the name of the file and the attributes ``value``, ``class`` (see ``field``)
    and ``area_m2``. Areas are those on the ellipsoid, in any coordinate system; without one they
    are in squares of the unit of the raster's transform (see
    :class:`~torchgeo_ext.inference.area.GroundArea`).

    Args:
        raster_path: Raster with whole-numbered values in its first band. Invalid pixels (nodata,
            mask, alpha) get no polygon.
        output_path: The GeoPackage to write.
        classes: Names of the values; a value without one is named by its number.
        values: Values that get polygons; all if not given.
        minimum_area: Leave out polygons smaller than this, in square metres.
        field: Name of the attribute with the class name.
        joined: Value that all pixels with polygons are taken to have, so that one polygon may hold
            several values.
        progress: Told about every step.

    Returns:
        Number and area of the polygons written.

    Raises:
        BadInput: If the raster cannot be read or has fractional values.
        BadParameter: If ``output_path`` is no GeoPackage or cannot be written.
        NoSpace: If the disk is full.
    """
    if field in ('fid', 'geom', 'value', 'area_m2'):
        raise BadParameter(f'field: {field!r} is taken.', 'Choose another name for the attribute.')
    check_geopackage(Path(output_path), 'polygons')
    with staged(output_path, 'polygons') as part, open_raster(str(raster_path)) as dataset:
        names = {entry.value: entry.name for entry in classes}
        area_of = GroundArea(dataset.crs, dataset.transform)
        writer = _Writer(part, Path(output_path), dataset, names, field)
        total, covered = 0, 0.0
        for fraction, outlines in _outlines(dataset, values, joined):
            progress(fraction, 'Drawing polygons')
            area = area_of(outlines)
            # an area that is not known (NaN) is no reason to leave a polygon out
            keep = ~(area < minimum_area)
            writer.add(outlines.select(keep), area[keep])
            total += int(keep.sum())
            covered += float(np.nansum(area[keep]))
        writer.close()
    return PolygonSummary(total, covered)


def _outlines(
    dataset: Any, values: Sequence[int] | None, joined: int | None
) -> Iterator[tuple[float, Outlines]]:
    """Give polygons as they become complete, and the fraction of the raster seen so far."""
    dtype = np.dtype(dataset.dtypes[0])
    if dtype.kind not in 'iu' or dtype == np.uint64:
        raise BadInput(
            f'{dataset.name} has values of type {dtype}; polygons need a raster of classes.',
            'Convert it to whole numbers first.',
        )
    # wider than the values, so that there is room for one that means "nothing here"
    wide = np.dtype(np.int32 if dtype.itemsize < 4 else np.int64)
    nothing = int(np.iinfo(wide.type).min)
    tracer = OutlineTracer(dataset.width, nothing, wide)
    step = max(1, _BAND_PIXELS // dataset.width)
    for row in range(0, dataset.height, step):
        window = Window(0, row, dataset.width, min(step, dataset.height - row))
        pixels, valid = _read(dataset, window)
        if values is not None:
            valid &= np.isin(pixels, values)
        if joined is not None:
            pixels = np.full_like(pixels, joined)
        yield row / dataset.height, tracer.push(np.where(valid, pixels.astype(wide), nothing))
    yield 1.0, tracer.finish()


def _read(dataset: Any, window: Window) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
    try:
        return dataset.read(1, window=window), dataset.read_masks(1, window=window) > 0
    except READ_ERRORS as error:
        raise BadInput(
            f'{dataset.name} cannot be read at row {window.row_off} ({error}).',
            'The file is damaged; make it anew.',
        ) from error


class _Writer:
    """Collects polygons and appends them to a GeoPackage.

    Args:
        part: The file to write.
        destination: What it will be called.
        dataset: The raster they come from.
        names: Names of the values.
        field: Name of the attribute with the class name.
    """

    def __init__(
        self, part: Path, destination: Path, dataset: Any, names: dict[int, str], field: str
    ) -> None:
        self._part = part
        self._destination = destination
        self._transform: Affine = dataset.transform
        self._crs = _wkt(dataset.crs)
        self._value_type = np.int32 if np.can_cast(dataset.dtypes[0], np.int32) else np.int64
        self._names = names
        self._field = field
        self._waiting: list[
            tuple[NDArray[np.object_], NDArray[np.integer], NDArray[np.float64]]
        ] = []
        self._vertices = 0

    def add(self, outlines: Outlines, areas: NDArray[np.float64]) -> None:
        self._waiting.append((_wkb(outlines, self._transform), outlines.values, areas))
        self._vertices += len(outlines.vertices)
        if self._vertices > _BATCH_VERTICES:
            self._write()

    def close(self) -> None:
        """Write what is left; also makes the layer if there never was a polygon."""
        if self._waiting or not self._part.exists():
            self._write()

    def _write(self) -> None:
        geometry, values, areas = map(np.concatenate, zip(*self._waiting, strict=True))
        self._waiting, self._vertices = [], 0
        names = [self._names.get(value, str(value)) for value in values.tolist()]
        columns = [values.astype(self._value_type), np.array(names, object), areas]
        with warnings.catch_warnings(), explaining_full_disks(self._destination):
            # a raster without coordinate system gives a layer without
            warnings.filterwarnings('ignore', "'crs' was not provided", UserWarning)
            pyogrio.raw.write(
                self._part,
                geometry,
                columns,
                ['value', self._field, 'area_m2'],
                layer=layer_name(self._destination),
                driver='GPKG',
                geometry_type='Polygon',
                crs=self._crs,
                append=self._part.exists(),
                dataset_options=DATASET_OPTIONS,
            )


def _wkb(outlines: Outlines, transform: Affine) -> NDArray[np.object_]:
    """Write polygons as well-known binary in map coordinates."""
    x, y = outlines.vertices.T
    coordinates = np.empty((len(x), 2))
    coordinates[:, 0] = transform.a * x + transform.b * y + transform.c
    coordinates[:, 1] = transform.d * x + transform.e * y + transform.f
    polygons = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, coordinates, (outlines.rings, outlines.polygons)
    )
    return shapely.to_wkb(polygons)


def _wkt(crs: CRS | None) -> str | None:
    # WKT 2 holds what WKT 1 cannot: projections without EPSG code, engineering systems
    return crs.to_wkt(version='WKT2_2019') if crs else None
