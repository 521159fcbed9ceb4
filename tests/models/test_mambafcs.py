"""Mamba-FCS against the numbers of its published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.models import MambaFCS, MambaFCS_Weights, VMamba_Weights, mambafcs_base
from torchgeo_ext.models.vmamba import SIZES

SMALL = SIZES['tiny']._replace(width=16, depths=(1, 1, 1, 1))


@torch.no_grad()
def test_same_numbers_as_the_published_code():
    reference = Reference('mambafcs_base')
    model = reference.build(mambafcs_base)
    reference.check_names(model)
    before, after = reference.inputs()
    for number, features in enumerate(model.encoder(before)):
        reference.check(f'enc_pre_{number}', features)
    maps = model(torch.stack((before, after), dim=1))
    for name, logits in zip(('change', 'sem_t1', 'sem_t2'), maps, strict=True):
        reference.check(name, logits)


@torch.no_grad()
@pytest.mark.parametrize('size', [(1, 1), (33, 70)])
def test_any_size(size):
    torch.manual_seed(0)
    change, before, after = MambaFCS(SMALL).eval()(torch.rand(1, 2, 3, *size))
    assert change.shape == (1, 2, *size)
    assert before.shape == after.shape == (1, 7, *size)
    assert all(logits.isfinite().all() for logits in (change, before, after))


def test_any_bands_and_classes_learn():
    torch.manual_seed(0)
    model = MambaFCS(SMALL, in_chans=5, num_classes=6).train()
    outputs = model(torch.rand(2, 2, 5, 64, 64))
    assert outputs.before.shape == (2, 6, 64, 64)
    sum(logits.square().mean() for logits in outputs).backward()
    without = {key for key, value in model.named_parameters() if value.grad is None}
    # never called in the published code either
    assert {key.split('.')[2] for key in without} == {'cross_attn'}
    assert not any(dict(model.named_parameters())[key].requires_grad for key in without)


def test_published_weights_for_other_bands_and_classes(publish, caplog, monkeypatch):
    monkeypatch.setitem(SIZES, 'base', SMALL)
    state = MambaFCS(SMALL).state_dict()
    publish(MambaFCS_Weights.SECOND_BASE, {f'module.{key}': state[key] for key in state})
    with caplog.at_level('INFO'):
        model = mambafcs_base(MambaFCS_Weights.SECOND_BASE, in_chans=4, num_classes=5)
    assert 'adapted to 4 bands' in caplog.text
    assert 'aux_clf.shortcut.weight starts at random' in caplog.text
    key = 'decoder_T1.smooth_layer_0_semantic.conv1.weight'
    assert torch.equal(model.state_dict()[key], state[key])


def test_one_start_only():
    with pytest.raises(ValueError, match='backbone_weights'):
        mambafcs_base(MambaFCS_Weights.SECOND_BASE, backbone_weights=VMamba_Weights.IMAGENET_BASE)
