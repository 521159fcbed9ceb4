"""Sensors by name, and their bands by what people call them."""

import subprocess
import sys

import pytest

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.sensors import Sensor, SensorBand, find_bands, read_sensors, sensor


def test_products_and_platforms_of_one_file():
    product = sensor('sentinel2b_l2a')
    assert product.title == 'Sentinel-2B MSI L2A (baseline 04.00 and later)'
    assert (product.quantity, product.scale, product.offset) == ('surface_reflectance', 1e-4, -0.1)
    assert 'B10' not in [band.name for band in product.bands]
    assert sensor('sentinel2_l2a').bands == sensor('sentinel2a_l2a').bands
    assert sensor('sentinel2_l2a_harmonized').offset == 0
    digital = sensor('sentinel2')
    assert (digital.quantity, digital.scale, len(digital.bands)) == ('digital_number', 1, 13)


def test_unknown_sensors_are_answered_with_near_ones():
    with pytest.raises(BadParameter, match=r"'sentinel_2a'.* Did you mean .*sentinel2a"):
        sensor('sentinel_2a')


@pytest.mark.parametrize(
    ('wanted', 'name'),
    [
        ('B8A', 'B8A'),
        ('b2', 'B02'),
        ('Band 11', 'B11'),
        ('water vapour', 'B09'),
        ('R', 'B04'),
        ('nir', 'B08'),
        ('nir08', 'B8A'),
        ('swir22', 'B12'),
        ('rededge', 'B06'),  # no band has this role; nearest to the middle of its wavelengths
        (0.49, 'B02'),
        (1.6, 'B11'),
    ],
)
def test_find_bands_of_a_sensor(wanted, name):
    known = sensor('sentinel2a')
    (place,) = find_bands([wanted], known)
    assert known.bands[place].name == name


def test_find_bands_of_a_file():
    assert find_bands(['red', 'nir'], ['Blue', 'Green', 'Red', 'NIR']) == (2, 3)
    assert find_bands(['red', 0.86], [0.45, 0.55, 0.66, 0.87]) == (2, 3)
    assert find_bands(['nir', 0.66], ['red', 0.66, 0.84]) == (2, 1)
    assert find_bands([0.66], [float('nan'), 0.66]) == (1,)


def test_numbers_before_names_do_not_count():
    names = ['b1 blue', 'b2_green', 'Band 3: Red', 'band 4 - NIR', 'B5 red edge 1']
    assert find_bands(['red', 'nir', 'green', 'blue'], names) == (2, 3, 1, 0)
    assert find_bands(['b1 blue'], names) == (0,)


def test_names_with_explanations():
    bands = sensor('enmap').bands
    names = [f'band {n} ({band.wavelength * 1000:.2f} nm)' for n, band in enumerate(bands, 1)]
    (red,) = find_bands(['red'], names)
    assert bands[red].wavelength == pytest.approx(0.655, abs=0.01)


def test_find_bands_of_a_file_by_the_sensor_whose_names_they_are():
    assert find_bands(['red', 'nir', 0.49], ['B02', 'B03', 'B04', 'B08']) == (2, 3, 0)
    assert find_bands(['red', 'swir16'], ['B1', 'B2', 'B4', 'B8A', 'B11']) == (2, 4)
    with pytest.raises(BadParameter, match='No band is red'):
        find_bands(['red'], ['B2', 'B3', 'B4'])  # red of several sensors, but not of all


@pytest.mark.parametrize('wanted', ['pan', 'B99', 0.6, 'lwir11', 3.0])
def test_what_is_missing_is_named(wanted):
    with pytest.raises(BadParameter, match=rf'No band is {wanted}; .*B04 \(red\) 665 nm'):
        find_bands(['red', wanted], sensor('sentinel2_l1c'))


def test_sensors_whose_bands_only_the_file_knows():
    camera = Sensor('camera', 'Some camera', 'digital_number', bands=())
    with pytest.raises(BadParameter, match='The bands of Some camera vary'):
        find_bands(['red'], camera)


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / 'drone.yaml'
    path.write_text("""
title: Drone
source: its manual
bands:
  R: {role: red, nm: [668, 14]}
  N: {role: nir, nm: [842, 57], gsd: 0.05}
products:
  reflectance: {title: reflectance, quantity: surface_reflectance, scale: 0.00003}
""")
    numbers, reflectance = read_sensors(path)
    assert (numbers.name, numbers.quantity) == ('drone', 'digital_number')
    assert (reflectance.name, reflectance.scale) == ('drone_reflectance', 3e-5)
    assert reflectance.bands[1] == SensorBand('N', (), 'nir', 0.842, 0.057, 0.05)


def test_names_that_stand_for_several_bands():
    with pytest.raises(BadParameter, match='RED stands for 2 bands: red, Red'):
        find_bands(['RED'], ['red', 'Red'])
    assert find_bands(['Red'], ['red', 'Red']) == (1,)


def test_needs_neither_torch_nor_numpy():
    code = (
        'import sys; from torchgeo_ext.sensors import sensor; sensor("sentinel2");'
        'print(sorted({"torch", "numpy", "rasterio"} & set(sys.modules)))'
    )
    environment = {'TORCHGEO_EXT_PLUGINS': ''}
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, env=environment)
    assert run.stdout.decode().strip() == '[]', run.stderr.decode()
