"""Which bands of a raster a model gets."""

import logging

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from tests.rasters import write_raster
from torchgeo_ext.bundles import Band, match_bands
from torchgeo_ext.bundles.bands import raster_bands
from torchgeo_ext.errors import BadInput, BadParameter

SENTINEL2 = (
    Band('B02', 0.492, 0.065),
    Band('B03', 0.560, 0.035),
    Band('B04', 0.665, 0.030),
    Band('B08', 0.833, 0.105),
)
RGB = (Band('red', 0.660), Band('green', 0.560), Band('blue', 0.480))


def raster(folder, bands, names=(), **options):
    return write_raster(folder / 'a.tif', np.ones((bands, 4, 4), 'uint8'), names=names, **options)


def tag(path, *tags, **shared):
    with rasterio.open(path, 'r+') as dataset:
        dataset.update_tags(**shared)
        for index, entries in enumerate(tags, start=1):
            dataset.update_tags(index, **entries)
    return path


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['B08', 'B04', 'B03', 'B02'], (4, 3, 2, 1)),
        (['b2', 'b3', 'b4', 'b8'], (1, 2, 3, 4)),
        (['Band 2', 'Band 3', 'Band 4', 'Band 5', 'Band 8'], (1, 2, 3, 5)),
        (['band_02', 'band_03', 'BAND_04', 'band-08'], (1, 2, 3, 4)),
        (
            [
                'B4, central wavelength 665 nm',
                'B3, central wavelength 560 nm',
                'B2, central wavelength 490 nm',
                'B8, central wavelength 842 nm',
            ],
            (3, 2, 1, 4),
        ),
        (['B4 (red)', 'B3 (green)', 'B2 (blue)', 'B8 (nir)', 'B8A (nir)'], (3, 2, 1, 4)),
    ],
)
def test_by_name(tmp_path, names, expected, caplog):
    path = raster(tmp_path, len(names), names)
    with caplog.at_level(logging.INFO):
        assert match_bands(SENTINEL2, path) == expected
    assert 'by name' in caplog.text


def test_b1_is_not_b10_nor_b11(tmp_path):
    path = raster(tmp_path, 3, ['B10', 'B11', 'B1'])
    assert match_bands((Band('B01'), Band('B10')), path) == (3, 1)


def test_by_color_name_and_color(tmp_path):
    assert match_bands(RGB, raster(tmp_path, 3, ['Blue', 'GREEN', 'Red'])) == (3, 2, 1)
    assert match_bands((Band('R'), Band('G'), Band('N')), raster(tmp_path, 3, ['nir', 'g', 'red']))
    path = raster(tmp_path, 4, photometric='RGB', alpha='YES')
    assert match_bands(RGB[::-1], path) == (3, 2, 1)
    assert [band.alpha for band in raster_bands(path)] == [False, False, False, True]


def test_alpha_is_left_out_unless_the_model_wants_as_many_bands(tmp_path):
    marked = {'photometric': 'RGB', 'alpha': 'YES'}
    path = raster(tmp_path, 4, **marked)
    assert raster_bands(path)[3].alpha
    assert match_bands((Band('x'), Band('y'), Band('z')), path) == (1, 2, 3)
    assert match_bands(SENTINEL2, path) == (1, 2, 3, 4)
    path = raster(tmp_path, 4, ['', '', '', 'NIR'], **marked)
    assert match_bands((Band('nir'), Band('red')), path) == (4, 1)


def test_infrared_by_color(tmp_path):
    path = raster(tmp_path, 4)
    with rasterio.open(path, 'r+') as dataset:
        dataset.colorinterp = [
            ColorInterp.red,
            ColorInterp.green,
            ColorInterp.blue,
            ColorInterp.nir,
        ]
    assert match_bands((Band('N'), Band('R')), path) == (4, 1)


@pytest.mark.parametrize('units', ['Nanometers', 'nm', ''])
def test_by_wavelength_in_nanometres(tmp_path, units, caplog):
    path = raster(tmp_path, 5)
    tags = [{'wavelength': str(value)} for value in (443, 490, 560, 665, 842)]
    tag(path, *tags, **({'wavelength_units': units} if units else {}))
    with caplog.at_level(logging.INFO):
        assert match_bands(SENTINEL2, path) == (2, 3, 4, 5)
    assert 'by wavelength' in caplog.text


@pytest.mark.parametrize('key', ['WAVELENGTH', 'center_wavelength'])
def test_by_wavelength_in_micrometres(tmp_path, key):
    path = raster(tmp_path, 4)
    units = {'wavelength_units': 'Micrometers'}
    tag(path, *({key: str(value)} | units for value in (0.83, 0.66, 0.56, 0.49)))
    assert match_bands(SENTINEL2, path) == (4, 3, 2, 1)


def test_by_wavelength_of_gdals_imagery_domain(tmp_path):
    path = raster(tmp_path, 4)
    with rasterio.open(path, 'r+') as dataset:
        for index, value in enumerate((0.83, 0.66, 0.56, 0.49), start=1):
            dataset.update_tags(index, ns='IMAGERY', CENTRAL_WAVELENGTH_UM=str(value))
    assert match_bands(SENTINEL2, path) == (4, 3, 2, 1)


def test_wavelengths_of_an_envi_file(tmp_path):
    path = tmp_path / 'a.img'
    profile = {'width': 4, 'height': 4, 'count': 4, 'dtype': 'uint8', 'crs': 'EPSG:32633'}
    transform = rasterio.transform.from_origin(500_000, 5_300_000, 10, 10)
    with rasterio.open(path, 'w', driver='ENVI', transform=transform, **profile) as dataset:
        dataset.write(np.ones((4, 4, 4), 'uint8'))
    with (tmp_path / 'a.hdr').open('a') as header:
        header.write('wavelength units = Nanometers\nwavelength = { 842.0, 665.0, 560.0, 490.0}\n')
    assert [band.wavelength for band in raster_bands(path)] == pytest.approx(
        [0.842, 0.665, 0.56, 0.49]
    )
    assert match_bands(SENTINEL2, path) == (4, 3, 2, 1)


def test_broken_wavelengths_say_nothing(tmp_path):
    path = tag(raster(tmp_path, 1), {'wavelength': 'red'})
    assert raster_bands(path)[0].wavelength is None


def test_one_band_cannot_stand_for_two(tmp_path):
    path = tag(raster(tmp_path, 2), {'wavelength': '665'}, {'wavelength': '2200'})
    wanted = (Band('a', 0.66, 0.1), Band('b', 0.67, 0.1))
    with pytest.raises(BadInput):
        match_bands(wanted, path)


def test_in_order_with_a_warning(tmp_path, caplog):
    path = raster(tmp_path, 4)
    with caplog.at_level(logging.WARNING):
        assert match_bands(SENTINEL2, path, argument='before', bands_argument='before_bands') == (
            1,
            2,
            3,
            4,
        )
    assert 'B02, B03, B04, B08' in caplog.text
    assert 'before_bands' in caplog.text


def test_bands_that_were_never_named_are_not_taken_by_name(tmp_path, caplog):
    unnamed = tuple(Band(f'band {number}') for number in (1, 2, 3))
    with pytest.raises(BadInput):
        match_bands(unnamed, raster(tmp_path, 5, ['B1', 'B2', 'B3', 'B4', 'B5']))
    with caplog.at_level(logging.WARNING):
        assert match_bands(unnamed, raster(tmp_path, 3, ['B3', 'B2', 'B1'])) == (1, 2, 3)
    assert 'nothing tells the bands' in caplog.text


def test_explicit_list_wins(tmp_path):
    path = raster(tmp_path, 5, ['B02', 'B03', 'B04', 'B05', 'B08'])
    assert match_bands(SENTINEL2, path, [5, 4, 3, 2]) == (5, 4, 3, 2)


def test_explicit_list_that_does_not_fit(tmp_path):
    path = raster(tmp_path, 4, ['a', 'b', 'c', 'd'])
    with pytest.raises(BadParameter, match=r'bands has 2 numbers \(1,2\), but .* 4 bands: B02'):
        match_bands(SENTINEL2, path, [1, 2])
    with pytest.raises(BadParameter, match=r'bands is 1,2,3,5, but image has bands 1 to 4.* 4 d'):
        match_bands(SENTINEL2, path, [1, 2, 3, 5])


def test_too_few_bands(tmp_path):
    with pytest.raises(BadInput) as caught:
        match_bands(SENTINEL2, raster(tmp_path, 3, ['red', 'green', 'blue']), argument='after')
    message = caught.value.message
    assert message.startswith('after: ')
    assert 'B02 (492 nm), B03 (560 nm)' in message
    assert '1 red, 2 green, 3 blue' in message
    assert 'Choose an image with these bands' in caught.value.hint


def test_too_many_bands_without_names(tmp_path):
    with pytest.raises(BadInput) as caught:
        match_bands(SENTINEL2, raster(tmp_path, 6))
    assert '1 (no name)' in caught.value.message
    assert 'bands=1,2,3,4' in caught.value.hint


def test_as_many_bands_of_other_names_are_not_taken_in_order(tmp_path):
    path = raster(tmp_path, 4, ['B02', 'B03', 'B04', 'B11'])
    with pytest.raises(BadInput, match=r'B08.*4 B11'):
        match_bands(SENTINEL2, path)


def test_as_many_bands_of_other_wavelengths_are_not_taken_in_order(tmp_path):
    path = tag(raster(tmp_path, 4), *({'wavelength': str(v)} for v in (443, 490, 560, 2200)))
    with pytest.raises(BadInput, match=r'\(2200 nm\)'):
        match_bands(SENTINEL2, path)


def test_names_that_occur_twice_decide_nothing(tmp_path, caplog):
    """Two seasons stacked in one file, as some models read them."""
    seasons = (Band('B4'), Band('B3'), Band('B4'), Band('B3'))
    path = raster(tmp_path, 4)
    with caplog.at_level(logging.WARNING):
        assert match_bands(seasons, path) == (1, 2, 3, 4)


def test_not_a_raster(tmp_path):
    with pytest.raises(BadInput, match=r'image: .*nothing.tif does not exist'):
        match_bands(SENTINEL2, tmp_path / 'nothing.tif')


def test_sentinel2_without_names_but_with_a_product(tmp_path):
    product = tmp_path / 'S2A_MSIL1C_20150704T101006_N0204_R022_T33UUP_20150704T101337'
    product.mkdir()
    assert match_bands(SENTINEL2, raster(product, 13)) == (2, 3, 4, 8)
    assert match_bands((Band('nir08'), Band('swir22')), raster(product, 13)) == (9, 13)


def test_common_names_of_a_file_stand_for_the_bands_of_a_sensor(tmp_path, caplog):
    path = raster(tmp_path, 4, ['nir', 'red', 'green', 'blue'])
    with caplog.at_level(logging.INFO):
        assert match_bands(SENTINEL2, path) == (4, 3, 2, 1)
    assert 'by what they show' in caplog.text


def test_common_names_of_a_model_stand_for_the_bands_of_a_sensor(tmp_path):
    path = raster(tmp_path, 5, ['B02', 'B03', 'B04', 'B05', 'B08'])
    assert match_bands((Band('N'), Band('red'), Band('red edge 1')), path) == (5, 3, 4)


def test_bands_of_another_sensor_with_the_same_names_are_not_taken(tmp_path):
    landsat = raster(tmp_path, 6, ['SR_B2', 'SR_B3', 'SR_B4', 'SR_B5', 'SR_B6', 'B8'])
    wanted = (*SENTINEL2[:3], Band('B8A', 0.865, 0.020))
    assert match_bands(wanted, landsat) == (1, 2, 3, 4)
    numbered = tag(raster(tmp_path, 2, ['B4', 'B8']), {'wavelength': '655'}, {'wavelength': '590'})
    with pytest.raises(BadInput, match=r'B08 \(833 nm\); the image has 1 B4 \(655 nm\), 2 B8'):
        match_bands(SENTINEL2[2:], numbered)


def test_one_infrared_band_cannot_stand_for_two(tmp_path):
    path = raster(tmp_path, 3, ['red', 'nir', 'other'])
    with pytest.raises(BadInput):
        match_bands((Band('B08', 0.833), Band('B8A', 0.865)), path)


def test_common_names_of_a_model_among_the_bands_of_a_spectrometer(tmp_path):
    centres = range(420, 1000, 15)
    path = tag(raster(tmp_path, 39), *({'wavelength': f'{centre}'} for centre in centres))
    chosen = match_bands((Band('red'), Band('G'), Band('nir')), path)
    assert [centres[number - 1] for number in chosen] == [660, 555, 825]
    with pytest.raises(BadInput):
        match_bands((Band('red'), Band('swir16')), path)
