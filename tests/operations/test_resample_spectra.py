"""resample_spectra: images of one sensor as another one would have seen them."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from tests.rasters import write_raster
from tests.trained import tiny_bundle
from torchgeo_ext.bundles import Band
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import resample_spectra, segment_image
from torchgeo_ext.operations.resample_spectra import SensorName
from torchgeo_ext.registry import sensors
from torchgeo_ext.sensors import BandWavelengths, read_wavelengths
from torchgeo_ext.transforms._response import response_matrix

#: A corner of a patch of HySpecNet-11k (CC0): sea water, EnMAP L2A without wavelengths.
WATER = Path(__file__).parents[1] / 'data' / 'hyspecnet' / 'water-SPECTRAL_IMAGE.TIF'


def read(path):
    """Pixels, and what the file says of them."""
    with rasterio.open(path) as dataset:
        return dataset.read(), SimpleNamespace(
            nodata=dataset.nodata,
            names=dataset.descriptions,
            scales=dataset.scales,
            dtype=dataset.dtypes[0],
        )


def cube(path, centres, values=None, dtype='int16', **options):
    """An image of 20 x 30 pixels with bands at these micrometres."""
    if values is None:
        values = np.random.default_rng(0).integers(100, 5000, (len(centres), 20, 30))
    write_raster(path, np.asarray(values).astype(dtype), **options)
    with rasterio.open(path, 'r+') as dataset:
        for index, centre in enumerate(centres, 1):
            dataset.update_tags(index, wavelength=f'{1000 * centre:.3f}', fwhm='10')
    return path


VISIBLE = np.linspace(0.43, 0.92, 50)


def test_every_sensor_with_wavelengths_can_be_chosen():
    known = {
        name
        for name, each in sensors.items()
        if each.quantity == 'digital_number' and any(band.wavelength for band in each.bands)
    }
    # platforms and products of the same bands
    alike = {n for n in known if re.fullmatch(r'landsat\d|.*_(ms|pan|swir|dover?)', n)}
    assert {*SensorName.__args__} == known - alike - {'sentinel1', 'sentinel2'}


def test_numbers_are_those_of_the_matrix(tmp_path):
    image = cube(tmp_path / 'a.tif', VISIBLE, nodata=-1)
    with rasterio.open(image, 'r+') as dataset:
        values = dataset.read()
        values[7, 3, 4] = -1
        dataset.write(values)
    result = resample_spectra(image, tmp_path / 'o.tif', sensor='planetscope4')
    target = BandWavelengths.of_sensor('planetscope4')
    weights, _ = response_matrix(read_wavelengths(image), target)
    expected = np.tensordot(weights, values.astype(float), 1)
    found, file = read(tmp_path / 'o.tif')
    valid = np.ones((20, 30), bool)
    valid[3, 4] = False
    assert np.abs(found - expected)[:, valid].max() <= 0.501
    assert (found[:, 3, 4] == file.nodata).all()
    assert found.dtype == np.int16
    assert result.bands == 4
    assert json.loads(result.uncovered) == []
    assert min(json.loads(result.coverage)) > 0.99
    assert file.names == target.names
    written = read_wavelengths(tmp_path / 'o.tif')
    assert written.centre == pytest.approx(target.centre)
    assert written.fwhm == pytest.approx(target.fwhm)


def test_bands_that_are_not_covered(tmp_path, caplog):
    image = cube(tmp_path / 'a.tif', VISIBLE)
    result = resample_spectra(image, tmp_path / 'o.tif', sensor='sentinel2b')
    assert json.loads(result.uncovered) == [
        'B09 943 nm',
        'B10 1377 nm',
        'B11 1610 nm',
        'B12 2186 nm',
    ]
    assert 'where a.tif has not measured: B09 943 nm, B10 1377 nm' in caplog.text
    assert result.bands == 9
    guessed = resample_spectra(image, tmp_path / 'g.tif', sensor='sentinel2b', uncovered='guess')
    assert guessed.bands == 13
    np.testing.assert_array_equal(read(tmp_path / 'g.tif')[0][:9], read(tmp_path / 'o.tif')[0])
    table = tmp_path / 'table.csv'
    table.write_text('wavelength_nm,fwhm_nm\n2200,20\n')
    with pytest.raises(BadInput, match='covers none of the bands of'):
        resample_spectra(image, tmp_path / 'n.tif', table=table)
    assert not (tmp_path / 'n.tif').exists()


def test_a_table_of_bands(tmp_path):
    image = cube(tmp_path / 'a.tif', VISIBLE)
    table = tmp_path / 'table.csv'
    table.write_text('name;wavelength_um;fwhm_um\ngreen;0.56;0.03\nred;0.66;0.04\n')
    assert resample_spectra(image, tmp_path / 'o.tif', table=table).bands == 2
    assert read(tmp_path / 'o.tif')[1].names == ('green', 'red')


def test_bands_of_different_factors_become_physical(tmp_path):
    centres = np.linspace(0.5, 0.7, 11)
    scale, offset = np.where(centres < 0.6, 0.001, 0.002), np.where(centres < 0.6, 0.0, 0.1)
    stored = ((0.3 - offset) / scale).round()
    image = cube(tmp_path / 'a.tif', centres, np.tile(stored[:, None, None], (1, 20, 30)))
    with rasterio.open(image, 'r+') as dataset:
        dataset.scales, dataset.offsets = scale, offset
    resample_spectra(image, tmp_path / 'o.tif', sensor='planetscope4')
    found, file = read(tmp_path / 'o.tif')
    assert file.dtype == 'float32'
    assert found == pytest.approx(0.3, abs=1e-5)


def test_one_factor_is_handed_on(tmp_path):
    image = cube(tmp_path / 'a.tif', VISIBLE)
    with rasterio.open(image, 'r+') as dataset:
        dataset.scales = (1e-4,) * 50
    resample_spectra(image, tmp_path / 'o.tif', sensor='planetscope4')
    _, file = read(tmp_path / 'o.tif')
    assert (file.dtype, file.scales) == ('int16', (1e-4,) * 4)


def test_a_factor_that_was_applied_already(tmp_path, caplog):
    values = np.random.default_rng(0).uniform(0.1, 0.6, (50, 20, 30))
    image = cube(tmp_path / 'a.tif', VISIBLE, values, 'float32')
    with rasterio.open(image, 'r+') as dataset:
        dataset.scales = (1e-4,) * 50
    resample_spectra(image, tmp_path / 'o.tif', sensor='planetscope4')
    assert 'names the factor 0.0001, but its values (up to 0.5' in caplog.text
    assert read(tmp_path / 'o.tif')[1].scales == (1.0,) * 4


def test_bad_and_empty_bands_are_not_used(tmp_path, caplog):
    caplog.set_level('INFO')
    values = np.full((50, 20, 30), 1000)
    values[10], values[20] = 30_000, -9999
    image = cube(tmp_path / 'a.tif', VISIBLE, values, nodata=-9999)
    with rasterio.open(image, 'r+') as dataset:
        dataset.update_tags(11, bbl='0')
    resample_spectra(image, tmp_path / 'o.tif', sensor='planetscope4')
    assert (read(tmp_path / 'o.tif')[0] == 1000).all()
    assert '21 (no data)' in caplog.text
    assert '11 (marked as bad)' in caplog.text


def test_real_enmap_water(tmp_path):
    """The real cube has bands without data, no wavelengths, and 224 bands."""
    with pytest.raises(BadInput, match='does not say at which wavelengths its 224 bands are'):
        resample_spectra(WATER, tmp_path / 'o.tif')
    result = resample_spectra(WATER, tmp_path / 'o.tif', wavelengths='enmap')
    found, _ = read(tmp_path / 'o.tif')
    assert result.bands == 12
    means = found.mean(axis=(1, 2))
    # dark in the infrared, as water is
    assert means[[1, 2]].min() > 2 * means[[10, 11]].max()


def test_by_the_name_of_the_product(tmp_path):
    name = 'ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110-SPECTRAL_IMAGE.TIF'
    shutil.copy(WATER, tmp_path / name)
    resample_spectra(tmp_path / name, tmp_path / 'o.tif')
    assert read(tmp_path / 'o.tif')[1].scales == (1e-4,) * 12


def test_a_model_of_another_sensor(tmp_path, caplog):
    """The whole road: a model of one sensor's bands maps an image of another one."""
    known = BandWavelengths.of_sensor('planetscope4')
    bands = tuple(
        Band(name, centre, width, scale=1e-4, offset=-0.1, mean=0.2, std=0.1)
        for name, centre, width in zip(known.names, known.centre, known.fwhm, strict=True)
    )
    model = tiny_bundle(tmp_path / 'model', names=known.names, bands=bands)
    rows = np.random.default_rng(0).uniform(0.05, 0.5, (1, 32, 32)) + 0.2 * VISIBLE[:, None, None]
    there = cube(tmp_path / 'there.tif', VISIBLE, rows, 'float32')
    result = resample_spectra(there, tmp_path / 'here.tif', bundle=model)
    assert result.bands == 4
    assert 'has not measured' not in caplog.text
    found, file = read(tmp_path / 'here.tif')
    weights, _ = response_matrix(read_wavelengths(there), known)
    expected = (np.tensordot(weights, rows, 1) + 0.1) / 1e-4  # numbers of the model
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert file.scales == (1e-4,) * 4
    mapped = segment_image(tmp_path / 'here.tif', tmp_path / 'map.tif', bundle=model)
    assert mapped.valid_fraction == 1
    visible = cube(tmp_path / 'v.tif', VISIBLE[:20], rows[:20], 'float32')
    result = resample_spectra(visible, tmp_path / 'v4.tif', bundle=model)
    assert result.bands == 4  # a model needs all of its bands ...
    assert 'v.tif has not measured: ' in caplog.text  # ... and the user is told
    assert len(json.loads(result.uncovered)) == 2


def test_a_model_without_wavelengths(tmp_path):
    image = cube(tmp_path / 'a.tif', VISIBLE)
    model = tiny_bundle(tmp_path / 'model')
    with pytest.raises(BadInput, match='does not tell the wavelengths of red, green, blue'):
        resample_spectra(image, tmp_path / 'o.tif', bundle=model)
    table = tmp_path / 'table.csv'
    table.write_text('560\n')
    with pytest.raises(BadParameter, match='table or bundle'):
        resample_spectra(image, tmp_path / 'o.tif', bundle=model, table=table)


def test_part_of_an_image(tmp_path):
    image = cube(tmp_path / 'a.tif', VISIBLE)
    mask = write_raster(tmp_path / 'm.tif', np.eye(20, 30, dtype='uint8'))
    resample_spectra(
        image,
        tmp_path / 'o.tif',
        sensor='planetscope4',
        bands=[1, 14, 30, 45],
        uncovered='guess',
        mask=mask,
    )
    found, file = read(tmp_path / 'o.tif')
    assert ((found[0] != file.nodata) == np.eye(20, 30, dtype=bool)).all()
    with pytest.raises(BadParameter, match='band 51 does not exist'):
        resample_spectra(image, tmp_path / 'n.tif', bands=[51])
