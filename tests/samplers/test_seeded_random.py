import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from lightning import seed_everything
from matplotlib import pyplot as plt
from torch.utils.data import DataLoader, DistributedSampler
from torchgeo.samplers import (
    GeoSampler,
    RandomGeoSampler,
    RandomPatchSampler,
    SequentialTimestampSampler,
    SpatialSampler,
    Units,
)

from tests.datasets.makers import CORNER
from tests.rasters import write_raster
from tests.samplers.makers import Land, Plain, counted, cuts, grid_of
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.samplers import Patch, SeededRandomSampler

X, Y = CORNER


@pytest.fixture
def land():
    return Land(grid_of(64, 80))


def box(left, top, right, bottom):
    """A rectangle of pixels of the usual raster, in coordinates."""
    return shapely.box(X + left * 10, Y - bottom * 10, X + right * 10, Y - top * 10)


def test_is_one_of_torchgeos(land):
    sampler = SeededRandomSampler(land, size=16)
    assert isinstance(sampler, GeoSampler)
    assert isinstance(sampler, SpatialSampler)
    # torchgeo.md, trap 10: TorchGeo's old samplers are not
    with pytest.warns(match='Use'):
        assert not isinstance(RandomGeoSampler(land, 16), GeoSampler)


def test_combines_with_time(land):
    sampler = SeededRandomSampler(land, size=16, length=5, seed=0)
    with pytest.warns(UserWarning, match='different number of timestamps'):
        product = sampler @ SequentialTimestampSampler(land)
    found = list(product)
    assert [slices[:2] for slices in found] == list(sampler)
    assert {t.start for _, _, t in found} == {pd.Timestamp('2020-01-01')}
    product.set_epoch(1)
    assert sampler.epoch == 1
    # Lightning must not share the work out a second time
    assert isinstance(product, DistributedSampler)
    assert isinstance(sampler, DistributedSampler)


def test_a_seed_decides(land):
    a, b, c = (SeededRandomSampler(land, size=16, length=9, seed=s) for s in (0, 0, 1))
    assert cuts(a) == cuts(b) != cuts(c)


def test_without_a_seed_seed_everything_decides(land, monkeypatch):
    monkeypatch.setenv('PL_GLOBAL_SEED', '0')
    drawn, theirs = [], []
    for _ in range(2):
        seed_everything(3, verbose=False)
        drawn.append(cuts(SeededRandomSampler(land, size=16, length=9)))
        theirs.append(list(RandomPatchSampler(land, size=16, length=9)))
    assert drawn[0] == drawn[1]
    # torchgeo.md, trap 6: TorchGeo's sampler ignores it
    assert theirs[0] != theirs[1]
    torch.manual_seed(4)
    assert cuts(SeededRandomSampler(land, size=16, length=9)) != drawn[0]


def test_each_epoch_draws_anew(land):
    sampler = SeededRandomSampler(land, size=16, length=9, seed=0)
    first = cuts(sampler)
    assert first == cuts(sampler)
    sampler.set_epoch(1)
    assert first != cuts(sampler)


@pytest.mark.parametrize('length', [1, 7, 12])
@pytest.mark.parametrize('processes', [1, 2, 5])
def test_processes_share_one_list(land, length, processes):
    parts = [
        cuts(SeededRandomSampler(land, size=9, length=length, seed=4, rank=r, world_size=processes))
        for r in range(processes)
    ]
    each = -(-length // processes)
    assert [len(part) for part in parts] == [each] * processes
    whole = cuts(SeededRandomSampler(land, size=9, length=each * processes, seed=4))
    assert [parts[i % processes][i // processes] for i in range(len(whole))] == whole


def test_processes_need_a_common_seed(land, monkeypatch):
    sampler = SeededRandomSampler(land, size=16, length=6, rank=1, world_size=2)
    monkeypatch.delenv('PL_GLOBAL_SEED', raising=False)
    with pytest.raises(BadParameter, match='seed: 2 processes'):
        next(iter(sampler))
    monkeypatch.setenv('PL_GLOBAL_SEED', '8')
    torch.manual_seed(1)
    assert cuts(sampler) == cuts(
        SeededRandomSampler(land, size=16, length=6, seed=8, rank=1, world_size=2)
    )


@pytest.mark.parametrize('workers', [0, 2])
def test_workers_share_nothing_out(land, workers):
    sampler = SeededRandomSampler(land, size=8, length=10, seed=0)
    loader = DataLoader(land, batch_size=2, sampler=sampler, num_workers=workers)
    read = torch.cat([batch['image'][:, 1:, 0, 0] for batch in loader])
    assert read.tolist() == [[top, left] for _, left, top, _, _ in cuts(sampler)]


@pytest.mark.parametrize('shape', [(1, 1), (20, 33), (64, 5), (63, 64)])
def test_yields_its_length_on_rasters_smaller_than_a_patch(shape):
    land = Land(grid_of(*shape))
    sampler = SeededRandomSampler(land, size=64, length=7, seed=0)
    assert len(list(sampler)) == len(sampler) == 7
    assert (counted(sampler)[0] == 7).all()
    # torchgeo.md, trap 7: TorchGeo's sampler says two and yields nothing
    theirs = RandomPatchSampler(land, size=64, length=2)
    assert len(theirs) == 2
    assert list(theirs) == []


@pytest.mark.parametrize(
    ('shape', 'size'),
    [
        *itertools.product([(64, 80), (24, 65)], [7, 24, 64, (64, 3)]),
        *itertools.product([(9, 12), (1, 30)], [1, 2]),
    ],
)
def test_reaches_every_pixel_and_stays_inside(shape, size):
    land = Land(grid_of(*shape))
    sampler = SeededRandomSampler(land, size=size, length=3000, seed=0)
    assert counted(sampler)[0].min() > 0
    for _, left, top, width, height in cuts(sampler):
        assert min(0, shape[0] - height) <= top <= max(0, shape[0] - height)
        assert min(0, shape[1] - width) <= left <= max(0, shape[1] - width)


def test_torchgeos_sampler_does_not_reach_the_rim(land):
    # torchgeo.md, trap 7
    theirs = RandomPatchSampler(land, size=24, length=500, generator=0)
    west = min(x.start for x, _ in theirs)
    assert west >= X + 40
    ours = SeededRandomSampler(land, size=24, length=500, seed=0)
    assert min(x.start for x, _ in ours) == X


def test_is_even_by_area():
    land = Land(grid_of(100, 100), grid_of(100, 300, column=200))
    sampler = SeededRandomSampler(land, size=10, length=4000, seed=0)
    assert sum(cut.scene for cut in sampler.cuts()) / 4000 == pytest.approx(0.75, abs=0.03)
    middle = counted(sampler)[1][20:80, 20:280]
    assert middle.std() / middle.mean() < 0.5


def test_coordinates_are_those_of_the_pixels(land):
    for patch in SeededRandomSampler(land, size=(16, 8), length=5, seed=0):
        x, y = patch
        assert isinstance(patch, Patch)
        assert (x.start, y.stop) == (X + 10 * patch.window.col_off, Y - 10 * patch.window.row_off)
        assert (x.stop - x.start, y.stop - y.start) == (80, 160)


def test_sizes_in_units_of_the_reference_system(land):
    sampler = SeededRandomSampler(land, size=(160.0, 80.0), units=Units.CRS, length=1)
    assert sampler.size == (16, 8)
    with pytest.raises(BadParameter, match='less than a pixel'):
        SeededRandomSampler(land, size=4.0, units=Units.CRS)


def test_every_patch_holds_a_cell_with_weight(land):
    weights = np.zeros((16, 20))
    weights[3, 19] = weights[15, 0] = 1
    sampler = SeededRandomSampler(land, size=12, length=200, seed=0, weights=[weights], cell=4)
    for patch in sampler:
        rows, columns = patch.window.toslices()
        held = [
            rows.start <= r * 4 < rows.stop - 3 and columns.start <= c * 4 < columns.stop - 3
            for r, c in ((3, 19), (15, 0))
        ]
        assert any(held)
        assert patch.tile_id in (3 * 20 + 19, 15 * 20)


def test_weights_decide_how_often():
    land = Land(grid_of(32, 32), grid_of(64, 32))
    weights = [np.full((2, 2), 3.0), np.full((4, 2), 0.5)]
    sampler = SeededRandomSampler(land, size=16, length=4000, seed=0, weights=weights, cell=16)
    assert sum(cut.scene == 0 for cut in sampler.cuts()) / 4000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'weights': [np.zeros((8, 10))], 'cell': 8}, 'no cell'),
        ({'weights': [np.ones((8, 9))], 'cell': 8}, 'shapes'),
        ({'weights': [np.full((8, 10), -1)], 'cell': 8}, 'negative'),
        ({'cell': 17}, 'larger than a patch'),
        ({'roi': shapely.box(0, 0, 1, 1)}, 'roi: no raster'),
        ({'roi': box(3, 3, 9, 40)}, 'too small for a patch'),
        ({'toi': pd.Interval(pd.Timestamp(2000, 1, 1), pd.Timestamp(2001, 1, 1))}, 'toi: no'),
        ({'rank': 2, 'world_size': 2}, 'rank'),
        ({'rank': 2}, 'go together'),
        ({'min_valid': 1.5}, 'between 0 and 1'),
    ],
)
def test_what_cannot_be_sampled_is_refused(land, arguments, message):
    with pytest.raises(BadParameter, match=message):
        SeededRandomSampler(land, size=16, **arguments)


def test_patches_survive_pickling(land):
    patch = next(iter(SeededRandomSampler(land, size=16)))
    copy = pickle.loads(pickle.dumps(patch))
    assert copy == patch
    assert (copy.window, copy.tile_id) == (patch.window, patch.tile_id)


class TestRegion:
    def test_patches_lie_in_a_rectangle_and_reach_its_rim(self, land):
        sampler = SeededRandomSampler(land, size=12, length=600, seed=0, roi=box(10, 5, 40, 60))
        count = counted(sampler)[0]
        assert count[5:60, 10:40].min() > 0
        assert count.sum() == count[5:60, 10:40].sum()

    def test_patches_lie_in_a_polygon(self, land):
        roi = box(0, 0, 80, 64).difference(shapely.Point(X + 400, Y - 320).buffer(150))
        sampler = SeededRandomSampler(land, size=12, length=600, seed=0, roi=roi)
        for x, y in sampler:
            assert roi.buffer(0.1).covers(shapely.box(x.start, y.start, x.stop, y.stop))
        assert counted(sampler)[0][:5].min() > 0

    def test_a_polygon_too_narrow_is_named(self, land):
        narrow = shapely.LineString([(X, Y), (X + 800, Y - 640)]).buffer(30)
        with pytest.raises(BadInput, match='larger roi'):
            list(SeededRandomSampler(land, size=12, roi=narrow))

    def test_in_several_reference_systems(self):
        lonlat = shapely.box(14.99, 47.84, 15.01, 47.86)
        land = Land(
            grid_of(400, 400, row=-100, column=-200),
            grid_of(300, 300, crs='EPSG:4326', resolution=1e-4, corner=(14.985, 47.865)),
            crs='EPSG:4326',
        )
        sampler = SeededRandomSampler(land, size=16, length=200, seed=0, roi=lonlat)
        assert {cut.scene for cut in sampler.cuts()} == {0, 1}
        for x, y in sampler:
            assert lonlat.buffer(3e-5).covers(shapely.box(x.start, y.start, x.stop, y.stop))

    @pytest.mark.parametrize('shift', [0, 360, -360])
    def test_across_the_antimeridian(self, shift):
        # a zone on either side, and a raster in degrees that goes on beyond 180
        west = grid_of(200, 200, crs='EPSG:32660', resolution=100, corner=(820_000, 0))
        degrees = grid_of(100, 400, crs='EPSG:4326', resolution=0.01, corner=(178, 0))
        land = Land(west, degrees, crs='EPSG:4326')
        roi = shapely.box(179.5 + shift, -0.2, 180.1 + shift, 0)
        sampler = SeededRandomSampler(land, size=8, length=300, seed=0, roi=roi)
        assert {cut.scene for cut in sampler.cuts()} == {0, 1}
        for x, y in sampler:
            assert 0 < x.stop - x.start < 0.2
            assert 179.49 < x.start % 360 < 180.1
            assert -0.21 < y.start < y.stop < 0.01


class TestTime:
    def test_rasters_of_other_times_are_left_out(self):
        land = Land(grid_of(40, 40), grid_of(40, 40), dates=['2020-01-01', '2021-06-01'])
        toi = pd.Interval(pd.Timestamp('2021-01-01'), pd.Timestamp('2022-01-01'))
        sampler = SeededRandomSampler(land, size=8, length=20, toi=toi)
        assert {cut.scene for cut in sampler.cuts()} == {1}
        assert len(next(iter(sampler))) == 2

    def test_other_datasets_are_told_the_time(self):
        plain = Plain(grid_of(40, 40), grid_of(40, 40), dates=['2020-01-01', '2021-06-01'])
        toi = pd.Interval(pd.Timestamp('2021-01-01'), pd.Timestamp('2022-01-01'))
        sampler = SeededRandomSampler(plain, size=8, length=3, toi=toi)
        assert [patch[2] for patch in sampler] == [slice(toi.left, toi.right)] * 3
        with pytest.raises(BadParameter, match='temporal sampler'):
            sampler @ SequentialTimestampSampler(plain)


class TestPlainDatasets:
    def test_patches_lie_on_the_lattice(self):
        plain = Plain(grid_of(40, 50))
        for patch in SeededRandomSampler(plain, size=8, length=20, seed=0):
            x, y = patch
            # a dataset that holds several others must not take them for its own pixels
            assert not isinstance(patch, Patch)
            assert (x.start - X) % 10 == (Y - y.stop) % 10 == 0
            assert plain[patch]['image'].shape == (1, 8, 8)

    def test_rasters_far_apart_are_sampled_one_by_one(self):
        plain = Plain(grid_of(30, 30), grid_of(10, 10, row=100_000, column=100_000))
        sampler = SeededRandomSampler(plain, size=16, length=300, seed=0)
        assert len(sampler.place.grids) == 2
        small, large = sorted(counted(sampler), key=np.size)
        assert small.min() > 0
        assert large.min() > 0

    def test_patches_avoid_what_no_raster_covers(self):
        plain = Plain(grid_of(30, 30), grid_of(30, 60, row=30))
        sampler = SeededRandomSampler(plain, size=16, length=4000, seed=0)
        (count,) = counted(sampler)
        assert count.shape == (60, 60)
        assert count[:30, 30:].sum() == 0
        assert count[30:].min() > 0

    def test_footprints_narrower_than_a_patch_still_yield(self):
        plain = Plain(grid_of(60, 8), grid_of(8, 60, row=60))
        assert len(list(SeededRandomSampler(plain, size=16, length=5, seed=0))) == 5


class TestValidFraction:
    @pytest.fixture
    def valid(self):
        valid = np.random.default_rng(0).random((64, 80)) < 0.98
        valid[:, :37] = False
        valid[50:, 60:] = False
        return valid

    def fractions(self, sampler, valid):
        for cut in sampler.cuts():
            yield valid[cut.window.toslices()].sum() / (16 * 16)

    @pytest.mark.parametrize('fraction', [0.3, 0.75, 0.95])
    def test_is_guaranteed(self, valid, fraction):
        land = Land(grid_of(64, 80), valid=[valid])
        sampler = SeededRandomSampler(land, size=16, length=300, seed=0, min_valid=fraction)
        found = list(self.fractions(sampler, valid))
        assert min(found) >= fraction
        # and not by keeping away from the edge of what is valid
        assert min(found) < fraction + 0.05

    def test_by_a_function(self, valid):
        plain = Plain(grid_of(64, 80))
        with pytest.raises(BadParameter, match='Give valid'):
            SeededRandomSampler(plain, size=16, min_valid=0.5)
        sampler = SeededRandomSampler(
            plain, size=16, length=99, seed=0, min_valid=0.5,
            valid=lambda grid, window: valid[window.toslices()],
        )  # fmt: skip
        assert min(self.fractions(sampler, valid)) >= 0.5

    @pytest.mark.parametrize('crs', ['EPSG:32633', 'EPSG:4326'])
    def test_by_a_mask_raster(self, valid, tmp_path, crs):
        mask = write_raster(tmp_path / 'mask.tif', valid.astype('uint8'))
        grid = grid_of(64, 80)
        if crs == 'EPSG:4326':
            grid = grid_of(45, 75, crs=crs, corner=(15.0004, 47.8538), resolution=1.2e-4)
        sampler = SeededRandomSampler(
            Plain(grid), size=12, length=40, seed=0, min_valid=0.6, valid=mask, cache=tmp_path / 'c'
        )
        assert len(list((tmp_path / 'c').iterdir())) == 1
        with RasterSource(str(mask), resampling='nearest').open(grid) as reader:
            for cut in sampler.cuts():
                values, inside = reader.read_native(cut.window)
                assert ((values[0] > 0) & inside).mean() >= 0.6

    def test_what_cannot_be_had_is_said(self, valid):
        land = Land(grid_of(64, 80), valid=[valid])
        with pytest.raises(BadInput, match=r'valid pixels.*min_valid'):
            list(SeededRandomSampler(land, size=16, length=3, seed=0, min_valid=1.0))

    def test_beyond_a_raster_nothing_is_valid(self):
        land = Land(grid_of(8, 16))
        assert list(SeededRandomSampler(land, size=16, length=1, min_valid=0.5))
        with pytest.raises(BadInput, match='valid pixels'):
            list(SeededRandomSampler(land, size=16, length=1, min_valid=0.51))


def test_plots(land):
    animation = SeededRandomSampler(land, size=16, length=3, seed=0).plot()
    animation._draw_was_started = True
    animation._init_draw()
    for frame in animation.new_frame_seq():
        animation._draw_frame(frame)
    assert len(animation._fig.axes[0].patches) >= 3
    plt.close(animation._fig)
