"""Outputs whose pixels are wider than those that a model reads."""

import numpy as np
import pytest
import rasterio
import torch
from torch.nn import functional as F

from tests.rasters import write_raster
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference import Grid, RasterOutput, RasterSource, open_raster, predict_raster

FOUR = 4


def means(batch):
    return F.avg_pool2d(batch, FOUR)


def run(path, output, model=means, **options):
    options = {'tile_size': 16, 'overlap': 8, 'device': 'cpu', 'reduction': FOUR} | options
    with open_raster(str(path)) as dataset:
        grid = Grid.of(dataset)
    predict_raster(
        model, RasterSource(str(path)), grid, [RasterOutput(output, 'values')], **options
    )
    with rasterio.open(output) as dataset:
        return dataset.read(), dataset


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(1, 200, (2, 36, 52), dtype=np.uint8)


@pytest.mark.parametrize('merge', ['crop', 'blend'])
def test_each_pixel_is_of_its_square(tmp_path, values, merge):
    path = write_raster(tmp_path / 'i.tif', values)
    found, dataset = run(path, tmp_path / 'o.tif', merge=merge)
    expected = values.reshape(2, 9, FOUR, 13, FOUR).mean((2, 4))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with rasterio.open(path) as image:
        assert dataset.bounds == image.bounds
        assert dataset.res == (FOUR * image.res[0], FOUR * image.res[1])


def test_rest_of_a_square_at_the_rim_is_mirrored(tmp_path, values):
    """Thirty-five rows leave three for the last square, 49 columns one, which is too few."""
    path = write_raster(tmp_path / 'i.tif', values[:, :35, :49])
    found, dataset = run(path, tmp_path / 'o.tif')
    assert found.shape == (2, 9, 13)
    assert dataset.bounds.right == 500_000 + 13 * FOUR * 10
    expected = values[:, :32, :48].reshape(2, 8, FOUR, 12, FOUR).mean((2, 4))
    np.testing.assert_allclose(found[:, :8, :12], expected, rtol=1e-5)
    assert np.isnan(found[:, :, 12]).all()
    mirrored = values[:, [32, 33, 34, 33], :48].reshape(2, FOUR, 12, FOUR).mean((1, 3))
    np.testing.assert_allclose(found[:, 8, :12], mirrored, rtol=1e-5)


def test_half_of_a_square_must_be_valid(tmp_path, values):
    values[:, :2, :4] = 0
    values[:, 4:7, 4:7] = 0
    path = write_raster(tmp_path / 'i.tif', values, nodata=0)
    found, _ = run(path, tmp_path / 'o.tif')
    assert np.isfinite(found[:, 0, 0]).all()
    assert np.isnan(found[:, 1, 1]).all()
    assert np.isnan(found).sum() == 2


def test_a_raster_smaller_than_a_tile(tmp_path, values):
    path = write_raster(tmp_path / 'i.tif', values[:, :10, :8])
    found, _ = run(path, tmp_path / 'o.tif')
    expected = values[:, :8, :8].reshape(2, 2, FOUR, 2, FOUR).mean((2, 4))
    np.testing.assert_allclose(found[:, :2], expected, rtol=1e-5)


def test_one_pixel_for_each_tile(tmp_path, values):
    path = write_raster(tmp_path / 'i.tif', values[:, :32, :48])
    found, _ = run(
        path, tmp_path / 'o.tif', model=lambda x: F.adaptive_avg_pool2d(x, 1),
        reduction=16, overlap=0,
    )  # fmt: skip
    expected = values[:, :32, :48].reshape(2, 2, 16, 3, 16).mean((2, 4))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_sizes_that_do_not_fit(tmp_path, values):
    path = write_raster(tmp_path / 'i.tif', values)
    with pytest.raises(BadParameter, match=r'tile_size: 18 is not a multiple of 4'):
        run(path, tmp_path / 'o.tif', tile_size=18)
    with pytest.raises(BadParameter, match=r'overlap: 6 .*for instance 4'):
        run(path, tmp_path / 'o.tif', overlap=6)
    with pytest.raises(BadParameter, match=r'instead of scores \(\d+, classes, 4, 4\)'):
        run(path, tmp_path / 'o.tif', model=torch.nn.Identity())
