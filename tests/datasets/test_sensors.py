"""What a sensor tells of bands whose file does not."""

import numpy as np

from tests.rasters import gradient, write_raster
from torchgeo_ext.datasets import TiledRaster


def first(dataset):
    x, y, t = dataset.bounds
    return dataset[x, y, t]


def test_wavelengths_and_roles_of_named_bands(tmp_path):
    write_raster(tmp_path / 'a.tif', gradient(3, 8, 8), names=['B04', 'B08', 'B11'])
    sample = first(TiledRaster(tmp_path, bands=['nir', 'red']))
    np.testing.assert_allclose(sample['wavelengths'], [0.8328, 0.6646], rtol=1e-6)
    np.testing.assert_array_equal(sample['image'][0], gradient(3, 8, 8)[1])


def test_names_of_bands_that_have_none(tmp_path):
    values = gradient(4, 8, 8, 'uint8')
    write_raster(tmp_path / 'm_4709963_se_14_1_20090818.tif', values)
    sample = first(TiledRaster(tmp_path, bands=['nir']))
    np.testing.assert_array_equal(sample['image'][0], values[3])
