import numpy as np
import pytest
import torch

from tests.samplers.makers import Land, cuts, grid_of
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers import HardExampleSampler


@pytest.fixture
def land():
    return Land(grid_of(64, 80), grid_of(30, 30))


def made(land, **arguments):
    return HardExampleSampler(land, **{'size': 16, 'length': 400, 'seed': 0} | arguments)


def ids(sampler):
    return [cut.tile_id for cut in sampler.cuts()]


def test_the_first_epoch_is_even(land):
    counts = np.bincount(ids(made(land)))
    assert counts[:70].max() < 25


def test_losses_that_nobody_tells_are_missed(land, caplog):
    sampler = made(land)
    ids(sampler)
    assert not caplog.text
    sampler.set_epoch(1)
    ids(sampler)
    assert 'told no losses' in caplog.text


def test_hard_places_are_drawn_more_often(land):
    sampler = made(land, hard=0.6)
    drawn = ids(sampler)
    sampler.update([100.0 if number == 33 else 0.001 for number in drawn], tile_ids=drawn)
    sampler.set_epoch(1)
    share = ids(sampler).count(33) / 400
    assert share == pytest.approx(0.6, abs=0.05)


def test_places_never_seen_count_as_the_mean(land):
    sampler = made(land, hard=1.0)
    sampler.update([2.0, 4.0], tile_ids=[0, 1])
    counts = np.bincount(ids(made(land, hard=1.0, length=1)), minlength=96)
    sampler.length = 20_000
    counts = np.bincount(ids(sampler), minlength=96)
    assert counts[1] / counts[0] == pytest.approx(2, rel=0.3)
    assert np.median(counts[2:80]) / counts[0] == pytest.approx(1.5, rel=0.25)


def test_power_favours_the_hardest(land):
    sampler = made(land, hard=1.0, power=3.0, length=2000)
    sampler.update([1.0] * 79 + [4.0], tile_ids=list(range(80)))
    sampler_share = ids(sampler).count(79) / 2000
    assert sampler_share == pytest.approx(64 / (64 + 79 + 16 * (64 + 79) / 80), abs=0.05)


def test_losses_are_told_by_position(land):
    a, b = made(land), made(land)
    drawn = ids(a)
    list(b)
    assert b.drawn == drawn
    losses = torch.linspace(0, 5, 400)
    a.update(losses, tile_ids=torch.tensor(drawn))
    for start in range(0, 400, 100):
        positions = torch.arange(start, start + 100)
        b.update(losses[positions], indices=positions)
    # b heard of the same cell several times; the last one counts
    assert set(a.state_dict()['tile_ids'].tolist()) == set(b.state_dict()['tile_ids'].tolist())


def test_several_losses_of_a_place_are_averaged(land):
    sampler = made(land)
    sampler.update([1.0, 3.0, 7.0], tile_ids=[5, 5, 6])
    state = sampler.state_dict()
    assert dict(zip(state['tile_ids'].tolist(), state['losses'].tolist(), strict=True)) == {
        5: 2.0,
        6: 7.0,
    }


def test_goes_on_where_it_was(land, tmp_path):
    sampler = made(land)
    sampler.update([1.0, 9.0], tile_ids=[3, 4])
    sampler.set_epoch(5)
    torch.save(sampler.state_dict(), tmp_path / 'state.pt')
    other = made(land)
    other.load_state_dict(torch.load(tmp_path / 'state.pt', weights_only=True))
    assert cuts(other) == cuts(sampler)


def test_places_without_weight_are_never_drawn(land):
    weights = [np.zeros((8, 10)), np.zeros((4, 4))]
    weights[0][2, 3] = weights[1][0, 0] = 1
    sampler = made(land, weights=weights, cell=8, hard=1.0)
    sampler.update([5.0], tile_ids=[7])
    assert set(ids(sampler)) == {23, 80}


def test_no_loss_at_all_is_even(land):
    sampler = made(land)
    even = cuts(sampler)
    sampler.update([0.0] * 3, tile_ids=[1, 2, 3])
    assert cuts(sampler) == even


@pytest.mark.parametrize(
    ('losses', 'arguments', 'message'),
    [
        ([1.0], {}, 'either'),
        ([1.0], {'tile_ids': [1], 'indices': [1]}, 'either'),
        ([1.0], {'tile_ids': [1, 2]}, 'do not fit'),
        ([-1.0], {'tile_ids': [1]}, 'negative'),
        ([float('nan')], {'tile_ids': [1]}, 'negative'),
        ([1.0], {'indices': [0]}, 'not positions'),
        ([1.0], {'tile_ids': [999]}, 'not between'),
    ],
)
def test_numbers_that_cannot_be_used(land, losses, arguments, message):
    with pytest.raises(BadParameter, match=message):
        made(land).update(losses, **arguments)


def test_the_share_is_checked(land):
    with pytest.raises(BadParameter, match='hard'):
        made(land, hard=1.2)
