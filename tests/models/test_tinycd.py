"""TinyCD against the numbers of its published code, and what we added."""

import pytest
import torch
from torchgeo.models import get_model, get_weight
from torchvision.models import EfficientNet_B4_Weights, efficientnet_b4

from tests.models.parity import Reference, fill
from torchgeo_ext import registry
from torchgeo_ext.errors import BadInput
from torchgeo_ext.models import TinyCD, TinyCD_Weights, tinycd
from torchgeo_ext.models._torchgeo import weights_of


@pytest.fixture(scope='module')
def reference():
    return Reference('tinycd_efficientnetb4')


@pytest.fixture(scope='module')
def model():
    return fill(tinycd())


@torch.no_grad()
def test_same_numbers_as_the_published_code(reference, model):
    reference.check_names(model)
    before, after = reference.inputs()
    mixed = model.mix(before, after)
    for number, features in enumerate(mixed):
        reference.check(f'features{number}', features, rtol=1e-4, atol=2e-5)
    logits = model(torch.stack((before, after), dim=1))
    reference.check('prob', logits.sigmoid(), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('size', [(1, 1), (8, 9), (37, 50), (64, 32)])
def test_any_size(model, size):
    logits = model(torch.rand(2, 2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.isfinite().all()


@torch.no_grad()
def test_images_of_a_batch_do_not_mix(model):
    batch = torch.rand(3, 2, 3, 40, 40)
    torch.testing.assert_close(model(batch)[1:2], model(batch[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('bands', 'classes'), [(1, 1), (4, 3), (12, 2)])
def test_any_bands_and_classes_learn(bands, classes):
    model = tinycd(in_channels=bands, num_classes=classes).train()
    logits = model(torch.rand(2, 2, bands, 33, 33))
    assert logits.shape == (2, classes, 33, 33)
    logits.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_published_weights_are_loaded(publish, model):
    publish(TinyCD_Weights.LEVIR_CD, model.state_dict())
    loaded = tinycd(TinyCD_Weights.LEVIR_CD)
    torch.testing.assert_close(loaded.state_dict(), model.state_dict())


def test_names_of_the_older_checkpoint(publish, model):
    old = {
        key.replace('_mixing_mask.2.', '_mixing_mask.2._mixing.'): value
        for key, value in model.state_dict().items()
    }
    assert old.keys() != model.state_dict().keys()
    publish(TinyCD_Weights.WHU_CD, old)
    loaded = tinycd(TinyCD_Weights.WHU_CD)
    torch.testing.assert_close(loaded.state_dict(), model.state_dict())


@torch.no_grad()
def test_more_bands_share_the_filters_of_three(publish, model):
    publish(TinyCD_Weights.LEVIR_CD, model.state_dict())
    pair = torch.rand(1, 2, 3, 32, 32)
    twice = tinycd(TinyCD_Weights.LEVIR_CD, in_channels=6).eval()(pair.repeat(1, 1, 2, 1, 1))
    torch.testing.assert_close(twice, model(pair), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_other_classes_start_with_a_new_last_layer(publish, model):
    publish(TinyCD_Weights.LEVIR_CD, model.state_dict())
    loaded = tinycd(TinyCD_Weights.LEVIR_CD, num_classes=4).state_dict()
    assert loaded['_classify._linears.2.0.weight'].shape[0] == 4
    same = [key for key in loaded if not key.startswith('_classify._linears.2.')]
    for key in same:
        torch.testing.assert_close(loaded[key], model.state_dict()[key])


def test_a_tampered_file_is_refused(publish, model):
    path = publish(TinyCD_Weights.LEVIR_CD, model.state_dict())
    path.write_bytes(path.read_bytes() + b'!')
    with pytest.raises(BadInput, match=r'levir_best\.pth is not the published file'):
        tinycd(TinyCD_Weights.LEVIR_CD)


def test_the_encoder_alone_can_be_pretrained(publish):
    stages = efficientnet_b4().features
    state = {f'features.{key}': value for key, value in stages.state_dict().items()}
    weights = EfficientNet_B4_Weights.IMAGENET1K_V1
    publish(weights, state | {'classifier.1.bias': torch.zeros(1000)})
    encoder = tinycd(backbone_weights=weights)._backbone
    torch.testing.assert_close(encoder.state_dict(), stages[:4].state_dict())
    with pytest.raises(ValueError, match='backbone_weights'):
        tinycd(TinyCD_Weights.LEVIR_CD, backbone_weights=weights)


def test_weights_say_where_they_come_from():
    for weights in TinyCD_Weights:
        assert 'non-commercial' in weights.meta['license']
        assert len(weights.meta['sha256']) == 64
        # a file of one commit, which cannot change
        assert '/1696827ffb7473c448591aaaa4434d4d4934a1ba/' in weights.url
        assert weights.transforms(torch.full((2, 3, 4, 4), 255.0)).amax() < 3


@pytest.mark.usefixtures('fresh_registry')
def test_known_by_name():
    assert registry.models['tinycd'] is tinycd
    assert weights_of(tinycd) is TinyCD_Weights
    assert isinstance(get_model('tinycd', in_channels=2), TinyCD)
    assert get_weight('TinyCD_Weights.LEVIR_CD') is TinyCD_Weights.LEVIR_CD
