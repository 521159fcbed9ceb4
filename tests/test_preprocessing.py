"""What weights expect: the numbers themselves, and images that cannot be meant."""

import dataclasses

import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.preprocessing import IMAGENET, Preprocessing
from torchgeo_ext.sensors import SensorBand

MEAN, STD = (1000.0, 2000.0), (200.0, 400.0)
EIGHT_BIT = Preprocessing.of_deviations('digital numbers', MEAN, STD, ('B2', 'B8'))


def image(low, high, channels=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(channels, 16, 16, generator=generator)
    values = (values - values.min()) / (values.max() - values.min())
    return (low + values * (high - low)).to(dtype)


def test_eight_bits_between_two_deviations():
    stored = image(0, 4000)
    low = np.subtract(MEAN, 2 * np.array(STD))[:, None, None]
    scaled = (stored.numpy().astype(np.float64) - low) / (4 * np.array(STD)[:, None, None]) * 255
    expected = np.clip(scaled, 0, 255).astype(np.uint8) / 255
    found = EIGHT_BIT.apply(stored.double()).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert len(np.unique(found)) <= 256


def test_one_transform_of_all_steps():
    preprocessing = Preprocessing(
        '8 bit', high=(255.0,), mean=(0.5,), std=(0.25,), resize=8, crop=6, interpolation='bicubic'
    )
    stored = torch.full((3, 2, 20, 30), 255.0)
    expected = torch.full((3, 2, 6, 6), 2.0)
    torch.testing.assert_close(preprocessing.transform()(stored), expected)
    assert preprocessing.transform(resized=False)(stored).shape == stored.shape


def test_some_of_the_bands():
    chosen = EIGHT_BIT.for_bands(['b08'])
    assert chosen.bands == ('B8',)
    stored = image(0, 4000)
    assert torch.equal(chosen.apply(stored[1:]), EIGHT_BIT.apply(stored)[1:])
    with pytest.raises(
        BadInput, match=r'has 1 bands, but the weights were trained on 2 \(B2, B8\)'
    ):
        EIGHT_BIT.apply(stored[:1])


@pytest.mark.parametrize(
    ('units', 'low', 'high', 'word'),
    [
        ('digital numbers', 0, 1, 'may be reflectance'),
        ('digital numbers', 0, 255, 'may be 8-bit'),
        ('digital numbers', -3, 3, 'standardised already'),
        ('reflectance', 0, 9000, 'may be digital numbers'),
        ('reflectance', 0, 255, 'may be 8-bit'),
        ('8 bit', 0, 9000, 'may be digital numbers'),
        ('8 bit', 0, 1, 'may be reflectance'),
        ('decibel', 0, 0.4, 'powers or amplitudes'),
        ('reflectance', 0.2, 0.2, 'all its values are 0.2'),
    ],
)
def test_values_that_cannot_be_meant(units, low, high, word):
    stored = torch.full((2, 4, 4), float(low)) if low == high else image(low, high)
    (problem,) = Preprocessing(units).problems(stored)
    assert word in problem


@pytest.mark.parametrize(
    ('units', 'low', 'high'),
    [
        ('digital numbers', 0, 9000),
        ('digital numbers', -900, 15000),
        ('reflectance', -0.02, 1.3),
        ('8 bit', 0, 255),
        ('decibel', -45, 12),
        ('other', -3, 3),
    ],
)
def test_values_that_can_be_meant(units, low, high):
    stored = image(low, high)
    stored[0, 0, 0] = torch.nan
    assert not Preprocessing(units).problems(stored)


def test_bands_that_cannot_be_meant(caplog):
    stored = image(0, 9000)
    assert not EIGHT_BIT.problems(stored, ['B02', 'b8'])
    assert 'order B8, B2' in EIGHT_BIT.problems(stored, ['B8', 'B2'])[0]
    assert 'do not know B4' in EIGHT_BIT.problems(stored, ['B2', 'B4'])[0]
    EIGHT_BIT.warn(image(0, 9000, channels=3), what='scene.tif')
    assert 'scene.tif does not suit the weights: it has 3 bands' in caplog.text
    assert EIGHT_BIT.problems(torch.full((2, 3, 3), torch.nan)) == ['The image has no valid pixel.']


def test_numbers_that_make_no_sense():
    with pytest.raises(BadParameter, match='mean has 2 numbers, but there are 3 bands'):
        Preprocessing('8 bit', ('R', 'G', 'B'), mean=(1.0, 2.0))
    with pytest.raises(BadParameter, match='each high must be above'):
        Preprocessing('8 bit', low=(1.0,), high=(1.0,))


BLUE, NIR = SensorBand('B02', role='blue', wavelength=0.492), SensorBand('B08', wavelength=0.83)


@pytest.mark.parametrize(
    ('known', 'bands', 'expected'),
    [
        (EIGHT_BIT, (NIR, BLUE), ('B8', 'B2')),
        # names of another kind are found by what the band shows
        (IMAGENET, (SensorBand('B4', role='red'), BLUE), ('red', 'blue')),
        (EIGHT_BIT, (SensorBand('band 1'), SensorBand('2')), ('B2', 'B8')),
        (Preprocessing('8 bit', high=(255.0,)), (NIR,), ()),
    ],
)
def test_bands_of_an_image_are_found(known, bands, expected):
    assert known.for_image(bands).bands == expected


@pytest.mark.parametrize('bands', [(SensorBand('SWIR'), BLUE), (SensorBand('band 1'),)])
def test_bands_that_the_weights_do_not_know(bands):
    with pytest.raises(BadParameter, match='No band is'):
        EIGHT_BIT.for_image(bands)


def test_physical_values_come_to_the_same():
    stored = image(0, 4000).double()
    scale, offset = (1e-4, 2e-4), (-0.1, 0.0)
    physical = torch.stack([stored[0] * 1e-4 - 0.1, stored[1] * 2e-4])
    affine = dataclasses.replace(EIGHT_BIT, levels=0)
    expected = affine.apply(stored)
    torch.testing.assert_close(affine.of_physical(scale, offset).apply(physical), expected)


def test_figures_say_what_is_done_to_each_band():
    for mean, std, figures in zip(MEAN, STD, EIGHT_BIT.figures(2), strict=True):
        low, high = mean - 2 * std, mean + 2 * std
        assert figures == (low, high - low, (low, high), 256)
    (figures,) = Preprocessing('8 bit', high=(255.0,), mean=(0.5,), std=(0.25,)).figures(1)
    assert figures == (127.5, 63.75, None, 0)
