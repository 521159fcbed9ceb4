"""What the YAML files say, against rules that hold for all and against other people's tables."""

import re

import pytest
import spyndex

from torchgeo_ext.registry import sensors
from torchgeo_ext.sensors import find_bands, sensor
from torchgeo_ext.sensors._find import ROLES
from torchgeo_ext.sensors._names import plain

ALL = list(sensors.values())
SPYNDEX = {
    'landsat4': 'landsat4',
    'landsat5': 'landsat5',
    'landsat7': 'landsat7',
    'landsat8': 'landsat8',
    'landsat9': 'landsat9',
    'sentinel2a': 'sentinel2a',
    'sentinel2b': 'sentinel2b',
    'modis': 'modis',
    'planetscope': 'planetscope8',
    'worldview2': 'worldview2',
    'worldview3': 'worldview3',
}


@pytest.mark.parametrize(
    'family',
    [
        'sentinel1',
        'sentinel2',
        'landsat_tm',
        'landsat_etm',
        'landsat_oli',
        'modis',
        'planetscope4',
        'planetscope8',
        'naip',
        'spot',
        'pleiades',
        'pleiades_neo',
        'worldview2',
        'worldview3',
        'gaofen2',
        'quickbird',
        'enmap',
        'prisma',
        'emit',
        'desis',
        'hyperion',
        'aviris_ng',
        'hyspex',
    ],
)
def test_each_instrument_is_there(family):
    assert sensor(family).quantity == 'digital_number'
    assert sensor(family).family == family


@pytest.mark.parametrize('known', ALL, ids=lambda known: known.name)
def test_rules_for_all(known):
    assert 'http' in known.source
    assert known.family in sensors
    assert known.scale > 0
    for pattern in known.file_names:
        re.compile(pattern)
    names = [plain(name) for band in known.bands for name in (band.name, *band.aliases)]
    assert len(set(names)) == len(names)
    roles = [band.role for band in known.bands if band.role]
    assert len(set(roles)) == len(roles)
    for band in known.bands:
        assert band.role in {None, 'pan', *ROLES}
        if band.role in ROLES and band.wavelength:
            low, high = ROLES[band.role]
            assert low <= band.wavelength <= high
        assert band.width is None or 0 < band.width < band.wavelength
        assert find_bands([band.name], known) == (known.bands.index(band),)


def test_roles_are_those_of_the_index_catalogue():
    for band in spyndex.bands.values():
        if band.common_name in ROLES:
            assert ROLES[band.common_name] == pytest.approx(
                (band.min_wavelength / 1000, band.max_wavelength / 1000)
            )


@pytest.mark.parametrize(('theirs', 'ours'), SPYNDEX.items())
def test_wavelengths_agree_with_the_index_catalogue(theirs, ours):
    known = sensor(ours)
    bands = [getattr(b, theirs) for b in spyndex.bands.values() if hasattr(b, theirs)]
    assert len(bands) >= 6
    for band in bands:
        if band.band == 'B11' and ours == 'modis':
            continue  # an ocean band
        name = 'B6_VCID_1' if (ours, band.band) == ('landsat7', 'B6') else band.band
        (place,) = find_bands([name], known)
        near = max(0.005, 0.004 * band.wavelength / 1000)
        assert known.bands[place].wavelength == pytest.approx(band.wavelength / 1000, abs=near)


def test_constants_differ_between_platforms():
    assert sensor('landsat5').bands[5].planck == (607.76, 1260.56)
    assert sensor('landsat4_l2_st').bands[0].planck == (671.62, 1284.30)
    assert sensor('sentinel2c').bands[1].wavelength == 0.489


def test_landsat_products():
    reflectance, temperature = sensor('landsat9_l2_sr'), sensor('landsat9_l2_st')
    assert (reflectance.scale, reflectance.offset) == (2.75e-5, -0.2)
    assert [band.name for band in reflectance.bands] == [f'B{i}' for i in range(1, 8)]
    assert (temperature.scale, temperature.offset) == (0.00341802, 149.0)
    assert [band.name for band in temperature.bands] == ['B10']


def test_spectrometers():
    assert len(sensor('enmap').bands) == 224
    assert len(sensor('emit').bands) == 285
    assert len(sensor('desis').bands) == 235
    assert len(sensor('prisma').bands) == 234
    assert len(sensor('hyperion').bands) == 242
    assert len(sensor('aviris_ng').bands) == 425
    assert sensor('emit').bands[0].wavelength == pytest.approx(0.381006, abs=1e-6)
    for name in ('aviris_ng', 'desis', 'emit', 'enmap', 'hyperion', 'prisma'):
        known = sensor(name)
        (red,) = find_bands(['red'], known)
        assert known.bands[red].wavelength == pytest.approx(0.655, abs=0.005)
        for band in known.bands:
            assert 0.0015 < band.width < 0.02


def test_hyperion_has_bands_that_are_not_calibrated():
    bad = [band.name for band in sensor('hyperion').bands if not band.good]
    assert len(bad) == 242 - 198
    assert {'B7', 'B58', 'B76', 'B225'} <= set(bad)
