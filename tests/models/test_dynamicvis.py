"""DynamicVis against the numbers of its published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import (
    DynamicVisAllTokens_Weights,
    dynamicvis_all_tokens_b,
    dynamicvis_b,
    dynamicvis_l,
)
from torchgeo_ext.models.dynamicvis import SIZES, DynamicVis, DynamicVisSize, SparseMixer

TINY = DynamicVisSize(16, (1, 1, 2, 1))


@torch.no_grad()
@pytest.mark.parametrize(
    ('name', 'selection', 'grid'),
    [('dynamicvis_b', True, 32), ('dynamicvis_b_no_selection', False, 16)],
)
def test_same_numbers_as_the_published_code(name, selection, grid):
    reference = Reference(name)
    model = reference.build(DynamicVis, size=SIZES['b'], selection=selection, grid=grid)
    reference.check_names(model)
    seen = {}
    for stage in range(4):
        for output, module in (
            ('patch_embed', f'layers.{stage}.0'),
            ('block0', f'layers.{stage}.1.0'),
            ('block0_mixer', f'layers.{stage}.1.0.spatial_mamba_mixer'),
        ):
            model.get_submodule(module).register_forward_hook(
                lambda module, inputs, result, name=f'stage{stage}_{output}': seen.update(
                    {name: result.flatten(1, -2)}
                )
            )
    maps = model(*reference.inputs())
    for output in reference.facts['outputs']:
        found = maps[int(output[-1])] if output.startswith('level') else seen[output]
        reference.check(output, found)


@pytest.mark.parametrize(('build', 'millions'), [(dynamicvis_b, 36.75), (dynamicvis_l, 91.24)])
def test_published_sizes(build, millions):
    with torch.device('meta'):
        model = build()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.005)


@torch.no_grad()
def test_the_best_tokens_are_mixed_and_the_others_weighted():
    torch.manual_seed(0)
    mixer = SparseMixer(8, one_of=4, selection=True, noise=0.1).eval()
    x = torch.randn(1, 4, 6, 8)
    tokens = x.flatten(1, 2)
    scores = mixer.spatial_gate(tokens)[0, :, 0]
    weighted = tokens + tokens * scores.softmax(0)[None, :, None]
    same = torch.isclose(mixer(x).flatten(1, 2), weighted).all(-1)[0]
    assert sorted((~same).nonzero().flatten().tolist()) == sorted(scores.topk(6).indices.tolist())


@torch.no_grad()
def test_noise_changes_the_choice_in_training_alone():
    torch.manual_seed(0)
    x = torch.rand(1, 8, 8, 16)
    noisy = SparseMixer(16, one_of=8, selection=True, noise=1.0)
    assert not torch.equal(noisy(x), noisy(x))
    assert torch.equal(noisy.eval()(x), noisy(x))
    quiet = SparseMixer(16, one_of=8, selection=True, noise=0.0)
    assert torch.equal(quiet(x), quiet.eval()(x))


@torch.no_grad()
@pytest.mark.parametrize('side', [1, 5])
def test_images_smaller_than_the_last_stage(side):
    maps = DynamicVis(TINY)(torch.rand(1, 3, side, side))
    assert [features.shape[1] for features in maps] == [16, 32, 64, 128]
    assert maps[-1].isfinite().all()


@pytest.mark.parametrize('selection', [True, False])
def test_every_parameter_learns(selection):
    torch.manual_seed(0)
    model = DynamicVis(TINY, in_chans=5, selection=selection, grid=16)
    sum(features.square().mean() for features in model(torch.rand(2, 5, 64, 48))).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_published_weights_for_other_bands(publish, monkeypatch):
    monkeypatch.setitem(SIZES, 'b', TINY)
    state = DynamicVis(TINY).state_dict()
    published = {f'backbone.{key}': value for key, value in state.items()}
    published['pre_neck.lateral_convs.0.conv.weight'] = torch.zeros(1)
    weights = DynamicVisAllTokens_Weights.FMOW_B
    publish(weights, {'state_dict': published, 'meta': {'epoch': 200}})
    model = dynamicvis_all_tokens_b(weights)
    assert not model.layers[0][1][0].selection
    key = 'layers.2.1.1.spatial_gate.weight'
    assert torch.equal(model.state_dict()[key], state[key])
    six = dynamicvis_all_tokens_b(weights, in_chans=6).layers[0][0].projection.weight
    torch.testing.assert_close(six, state['layers.0.0.projection.weight'].repeat(1, 2, 1, 1) / 2)
    with pytest.raises(BadParameter, match='those of dynamicvis_all_tokens_b, not of dynamicvis_b'):
        dynamicvis_b(weights)
