import time

import pandas as pd
import pytest
from torchgeo.samplers import RandomPeriodSampler, RandomTimedeltaSampler

from tests.samplers.makers import Plain, grid_of
from torchgeo_ext.errors import BadInput
from torchgeo_ext.samplers import SeededPeriodSampler, SeededRandomSampler, SeededTimedeltaSampler

DELTA = pd.Timedelta(days=1)


@pytest.fixture
def week():
    """One raster that holds the first week of a month."""
    plain = Plain(grid_of(40, 40))
    interval = pd.Interval(
        pd.Timestamp('2020-03-01'), pd.Timestamp('2020-03-07 23:59:59'), closed='both'
    )
    plain.index.index = pd.IntervalIndex([interval], closed='both', name='datetime')
    return plain


@pytest.fixture(params=['UTC', 'America/Los_Angeles', 'Asia/Tokyo'])
def zone(request, monkeypatch):
    monkeypatch.setenv('TZ', request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_windows_stay_in_time(week, zone):
    sampler = SeededTimedeltaSampler(week, delta=DELTA, length=300, seed=0)
    starts = [t.start for _, _, t in sampler]
    assert len(starts) == 300
    assert min(starts) >= pd.Timestamp('2020-03-01')
    assert max(starts) <= pd.Timestamp('2020-03-07')
    assert all(t.stop - t.start == DELTA for _, _, t in sampler)
    # torchgeo.md, trap 9: TorchGeo's are shifted by the time zone
    theirs = RandomTimedeltaSampler(week, delta=DELTA, length=300, generator=0)
    shifted = min(t.start for _, _, t in theirs) < pd.Timestamp('2020-03-01')
    assert shifted == (zone == 'America/Los_Angeles')


def test_periods_are_those_of_the_dataset(week, zone):
    sampler = SeededPeriodSampler(week, freq='D', length=300, seed=0)
    assert {t.start.day for _, _, t in sampler} == set(range(1, 8))
    # torchgeo.md, trap 9: near either end the period beside the dataset is drawn (and refused)
    theirs = RandomPeriodSampler(week, freq='D', length=600, generator=0)
    days = [t.start.day for _, _, t in theirs]
    first, last = days.count(1), days.count(7)
    assert (last < first / 1.2) == (zone == 'America/Los_Angeles')


def test_a_seed_decides(week):
    def times(seed, epoch=0):
        sampler = SeededTimedeltaSampler(week, delta=DELTA, length=5, seed=seed)
        sampler.set_epoch(epoch)
        return [t.start for _, _, t in sampler]

    sampler = SeededTimedeltaSampler(week, delta=DELTA, length=5, seed=0)
    assert list(sampler) == list(sampler)
    assert times(0) == times(0)
    assert times(0) != times(1)
    assert times(0) != times(0, epoch=1)


@pytest.mark.parametrize(
    ('sampler_class', 'argument'),
    [(SeededTimedeltaSampler, {'delta': DELTA}), (SeededPeriodSampler, {'freq': 'D'})],
)
def test_products_are_reproducible(week, sampler_class, argument):
    space = SeededRandomSampler(week, size=8, length=6, seed=0)
    product = space @ sampler_class(week, seed=0, **argument)
    first = list(product)
    assert len(first) == len(product) == 6
    assert list(product) == first
    product.set_epoch(1)
    assert list(product) != first


def test_a_place_without_rasters_is_named(week):
    sampler = SeededTimedeltaSampler(week, delta=DELTA, seed=0)
    sampler.begin(0, 0, 1)
    with pytest.raises(BadInput, match='no raster'):
        next(sampler._iter_subset((slice(0, 1), slice(0, 1))))
