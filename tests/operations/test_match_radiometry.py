"""match_radiometry: from two files to one that looks like the other."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.inference.pairs import simulate
from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations import match_radiometry

PLACE = Affine(10, 0, 500_000, 0, -10, 5_300_000)


@pytest.fixture
def pair(tmp_path):
    """A reference, and a larger image of 16 bits with another gain, where a square changed."""
    made = simulate(bands=3, size=128)
    ground = (made.before + 1000) * 10
    image = 0.5 * ground + 300 + np.random.default_rng(0).normal(0, 2, ground.shape)
    image[:, made.changed] = 60_000
    reference = write_raster(
        tmp_path / 'reference.tif',
        ground[:, 16:, 16:].astype('uint16'),
        transform=PLACE @ Affine.translation(16, 16),
    )
    return reference, write_raster(tmp_path / 'image.tif', image.astype('uint16'), transform=PLACE)


def test_the_whole_image_is_changed(pair, tmp_path):
    found = match_radiometry(*pair, tmp_path / 'o.tif')
    for line in json.loads(found.lines):
        assert line['gain'] == pytest.approx(2, rel=0.01)
    assert found.remaining < 0.01 * found.difference
    with rasterio.open(pair[1]) as image, rasterio.open(found.output) as output:
        assert (output.transform, output.shape, output.dtypes) == (
            image.transform,
            image.shape,
            image.dtypes,
        )
        values, old = output.read().astype(float), image.read().astype(float)
    rest = old < 60_000
    np.testing.assert_allclose(values[rest], 2 * old[rest] - 600, atol=80)
    assert (values[~rest] == 65_535).all()


def test_bands_are_chosen_on_both_sides(pair, tmp_path):
    found = match_radiometry(
        *pair, tmp_path / 'o.tif', reference_bands=[3, 1], image_bands=[3, 1], method='mean_std'
    )
    assert len(json.loads(found.lines)) == 2
    with rasterio.open(found.output) as output:
        assert output.count == 2


def test_masked_pixels_do_not_count(pair, tmp_path):
    with rasterio.open(pair[1]) as image:
        wanted = (image.read(1) < 60_000).astype('uint8')
    mask = write_raster(tmp_path / 'mask.tif', wanted, transform=PLACE)
    found = match_radiometry(*pair, tmp_path / 'o.tif', method='mean_std', mask=mask)
    for line in json.loads(found.lines):
        assert line['gain'] == pytest.approx(2, rel=0.01)


def test_constant_bands_are_named(tmp_path):
    flat = write_raster(tmp_path / 'flat.tif', np.ones((1, 40, 40), 'uint8'))
    with pytest.raises(BadInput, match='only one value in band 1'):
        match_radiometry(flat, flat, tmp_path / 'o.tif', method='histogram')
