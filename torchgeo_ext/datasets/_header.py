"""What has to be known of rasters before they are read, and a cache of it.

Opening thousands of files takes minutes, above all over a network; looking whether they have
changed takes moments.
"""

import functools
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import geopandas
import numpy as np
import pyarrow
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from torchgeo_ext.datasets._geometry import outline
from torchgeo_ext.datasets._threads import threads
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import READ_ERRORS, open_raster
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.sensors import identify_bands, read_bands
from torchgeo_ext.staging import staged

log = logging.getLogger(__name__)

OnError = Literal['raise', 'skip']

#: Changes when the columns of a cache do.
_FORMAT = 1
#: Files opened at once; opening is mostly waiting.
_THREADS = 8
_LONLAT = CRS.from_epsg(4326)


@dataclass(frozen=True)
class Header:
    """What a raster says of itself.

    Args:
        path: Anything GDAL opens.
        grid: Its pixels on the ground.
        dtypes: Data type of each band.
        names: Description of each band, or its name as a band of the sensor, empty if neither is
            known.
        wavelengths: Centre of each band in micrometres, by the file or by the sensor, NaN if
            unknown.
        scales: Factor of each band that makes physical values.
        offsets: What is added to each band after that.
        alpha: Number of the band with transparency, or 0.
        tags: Metadata of the file.
    """

    path: str
    grid: Grid
    dtypes: tuple[str, ...]
    names: tuple[str, ...]
    wavelengths: tuple[float, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    alpha: int
    tags: dict[str, str]

    @property
    def bands(self) -> tuple[int, ...]:
        """Numbers of the bands that hold measurements, from 1."""
        return tuple(n for n in range(1, len(self.dtypes) + 1) if n != self.alpha)


def read_header(path: str, argument: str) -> Header:
    """Read what a raster says of itself.

    Raises:
        BadInput: If it cannot be opened, or is only tied to the ground by control points.
    """
    with open_raster(path, argument) as dataset:
        known = list(zip(read_bands(dataset), identify_bands(dataset), strict=True))
        return Header(
            path=path,
            grid=Grid.of(dataset, argument),
            dtypes=tuple(dataset.dtypes),
            names=tuple(
                text or (own.name if own else '')
                for text, (_, own) in zip(dataset.descriptions, known, strict=True)
            ),
            wavelengths=tuple(
                band.wavelength or (own.wavelength if own else None) or math.nan
                for band, own in known
            ),
            scales=tuple(dataset.scales),
            offsets=tuple(dataset.offsets),
            alpha=next(
                (
                    band
                    for band, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True)
                    if meaning == ColorInterp.alpha
                ),
                0,
            ),
            tags=dataset.tags(),
        )


def read_headers(
    paths: Sequence[str],
    argument: str,
    *,
    cache: Path | None = None,
    on_error: OnError = 'raise',
    progress: Progress = silent,
) -> list[Header]:
    """Read what rasters say of themselves, or remember it.

    Args:
        paths: The rasters.
        argument: The argument they came from, for messages.
        cache: A GeoParquet file that keeps what was read; files whose size or time of change
            differ from what it says are read again. It is made if it does not exist.
        on_error: Whether a file that cannot be opened is an error or left out with a warning.
        progress: Told how far it is.

    Returns:
        One for each raster that can be opened, in their order.

    Raises:
        BadInput: If a raster, or all of them, cannot be opened.
    """
    stamps = {path: _stamp(path) for path in paths}
    cached = {} if cache is None else _load(cache)
    known = {p: h for p, (h, stamp) in cached.items() if stamps.get(p) == stamp}
    missing = [path for path in stamps if path not in known]
    read: dict[str, Header] = {}
    pool = threads(_THREADS)
    futures = [pool.submit(_try_header, path, argument) for path in missing]
    for number, (path, future) in enumerate(zip(missing, futures, strict=True)):
        progress(number / len(missing), 'reading headers')
        found = future.result()
        if isinstance(found, Header):
            read[path] = found
        elif on_error == 'raise':
            for other in futures:
                other.cancel()
            raise found
        else:
            log.warning('%s is left out: %s', path, found.message)
    headers = known | read
    if not headers:
        raise BadInput(f'{argument}: none of {len(paths)} files can be opened.', 'Check the files.')
    if cache is not None and read:
        _save(cache, cached | {path: (header, stamps[path]) for path, header in read.items()})
    return [headers[path] for path in paths if path in headers]


def _try_header(path: str, argument: str) -> Header | BadInput:
    try:
        return read_header(path, argument)
    except BadInput as error:
        # a new one: the traceback holds a dataset, which another thread must not be left to close
        return BadInput(error.message, error.hint)
    except READ_ERRORS as error:
        return BadInput(
            f'{argument}: {path} cannot be read ({error}).', 'Copy or download it again.'
        )


def _stamp(path: str) -> tuple[int, int]:
    """Give size and time of change of a file; zeros for what is no file here."""
    try:
        status = Path(path).stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _save(cache: Path, headers: dict[str, tuple[Header, tuple[int, int]]]) -> None:
    footprints = [
        None if header.grid.crs is None else outline(header.grid, _LONLAT, near=0)
        for header, _ in headers.values()
    ]
    rows = [_row(header, stamp) for header, stamp in headers.values()]
    frame = geopandas.GeoDataFrame(rows, geometry=footprints, crs='EPSG:4326')
    with staged(cache, 'index_cache') as part:
        frame.to_parquet(part)


def _row(header: Header, stamp: tuple[int, int]) -> dict[str, Any]:
    grid = header.grid
    return {
        'format': _FORMAT,
        'path': header.path,
        'size': stamp[0],
        'changed': stamp[1],
        'crs': None if grid.crs is None else grid.crs.to_wkt(),
        'transform': list(grid.transform)[:6],
        'width': grid.width,
        'height': grid.height,
        'dtypes': list(header.dtypes),
        'names': list(header.names),
        'wavelengths': list(header.wavelengths),
        'scales': list(header.scales),
        'offsets': list(header.offsets),
        'alpha': header.alpha,
        'tags': json.dumps(header.tags),
    }


def _load(cache: Path) -> dict[str, tuple[Header, tuple[int, int]]]:
    """Read headers, and size and time of change of the files then."""
    if not Path(cache).exists():
        return {}
    try:
        frame = geopandas.read_parquet(cache)
    except (pyarrow.ArrowInvalid, ValueError) as error:
        raise BadInput(
            f'index_cache: {cache} is no GeoParquet file ({error}).',
            'Name another file, or delete this one.',
        ) from error
    if 'format' not in frame or (frame['format'] != _FORMAT).any():
        return {}
    crs = functools.cache(lambda wkt: None if wkt is None else CRS.from_wkt(wkt))
    return {
        row['path']: (_header(row, crs), (row['size'], row['changed']))
        for row in frame.drop(columns='geometry').to_dict('records')
    }


def _header(row: dict[str, Any], crs: Callable[[str | None], CRS | None]) -> Header:
    def numbers(key: str) -> tuple[float, ...]:
        return tuple(np.asarray(row[key], dtype=float).tolist())

    return Header(
        path=row['path'],
        grid=Grid(crs(row['crs']), Affine(*row['transform']), row['width'], row['height']),
        dtypes=tuple(row['dtypes']),
        names=tuple(row['names']),
        wavelengths=numbers('wavelengths'),
        scales=numbers('scales'),
        offsets=numbers('offsets'),
        alpha=row['alpha'],
        tags=json.loads(row['tags']),
    )
