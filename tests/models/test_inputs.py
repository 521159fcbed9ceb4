"""What weights were trained to see, where TorchGeo's transforms differ."""

import pytest
import torch
from torchgeo.models import (
    ResNet18_Weights,
    ResNet50_Weights,
    ViTBase14_DINOv2_Weights,
    ViTSmall14_DINOv2_Weights,
)

from torchgeo_ext.models import CFNet_Weights, SatMAEPP_Weights, VMamba_Weights
from torchgeo_ext.models.inputs import preprocessing_of

SOFTCON = [
    enum[name]
    for enum in (ResNet50_Weights, ViTSmall14_DINOv2_Weights, ViTBase14_DINOv2_Weights)
    for name in ('SENTINEL1_GRD_SOFTCON', 'SENTINEL2_ALL_SOFTCON')
]
SECO_ECO = [ResNet50_Weights.SENTINEL2_ALL_SECO_ECO, ResNet50_Weights.SENTINEL2_ALL_NDVI_SECO_ECO]


@pytest.mark.parametrize('weights', SOFTCON, ids=str)
def test_softcon_saw_8_bits_between_two_deviations(weights):
    preprocessing = preprocessing_of(weights)
    bands = weights.meta['in_chans']
    assert preprocessing.bands == tuple(weights.meta['bands'])
    normalise = weights.transforms[-1]
    mean, std = (
        torch.tensor(numbers)[:, None, None] for numbers in (normalise.mean, normalise.std)
    )
    scores = torch.linspace(-4, 4, 81).expand(bands, 1, -1)
    image = scores * std + mean
    # rounded down to one of 256 steps
    steps = (0.5 + scores / 4).clamp(0, 1) - preprocessing.apply(image)
    assert steps.min() > -1e-4
    assert steps.max() < 1 / 255 + 1e-4
    assert preprocessing.transform()(image.expand(-1, 81, -1)).shape == (bands, 224, 224)


@pytest.mark.parametrize('weights', SECO_ECO, ids=str)
def test_seco_eco_saw_numbers_divided_by_255(weights):
    preprocessing = preprocessing_of(weights)
    image = torch.full((weights.meta['in_chans'], 64, 64), 5100.0)
    image[0, 0, 0] = 0
    assert preprocessing.apply(image).max() == 20
    assert weights.transforms(image).max() == pytest.approx(0.51)
    (problem,) = preprocessing.problems(image / 10_000)
    assert 'reflectance' in problem


def test_our_own_say_it_themselves():
    ours = SatMAEPP_Weights.SENTINEL2_FMOW_MAE
    assert preprocessing_of(ours) is ours.meta['preprocessing']


STANDARDISING = {
    ResNet18_Weights.SENTINEL2_ALL_MOCO: ('digital numbers', 256, 224),
    ResNet18_Weights.LANDSAT_OLI_SR_MOCO: ('8 bit', None, 224),
    ResNet50_Weights.SENTINEL1_ALL_MOCO: ('decibel', 256, 224),
    ResNet50_Weights.FMOW_RGB_GASSL: ('8 bit', 224, None),
    ResNet18_Weights.SENTINEL2_RGB_SECO: ('other', 256, 224),
    VMamba_Weights.IMAGENET_TINY: ('8 bit', None, None),
}


@pytest.mark.parametrize('weights', STANDARDISING, ids=str)
def test_transforms_that_standardise_say_what_was_done(weights):
    preprocessing = preprocessing_of(weights)
    assert preprocessing.bands == tuple(weights.meta.get('bands') or ())
    found = preprocessing.units, preprocessing.resize, preprocessing.crop
    assert found == STANDARDISING[weights]
    image = 200 * torch.rand(2, weights.meta['in_chans'], 300, 280)
    torch.testing.assert_close(preprocessing.transform()(image), weights.transforms(image))


def test_transforms_of_another_kind_say_nothing():
    assert preprocessing_of(CFNet_Weights.CLCD) is None
    assert preprocessing_of(ResNet50_Weights.SENTINEL1_GRD_CLOSP) is None
