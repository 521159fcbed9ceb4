import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from torch.utils.data import DataLoader
from torchgeo.samplers import SequentialTimestampSampler, Units

from tests.datasets.makers import CORNER
from tests.samplers.makers import Land, Plain, grid_of
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers import (
    PairSampler,
    TripletSampler,
    TupleDataset,
    TwoPhases,
    TwoSeasons,
    greenness_dates,
    two_dates,
)

X, Y = CORNER
MONTHS = [f'2020-{month:02d}-15' for month in range(1, 13)]


@pytest.fixture
def land():
    return Land(grid_of(64, 80))


def middle(patch):
    x, y = patch[:2]
    return np.array([(x.start + x.stop) / 2, (y.start + y.stop) / 2])


class TestPairSampler:
    @pytest.mark.parametrize('near', [0, 3, 20])
    def test_partners_are_near(self, land, near):
        sampler = PairSampler(land, size=16, near=near, length=200, seed=0)
        pairs = list(sampler)
        assert len(pairs) == len(sampler) == 200
        away = np.array([np.abs(middle(a) - middle(b)).max() for a, b in pairs]) / 10
        assert away.max() <= near
        assert away.max() >= near - 1
        if near:
            assert away.min() > 0
        for pair in pairs:
            for patch in pair:
                assert 0 <= patch.window.row_off <= 64 - 16
                assert 0 <= patch.window.col_off <= 80 - 16

    def test_in_units_of_the_reference_system(self, land):
        sampler = PairSampler(land, size=160.0, near=50.0, units=Units.CRS, length=100, seed=0)
        away = [np.abs(middle(a) - middle(b)).max() for a, b in sampler]
        assert max(away) == 50

    def test_partners_keep_to_the_region_and_to_what_is_valid(self):
        valid = np.zeros((64, 80), bool)
        valid[:, 30:] = True
        land = Land(grid_of(64, 80), valid=[valid])
        roi = shapely.box(X, Y - 400, X + 800, Y)
        sampler = PairSampler(land, size=8, near=30, roi=roi, min_valid=0.9, length=100, seed=0)
        for cut in sampler.cuts():
            assert cut.window.row_off + 8 <= 40
            assert valid[cut.window.toslices()].mean() >= 0.9

    @pytest.mark.parametrize('processes', [2, 3])
    def test_processes_share_one_list(self, land, processes):
        def made(**arguments):
            return list(PairSampler(land, size=8, near=5, length=6, seed=1, **arguments))

        parts = [made(rank=rank, world_size=processes) for rank in range(processes)]
        assert [parts[i % processes][i // processes] for i in range(6)] == made()

    def test_dates_of_rasters(self):
        # the second raster has another grid
        land = Land(
            grid_of(64, 80), grid_of(32, 40, resolution=20.0), grid_of(64, 80, row=200),
            dates=['2020-01-01', '2020-07-01', '2020-07-01'],
        )  # fmt: skip
        sampler = PairSampler(land, size=8, dates=TwoSeasons(90), length=200, seed=0)
        kinds = set()
        for first, second in sampler:
            kinds.add((first.scene, second.scene))
            apart = np.abs(middle(first) - middle(second)).max()
            assert apart <= 10
        assert kinds == {(0, 1), (1, 0), (2, 2)}

    def test_dates_of_a_series(self):
        plain = Plain(*[grid_of(40, 40)] * 12, dates=MONTHS)
        sampler = PairSampler(plain, size=8, dates=TwoSeasons(100), length=50, seed=0)
        for first, second in sampler:
            assert first[:2] == second[:2]
            days = abs(first[2].start.day_of_year - second[2].start.day_of_year)
            assert min(days, 365 - days) >= 100
        assert len({first[2].start for first, _ in sampler}) == 12

    def test_time_of_interest(self):
        plain = Plain(*[grid_of(40, 40)] * 12, dates=MONTHS)
        toi = pd.Interval(pd.Timestamp('2020-03-01'), pd.Timestamp('2020-06-30'))
        sampler = PairSampler(plain, size=8, dates=two_dates, toi=toi, length=50, seed=0)
        months = {patch[2].start.month for pair in sampler for patch in pair}
        assert months == {3, 4, 5, 6}
        land = Land(*[grid_of(40, 40)] * 12, dates=MONTHS)
        sampler = PairSampler(land, size=8, dates=two_dates, toi=toi, length=50, seed=0)
        assert {patch.scene for pair in sampler for patch in pair} == {2, 3, 4, 5}

    def test_conditions_hold_at_both_dates(self):
        half = np.zeros((64, 80), bool)
        half[:, 40:] = True
        land = Land(
            *[grid_of(64, 80)] * 3,
            dates=MONTHS[:3],
            valid=[np.ones((64, 80), bool), half, np.zeros((64, 80), bool)],
        )
        sampler = PairSampler(land, size=8, dates=two_dates, min_valid=0.5, length=200, seed=0)
        scenes = set()
        for first, second in sampler:
            scenes.add((first.scene, second.scene))
            if first.scene != second.scene:
                assert first.window.col_off >= 36
        assert scenes == {(0, 0), (0, 1), (1, 0)}

    def test_patches_larger_than_their_raster(self):
        plain = Plain(*[grid_of(3, 3)] * 2, dates=MONTHS[:2])
        sampler = PairSampler(plain, size=64, dates=two_dates, length=30, seed=0)
        starts = [[patch[2].start.month for patch in pair] for pair in sampler]
        assert {tuple(pair) for pair in starts} >= {(1, 2), (2, 1)}

    def test_what_does_not_fit(self, land):
        with pytest.raises(BadParameter, match='near'):
            PairSampler(land, size=8, near=-1)
        with pytest.raises(BadParameter, match='chooses dates itself'):
            PairSampler(land, size=8) @ SequentialTimestampSampler(land)


class TestTripletSampler:
    @pytest.mark.parametrize('dates', [None, two_dates])
    def test_the_third_is_far(self, dates):
        land = Land(*[grid_of(200, 200)] * 2, dates=['2020-01-01', '2020-07-01'])
        sampler = TripletSampler(land, size=8, near=6, far=120, length=100, seed=0, dates=dates)
        scenes = set()
        for anchor, near, far in sampler:
            assert np.abs(middle(anchor) - middle(near)).max() <= 60
            assert np.hypot(*(middle(anchor) - middle(far))) >= 1200
            scenes.add((anchor.scene, near.scene))
        assert ((0, 1) in scenes) == (dates is not None)

    def test_across_the_antimeridian_is_not_far(self):
        land = Land(
            grid_of(50, 50, crs='EPSG:4326', corner=(179.5, 0), resolution=0.01),
            grid_of(50, 50, crs='EPSG:4326', corner=(-180, 0), resolution=0.01),
            grid_of(50, 50, crs='EPSG:4326', corner=(170, 0), resolution=0.01),
        )
        sampler = TripletSampler(land, size=5, near=2, far=200, length=100, seed=0)
        for anchor, _, far in sampler:
            assert {anchor.scene, far.scene} in ({0, 2}, {1, 2})

    def test_nothing_is_so_far(self, land):
        with pytest.raises(BadParameter, match='farther than any'):
            list(TripletSampler(land, size=8, near=2, far=5000, length=2, seed=0))
        with pytest.raises(BadParameter, match='not larger'):
            TripletSampler(land, size=8, near=2, far=2)


class TestTupleDataset:
    def test_stacks_what_is_read(self, land):
        sampler = TripletSampler(land, size=8, near=2, far=30, length=6, seed=0)
        loader = DataLoader(TupleDataset(land), batch_size=3, sampler=sampler)
        images = [batch['image'] for batch in loader]
        assert [image.shape for image in images] == [(3, 3, 3, 8, 8)] * 2
        corners = torch.cat(images)[:, :, 1:, 0, 0].flatten(0, 1).tolist()
        assert corners == [[cut.window.row_off, cut.window.col_off] for cut in sampler.cuts()]

    def test_keeps_other_values_as_lists(self):
        class Named(Land):
            def __getitem__(self, index):
                return super().__getitem__(index) | {'name': str(index.scene)}

        land = Named(grid_of(20, 20))
        pair = next(iter(PairSampler(land, size=8, length=1, seed=0)))
        assert TupleDataset(land)[pair]['name'] == ['0', '0']
        assert len(TupleDataset(land)) == 1


class TestDates:
    def intervals(self, *days):
        return [pd.Interval(pd.Timestamp(day), pd.Timestamp(day)) for day in days]

    def test_two_dates_differ(self):
        random = np.random.default_rng(0)
        times = self.intervals('2020-01-01', '2020-05-01', '2021-01-01')
        chosen = {two_dates(times, shapely.Point(), random) for _ in range(100)}
        assert chosen == {(a, b) for a in range(3) for b in range(3) if a != b}
        assert two_dates(times[:1], shapely.Point(), random) == (0, 0)

    def test_seasons_do_not_depend_on_the_year(self):
        random = np.random.default_rng(0)
        times = self.intervals('2020-12-20', '2021-01-05', '2022-06-30')
        chosen = {TwoSeasons(60)(times, shapely.Point(), random) for _ in range(100)}
        assert chosen == {(0, 2), (1, 2), (2, 0), (2, 1)}
        # the farthest there is
        assert TwoSeasons(60)(times[:2], shapely.Point(), random) in {(0, 1), (1, 0)}
        with pytest.raises(BadParameter, match='apart'):
            TwoSeasons(200)

    @pytest.mark.parametrize('peak', [30, 190, 300])
    def test_phases_follow_the_vegetation(self, peak):
        dates = np.datetime64('2020-01-01') + np.arange(0, 366, 8)
        day = np.arange(0, 366, 8)
        ndvi = 0.5 + 0.3 * np.cos(2 * np.pi * (day - peak) / 365.25)
        found = greenness_dates(ndvi, dates)
        doy = (found - np.datetime64('2020-01-01')).astype(int)
        expected = (peak + np.array([0, 91.3, 182.6, 273.9])) % 365.25
        away = np.abs(doy[:, None] - expected[None])
        assert np.minimum(away, 365.25 - away).min(0).max() <= 8
        assert len(found) == 4
        assert (np.diff(found) > np.timedelta64(0)).all()
        assert set(found) <= set(dates)

    def test_overlooked_clouds_are_no_dormancy(self):
        dates = np.datetime64('2018-01-01') + np.arange(0, 1095, 8)
        day = np.arange(0, 1095, 8)
        ndvi = 0.5 + 0.3 * np.cos(2 * np.pi * (day - 190) / 365.25)
        ndvi[23::7] = 0.05
        found = greenness_dates(ndvi, dates, (0, 1))
        months = {int(str(date)[5:7]) for date in found}
        assert months <= {12, 1, 6, 7}
        assert len(months) == 2
        raw = greenness_dates(ndvi, dates, (0, 1), smooth=0)
        assert {int(str(date)[5:7]) for date in raw} != months

    def test_phases_of_gaps_and_flat_series(self):
        dates = np.array(MONTHS, 'datetime64[D]')
        ndvi = np.full(12, np.nan)
        ndvi[[2, 7]] = 0.2, 0.8
        assert greenness_dates(ndvi, dates, (0, 1)).tolist() == dates[[2, 7]].tolist()
        assert len(greenness_dates(np.full(12, 0.4), dates)) >= 1
        with pytest.raises(BadParameter, match='no value'):
            greenness_dates(np.full(12, np.nan), dates)
        with pytest.raises(BadParameter, match='does not fit'):
            greenness_dates(ndvi[1:], dates)
        with pytest.raises(BadParameter, match='quantiles'):
            greenness_dates(ndvi, dates, (0, 2))

    def test_pairs_of_phases(self):
        plain = Plain(*[grid_of(40, 40)] * 12, dates=MONTHS)
        ndvi = 0.5 - 0.4 * np.cos(2 * np.pi * np.arange(12) / 12)
        strategy = TwoPhases(lambda place: (ndvi, MONTHS))
        sampler = PairSampler(plain, size=8, dates=strategy, length=60, seed=0)
        months = {patch[2].start.month for pair in sampler for patch in pair}
        assert months == {1, 4, 7, 10}

    def test_phases_of_another_year(self):
        strategy = TwoPhases(lambda place: (ndvi, [f'2016{month[4:]}' for month in MONTHS]))
        plain = Plain(*[grid_of(40, 40)] * 12, dates=MONTHS)
        ndvi = 0.5 - 0.4 * np.cos(2 * np.pi * np.arange(12) / 12)
        sampler = PairSampler(plain, size=8, dates=strategy, length=60, seed=0)
        months = {patch[2].start.month for pair in sampler for patch in pair}
        assert months == {1, 4, 7, 10}
