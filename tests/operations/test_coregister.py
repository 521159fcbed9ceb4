"""coregister: from two files to a corrected one."""

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.inference.test_coregister import PLACE, texture
from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import coregister


@pytest.fixture
def pair(tmp_path):
    ground = np.concatenate([texture(400), texture(400)]) + 5000
    return tuple(
        write_raster(tmp_path / f'{name}.tif', ground.astype('uint16'), transform=place)
        for name, place in (
            ('reference', PLACE),
            ('image', Affine.translation(45.0, -25.0) @ PLACE),
        )
    )


def test_pixels_stay_and_the_place_is_right(pair, tmp_path):
    found = coregister(*pair, tmp_path / 'o.tif', report=tmp_path / 'r.csv')
    assert (found.offset_x, found.offset_y) == pytest.approx((4.5, 2.5), abs=0.03)
    with rasterio.open(pair[1]) as image, rasterio.open(found.output) as output:
        np.testing.assert_array_equal(output.read(), image.read())
        assert output.dtypes == image.dtypes
        assert output.transform == pytest.approx(PLACE, abs=0.3)
    rows = list(csv.DictReader(Path(found.report).read_text().splitlines()))
    assert len(rows) >= found.windows_used
    assert float(rows[0]['offset_x']) == pytest.approx(4.5, abs=0.3)


def test_on_the_pixels_of_the_reference(pair, tmp_path):
    found = coregister(*pair, tmp_path / 'o.tif', resampling='cubic')
    with rasterio.open(pair[0]) as reference, rasterio.open(found.output) as output:
        inner = rasterio.windows.from_bounds(*output.bounds, reference.transform)
        expected = reference.read(window=inner).astype(float)
        mask = output.dataset_mask() > 0
        assert mask.mean() > 0.95
        difference = np.abs(output.read().astype(float) - expected)[:, mask]
    assert np.median(difference) < 5
    assert np.median(np.abs(expected - expected.mean())) > 50


def test_what_cannot_be_compared(pair, tmp_path):
    single = write_raster(tmp_path / 's.tif', texture(400), transform=PLACE)
    with pytest.raises(BadInput, match='reference has 1 bands, but image has 2'):
        coregister(single, pair[1], tmp_path / 'o.tif')
    with pytest.raises(BadParameter, match='image_bands has 1'):
        coregister(*pair, tmp_path / 'o.tif', image_bands=[1])
    far = write_raster(
        tmp_path / 'f.tif', texture(50), transform=Affine.translation(1e6, 0) @ PLACE
    )
    with pytest.raises(BadInput, match='do not overlap'):
        coregister(pair[0], far, tmp_path / 'o.tif')
    assert not (tmp_path / 'o.tif').exists()
