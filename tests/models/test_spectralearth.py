"""SpectralEarth against the numbers of its published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import SpectralEarth_Weights, spectralearth_resnet50, spectralearth_vits
from torchgeo_ext.models.spectralearth import SIZES, SpectralEarthResNet, SpectralEarthViT
from torchgeo_ext.sensors import sensor


@torch.no_grad()
def test_resnet_as_the_published_code():
    reference = Reference('spectralearth_resnet50')
    model = reference.build(SpectralEarthResNet, num_classes=14)
    reference.check_names(model)
    (image,) = reference.inputs()
    reference.check('spectral_adapter', model.spectral_adapter(image))
    for number, features in enumerate(model.feature_maps(image), 1):
        reference.check(f'layer{number}', features)
    reference.check('output', model(image))


@torch.no_grad()
def test_dilated_resnet_as_the_published_code():
    reference = Reference('spectralearth_resnet50_dilated')
    model = reference.build(SpectralEarthResNet, num_classes=14, dilated=True)
    (image,) = reference.inputs()
    for number, features in enumerate(model.feature_maps(image), 1):
        reference.check(f'layer{number}', features)


@torch.no_grad()
def test_transformer_as_the_published_code():
    reference = Reference('spectralearth_vit_s')
    model = reference.build(SpectralEarthViT, size=SIZES['vits'], num_classes=14)
    reference.check_names(model)
    (image,) = reference.inputs()
    core = model.vit_core
    maps = core.forward_intermediates(
        model.spectral_adapter(image), indices=[0, 5, 11], intermediates_only=True
    )
    for block, features in zip((0, 5, 11), maps, strict=True):
        # deep features before a norm are as exact as their size allows
        reference.check(f'block{block}', features, rtol=1e-3, atol=1e-3)
    reference.check('pre_head', model.embed(image))
    reference.check('output', model(image))


def test_bands_of_the_weights_are_those_of_enmap_by_wavelength():
    meta = SpectralEarth_Weights.VITS_DINO.meta
    centres = {band.name: band.wavelength for band in sensor('enmap').bands}
    wavelengths = [centres[name] for name in meta['bands']]
    assert len(wavelengths) == 202
    assert wavelengths == sorted(wavelengths)
    # where the cameras overlap their bands alternate
    assert meta['bands'].index('B92') < meta['bands'].index('B91')
    # absorbed by water vapour
    assert not any(1.35 < centre < 1.45 or 1.81 < centre < 1.94 for centre in wavelengths)


PREFIXES = ['', 'backbone.', 'teacher.backbone.', 'model.', 'vit.', 'encoder.patch_embed.']


@pytest.mark.parametrize('prefix', PREFIXES)
def test_published_files_may_be_wrapped_and_without_classifier(publish, prefix):
    torch.manual_seed(0)
    trained = spectralearth_resnet50()
    state = {prefix + key: value for key, value in trained.state_dict().items()}
    publish(SpectralEarth_Weights.RESNET50_DINO, {'state_dict': state | {'loss.w': torch.ones(1)}})
    loaded = spectralearth_resnet50(SpectralEarth_Weights.RESNET50_DINO, num_classes=3)
    for key, value in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert loaded.eval()(torch.zeros(1, 202, 8, 8)).shape == (1, 3)


def test_other_numbers_of_bands_are_told(publish, caplog):
    publish(SpectralEarth_Weights.RESNET50_MOCO, spectralearth_resnet50(num_classes=5).state_dict())
    spectralearth_resnet50(SpectralEarth_Weights.RESNET50_MOCO, in_chans=230)
    assert 'was trained on 202 bands' in caplog.text


@torch.no_grad()
def test_sizes_of_maps():
    image = torch.rand(1, 75, 21, 30)
    for model in (spectralearth_resnet50(), spectralearth_vits()):
        maps = model.eval().feature_maps(image)
        for stage, features in zip(model.feature_info, maps, strict=True):
            height, width = (-(-side // stage.reduction) for side in image.shape[-2:])
            assert features.shape == (1, stage.channels, height, width)


def test_too_few_bands():
    with pytest.raises(BadParameter, match=r'12 bands.*at least 75'):
        spectralearth_vits(in_chans=12)
    with pytest.raises(BadParameter, match='74 bands'):
        spectralearth_resnet50()(torch.zeros(1, 74, 8, 8))


def test_weights_of_another_size():
    with pytest.raises(BadParameter, match='spectralearth_resnet50, not of spectralearth_vits'):
        spectralearth_vits(SpectralEarth_Weights.RESNET50_DINO)
