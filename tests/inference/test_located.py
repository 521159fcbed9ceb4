"""Rasters that say where they are."""

import numpy as np
import pytest
from rasterio.transform import from_origin
from rasterio.windows import Window

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference import RasterSource
from torchgeo_ext.inference.globe import to_degrees
from torchgeo_ext.inference.located import LocatedSource

SIZE = 8


def write(path, crs, left, top, pixel):
    values = np.arange(2 * 16 * 24, dtype='float32').reshape(2, 16, 24)
    return write_raster(path, values, crs=crs, transform=from_origin(left, top, pixel, pixel))


def test_the_last_bands_are_the_middle_of_a_window(tmp_path):
    path = write(tmp_path / 'a.tif', 'EPSG:4326', 179.9, 10.0, 0.01)
    window = Window(8, 4, SIZE, 6)
    with LocatedSource(str(path)).open() as located, RasterSource(str(path)).open() as plain:
        assert located.count == 4
        values, valid = located.read(window)
        out = np.full((4, 6, SIZE), np.nan, 'float32')
        located.read(window, out=out)
        expected, _ = plain.read(window)
    np.testing.assert_array_equal(out, values)
    np.testing.assert_array_equal(values[:2], expected)
    assert valid.all()
    # beyond the antimeridian
    np.testing.assert_allclose(values[2], -179.98, atol=1e-4)
    np.testing.assert_allclose(values[3], 9.93, atol=1e-4)


def test_places_are_those_of_the_grid_that_is_read(tmp_path):
    path = write(tmp_path / 'a.tif', 'EPSG:32633', 5e5, 5e6, 10)
    with RasterSource(str(path)).open() as reader:
        grid = reader.grid.part(Window(4, 4, SIZE, SIZE))
    with LocatedSource(str(path)).open(grid) as located:
        values, _ = located.read(grid.window)
    assert to_degrees(grid.crs, 5e5 + 80, 5e6 - 80) == pytest.approx(tuple(values[2:, 0, 0]))
    assert to_degrees(grid.crs, 5e5, 0) == pytest.approx((15, 0))


def test_a_raster_that_lies_nowhere(tmp_path):
    path = write(tmp_path / 'a.tif', None, 0, 16, 1)
    with pytest.raises(BadInput, match='has no coordinate reference system'):
        LocatedSource(str(path)).open()
