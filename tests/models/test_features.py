"""What every backbone must do: give the maps it announces, for any bands and size."""

import pytest
import timm
import torch
from torchgeo.models import ResNet18_Weights

from tests.models.test_all import LARGE, MANY_BANDS
from torchgeo_ext import registry
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.features import backbone_features, list_backbones

BANDS, HEIGHT, WIDTH = 2, 37, 50
#: TorchGeo's have classes in common: one of each.
TORCHGEO = ('resnet18', 'swin_v2_t', 'vit_small_patch16_224', 'vit_small_patch14_dinov2')
TIMM = ('tu-convnext_atto', 'tu-mobilenetv3_small_050')


def own():
    return [name for name in list_backbones() if name in registry.models]


def names():
    return [*(n for n in own() if not n.endswith(LARGE)), *TORCHGEO, *TIMM]


def image(height=HEIGHT, width=WIDTH, bands=BANDS):
    return torch.rand(1, bands, height, width, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize('name', names())
def test_maps_are_as_announced(name):
    bands = MANY_BANDS.get(name, BANDS)
    backbone = backbone_features(name, in_chans=bands).eval()
    for size in ((HEIGHT, WIDTH), (64, 64)):
        maps = backbone.feature_maps(image(*size, bands))
        found = [tuple(features.shape) for features in maps]
        assert found == [
            (1, stage.channels, *(-(-side // stage.reduction) for side in size))
            for stage in backbone.feature_info
        ]
        assert all(features.isfinite().all() for features in maps)
    reductions = [stage.reduction for stage in backbone.feature_info]
    assert reductions == sorted(reductions)
    once = image(bands=bands)
    vector = backbone.embed(once)
    assert vector.ndim == 2
    assert len(vector) == 1
    assert torch.equal(vector, backbone.embed(once))
    assert not torch.equal(vector, backbone.embed(once.flip(-1) + 1))


def test_ours_are_among_them():
    assert {'eurosat_attention7', 'vmamba_tiny'} <= set(own())
    assert set(TORCHGEO) <= set(list_backbones())
    assert 'bit' not in list_backbones()


def test_weights_for_other_bands(publish):
    thirteen = timm.create_model('resnet18', in_chans=13)
    publish(ResNet18_Weights.SENTINEL2_ALL_MOCO, thirteen.state_dict())
    backbone = backbone_features('resnet18', ResNet18_Weights.SENTINEL2_ALL_MOCO, in_chans=4)
    own = backbone.network.conv1.weight
    assert own.shape == (64, 4, 7, 7)
    expected = thirteen.conv1.weight.mean(1) * 13 / 4
    torch.testing.assert_close(own[:, 2], expected)
    again = backbone_features('resnet18', ResNet18_Weights.SENTINEL2_ALL_MOCO)
    assert torch.equal(again.network.conv1.weight, thirteen.conv1.weight)


def test_weights_that_do_not_exist():
    with pytest.raises(BadParameter, match='there are none of eurosat_baseline3'):
        backbone_features('eurosat_baseline3', ResNet18_Weights.SENTINEL2_ALL_MOCO)


def test_what_gives_no_maps_is_refused():
    with pytest.raises(BadParameter, match="'tinycd' is not known, or gives no maps"):
        backbone_features('tinycd')
