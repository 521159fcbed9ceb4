"""Filters of a first layer come to other bands in five ways."""

from typing import get_args

import pytest
import timm
import torch
from torchgeo.models import ResNet18_Weights

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import VMamba_Weights
from torchgeo_ext.models.channels import Adaptation, adapt_channels, adapt_filters
from torchgeo_ext.models.features import backbone_features
from torchgeo_ext.models.vmamba import SIZES, VMambaClassifier, VMambaSize
from torchgeo_ext.operations import _training

KERNELS = torch.arange(5.0).reshape(1, 5, 1, 1) + 1
BANDS = ('B2', 'B3', 'B4', 'B8A', 'B11')


def adapt(bands, adaptation, known=BANDS, channels=None):
    kernels, note = adapt_channels(KERNELS, known, bands, channels, adaptation)
    return kernels.flatten().tolist(), note


def test_repeat():
    kernels, note = adapt(tuple('abcdefg'), 'repeat')
    assert kernels == pytest.approx([5 / 7 * weight for weight in (1, 2, 3, 4, 5, 1, 2)])
    assert note == 'its filters of 5 bands were repeated for these 7'


def test_mean():
    kernels, note = adapt(('B4', 'B3'), 'mean')
    assert kernels == [3 * 2.5, 3 * 2.5]
    assert 'was averaged for these 2' in note


def test_nearest_wavelength():
    kernels, note = adapt((0.86, 0.65, 'height', 'swir22'), 'nearest')
    assert kernels == [weight * 1.25 for weight in (4, 3, 3, 5)]
    assert note == (
        'bands were found by wavelength: 0.86 from B8A, 0.65 from B4, swir22 from B11; '
        'height got the mean of its channels'
    )


def test_nearest_from_roles_to_names_of_a_sensor():
    kernels, _ = adapt(('B2', 'B8A'), 'nearest', ('blue', 'green', 'red', 'nir08', 'swir16'))
    assert kernels == [1 * 2.5, 4 * 2.5]


@pytest.mark.parametrize(
    ('bands', 'known', 'places'),
    [
        (('blue', 'green', 'red'), ('B04', 'B03', 'B02', 'B8A', 'B11'), [2, 1, 0]),
        ((0.49, 0.56, 0.665), ('B04', 'B03', 'B02', 'B8A', 'B11'), [2, 1, 0]),
        (('B02', 'B03', 'B8A', 'B11', 'B04'), ('red', 'green', 'blue', 'nir', 'swir16'),
         [2, 1, 3, 4, 0]),
    ],
)  # fmt: skip
def test_roles_and_wavelengths_where_no_name_is_known(bands, known, places):
    kernels, note = adapt(bands, 'auto', known)
    assert kernels == pytest.approx([(place + 1) * 5 / len(bands) for place in places])
    assert note == 'all bands were found by role or wavelength'


@pytest.mark.parametrize('bands', [tuple('abcde'), ('blue', 'green', 'red', 'red', 'red')])
def test_bands_are_taken_in_their_order_where_not_all_are_known(bands):
    kernels, note = adapt(bands, 'auto', ('B04', 'B03', 'B02', 'B8A', 'B11'))
    assert kernels == [1, 2, 3, 4, 5]
    assert note.startswith('bands are taken in their order')


@pytest.mark.parametrize(
    ('bands', 'known', 'whose'),
    [(('x', 'y'), BANDS, 'the image'), (('red', 'nir'), (), 'the weights')],
)
def test_nearest_needs_wavelengths(bands, known, whose):
    with pytest.raises(BadParameter, match=f'those of the bands of {whose}'):
        adapt(bands, 'nearest', known)


def test_zero():
    kernels, note = adapt(('B8A', 'height', 'B2'), 'zero')
    assert kernels == [4, 0, 1]
    assert note == 'bands were found by name; height got no effect at first'
    kernels, note = adapt(tuple('abcdefg'), 'zero', known=())
    assert kernels == [1, 2, 3, 4, 5, 0, 0]
    assert note.endswith('f, g got no effect at first')
    kernels, _ = adapt(('B2', 'x'), 'zero', channels=4)
    assert kernels == [0.5, 0, 0.5, 0]


@pytest.mark.parametrize(
    ('adaptation', 'mean'), [('auto', 2), ('repeat', 2), ('mean', 3), ('nearest', 2), ('zero', 2)]
)
def test_what_a_layer_gives_keeps_its_size(adaptation, mean):
    # with five bands of ones, filters of this mean would give five times as much
    kernels, _ = adapt(('red', 'green', 'blue'), adaptation)
    assert sum(kernels) == pytest.approx(mean * (3 if adaptation == 'zero' else 5))


def test_the_same_bands_keep_their_filters():
    for adaptation in set(get_args(Adaptation)) - {'mean'}:
        assert adapt(BANDS, adaptation)[0] == [1, 2, 3, 4, 5]


def test_unknown_ways_are_refused():
    with pytest.raises(BadParameter, match="adaptation is 'first', which is not known"):
        adapt(BANDS, 'first')


def test_filters_of_volumes():
    filters = torch.rand(4, 3, 2, 2, 2)
    torch.testing.assert_close(adapt_filters(1, filters)[:, 0], filters.sum(1))
    torch.testing.assert_close(adapt_filters(4, filters)[:, 3], filters[:, 0] * 3 / 4)


def test_the_operations_offer_all_ways():
    assert get_args(_training.Adaptation) == get_args(Adaptation)


@pytest.fixture
def vmamba(publish, monkeypatch):
    monkeypatch.setitem(SIZES, 'tiny', VMambaSize(8, (1, 1, 1, 1), 0.0))
    state = VMambaClassifier(SIZES['tiny']).state_dict()
    publish(VMamba_Weights.IMAGENET_TINY, {'model': state})
    return state['patch_embed.0.weight']


def test_backbones_take_bands_by_name(vmamba, caplog):
    with caplog.at_level('INFO'):
        model = backbone_features(
            'vmamba_tiny', VMamba_Weights.IMAGENET_TINY, bands=['nir', 'red', 'blue'],
            adaptation='zero',
        )  # fmt: skip
    expected = torch.stack([torch.zeros_like(vmamba[:, 0]), vmamba[:, 0], vmamba[:, 2]], dim=1)
    torch.testing.assert_close(model.patch_embed[0].weight.detach(), expected)
    assert 'vmamba_tiny: bands were found by name; nir got no effect at first.' in caplog.text
    assert len(model.feature_maps(torch.rand(1, 3, 32, 32))) == 4
    four = backbone_features(
        'vmamba_tiny', VMamba_Weights.IMAGENET_TINY, in_chans=4, adaptation='mean'
    )
    torch.testing.assert_close(four.patch_embed[0].weight[:, 3], vmamba.mean(1) * 3 / 4)


def test_backbones_of_others_take_bands_by_wavelength(publish):
    weights = ResNet18_Weights.SENTINEL2_ALL_MOCO
    published = timm.create_model('resnet18', in_chans=13).state_dict()
    publish(weights, published)
    model = backbone_features('resnet18', weights, bands=[0.83, 0.66], adaptation='nearest')
    places = [weights.meta['bands'].index(name) for name in ('B8', 'B4')]
    expected = published['conv1.weight'][:, places] * 13 / 2
    torch.testing.assert_close(model.network.conv1.weight.detach(), expected)


def test_what_contradicts_itself_is_refused():
    with pytest.raises(BadParameter, match='in_chans is 4, but there are 2 bands'):
        backbone_features('resnet18', in_chans=4, bands=['red', 'nir'])
