"""Cubes that come in containers no program shows as a map: PRISMA and EMIT.

PRISMA L2D (``.he5``): two cubes (row, band, column), on a grid whose outer pixel centres are
attributes; 0 in all bands is no data. Names as in prismaread. EMIT (``.nc``): a cube (row, column,
band) in the order of the scan, and a table (GLT) that tells for each pixel of a map which pixel of
the scan it is, from 1; 0 is none. Names as in https://github.com/nasa/EMIT-Data-Resources.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.hdf5 import open_hdf5
from torchgeo_ext.inference.writer import BLOCK, RasterLayout, RasterWriter
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.sensors import BandWavelengths, read_wavelengths

Floats = NDArray[np.float32]

_PRISMA = 'HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields'
#: What EMIT writes where it has no value.
_EMIT_NODATA = -9999.0


class ProductCube(ABC):
    """A cube of a product.

    Attributes:
        grid: Its pixels on the ground.
        bands: Its bands, from short to long waves.
    """

    grid: Grid
    bands: BandWavelengths

    @abstractmethod
    def read(self, window: Window) -> Floats:
        """Read physical values (c, h, w) of a window of the grid; NaN where there are none."""


class PrismaCube(ProductCube):
    """The two cubes of a PRISMA L2D file, as one.

    Args:
        file: The open file.
        path: Its path.
    """

    def __init__(self, file: Any, path: str) -> None:
        if _PRISMA not in file:
            raise BadInput(
                f'image: {path} has no {_PRISMA}; only L2D products of PRISMA are on a map grid.',
                'Get the L2D product of the scene.',
            )
        self._cubes = [file[f'{_PRISMA}/{camera}_Cube'] for camera in ('VNIR', 'SWIR')]
        rows, counts, columns = zip(*(cube.shape for cube in self._cubes), strict=True)
        found = read_wavelengths(path)
        if len(found) != sum(counts) or len(set(rows)) > 1 or len(set(columns)) > 1:
            raise BadInput(
                f'image: {path} has wavelengths of {len(found)} bands, but cubes of '
                f'{", ".join(str(cube.shape) for cube in self._cubes)}.',
                'Download it again.',
            )
        self._order = [place for place in found.order if found.good[place]]
        self._stored = found.select(self._order)
        self.bands = self._stored.unscaled()
        self.grid = _prisma_grid(file.attrs, rows[0], columns[0], path)

    def read(self, window: Window) -> Floats:
        """Read physical values."""
        rows, columns = window.toslices()
        parts = [np.moveaxis(cube[rows, :, columns], 1, 0) for cube in self._cubes]
        stored = np.concatenate(parts)[self._order]
        scale, offset = (
            np.array(v, np.float32)[:, None, None]
            for v in (self._stored.scale, self._stored.offset)
        )
        values: Floats = stored.astype(np.float32) * scale + offset
        values[:, ~stored.any(0)] = np.nan
        return values


class EmitCube(ProductCube):
    """The cube of an EMIT file, put on a map by its table.

    Args:
        file: The open file.
        path: Its path.
    """

    def __init__(self, file: Any, path: str) -> None:
        found = read_wavelengths(path)
        cubes = [
            item for item in file.values()
            if getattr(item, 'ndim', 0) == 3 and item.shape[2] == len(found)
        ]  # fmt: skip
        if not cubes or 'location/glt_x' not in file or 'geotransform' not in file.attrs:
            raise BadInput(
                f'image: {path} has no cube of {len(found)} bands, or no table (location/glt_x) '
                'that puts it on a map.',
                'Choose the file of reflectance or radiance.',
            )
        self._cube = cubes[0]
        self._x, self._y = file['location/glt_x'], file['location/glt_y']
        self._order = list(found.order)
        self.bands = found.select(self._order)
        height, width = self._x.shape
        transform = Affine.from_gdal(*map(float, file.attrs['geotransform']))
        self.grid = Grid(_crs(file.attrs.get('spatial_ref'), path), transform, width, height)

    def read(self, window: Window) -> Floats:
        """Read what the table names for each pixel."""
        there = window.toslices()
        # some versions mark what was filled in between by a minus
        y, x = (np.abs(np.asarray(table[there], np.int64)) for table in (self._y, self._x))
        shown = (x > 0) & (y > 0)
        values = np.full((len(self._order), *x.shape), np.nan, np.float32)
        if shown.any():
            rows, columns = y[shown] - 1, x[shown] - 1
            top, left = rows.min(), columns.min()
            part = self._cube[top : rows.max() + 1, left : columns.max() + 1, :]
            spectra = part[rows - top, columns - left][:, self._order].astype(np.float32)
            spectra[spectra == _EMIT_NODATA] = np.nan
            values[:, shown] = spectra.T
        return values


@contextmanager
def open_product(path: str) -> Iterator[ProductCube]:
    """Open the cube of a PRISMA or EMIT file.

    Raises:
        BadInput: If it is neither.
        MissingDependency: If h5py is not installed.
    """
    hint = 'Choose the .he5 file of PRISMA or the .nc file of EMIT as it was downloaded.'
    with open_hdf5(path, 'image', hint) as file:
        if 'sensor_band_parameters' in file:
            yield EmitCube(file, path)
        elif 'HDFEOS' in file:
            yield PrismaCube(file, path)
        else:
            raise BadInput(
                f'image: {path} is neither a product of PRISMA nor of EMIT.',
                'Other formats are read as they are, without conversion.',
            )


def write_product(
    cube: ProductCube, path: str | Path, source: str, progress: Progress = silent
) -> None:
    """Write a cube to a GeoTIFF of float32, with its wavelengths.

    Args:
        cube: The cube.
        path: The GeoTIFF.
        source: Name of the file it is of, for the metadata.
        progress: Told how far it is.

    Raises:
        BadParameter: If ``path`` cannot be written.
        NoSpace: If the disk is full.
    """
    layout = RasterLayout(
        count=len(cube.bands),
        dtype=np.dtype('float32'),
        nodata=float('nan'),
        descriptions=[
            name or f'{1000 * centre:.2f} nm'
            for name, centre in zip(cube.bands.names, cube.bands.centre, strict=True)
        ],
        tags={'source': source},
        band_tags=cube.bands.tags(),
        overviews=Resampling.average,
    )
    with RasterWriter(Path(path), cube.grid, layout) as writer:
        for window in cube.grid.windows(BLOCK):
            progress(window.row_off / cube.grid.height, 'Writing')
            writer.write(window, cube.read(window))
        writer.finish()


def _prisma_grid(attributes: Any, height: int, width: int, path: str) -> Grid:
    """Make the grid of the centres of the outer pixels."""
    try:
        left, right = (float(attributes[f'Product_{c}corner_easting']) for c in ('UL', 'LR'))
        top, bottom = (float(attributes[f'Product_{c}corner_northing']) for c in ('UL', 'LR'))
        crs = CRS.from_epsg(int(attributes['Epsg_Code']))
    except (KeyError, ValueError, CRSError) as error:
        raise BadInput(
            f'image: {path} does not tell where it is ({error}).', 'Download it again.'
        ) from error
    across, down = (right - left) / (width - 1), (top - bottom) / (height - 1)
    transform = Affine(across, 0, left - across / 2, 0, -down, top + down / 2)
    return Grid(crs, transform, width, height)


def _crs(text: Any, path: str) -> CRS:
    words = text.decode() if isinstance(text, bytes) else str(text)
    try:
        return CRS.from_wkt(words)
    except CRSError as error:
        raise BadInput(
            f'image: {path} names no coordinate reference system ({error}).', 'Download it again.'
        ) from error
