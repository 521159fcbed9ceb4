"""CFNet against the numbers of its published code, and what we added."""

import pytest
import torch
from torchvision.models import EfficientNet_B5_Weights

from tests.models.parity import Reference
from torchgeo_ext.models import CFNet_Weights, cfnet


@pytest.fixture(scope='module')
def reference():
    return Reference('cfnet_efficientnetb5')


@pytest.fixture(scope='module')
def model(reference):
    return reference.build(cfnet)


@torch.no_grad()
def test_same_numbers_as_the_published_code(reference, model):
    before, after = reference.inputs()
    for number, features in enumerate(reversed(model.encode(before))):
        reference.check(f'enc_{number}', features)
    pair = torch.stack((before, after), dim=1)
    contents = model.contents(pair)
    for number, (features, focus) in enumerate(zip(contents.before, contents.focus, strict=True)):
        reference.check(f'y1_{number}', features)
        reference.check(f'rm_{number}', focus[:, 0])
    # near the saturation of tanh, see the tolerance note of the reference
    reference.check('change', model.score(pair)[:, 0], atol=1e-3)


@torch.no_grad()
def test_logits_cross_zero_where_the_score_crosses_its_threshold(model):
    pair = torch.rand(1, 2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    logits, score = model(pair), model.score(pair)
    torch.testing.assert_close(2 * torch.sigmoid(logits + torch.tensor(3.0).log()) - 1, score)
    assert ((logits > 0) == (score > 0.5)).all()
    assert 0 < (logits > 0).float().mean() < 1


@torch.no_grad()
def test_published_weights_for_other_bands_and_classes(publish, reference, caplog):
    weights = CFNet_Weights.LEVIR_CD
    state = reference.state()
    publish(weights, {f'module.{key}': value for key, value in state.items()})
    torch.testing.assert_close(
        cfnet(weights).encoder[0][0].weight, state['encoder._backbone.0.0.weight']
    )
    with caplog.at_level('INFO'):
        fitted = cfnet(weights, in_chans=6, num_classes=2)
    expected = state['encoder._backbone.0.0.weight'].repeat(1, 2, 1, 1) / 2
    torch.testing.assert_close(fitted.encoder[0][0].weight, expected)
    assert 'adapted to 6 bands' in caplog.text
    assert 'change_decoder.upsample.weight starts at random' in caplog.text


def test_one_start_only():
    with pytest.raises(ValueError, match='backbone_weights'):
        cfnet(CFNet_Weights.CLCD, backbone_weights=EfficientNet_B5_Weights.IMAGENET1K_V1)


def test_each_date_is_normalised_by_its_own_numbers():
    images = torch.full((1, 2, 3, 2, 2), 255 * 0.45028868)
    normalised = CFNet_Weights.LEVIR_CD.transforms(images)
    assert normalised.shape == images.shape
    assert normalised[0, 0, 0].abs().max() < 1e-5
    assert normalised[0, 1, 0, 0, 0].item() == pytest.approx((0.45028868 - 0.34578751) / 0.1292925)
