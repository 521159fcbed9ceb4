import math

import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import (
    BrightnessTemperature,
    RadianceToReflectance,
    Rescale,
    ToPhysical,
    blackbody_radiance,
    brightness_temperature,
    sun_distance,
)

#: As in the metadata of a Landsat 8 scene, shortened.
MTL = """GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    LANDSAT_PRODUCT_ID = "LC08_L1TP_044034_20200101_20200113_02_T1"
  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SUN_ELEVATION = 30.00000000
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = LEVEL1_RADIOMETRIC_RESCALING
    RADIANCE_MULT_BAND_4 = 9.9000E-03
    RADIANCE_MULT_BAND_10 = 3.3420E-04
    RADIANCE_ADD_BAND_4 = -49.50000
    RADIANCE_ADD_BAND_10 = 0.10000
    REFLECTANCE_MULT_BAND_4 = 2.0000E-05
    REFLECTANCE_ADD_BAND_4 = -0.100000
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
END_GROUP = LANDSAT_METADATA_FILE
END
"""


def pixels(*values):
    return torch.tensor(values).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ('sensor', 'stored', 'physical'),
    [
        ('sentinel2_l2a', 5000.0, 0.4),
        ('sentinel2_l2a', 1000.0, 0.0),
        ('sentinel2_l2a_harmonized', 5000.0, 0.5),
        ('landsat8_l2_sr', 20000.0, 0.35),
        ('landsat8_l2_sr', 65535.0, 65455 * 2.75e-5 - 0.2),  # beyond the valid range
        ('landsat8_l2_st', 44177.0, 299.9979),
    ],
)
def test_stored_numbers_of_products(sensor, stored, physical):
    assert ToPhysical(sensor)(pixels(stored)).item() == pytest.approx(physical, abs=1e-3)


def test_and_back():
    image = 1 + 10000 * torch.rand(7, 5, 5, dtype=torch.float64)
    transform = ToPhysical('landsat8_l2_sr')
    torch.testing.assert_close(transform.inverse()(transform(image)), image)


def test_level_1_reflectance_wants_the_sun():
    transform = ToPhysical('landsat8_l1', sun_elevation=30.0)
    assert transform(pixels(10000.0)).item() == pytest.approx((10000 * 2e-5 - 0.1) / 0.5)
    with pytest.raises(BadParameter, match='sun_elevation is 0'):
        ToPhysical('landsat8_l1', sun_elevation=0)


def test_numbers_without_a_meaning():
    with pytest.raises(BadParameter, match='sentinel2, whose numbers'):
        ToPhysical('sentinel2')
    with pytest.raises(BadParameter, match='no factor may be 0'):
        Rescale([1.0, 0.0], [0.0])


def test_landsat_metadata(tmp_path):
    path = tmp_path / 'scene_MTL.txt'
    path.write_text(MTL)
    radiance = Rescale.from_mtl(path, ('10', '4'), 'radiance')(pixels(20000.0, 8000.0))
    assert radiance.flatten().tolist() == pytest.approx([6.784, 29.7])
    reflectance = Rescale.from_mtl(path, ('4',), 'reflectance')(pixels(8000.0))
    assert reflectance.item() == pytest.approx(0.06 / 0.5)
    with pytest.raises(BadInput, match='no REFLECTANCE_MULT_BAND_10'):
        Rescale.from_mtl(path, ('10',), 'reflectance')


def test_reflectance_from_radiance():
    # a white Lambertian surface under the sun in the zenith sends back irradiance / pi
    image = pixels(1554 / math.pi, 1036 / math.pi / 2)
    result = RadianceToReflectance([1554.0, 1036.0], 90.0)(image)
    assert result.flatten().tolist() == pytest.approx([1.0, 0.5])
    low = RadianceToReflectance([1554.0, 1036.0], 30.0, distance=1.01)(image)
    assert low[0].item() == pytest.approx(1.01**2 / 0.5)
    with pytest.raises(BadParameter, match='irradiance is'):
        RadianceToReflectance([0.0], 30.0)


def test_distance_of_the_sun():
    # perihelion on 3 January, aphelion on 4 July
    assert sun_distance(3) == pytest.approx(0.9833, abs=3e-4)
    assert sun_distance(185) == pytest.approx(1.0167, abs=3e-4)


def test_brightness_temperature():
    image = pixels(0.2, 9.0)
    result = BrightnessTemperature('landsat8', bands=('B4', 'B10'))(image)
    kelvin = 1321.0789 / math.log(774.8853 / 9.0 + 1)
    assert result.flatten().tolist() == pytest.approx([0.2, kelvin])
    assert 290 < kelvin < 300
    with pytest.raises(BadInput, match='given 2 bands, but the image has 3'):
        BrightnessTemperature('landsat8', bands=('B4', 'B10'))(torch.ones(3, 2, 2))
    with pytest.raises(BadParameter, match='no thermal constants'):
        BrightnessTemperature('sentinel2')


def test_black_bodies():
    kelvin = torch.linspace(200, 340, 20, dtype=torch.float64)
    radiance = blackbody_radiance(kelvin, 774.8853, 1321.0789)
    assert (radiance.diff() > 0).all()
    torch.testing.assert_close(brightness_temperature(radiance, 774.8853, 1321.0789), kelvin)
    dark = torch.tensor([0.0, -1.0], requires_grad=True)
    cold = brightness_temperature(dark, 774.8853, 1321.0789) + blackbody_radiance(dark, 1.0, 1.0)
    cold.sum().backward()
    assert torch.equal(cold, torch.zeros(2))
    assert torch.equal(dark.grad, torch.zeros(2))
