"""Wavelengths of files: tags, headers, metadata beside the image, containers, tables."""

import math

import h5py
import numpy as np
import pytest
import rasterio

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import (
    WATER_VAPOUR,
    BandWavelengths,
    read_bands,
    read_wavelengths,
    wavelength_table,
)

ENMAP = 'ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z'


def raster(path, bands=3, tags=(), **options):
    write_raster(path, np.ones((bands, 2, 2), 'int16'), **options)
    with rasterio.open(path, 'r+') as dataset:
        for index, entry in enumerate(tags, 1):
            dataset.update_tags(index, **entry)
    return path


def envi(path, **entries):
    np.arange(12, dtype='int16').tofile(path)
    lines = {'samples': 2, 'lines': 2, 'bands': 3, 'data type': 2, 'interleave': 'bsq'}
    lines |= {key.replace('_', ' '): value for key, value in entries.items()}
    text = '\n'.join(f'{key} = {value}' for key, value in lines.items())
    path.with_suffix('.hdr').write_text(f'ENVI\n{text}\n')
    return path


def test_tags_of_bands(tmp_path):
    tags = [
        {'wavelength': '418.24', 'wavelength_units': 'Nanometers', 'fwhm': '7', 'bbl': '1'},
        {'wavelength': '0.55', 'wavelength_units': 'Micrometers', 'fwhm': '0.02', 'bbl': '0'},
        {'wavelength': '1343.18'},
    ]
    found = read_wavelengths(raster(tmp_path / 'a.tif', 3, tags))
    assert found.centre == pytest.approx((0.41824, 0.55, 1.34318))
    assert found.fwhm[:2] == pytest.approx((0.007, 0.02))
    assert math.isnan(found.fwhm[2])
    assert found.good == (True, False, True)
    assert found.source == 'a.tif'


def test_units_that_values_contradict(tmp_path):
    tags = [{'wavelength': '0.45', 'wavelength_units': 'nm'}]
    tags += [{'wavelength': '650', 'wavelength_units': 'Micrometers', 'fwhm': '10'}]
    found = read_wavelengths(raster(tmp_path / 'a.tif', 2, tags))
    assert found.centre == pytest.approx((0.45, 0.65))
    assert found.fwhm[1] == pytest.approx(0.01)


def test_envi_header(tmp_path):
    path = envi(
        tmp_path / 'a.bsq',
        wavelength_units='Micrometers',
        wavelength='{0.65, 0.45, 0.55}',
        fwhm='{0.01, 0.011, 0.012}',
        bbl='{1, 0, 1}',
        data_gain_values='{0.001, 0.002, 0.003}',
        data_offset_values='{0.1, 0.2, 0.3}',
    )
    found = read_wavelengths(path)
    assert found.centre == pytest.approx((0.65, 0.45, 0.55))
    assert found.fwhm == pytest.approx((0.01, 0.011, 0.012))
    assert found.good == (True, False, True)
    assert (found.scale, found.offset) == ((0.001, 0.002, 0.003), (0.1, 0.2, 0.3))
    assert found.order == (1, 2, 0)


def test_envi_header_in_nanometres_with_a_factor(tmp_path):
    path = envi(tmp_path / 'a.bsq', wavelength='{450, 550, 650}', reflectance_scale_factor='10000')
    found = read_wavelengths(path)
    assert found.centre == pytest.approx((0.45, 0.55, 0.65))
    assert found.scale == pytest.approx((1e-4,) * 3)


@pytest.mark.parametrize(
    'names',
    [
        ['450.0 Nanometers', 'band 2 (549.1 Nanometers)', 'red 0.665 µm'],
        ['450.0', '549.1', '0.665'],
        ['B2 (450nm)', '549.1 nm', '665 nanometres'],
    ],
)
def test_names_of_bands(tmp_path, names):
    found = read_wavelengths(raster(tmp_path / 'a.tif', names=names))
    assert found.centre == pytest.approx((0.45, 0.5491, 0.665))


def test_years_are_no_wavelengths(tmp_path):
    with pytest.raises(BadInput, match='does not say at which wavelengths its 3 bands are'):
        read_wavelengths(raster(tmp_path / 'a.tif', names=['2019', '2020', '2021']))


def enmap_metadata(path, count=224, gain=1e-4):
    bands = ''.join(
        f'<bandID number="{i + 1}"><wavelengthCenterOfBand>{420 + 9 * i}</wavelengthCenterOfBand>'
        f'<FWHMOfBand>8</FWHMOfBand><GainOfBand>{gain}</GainOfBand><OffsetOfBand>0</OffsetOfBand>'
        '</bandID>'
        for i in range(count)
    )
    text = f'<level_X><specific><bandCharacterisation>{bands}</bandCharacterisation></specific>'
    path.write_text(f'{text}</level_X>')


def test_enmap_with_metadata_beside_it(tmp_path):
    enmap_metadata(tmp_path / f'{ENMAP}-METADATA.XML')
    found = read_wavelengths(raster(tmp_path / f'{ENMAP}-SPECTRAL_IMAGE.TIF', 224))
    assert found.centre[:2] == pytest.approx((0.42, 0.429))
    assert found.fwhm == pytest.approx((0.008,) * 224)
    assert found.scale == pytest.approx((1e-4,) * 224)


def test_cameras_of_enmap_l1b(tmp_path):
    name = ENMAP.replace('L2A', 'L1B')
    enmap_metadata(tmp_path / f'{name}-METADATA.XML', gain=0.01)
    visible = read_wavelengths(raster(tmp_path / f'{name}-SPECTRAL_IMAGE_VNIR.TIF', 91))
    infrared = read_wavelengths(raster(tmp_path / f'{name}-SPECTRAL_IMAGE_SWIR.TIF', 133))
    assert visible.centre[0] == pytest.approx(0.42)
    assert infrared.centre[0] == pytest.approx(0.42 + 9e-3 * 91)
    assert visible.scale[0] == infrared.scale[-1] == 0.01


def test_enmap_without_metadata(tmp_path):
    found = read_wavelengths(raster(tmp_path / f'{ENMAP}-SPECTRAL_IMAGE.TIF', 224))
    assert found.centre[0] == pytest.approx(0.418416)
    assert found.fwhm[0] == pytest.approx(0.007)
    assert found.scale[0] == 1e-4
    with pytest.raises(BadInput, match=r'EnMAP HSI L2A, which has 224 bands, but the file has 218'):
        read_wavelengths(raster(tmp_path / f'{ENMAP}-SPECTRAL_IMAGE.TIF', 218))


def test_damaged_metadata(tmp_path):
    (tmp_path / f'{ENMAP}-METADATA.XML').write_text('<a>')
    with pytest.raises(BadInput, match='is no XML'):
        read_wavelengths(raster(tmp_path / f'{ENMAP}-SPECTRAL_IMAGE.TIF', 224))


def test_desis_metadata(tmp_path):
    name = 'DESIS-HSI-L2A-DT0884573241_001-20200601T090451-V0210'
    bands = ''.join(
        f'<band><bandNumber>{i}</bandNumber><wavelengthCenterOfBand>{400 + i}'
        '</wavelengthCenterOfBand><wavelengthWidthOfBand>3.5</wavelengthWidthOfBand>'
        '<gainOfBand>0.0001</gainOfBand><offsetOfBand>0</offsetOfBand></band>'
        for i in range(3)
    )
    (tmp_path / f'{name}-METADATA.xml').write_text(
        f'<d><specific><bandCharacterisation>{bands}</bandCharacterisation></specific></d>'
    )
    found = read_wavelengths(raster(tmp_path / f'{name}-SPECTRAL_IMAGE.tif', 3))
    assert found.centre == pytest.approx((0.4, 0.401, 0.402))
    assert found.fwhm == pytest.approx((0.0035,) * 3)


@pytest.fixture
def emit(tmp_path):
    path = tmp_path / 'EMIT_L2A_RFL_001_20230316T045133_2307503_005.nc'
    with h5py.File(path, 'w') as file:
        for name, size in (('downtrack', 4), ('crosstrack', 5), ('bands', 3)):
            file.create_dataset(name, data=np.arange(size)).make_scale(name)
        cube = file.create_dataset('reflectance', data=np.zeros((4, 5, 3), 'f4'))
        for axis, name in enumerate(('downtrack', 'crosstrack', 'bands')):
            cube.dims[axis].attach_scale(file[name])
        group = file.create_group('sensor_band_parameters')
        for name, values in (
            ('wavelengths', [381.0, 1400.5, 2493.0]),
            ('fwhm', [8.4, 8.6, 8.8]),
            ('good_wavelengths', [1, 0, 1]),
        ):
            group.create_dataset(name, data=np.array(values, 'f4'))
            group[name].dims[0].attach_scale(file['bands'])
    return path


def test_emit(emit):
    for path in (str(emit), f'NETCDF:"{emit}":reflectance'):
        found = read_wavelengths(path)
        assert found.centre == pytest.approx((0.381, 1.4005, 2.493))
        assert found.fwhm == pytest.approx((0.0084, 0.0086, 0.0088))
        assert found.good == (True, False, True)


def test_prisma(tmp_path):
    path = tmp_path / 'PRS_L2D_STD_20200416101500_20200416101505_0001.he5'
    with h5py.File(path, 'w') as file:
        file.attrs['List_Cw_Vnir'] = np.array([0, 900.5, 402.5], 'f4')
        file.attrs['List_Cw_Vnir_Flags'] = np.array([0, 1, 1], 'u1')
        file.attrs['List_Fwhm_Vnir'] = np.array([0, 10.5, 11.4], 'f4')
        file.attrs['List_Cw_Swir'] = np.array([2497.0, 943.4], 'f4')
        file.attrs['L2ScaleVnirMin'], file.attrs['L2ScaleVnirMax'] = 0.1, 1.1
        fields = 'HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields'
        file.create_dataset(f'{fields}/VNIR_Cube', data=np.zeros((4, 3, 5), 'u2'))
        file.create_dataset(f'{fields}/SWIR_Cube', data=np.zeros((4, 2, 5), 'u2'))
    found = read_wavelengths(path)
    assert math.isnan(found.centre[0])
    assert found.centre[1:] == pytest.approx((0.9005, 0.4025, 2.497, 0.9434))
    assert found.good == (False, True, True, True, True)
    assert found.fwhm[1] == pytest.approx(0.0105)
    assert found.scale[1] == pytest.approx(1 / 65535)
    assert found.offset == pytest.approx((0.1, 0.1, 0.1, 0, 0))
    assert found.order == (2, 1, 4, 3)


@pytest.mark.parametrize(
    'text',
    [
        'band,wavelength_nm,fwhm_nm,bbl\n1,450,10,1\n2,550,11,0\n3,650,12,1\n',
        'Wavelength (um);FWHM (um);good\n0.45;0.01;1\n0.55;0.011;0\n0.65;0.012;1\n',
        'name\tcentre\tbandwidth\tvalid\nx\t450\t10\t1\ny\t550\t11\t0\nz\t650\t12\t1\n',
        'wavelength_um,fwhm_nm,good\n0.45,10,1\n0.55,11,0\n0.65,12,1\n',
        'wavelength_nm,fwhm_um,good\n450,0.01,1\n550,0.011,0\n650,0.012,1\n',
        'wavelength,fwhm,good\n0.45,10,1\n0.55,11,0\n0.65,12,1\n',
        'wavelength,fwhm,good\n450,0.01,1\n550,0.011,0\n650,0.012,1\n',
    ],
)
def test_tables(tmp_path, text):
    path = raster(tmp_path / 'a.tif')
    table = tmp_path / 'table.csv'
    table.write_text(text)
    found = read_wavelengths(path, table)
    assert found.centre == pytest.approx((0.45, 0.55, 0.65))
    assert found.fwhm == pytest.approx((0.01, 0.011, 0.012))
    assert found.good == (True, False, True)
    assert found.names == (('x', 'y', 'z') if 'name' in text else ('', '', ''))


def test_tables_without_a_header(tmp_path):
    table = tmp_path / 'table.csv'
    table.write_text('450,10\n550,11\n650,12\n')
    assert wavelength_table(table).fwhm == pytest.approx((0.01, 0.011, 0.012))


def test_a_sensor_for_a_table(tmp_path):
    found = read_wavelengths(raster(tmp_path / 'a.tif', 12), 'sentinel2a_l2a')
    assert found.names[1] == 'B02'
    assert (found.scale[0], found.offset[0]) == (1e-4, -0.1)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'has no rows'),
        ('a,b\n1,2\n', r'no column of .*\(a, b\) is a wavelength'),
        ('wavelength\n450\nx\n', "no wavelength in row 2: 'x'"),
        ('wavelength\n450\n', r'wavelengths: .*table.csv has 1 bands, but image .*a.tif has 3\.'),
    ],
)
def test_tables_that_do_not_do(tmp_path, text, message):
    table = tmp_path / 'table.csv'
    table.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_wavelengths(raster(tmp_path / 'a.tif'), table)


def test_no_such_table(tmp_path):
    path = raster(tmp_path / 'a.tif')
    with pytest.raises(BadInput, match='cannot be read'):
        read_wavelengths(path, tmp_path / 'none.csv')
    with pytest.raises(BadParameter, match=r"wavelengths: .*'enmab'.* Did you mean .*enmap"):
        read_wavelengths(path, 'enmab')
    with pytest.raises(BadParameter, match=r'wavelengths: .* vary .* CSV with a row for each band'):
        read_wavelengths(path, 'hyspex')


def test_a_number_of_bands_that_no_sensor_has(tmp_path):
    with pytest.raises(BadInput, match=r'No known sensor has 225 bands\.'):
        read_wavelengths(raster(tmp_path / 'a.tif', 225))
    with pytest.raises(BadInput, match=r'224 bands have: .*enmap'):
        read_wavelengths(raster(tmp_path / 'b.tif', 224))
    with pytest.raises(BadInput, match=r'PRISMA has 234 bands, but image .*b\.tif has 224\. 224 b'):
        read_wavelengths(tmp_path / 'b.tif', 'prisma')


def test_no_wavelengths_says_where_it_looked(tmp_path):
    with pytest.raises(BadInput, match=r'Looked at: tags .* Give a table of wavelengths') as raised:
        read_wavelengths(raster(tmp_path / 'a.tif'), argument='before')
    assert raised.value.message.startswith('before: ')


def test_widths_are_guessed_from_neighbours():
    bands = BandWavelengths((0.5, 0.51, 0.53, 2.0, math.nan), (0.003,) + (math.nan,) * 4)
    assert bands.widths[:4] == pytest.approx((0.003, 0.02, 0.04, 0.04))
    assert math.isnan(bands.widths[4])
    assert bands.order == (0, 1, 2, 3)


def test_water_vapour_is_marked():
    bands = BandWavelengths((0.86, 1.38, 1.6, 1.88)).without(WATER_VAPOUR)
    assert bands.good == (True, False, True, False)
    assert bands.select([2, 1]).good == (True, False)
    assert bands.describe([1, 3]) == '1380 nm, 1880 nm'


def test_entries_must_fit():
    with pytest.raises(BadParameter, match='fwhm has 2 entries, but there are 1 bands'):
        BandWavelengths((0.5,), (0.1, 0.1))


def test_bands_of_a_file_tell_width_and_factor(tmp_path):
    path = raster(tmp_path / 'a.tif', 1, [{'wavelength': '665', 'fwhm': '30'}])
    with rasterio.open(path, 'r+') as dataset:
        dataset.scales, dataset.offsets = (1e-4,), (-0.1,)
    with rasterio.open(path) as dataset:
        (band,) = read_bands(dataset)
    assert (band.wavelength, band.width) == pytest.approx((0.665, 0.03))
    assert (band.scale, band.offset) == (1e-4, -0.1)
