"""Which sensor a file is of, and which band is which, from names and metadata."""

import numpy as np
import pytest
import rasterio

from tests.rasters import write_raster
from torchgeo_ext.sensors import detect_sensor, identify_bands, sensor


def raster(path, bands=1, names=(), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_raster(path, np.ones((bands, 2, 2), 'uint16'), names=names, **options)


def names(path, known=None):
    return [band and band.name for band in identify_bands(path, known)]


@pytest.mark.parametrize(
    ('path', 'name', 'band'),
    [
        (
            'S2A_MSIL1C_20150704T101006_N0204_R022_T33UUP_20150704T101337.SAFE/GRANULE/'
            'L1C_T33UUP_A000162_20150704T101337/IMG_DATA/T33UUP_20150704T101006_B8A.tif',
            'sentinel2a_l1c_harmonized',
            'B8A',
        ),
        (
            'S2C_MSIL2A_20260713T114351_N0512_R123_T29UNT_20260713T163414/T29UNT_B04_10m.tif',
            'sentinel2c_l2a',
            'B04',
        ),
        # a baseline of one's own processing does not tell whether there is an offset
        (
            'S2B_MSIL2A_20200223T032739_N9999_R018_T48QUE_20230924T183543/B12.tif',
            'sentinel2b',
            'B12',
        ),
        ('T33UUP_20200101T101031_B02.tif', 'sentinel2', 'B02'),
        ('20200604T054639_20200604T054831_T43RCP/B11.tif', 'sentinel2', 'B11'),
        ('S2B_33UUP_20200101_0_L2A/B8A.tif', 'sentinel2b', 'B8A'),
        ('LC08_044034_20140318.B5.tif', 'landsat8', 'B5'),
        ('LE07_L1TP_199026_20010604_20170204_01_T1_sr_band4.tif', 'landsat7', 'B4'),
        ('LC08_L2SP_199026_20210604_20210610_02_T1_SR_B4.tif', 'landsat8_l2_sr', 'B4'),
        ('LC09_L2SP_199026_20210604_20210610_02_T1_ST_B10.tif', 'landsat9_l2_st', 'B10'),
        ('LE07_L2SP_199026_20010604_20210610_02_T1_SR_B7.tif', 'landsat7_l2_sr', 'B7'),
        ('LC08_L1TP_199026_20210604_20210610_02_T1_B5.tif', 'landsat8_l1', 'B5'),
        ('LC08_L1TP_199026_20210604_20210610_02_T1_B10.tif', 'landsat8', 'B10'),
        ('MOD09A1.A2020001.h18v04.061.sur_refl_b02.tif', 'modis_mod09', 'B2'),
        (
            'S1A_IW_GRDH_1SDV_20200607T010800_20200607T010825_032904_03CFBA_D457/VH.tif',
            'sentinel1',
            'VH',
        ),
        ('WV03_20140825_104001_14AUG25-P2AS-052560775010_04_P004.tif', 'worldview3_pan', 'PAN'),
    ],
)
def test_files_of_one_band(tmp_path, path, name, band):
    path = raster(tmp_path / path)
    assert detect_sensor(path).name == name
    if name != 'worldview3_pan':
        assert names(path) == [band]


@pytest.mark.parametrize(
    ('path', 'name'),
    [
        ('LT52240631988227CUB02.tif', 'landsat5'),
        ('20210604_101112_45_2402_3B_AnalyticMS_SR_8b_clip.tif', 'planetscope8_sr'),
        ('20180604_101112_1_0f12_3B_AnalyticMS_SR_clip.tif', 'planetscope4_sr'),
        ('20180604_101112_1_0f12_3B_AnalyticMS.tif', 'planetscope4_radiance'),
        ('20210604_101112_45_2402_3B_AnalyticMS_8b.tif', 'planetscope8_radiance'),
        ('m_4709963_se_14_1_20090818.tif', 'naip'),
        (
            'ENMAP01-____L2A-DT0000004950_20221103T162438Z_001_V010110_20221118T145147Z-'
            'SPECTRAL_IMAGE.TIF',
            'enmap_l2a',
        ),
        ('EMIT_L2A_RFL_001_20230316T045133_2307503_005.tif', 'emit_l2a'),
        ('PRS_L2D_STD_20200416101500_20200416101505_0001.tif', 'prisma'),
        ('DESIS-HSI-L2A-DT0884573241_001-20200601T090451-V0210-SPECTRAL_IMAGE.tif', 'desis_l2a'),
        ('GF2_PMS1_E113.6_N23.1_20170101_L1A0002095000-MSS1.tif', 'gaofen2_ms'),
        ('QB02_20060101_1010010004D00000_06JAN01-M2AS-052560775010_04_P004.tif', 'quickbird_ms'),
        ('IMG_PHR1A_PMS_201309170955_SEN.tif', 'pleiades'),
        ('IMG_PNEO4_202111151358313_PAN_ORT.tif', 'pleiades_neo'),
        ('IMG_SPOT6_MS_201305251031_ORT.tif', 'spot'),
    ],
)
def test_files_of_several_bands_by_name(tmp_path, path, name):
    assert detect_sensor(raster(tmp_path / path, 3)).name == name


@pytest.mark.parametrize(
    'name', ['scene', 'ggaba_block1', 'LULC', 'demo_2009', 'map_1234567', 'B04', 'IMG_0001']
)
def test_names_that_say_nothing(tmp_path, name):
    path = raster(tmp_path / f'{name}.tif', 4)
    assert detect_sensor(path) is None
    assert names(path) == [None] * 4


def test_bands_of_prisma_by_wavelength_alone(tmp_path):
    path = raster(tmp_path / 'PRS_L2D_STD_20200416101500_20200416101505_0001.tif', 234)
    assert identify_bands(path) == (None,) * 234
    own = sensor('prisma').bands[::-1]
    with rasterio.open(path, 'r+') as dataset:
        for index, band in enumerate(own, start=1):
            dataset.update_tags(index, wavelength=1000 * band.wavelength + 0.1)
    assert identify_bands(path) == own


def test_an_open_raster(tmp_path):
    with rasterio.open(raster(tmp_path / 'm_4709963_se_14_1_20090818.tif', 4)) as dataset:
        assert detect_sensor(dataset).name == 'naip'
        assert not dataset.closed


def test_by_tags(tmp_path):
    path = raster(tmp_path / 'a.tif')
    with rasterio.open(path, 'r+') as dataset:
        dataset.update_tags(LANDSAT_PRODUCT_ID='LC08_L2SP_199026_20210604_20210610_02_T1_SR_B4')
    assert detect_sensor(path).name == 'landsat8_l2_sr'


SENTINEL2 = [band.name for band in sensor('sentinel2').bands]


@pytest.mark.parametrize(
    ('described', 'name'),
    [
        (SENTINEL2, 'sentinel2'),
        (['B02', 'B03', 'B04', 'B08'], 'sentinel2'),
        (['B2', 'B3', 'B4', 'B8', 'B8A'], 'sentinel2'),
        (['B8A, central wavelength 865 nm', 'B4, central wavelength 665 nm'], 'sentinel2'),
        (['SR_B1', 'SR_B5', 'ST_B10'], 'landsat_oli'),
        (['coastal_blue', 'blue', 'green_i'], 'planetscope8'),
        (['VV', 'VH'], 'sentinel1'),
        (['B2', 'B3', 'B4'], None),
        (['red', 'green', 'blue', 'nir'], None),
        (['B02', 'B02'], None),
        (['a', 'b'], None),
    ],
)
def test_by_names_of_bands(tmp_path, described, name):
    path = raster(tmp_path / 'a.tif', len(described), described)
    found = detect_sensor(path)
    assert (found and found.name) == name


def test_by_wavelengths(tmp_path):
    centres = [band.wavelength * 1000 for band in sensor('enmap').bands]
    path = raster(tmp_path / 'a.tif', 224)
    with rasterio.open(path, 'r+') as dataset:
        for index, centre in enumerate(centres, start=1):
            dataset.update_tags(index, wavelength=f'{centre + 0.3:.2f}', wavelength_units='nm')
    assert detect_sensor(path).name == 'enmap'
    assert names(path)[:2] == ['B1', 'B2']


def test_by_position_unless_something_says_another_order(tmp_path):
    product = 'S2A_MSIL2A_20220725T101321_N0400_R022_T33UUP_20220725T135043'
    assert names(raster(tmp_path / product / 'a.tif', 12)) == [
        band.name for band in sensor('sentinel2_l2a').bands
    ]
    assert names(raster(tmp_path / product / 'b.tif', 4)) == [None] * 4
    mixed = ['', 'B11', *[''] * 10]
    assert names(raster(tmp_path / product / 'c.tif', 12, mixed)) == [None, 'B11', *[None] * 10]
    assert names(raster(tmp_path / 'd.tif', 13), sensor('sentinel2')) == SENTINEL2


def test_pleiades_files_have_bands_in_an_order_of_their_own(tmp_path):
    path = raster(tmp_path / 'IMG_PHR1A_MS_201309170955.tif', 4, ['', '', 'blue', 'nir'])
    assert names(path) == [None, None, 'B0', 'B3']


def test_the_fourth_of_four_is_infrared_though_gdal_calls_it_alpha(tmp_path):
    path = tmp_path / 'm_4709963_se_14_1_20090818.tif'
    write_raster(path, np.ones((4, 2, 2), 'uint8'), photometric='RGB', alpha='YES')
    assert names(path) == ['red', 'green', 'blue', 'nir']
