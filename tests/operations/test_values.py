"""Images of other units than a model was trained on."""

import numpy as np
import pytest

from tests.bundles.makers import BANDS, bundle
from tests.rasters import write_raster
from torchgeo_ext.bundles import Band
from torchgeo_ext.inference import Grid, RasterSource, open_raster
from torchgeo_ext.operations import segment_image
from torchgeo_ext.operations._values import warn_of_values

TRAINED = (Band('B04', scale=1e-4, offset=-0.1, nodata=0, minimum=0.0, maximum=0.6),)


def image(path, low, high, dtype, **more):
    values = np.random.default_rng(0).uniform(low, high, (1, 40, 40)).astype(dtype)
    return write_raster(path, values, **more)


def said(path, caplog, bands=TRAINED, units=None):
    with open_raster(str(path)) as dataset:
        grid = Grid.of(dataset)
    warn_of_values(RasterSource(str(path)), grid, bands, units)
    return caplog.text


def test_what_suits_is_not_mentioned(tmp_path, caplog):
    assert not said(image(tmp_path / 'i.tif', 1200, 4500, 'uint16'), caplog)


@pytest.mark.parametrize(
    ('low', 'high', 'dtype'), [(0.02, 0.4, 'float32'), (10, 250, 'uint8'), (1e6, 2e6, 'float32')]
)
def test_other_units_are(tmp_path, caplog, low, high, dtype):
    text = said(image(tmp_path / 'i.tif', low, high, dtype), caplog)
    assert 'image: B04 of' in text
    assert 'but the model was trained on 0 to 0.6' in text


def test_known_units_speak_for_themselves(tmp_path, caplog):
    path = image(tmp_path / 'i.tif', 0.02, 0.4, 'float32')
    text = said(path, caplog, bands=(Band('red'),), units='8 bit')
    assert 'reflectance from 0 to 1, but the weights expect 8 bit' in text


def test_no_valid_pixel_and_one_tone_are_no_reason(tmp_path, caplog):
    assert not said(write_raster(tmp_path / 'n.tif', np.zeros((9, 9), 'uint8'), nodata=0), caplog)
    assert not said(write_raster(tmp_path / 'o.tif', np.full((9, 9), 3000, 'uint16')), caplog)


def test_segmenting_says_so(tmp_path, caplog):
    bands = tuple(Band(b.name, scale=1e-4, nodata=0, minimum=0.0, maximum=0.9) for b in BANDS)
    folder = bundle(tmp_path / 'bundle', bands=bands)
    values = np.random.default_rng(0).uniform(0.01, 0.5, (3, 40, 40)).astype('float32')
    path = write_raster(tmp_path / 'i.tif', values, names=[b.name for b in bands])
    segment_image(path, tmp_path / 'o.tif', bundle=folder)
    assert 'may be in other units' in caplog.text
