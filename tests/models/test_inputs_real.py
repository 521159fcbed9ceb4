"""Real images beside what weights were trained to see: Sentinel-2 of both levels, and NAIP."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torchgeo.models import ResNet50_Weights

from torchgeo_ext.models import SatMAEPP_Weights
from torchgeo_ext.models.inputs import preprocessing_of

ROOT = Path(__file__).parents[2]
SCENES = ROOT / 'tests' / 'data' / 'ssl4eo'
NAIP = ROOT / 'recipes' / 'demo' / 'data' / 'naip_2016-08-16.tif'

SOFTCON = preprocessing_of(ResNet50_Weights.SENTINEL2_ALL_SOFTCON)
SECO_ECO = preprocessing_of(ResNet50_Weights.SENTINEL2_ALL_SECO_ECO)
SATMAEPP = preprocessing_of(SatMAEPP_Weights.SENTINEL2_FMOW_MAE)
SATMAEPP_RGB = preprocessing_of(SatMAEPP_Weights.FMOW_RGB_MAE)


def read(path):
    """The bands of an image (c, h, w), and their names."""
    with rasterio.open(path) as dataset:
        return torch.from_numpy(dataset.read().astype('float32')), list(dataset.descriptions)


@pytest.fixture(scope='module')
def l1c():
    return read(SCENES / 'l1c.tif')


@pytest.fixture(scope='module')
def l2a():
    return read(SCENES / 'l2a.tif')


@pytest.fixture(scope='module')
def naip():
    return read(NAIP)[0]


def chosen(scene, bands):
    image, names = scene
    return image[[names.index(band) for band in bands]]


def test_each_level_suits_the_weights_made_for_it(l1c, l2a):
    assert SOFTCON.problems(*l1c) == []
    assert SECO_ECO.problems(*l2a) == []
    ten = ['B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B11', 'B12']
    for scene in (l1c, l2a):
        assert SATMAEPP.problems(chosen(scene, ten), ten) == []


def test_level_2a_lacks_the_band_of_cirrus(l2a):
    (problem,) = SOFTCON.problems(*l2a)
    assert 'it has 12 bands, but the weights were trained on 13' in problem


def test_bands_in_another_order_are_told(l1c):
    image, names = l1c
    # as EuroSAT has them
    order = [name for name in names if name != 'B8A'] + ['B8A']
    (problem,) = SOFTCON.problems(chosen(l1c, order), order)
    assert 'its bands are in the order B1, B2' in problem
    assert SOFTCON.for_bands(order).problems(chosen(l1c, order), order) == []
    np.testing.assert_array_equal(
        SOFTCON.for_bands(order).apply(chosen(l1c, order)),
        SOFTCON.apply(image)[[names.index(band) for band in order]],
    )


def test_reflectance_and_8_bits_are_told(l1c, naip):
    image, names = l1c
    (problem,) = SOFTCON.problems(image / 10_000, names)
    assert 'may be reflectance from 0 to 1, but the weights expect digital numbers' in problem
    stretched = ((image - image.amin()) / (image.amax() - image.amin()) * 255).floor()
    (problem,) = SOFTCON.problems(stretched, names)
    assert 'may be 8-bit values from 0 to 255' in problem
    (problem,) = SOFTCON.for_bands(['B4', 'B3', 'B2', 'B8']).problems(naip)
    assert 'may be 8-bit values from 0 to 255' in problem
    standardised = (image - image.mean((1, 2), keepdim=True)) / image.std((1, 2), keepdim=True)
    (problem,) = SOFTCON.problems(standardised, names)
    assert 'it may have been standardised already' in problem


def test_photographs_suit_weights_of_colours_and_digital_numbers_do_not(l1c, naip):
    assert SATMAEPP_RGB.problems(naip[:3]) == []
    (problem,) = SATMAEPP_RGB.problems(chosen(l1c, ['B4', 'B3', 'B2']))
    assert 'digital numbers of 16 bits, but the weights expect 8 bit' in problem
    (problem,) = SATMAEPP_RGB.problems(naip)
    assert 'it has 4 bands' in problem


def test_what_the_networks_see_of_it(l1c, l2a):
    """The same image is another one to each: TorchGeo's transform of SeCo-Eco is 39 times less."""
    image, _ = l1c
    seen = SOFTCON.apply(image)
    assert 0 <= seen.min() <= seen.max() <= 1
    assert torch.equal(seen * 255, (seen * 255).round())
    ours = SECO_ECO.apply(l2a[0])
    theirs = ResNet50_Weights.SENTINEL2_ALL_SECO_ECO.transforms[-1](l2a[0].clone())
    ratio = (ours / theirs).flatten()
    torch.testing.assert_close(ratio, torch.full_like(ratio, 10_000 / 255))
