"""BIT against the numbers of its published code, and what we added."""

import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from tests.models.parity import Reference
from torchgeo_ext.models import bit


@pytest.fixture(scope='module')
def reference():
    return Reference('bit_resnet18_dd8_dedim8')


@torch.no_grad()
def test_same_numbers_as_the_published_code(reference):
    model = bit().eval()
    model.load_state_dict({'model_G_state_dict': reference.state(), 'epoch_id': 7})
    before, after = reference.inputs()
    features = model.encode(before)
    reference.check('resnet_pre', features)
    reference.check('tokens_pre', model.tokenize(features))
    reference.check('logits', model(torch.stack((before, after), dim=1)))


def test_the_encoder_alone_can_be_pretrained(publish):
    encoder = resnet18()
    publish(ResNet18_Weights.IMAGENET1K_V1, encoder.state_dict())
    weight = bit(in_chans=6, backbone_weights=ResNet18_Weights.IMAGENET1K_V1).resnet.conv1.weight
    torch.testing.assert_close(weight, encoder.conv1.weight.repeat(1, 2, 1, 1) / 2)
