"""compute_spectral_index: named indices and formulas, bands by what they show."""

import json

import numpy as np
import pytest
import rasterio

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import compute_spectral_index
from torchgeo_ext.operations._indices import split_indices

SENTINEL2 = ('B02', 'B03', 'B04', 'B08', 'B11')
LEVELS = {'B02': 400, 'B03': 700, 'B04': 500, 'B08': 3500, 'B11': 2000}


def image(path, names=SENTINEL2, dtype='uint16', factor=1.0, **options):
    values = [np.full((6, 9), LEVELS[name] * factor) for name in SENTINEL2]
    return write_raster(path, np.array(values, dtype), names=names, **options)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.descriptions


def test_named_index(tmp_path):
    result = compute_spectral_index(image(tmp_path / 'a.tif', nodata=0), tmp_path / 'o.tif')
    found, names = read(tmp_path / 'o.tif')
    assert found == pytest.approx(3000 / 4000)
    assert names == ('NDVI',)
    assert json.loads(result.used_bands) == {'NDVI': {'N': 'B08 833 nm', 'R': 'B04 665 nm'}}
    assert result.styles['output']['type'] == 'range'
    assert (tmp_path / 'o.qml').exists()


@pytest.mark.parametrize(
    'formula', ['(nir - red) / (nir + red)', '(N-R)/(N+R)', '(nm840 - nm660) / (B08 + B04)']
)
def test_formulas(tmp_path, formula):
    compute_spectral_index(image(tmp_path / 'a.tif'), tmp_path / 'o.tif', index=formula)
    assert read(tmp_path / 'o.tif')[0] == pytest.approx(0.75)


def test_several_indices_and_constants(tmp_path):
    result = compute_spectral_index(
        image(tmp_path / 'a.tif'),
        tmp_path / 'o.tif',
        index='NDVI, SAVI; maximum(green, red) / sqrt(nir)',
        constants=[['L', '0.25']],
        scale=1e-4,
    )
    found, names = read(tmp_path / 'o.tif')
    savi = 1.25 * (0.35 - 0.05) / (0.35 + 0.05 + 0.25)
    expected = [0.75, savi, 0.07 / np.sqrt(0.35)]
    assert found[:, 0, 0].tolist() == pytest.approx(expected)
    assert result.indices == 3
    assert names[2] == 'maximum(green, red) / sqrt(nir)'


def test_a_spectrometer(tmp_path):
    centres = np.arange(0.42, 2.4, 0.007)
    spectrum = 0.1 + 0.4 / (1 + np.exp(-(centres - 0.715) / 0.02))
    values = np.tile((1e4 * spectrum).round()[:, None, None], (1, 5, 5)).astype('int16')
    path = write_raster(tmp_path / 'a.tif', values)
    with rasterio.open(path, 'r+') as dataset:
        dataset.scales = (1e-4,) * len(centres)
        for index, centre in enumerate(centres, 1):
            dataset.update_tags(index, wavelength=f'{1000 * centre:.2f}', fwhm='6.5')
            if 0.84 < centre < 0.86:
                dataset.update_tags(index, bbl='0')
    compute_spectral_index(path, tmp_path / 'o.tif', index='nm750 / nm705; nir * 1; nm850 * 1')
    found = read(tmp_path / 'o.tif')[0][:, 0, 0]
    near = [np.abs(centres - wanted).argmin() for wanted in (0.75, 0.705)]
    assert found[0] == pytest.approx(spectrum[near[0]] / spectrum[near[1]], abs=1e-3)
    assert found[1:].tolist() == pytest.approx([0.5, 0.5], abs=2e-3)


def test_what_the_user_says(tmp_path):
    plain = image(tmp_path / 'a.tif', names=())
    with pytest.raises(BadInput, match='does not say at which wavelengths its 5 bands are'):
        compute_spectral_index(plain, tmp_path / 'o.tif')
    for shows in ('blue,green,red,nir,swir16', '490, 560, 665, 842, 1610'):
        compute_spectral_index(plain, tmp_path / 'o.tif', shows=shows)
        assert read(tmp_path / 'o.tif')[0] == pytest.approx(0.75)
    table = tmp_path / 'table.csv'
    table.write_text('wavelength_um\n0.49\n0.56\n0.665\n0.842\n1.61\n')
    compute_spectral_index(plain, tmp_path / 'o.tif', wavelengths=str(table))
    assert read(tmp_path / 'o.tif')[0] == pytest.approx(0.75)
    with pytest.raises(BadParameter, match='shows tells of 2 bands, but image has 5'):
        compute_spectral_index(plain, tmp_path / 'o.tif', shows='red,nir')
    with pytest.raises(BadParameter, match='not both'):
        compute_spectral_index(plain, tmp_path / 'o.tif', shows='red', wavelengths=str(table))


def test_units_are_watched(tmp_path, caplog):
    compute_spectral_index(image(tmp_path / 'a.tif'), tmp_path / 'o.tif', index='NDVI;SAVI')
    assert 'values go up to 3500, but SAVI want reflectance' in caplog.text


def test_a_factor_that_was_applied_already(tmp_path, caplog):
    path = image(tmp_path / 'a.tif', dtype='float32', factor=1e-4)
    with rasterio.open(path, 'r+') as dataset:
        dataset.scales = (1e-4,) * 5
    compute_spectral_index(path, tmp_path / 'o.tif', index='SAVI')
    assert 'it is not applied again' in caplog.text
    assert read(tmp_path / 'o.tif')[0] == pytest.approx(1.5 * 0.3 / 0.9, abs=0.2)


@pytest.mark.parametrize(('factor', 'warned'), [(1.0, False), (1e-4, True)])
def test_a_factor_that_the_user_applies_again(tmp_path, caplog, factor, warned):
    path = image(tmp_path / 'a.tif', dtype='float32', factor=factor)
    compute_spectral_index(path, tmp_path / 'o.tif', index='SAVI', scale=1e-4)
    assert ('scale is 0.0001' in caplog.text) == warned
    assert ('look like reflectance already' in caplog.text) == warned


def test_what_is_no_number_is_no_data(tmp_path):
    path = image(tmp_path / 'a.tif', nodata=0)
    with rasterio.open(path, 'r+') as dataset:
        values = dataset.read()
        values[3, 0, 0], values[0, 1, 1] = 0, 0  # nir, and blue, which is not needed
        dataset.write(values)
    compute_spectral_index(path, tmp_path / 'o.tif', index='exp(nir / 10)')
    assert np.isnan(read(tmp_path / 'o.tif')[0][0, 0, 0])
    compute_spectral_index(path, tmp_path / 'o.tif')
    found = read(tmp_path / 'o.tif')[0][0]
    assert np.isnan(found[0, 0])
    assert found[1, 1] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ('index', 'message'),
    [
        ('NDVJ', "No spectral index is called 'NDVJ'. Did you mean NDVI"),
        (' ; ', 'it names no index'),
        ('nir.real + 1', r"holds 'nir.real', which is no arithmetic"),
        ('__import__("os").system("x")', 'which is no arithmetic'),
        ('exec(nir)', 'which is no arithmetic'),
        ('[nir for x in red]', 'which is no arithmetic'),
        ('nir if red else blue', 'which is no arithmetic'),
        ('nir + True', "holds 'True'"),
        ('sqrt(nir, red)', 'which is no arithmetic'),
        ('nir +', 'cannot be read'),
        ('1 + 2', 'names no band'),
        ('nir ** 9 ** 9 ** 9', 'too large a number'),
        ('(' * 400 + 'nir' + ')' * 400, 'cannot be read'),
        ('nir+' * 300 + 'red', 'has 1203 characters'),
        ('nir + nm2200', r'needs the band 2.2'),
        ('violet + nir', 'needs the band violet'),
    ],
)
def test_what_is_refused(tmp_path, index, message):
    with pytest.raises(BadParameter, match=message):
        compute_spectral_index(image(tmp_path / 'a.tif'), tmp_path / 'o.tif', index=index)
    assert not (tmp_path / 'o.tif').exists()


def test_constants_that_are_none(tmp_path):
    with pytest.raises(BadParameter, match='no rows of a name and a number'):
        compute_spectral_index(
            image(tmp_path / 'a.tif'), tmp_path / 'o.tif', index='SAVI', constants=[['L', 'x']]
        )


def test_no_valid_pixel(tmp_path):
    path = write_raster(
        tmp_path / 'a.tif', np.zeros((5, 4, 4), 'uint16'), names=SENTINEL2, nodata=0
    )
    with pytest.raises(BadInput, match='has no valid pixel'):
        compute_spectral_index(path, tmp_path / 'o.tif')


def test_split_indices():
    assert split_indices('NDVI, EVI;maximum(N, R) ; ') == ['NDVI', 'EVI', 'maximum(N, R)']
