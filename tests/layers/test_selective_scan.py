"""The selective scan against the recurrence it stands for."""

import pytest
import torch

from torchgeo_ext.layers import selective_recurrence, selective_scan
from torchgeo_ext.layers.selective_scan import _SEGMENT, _SWEEP

NAMES = ('u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')


@pytest.fixture
def small_segments(monkeypatch):
    """Cut even short sequences into several segments of several chunks."""
    monkeypatch.setitem(_SEGMENT, 'cpu', 150)
    monkeypatch.setitem(_SWEEP, 'cpu', 40)


def arguments(batch=2, groups=2, channels=3, states=2, length=37, dtype=torch.float64, step=-2.0):
    """Random arguments; ``step`` is where the raw lengths of the steps lie."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)

    width = groups * channels
    return {
        'u': normal(batch, length, width).transpose(1, 2),
        'delta': normal(batch, length, width).transpose(1, 2) + step,
        'A': -torch.exp(normal(width, states)),
        'B': normal(batch, length, groups, states).permute(0, 2, 3, 1),
        'C': normal(batch, length, groups, states).permute(0, 2, 3, 1),
        'D': normal(width),
        'delta_bias': normal(width),
    }


@pytest.mark.parametrize('states', [1, 2])
@pytest.mark.parametrize('length', [1, 2, 36, 37])
@pytest.mark.usefixtures('small_segments')
def test_same_as_the_recurrence(states, length):
    given = arguments(states=states, length=length)
    y = selective_scan(**given, delta_softplus=True)
    torch.testing.assert_close(y, selective_recurrence(**given, delta_softplus=True))


@pytest.mark.parametrize(('batch', 'groups', 'states'), [(1, 4, 1), (3, 1, 16)])
def test_same_in_segments_of_the_usual_size(batch, groups, states):
    given = arguments(batch, groups, channels=96, states=states, length=1030)
    y = selective_scan(**given, delta_softplus=True)
    torch.testing.assert_close(y, selective_recurrence(**given, delta_softplus=True))


@pytest.mark.parametrize('step', [-6.0, -2.0, 3.0, 60.0, 2000.0])
@pytest.mark.parametrize('states', [1, 4])
def test_float32_is_exact_for_short_and_long_steps(step, states):
    given = arguments(states=states, length=700, dtype=torch.float32, step=step)
    exact = {name: value.double() for name, value in given.items()}
    y = selective_scan(**given, delta_softplus=True)
    expected = selective_recurrence(**exact, delta_softplus=True)
    assert y.dtype == torch.float32
    assert (y - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.usefixtures('small_segments')
@pytest.mark.parametrize('states', [1, 2])
def test_gradient(states):
    given = arguments(batch=1, channels=2, states=states, length=13)
    tensors = [value.requires_grad_() for value in given.values()]
    assert torch.autograd.gradcheck(lambda *x: selective_scan(*x, delta_softplus=True), tensors)


@pytest.mark.usefixtures('small_segments')
def test_gradient_without_what_may_be_left_out():
    given = arguments(batch=2, channels=2, length=7)
    given['delta'] = given['delta'].exp()
    tensors = [given[name].requires_grad_() for name in NAMES[:5]]
    assert torch.autograd.gradcheck(selective_scan, tensors)


def test_gradient_of_long_sequences_is_that_of_the_recurrence():
    given = arguments(batch=1, groups=4, channels=96, states=4, length=500, dtype=torch.float32)
    exact = {name: value.double().requires_grad_() for name, value in given.items()}
    given = {name: value.requires_grad_() for name, value in given.items()}
    worth = torch.randn(given['u'].shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(
        selective_scan(**given, delta_softplus=True), list(given.values()), worth
    )
    expected = torch.autograd.grad(
        selective_recurrence(**exact, delta_softplus=True), list(exact.values()), worth.double()
    )
    for name, one, other in zip(given, found, expected, strict=True):
        assert (one - other).abs().max() < 1e-4 * other.abs().max(), name


def test_layout_of_the_memory_does_not_matter():
    given = arguments(length=50)
    other = {name: value.contiguous() for name, value in given.items()}
    assert not given['u'].is_contiguous()
    torch.testing.assert_close(selective_scan(**given), selective_scan(**other))


def test_half_precision_accumulates_in_float32():
    given = arguments(length=500, dtype=torch.bfloat16)
    exact = {name: value.double() for name, value in given.items()}
    with torch.autocast('cpu', dtype=torch.bfloat16):
        y = selective_scan(**given, delta_softplus=True)
    assert y.dtype == torch.bfloat16
    expected = selective_recurrence(**exact, delta_softplus=True)
    # what is left is the rounding of the output
    assert (y - expected).abs().max() < 2**-8 * expected.abs().max()


def test_compiled_around_the_scan():
    given = arguments(length=20)
    compiled = torch.compile(lambda **x: 2 * selective_scan(**x) + 1, backend='eager')
    torch.testing.assert_close(compiled(**given), 2 * selective_scan(**given) + 1)


@pytest.mark.parametrize('name', ['delta', 'B', 'C'])
def test_shapes_that_do_not_fit(name):
    given = arguments()
    given[name] = given[name][..., :-1]
    with pytest.raises(ValueError, match=r'delta \(2, 6, 3.*do not fit each other'):
        selective_scan(**given)
