"""TorchGeo's networks that go by wavelengths, as backbones."""

import pytest
import torch
from torchgeo.models import DOFA, CopernicusFM, Panopticon

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import lessvit, wavelength_backbones
from torchgeo_ext.models._less import LESSSize
from torchgeo_ext.models.features import backbone_features, goes_by_wavelength
from torchgeo_ext.models.wavelength_backbones import by_wavelength

CENTRES = (0.49, 0.56, 0.665, 0.842)
NANOMETRES = [1000 * centre for centre in CENTRES]
SMALL = {'img_size': 32, 'embed_dim': 64, 'depth': 4, 'num_heads': 4, 'num_classes': 0}


def dofa(**options):
    return DOFA(**SMALL | options)


def copernicus(**options):
    return CopernicusFM(**SMALL | options)


def fill(network):
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.fixture(scope='module')
def panopticon():
    network = fill(Panopticon(img_size=28))
    network.model.blocks = network.model.blocks[:2]
    return network


@torch.no_grad()
@pytest.mark.parametrize('pool', [True, False])
def test_features_are_those_of_torchgeo(pool):
    image = torch.rand(2, 4, 32, 32)
    network = fill(dofa(global_pool=pool))
    expected = network.forward_features(image, list(CENTRES))
    torch.testing.assert_close(by_wavelength(network, CENTRES).embed(image), expected)
    network = fill(copernicus(global_pool=pool))
    widths = [1000 * width for width in wavelength_backbones._widths(CENTRES)]
    unknown = torch.full((2, 4), float('nan'))
    expected = network.forward_features(image, unknown, NANOMETRES, widths)
    torch.testing.assert_close(by_wavelength(network, CENTRES).embed(image), expected)


@torch.no_grad()
def test_features_are_those_of_panopticon(panopticon):
    image = torch.rand(2, 4, 28, 28)
    expected = panopticon({'imgs': image, 'chn_ids': torch.tensor([NANOMETRES] * 2)})
    backbone = by_wavelength(panopticon, CENTRES)
    torch.testing.assert_close(backbone.embed(image), expected, rtol=1e-4, atol=1e-4)
    assert backbone.feature_maps(torch.rand(1, 4, 30, 43))[-1].shape == (1, 768, 3, 4)


def test_widths_are_gaps_to_neighbours():
    assert wavelength_backbones._widths([0.4, 0.7, 0.5]) == pytest.approx([0.1, 0.2, 0.1])
    assert wavelength_backbones._widths([0.5]) == [0.03]


@torch.no_grad()
@pytest.mark.parametrize('network', [dofa(), copernicus()])
def test_maps_of_any_size_and_sensor(network):
    backbone = by_wavelength(fill(network), CENTRES)
    maps = backbone.feature_maps(torch.rand(1, 4, 37, 50))
    assert [tuple(features.shape) for features in maps] == [(1, 64, 3, 4)] * 4
    backbone.wavelengths = [0.55, 1.61, 2.2]
    image = torch.rand(1, 3, 32, 32)
    first = backbone.embed(image)
    backbone.wavelengths = [0.55, 1.61, 0.86]
    assert not torch.allclose(backbone.embed(image), first)
    with pytest.raises(BadInput, match='4 bands, but the network was given 3 wavelengths'):
        backbone.embed(torch.rand(1, 4, 32, 32))


def test_they_are_built_by_name(caplog):
    backbone = backbone_features('dofa_small_patch16_224', bands=['blue', 'green', 'red', 'nir'])
    assert backbone.wavelengths == pytest.approx((0.48, 0.56, 0.66, 0.83), abs=0.03)
    assert not caplog.text
    backbone_features('dofa_small_patch16_224', in_chans=2)
    assert 'none are given of 2 bands' in caplog.text


def test_less_vit_is_told_bands_too(monkeypatch):
    monkeypatch.setitem(lessvit.SIZES, 'base', LESSSize(32, 2, 2))
    assert goes_by_wavelength('lessvit_base')
    assert not goes_by_wavelength('resnet18')
    backbone = backbone_features('lessvit_base', bands=[0.5, 1.6])
    assert backbone.wavelengths == (0.5, 1.6)


def test_bad_bands():
    with pytest.raises(BadParameter, match='none are given'):
        backbone_features('dofa_small_patch16_224')
    with pytest.raises(BadParameter, match='of strange are not known'):
        backbone_features('dofa_small_patch16_224', bands=['strange', 'red'])
    with pytest.raises(BadParameter, match='micrometres'):
        backbone_features('dofa_small_patch16_224', bands=[490.0])
