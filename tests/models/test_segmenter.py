"""Any backbone segments."""

import pytest
import timm
import torch
from torch import nn
from torchgeo.models import ResNet18_Weights

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import Segmenter, segmenter
from torchgeo_ext.models.features import Backbone, Stage
from torchgeo_ext.models.rsmamba import RSMamba, RSMambaSize


@torch.no_grad()
@pytest.mark.parametrize('decoder', ['upernet', 'fpn', 'conv'])
@pytest.mark.parametrize(
    'backbone', ['eurosat_baseline3', 'resnet18', 'tu-convnext_atto', 'tu-vit_tiny_patch16_224']
)
def test_every_kind_of_backbone(backbone, decoder):
    model = segmenter(backbone, decoder, in_chans=2, num_classes=5, width=32).eval()
    assert model(torch.rand(1, 2, 37, 50)).shape == (1, 5, 37, 50)


class Recorder(nn.Module):
    """A decoder that remembers what it was given."""

    def forward(self, maps):
        self.shapes = [tuple(features.shape) for features in maps]
        return maps[0]


@torch.no_grad()
def test_maps_of_one_scale_become_a_pyramid():
    model = Segmenter(RSMamba(RSMambaSize(16, 4)), num_classes=2, width=16).eval()
    model.decoder = Recorder()
    model(torch.rand(1, 3, 64, 48))
    assert model.decoder.shapes == [(1, 16, 16 >> n, 12 >> n if n < 3 else 2) for n in range(4)]


@torch.no_grad()
def test_convolutions_as_published():
    # SpectralEarth's head for patches of 4 pixels: 128 channels, then the classes
    model = Segmenter(Single(), 'conv', num_classes=5).eval()
    first, second, third = (m for m in model.decoder.modules() if isinstance(m, nn.Conv2d))
    assert (first.in_channels, first.out_channels, first.kernel_size) == (4, 128, (3, 3))
    assert (second.out_channels, third.out_channels, model.head.in_channels) == (64, 32, 32)
    image = torch.rand(2, 4, 5, 6)
    assert model(image).shape == (2, 5, 5, 6)
    assert model.decoder([image]).shape == (2, 32, 40, 48)
    # nothing bends what the last two convolutions make of it
    assert not isinstance(list(model.decoder.steps)[-1], nn.ReLU)


@pytest.mark.parametrize('decoder', ['upernet', 'fpn'])
def test_every_parameter_learns(decoder):
    torch.manual_seed(0)
    model = Segmenter(RSMamba(RSMambaSize(16, 4)), decoder, 3, 16)
    model(torch.rand(2, 3, 40, 40)).square().mean().backward()
    unused = {'encoder.backbone.ln2.weight', 'encoder.backbone.ln2.bias'}  # that of one vector
    silent = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert silent == unused


def test_weights_for_other_bands(publish):
    thirteen = timm.create_model('resnet18', in_chans=13)
    weights = ResNet18_Weights.SENTINEL2_ALL_MOCO
    publish(weights, thirteen.state_dict())
    model = segmenter('resnet18', backbone_weights=weights, in_chans=4, width=32)
    own = model.encoder.network.conv1.weight
    torch.testing.assert_close(own[:, 1], thirteen.conv1.weight.mean(1) * 13 / 4)


class Single(Backbone):
    feature_info = (Stage(4, 8),)

    def feature_maps(self, x):
        return [x]


def test_what_does_not_go_together_is_refused():
    with pytest.raises(BadParameter, match="decoder is 'unet', which is not known"):
        segmenter('eurosat_baseline3', 'unet')
    with pytest.raises(BadParameter, match='Single gives a single map'):
        Segmenter(Single())
