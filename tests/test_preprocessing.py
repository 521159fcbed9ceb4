"""What weights expect: the numbers themselves, and images that cannot be meant."""

import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.preprocessing import Preprocessing

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
