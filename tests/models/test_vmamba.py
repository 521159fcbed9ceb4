"""VMamba against the numbers of its published code, and what we added."""

import re

import pytest
import torch
from torchgeo.models import get_model

from tests.models.parity import Reference
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import VMamba_Weights, vmamba_base, vmamba_small, vmamba_tiny
from torchgeo_ext.models.vmamba import SIZES, VMamba, VMambaClassifier, own_names


@pytest.fixture(scope='module')
def published():
    """The file of the published backbone: that of the classifier."""
    return Reference('changemamba_vssm_tiny_classifier').state()


@torch.no_grad()
def test_same_features_as_the_published_code():
    reference = Reference('changemamba_vssm_tiny_encoder')
    model = reference.build(vmamba_tiny)
    reference.check_names(model)
    (image,) = reference.inputs()
    reference.check('patch_embed_nhwc', model.patch_embed(image))
    for number, features in enumerate(model(image)):
        reference.check(f'stage{number}', features)


@torch.no_grad()
def test_same_logits_as_the_published_classifier():
    reference = Reference('changemamba_vssm_tiny_classifier')
    model = reference.build(VMambaClassifier, size=SIZES['tiny'])
    reference.check_names(model)
    reference.check('logits', model(*reference.inputs()))


@pytest.mark.parametrize(
    ('build', 'millions'), [(vmamba_tiny, 27.99), (vmamba_small, 49.38), (vmamba_base, 87.53)]
)
def test_published_sizes(build, millions):
    with torch.device('meta'):
        model = build()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.005)


def test_published_weights_for_other_bands(publish, published, caplog):
    publish(VMamba_Weights.IMAGENET_TINY, {'model': published, 'epoch': 262})
    with caplog.at_level('INFO'):
        model = vmamba_tiny(VMamba_Weights.IMAGENET_TINY, in_chans=6)
    assert 'adapted to 6 bands' in caplog.text
    state = model.state_dict()
    twice = published['patch_embed.0.weight'].repeat(1, 2, 1, 1) / 2
    torch.testing.assert_close(state.pop('patch_embed.0.weight'), twice)
    new = {key for key in state if key.startswith('outnorm')}
    assert state.keys() - new == {
        key for key in published if not key.startswith(('classifier.', 'patch_embed.0.weight'))
    }
    for key in state.keys() - new:
        assert torch.equal(state[key], published[key])


#: How older files name things.
FORMER = {
    r'^patch_embed\.0\.': 'patch_embed.proj.',
    r'^patch_embed\.2\.': 'patch_embed.norm.',
    r'\d\.norm\.': '0.ln_1.',
    r'\.op\.': '.self_attention.',
    r'^classifier\.': '',
}


def test_names_and_shapes_of_older_files(published):
    block = 'layers.0.blocks.0.'
    keys = [key for key in published if key.startswith((block, 'patch_embed', 'classifier'))]
    old = {}
    for key in keys:
        value = published[key]
        linear = key.endswith('.weight') and value.ndim == 2
        for now, former in FORMER.items():
            key = re.sub(now, former, key)
        old[key] = value[..., None, None] if linear else value
    assert f'{block}self_attention.A_logs' in old
    assert f'{block}ln_1.bias' in old
    translated = own_names(old)
    assert translated.keys() == set(keys)
    for key, value in translated.items():
        assert torch.equal(value, published[key]), key


def test_weights_of_another_size_are_refused():
    with torch.device('meta'), pytest.raises(BadParameter, match='vmamba_base, not of vmamba_tiny'):
        vmamba_tiny(VMamba_Weights.IMAGENET_BASE)


def test_every_parameter_learns():
    model = VMamba(SIZES['tiny']._replace(width=8, depths=(1, 1, 1, 2)), in_chans=5)
    features = model(torch.rand(2, 5, 64, 32))
    assert [tuple(f.shape) for f in features] == [
        (2, 8 * 2**n, 16 // 2**n, 8 // 2**n) for n in range(4)
    ]
    sum(f.square().mean() for f in features).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_known_to_torchgeo():
    with torch.device('meta'):
        assert isinstance(get_model('vmamba_tiny', in_chans=2), VMamba)
