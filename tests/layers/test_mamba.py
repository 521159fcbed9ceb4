"""Mamba's mixer."""

import pytest
import torch
import torch.nn.functional as F

from torchgeo_ext.layers import Mamba, selective_recurrence


@pytest.fixture
def mixer():
    torch.manual_seed(0)
    return Mamba(24, states=4)


def test_names_of_the_published_code(mixer):
    shapes = {key: tuple(value.shape) for key, value in mixer.state_dict().items()}
    assert shapes == {
        'A_log': (48, 4),
        'D': (48,),
        'in_proj.weight': (96, 24),
        'conv1d.weight': (48, 1, 4),
        'conv1d.bias': (48,),
        'x_proj.weight': (2 + 2 * 4, 48),
        'dt_proj.weight': (48, 2),
        'dt_proj.bias': (48,),
        'out_proj.weight': (24, 48),
    }


def test_steps_start_between_a_thousandth_and_a_tenth(mixer):
    lengths = F.softplus(mixer.dt_proj.bias)
    assert lengths.min() >= 0.999e-3
    assert lengths.max() <= 0.1001
    torch.testing.assert_close(mixer.A_log.exp()[5], torch.arange(1.0, 5))


def test_no_step_sees_a_later_one(mixer):
    sequence = torch.rand(1, 9, 24)
    changed = sequence.clone()
    changed[:, 5:] = 0
    one, other = mixer(sequence), mixer(changed)
    torch.testing.assert_close(one[:, :5], other[:, :5])
    assert not torch.allclose(one[:, 5:], other[:, 5:])


def test_same_as_the_published_formula(mixer):
    sequence = torch.rand(2, 7, 24)
    x, gate = F.linear(sequence, mixer.in_proj.weight).chunk(2, dim=-1)
    x = F.pad(x.transpose(1, 2), (3, 0))
    x = F.silu(F.conv1d(x, mixer.conv1d.weight, mixer.conv1d.bias, groups=48))
    raw, b, c = F.linear(x.transpose(1, 2), mixer.x_proj.weight).split([2, 4, 4], dim=-1)
    y = selective_recurrence(
        x,
        F.linear(raw, mixer.dt_proj.weight, mixer.dt_proj.bias).transpose(1, 2),
        -mixer.A_log.exp(),
        b.transpose(1, 2)[:, None],
        c.transpose(1, 2)[:, None],
        mixer.D,
        delta_softplus=True,
    )
    expected = F.linear(y.transpose(1, 2) * F.silu(gate), mixer.out_proj.weight)
    torch.testing.assert_close(mixer(sequence), expected)
