"""cluster_image: groups of alike pixels."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio

from tests.cubes import simulate, write_cube
from tests.rasters import write_raster
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.operations import cluster_image


@pytest.fixture
def image(tmp_path):
    """Three stripes, brighter from left to right; the second band has much larger numbers."""
    levels = np.repeat([[20, 200], [120, 6000], [220, 18_000]], 30, axis=0).T
    noise = np.random.default_rng(0).normal(0, 1, (2, 50, 90)) * [[[5]], [[400]]]
    values = (levels[:, None, :] + noise).clip(1, 30_000).astype('uint16')
    values[:, 0] = 0
    return write_raster(tmp_path / 'image.tif', values, nodata=0)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset.nodata


def test_stripes_are_found_in_order(image, tmp_path):
    result = cluster_image(
        image, tmp_path / 'o.tif', clusters=3, polygons=tmp_path / 'p.gpkg', minimum_area=5000
    )
    found, nodata = read(tmp_path / 'o.tif')
    assert (found[0] == nodata).all()
    assert (found[1:] == np.repeat([1, 2, 3], 30)).mean() > 0.99
    areas = json.loads(result.cluster_areas)
    assert areas['group 2'] == pytest.approx(30 * 49 * 100, rel=0.02)
    frame = pyogrio.read_dataframe(tmp_path / 'p.gpkg', layer='p')
    assert sorted(frame['class']) == ['group 1', 'group 2', 'group 3']
    assert result.styles.keys() == {'output', 'polygons'}


def test_the_same_seed_gives_the_same_groups(image, tmp_path):
    for name in ('a', 'b'):
        cluster_image(image, tmp_path / f'{name}.tif', clusters=8, bands=[2])
    np.testing.assert_array_equal(read(tmp_path / 'a.tif')[0], read(tmp_path / 'b.tif')[0])


def test_more_groups_than_pixels(tmp_path):
    tiny = write_raster(tmp_path / 'tiny.tif', np.arange(1, 7, dtype='uint8').reshape(2, 3))
    with pytest.raises(BadParameter, match=r'clusters is 10, but only 6 pixels'):
        cluster_image(tiny, tmp_path / 'o.tif')
    assert not (tmp_path / 'o.tif').exists()


def test_empty_bands_of_a_cube_are_left_out(tmp_path):
    values = np.repeat(simulate(24, 32).values, 2, axis=0)
    values[40] = -32768
    cube = write_cube(tmp_path / 'cube.tif', values, centres=np.linspace(0.45, 2.35, 60))
    cluster_image(cube, tmp_path / 'o.tif', clusters=2)
    found, nodata = read(tmp_path / 'o.tif')
    assert (found != nodata).all()
