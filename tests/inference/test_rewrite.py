"""Rasters written anew keep what does not change."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.rasters import gradient, write_raster
from torchgeo_ext.errors import Canceled
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.rewrite import rewrite


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'uint16', 'float32', 'float64'])
def test_nothing_changes(tmp_path, dtype):
    values = gradient(3, 70, 90, 'uint16').astype(dtype)
    values[values == 0] = 1
    path = write_raster(tmp_path / 'i.tif', values, names=('red', '', 'nir'))
    rewrite(RasterSource(str(path)), tmp_path / 'o.tif')
    with rasterio.open(path) as old, rasterio.open(tmp_path / 'o.tif') as new:
        np.testing.assert_array_equal(new.read(), values)
        assert new.dtypes == old.dtypes
        assert (new.transform, new.crs) == (old.transform, old.crs)
        assert new.descriptions == old.descriptions


def test_results_are_rounded_and_clipped(tmp_path):
    path = write_raster(tmp_path / 'i.tif', np.array([[[1, 100, 200]]], 'uint8'))
    rewrite(RasterSource(str(path)), tmp_path / 'o.tif', change=lambda pixels: pixels * 1.507)
    with rasterio.open(tmp_path / 'o.tif') as new:
        assert new.read(1).tolist() == [[2, 151, 255]]


@pytest.mark.parametrize(('nodata', 'neighbour'), [(0, 1), (255, 254), (7, 8)])
def test_valid_and_invalid_stay_apart(tmp_path, nodata, neighbour):
    values = np.array([[[nodata, 50, 60]]], 'uint8')
    path = write_raster(tmp_path / 'i.tif', values, nodata=nodata)
    rewrite(
        RasterSource(str(path)),
        tmp_path / 'o.tif',
        change=lambda pixels: np.where(pixels == 50, nodata, pixels),
    )
    with rasterio.open(tmp_path / 'o.tif') as new:
        assert new.nodata == nodata
        assert new.read(1).tolist() == [[nodata, neighbour, 60]]


def test_a_mask_becomes_nodata(tmp_path):
    path = write_raster(tmp_path / 'i.tif', np.array([[[0, 50, 60]]], 'uint8'))
    with rasterio.open(path, 'r+') as dataset:
        dataset.write_mask(np.array([[True, True, False]]))
    rewrite(RasterSource(str(path)), tmp_path / 'o.tif')
    with rasterio.open(tmp_path / 'o.tif') as new:
        assert new.read_masks(1).tolist() == [[255, 255, 0]]


def test_another_place(tmp_path):
    path = write_raster(tmp_path / 'i.tif', gradient(1, 5, 5))
    place = Affine(2, 0.1, 10, 0.1, -2, 20)
    rewrite(RasterSource(str(path)), tmp_path / 'o.tif', place=place)
    with rasterio.open(tmp_path / 'o.tif') as new:
        assert new.transform == place


def test_canceling_leaves_nothing(tmp_path):
    def cancel(*_, **__):
        raise Canceled

    path = write_raster(tmp_path / 'i.tif', gradient(1, 5, 5))
    with pytest.raises(Canceled):
        rewrite(RasterSource(str(path)), tmp_path / 'o.tif', progress=cancel)
    assert [p.name for p in tmp_path.iterdir()] == ['i.tif']
