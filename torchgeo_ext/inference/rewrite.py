"""A raster written anew: the same bands with other pixels, or in another place."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling

from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, quiet_open
from torchgeo_ext.inference.writer import BLOCK, RasterLayout, RasterWriter
from torchgeo_ext.progress import Progress, silent

#: From pixels (c, h, w), never NaN, to pixels of the same shape.
Change = Callable[[NDArray[Any]], NDArray[Any]]

#: Height and width of what is read at once.
_CHUNK = 4 * BLOCK
_CACHE = 64 * 2**20


def rewrite(
    source: RasterSource,
    path: str | os.PathLike[str],
    *,
    onto: Grid | None = None,
    place: Affine | None = None,
    change: Change | None = None,
    tags: dict[str, str] | None = None,
    argument: str = 'output',
    progress: Progress = silent,
) -> None:
    """Write the bands of a raster to a new GeoTIFF, piece by piece.

    Data types, band names and the nodata value stay. Pixels that are invalid by a mask or alpha get
    a nodata value too: that of the raster, else NaN or, in whole numbers, 0; a valid pixel that has
    this value by chance is moved to the next one.

    Args:
        source: What to read; only bands of one data type can be written to a GeoTIFF.
        path: The GeoTIFF.
        onto: Grid to warp to; that of the raster if not given.
        place: Georeference to give to the grid instead of its own; pixels stay as they are.
        change: Applied to the pixels; results are rounded and clipped to the data type.
        tags: Metadata.
        argument: The argument the path came from, for messages.
        progress: Told how far it is.

    Raises:
        BadInput: If the raster cannot be read.
        BadParameter: If ``path`` cannot be written.
        NoSpace: If the disk is full.
    """
    with rasterio.Env(GDAL_CACHEMAX=_CACHE), source.open(onto) as reader:
        grid, layout = reader.grid, _layout(reader.dataset, reader.bands, tags or {})
        target = grid if place is None else Grid(grid.crs, place, grid.width, grid.height)
        with RasterWriter(Path(path), target, layout, argument) as writer:
            for window in grid.windows(_CHUNK):
                progress(window.row_off / grid.height, 'Writing')
                values, valid = reader.read_native(window)
                if change is not None:
                    values = change(values)
                writer.write(window, _stored(values, valid, layout))
            writer.finish()


def _layout(dataset: Any, bands: tuple[int, ...], tags: dict[str, str]) -> RasterLayout:
    dtype = np.result_type(*(dataset.dtypes[band - 1] for band in bands))
    nodata = dataset.nodatavals[bands[0] - 1]
    if nodata is None:
        nodata = math.nan if dtype.kind == 'f' else 0
    return RasterLayout(
        count=len(bands),
        dtype=dtype,
        nodata=nodata,
        descriptions=[dataset.descriptions[band - 1] or '' for band in bands],
        tags={**dataset.tags(), **tags},
        overviews=Resampling.average,
    )


def _stored(values: NDArray[Any], valid: NDArray[np.bool_], layout: RasterLayout) -> NDArray[Any]:
    """Round and clip to the data type, and keep valid and invalid pixels apart."""
    dtype, nodata = layout.dtype, layout.nodata
    if dtype.kind in 'iu':
        limits = np.iinfo(dtype)
        if values.dtype != dtype:
            values = np.clip(np.rint(values), limits.min, limits.max)
        stored = values.astype(dtype)
        stored[stored == nodata] = nodata - 1 if nodata == limits.max else nodata + 1
    else:
        stored = values.astype(dtype)
    stored[:, ~valid] = nodata
    return stored


@contextmanager
def moved(path: str, transform: Affine) -> Iterator[str]:
    """Give a path under which a raster can be read with another georeference.

    Args:
        path: Anything GDAL opens.
        transform: From (column, row) to (x, y).

    Yields:
        Path of a small file that refers to the raster, while the ``with`` block lasts.
    """
    with TemporaryDirectory() as folder:
        reference = str(Path(folder) / 'moved.vrt')
        rasterio.shutil.copy(path, reference, driver='VRT')
        with quiet_open(reference, 'r+') as dataset:
            dataset.transform = transform
        yield reference
