import itertools

import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader, RandomSampler
from torchgeo.samplers import GriddedPatchSampler, SequentialTimestampSampler, Units

from tests.datasets.makers import CORNER
from tests.samplers.makers import Land, Plain, counted, cuts, grid_of
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers import TiledSampler

X, Y = CORNER
SHAPES = [(1, 5), (16, 16), (33, 70), (64, 49)]


@pytest.fixture
def land():
    return Land(*(grid_of(*shape) for shape in SHAPES))


@pytest.mark.parametrize(
    ('size', 'overlap'), [(16, 0), (16, 4), (17, 8), (32, 31), (64, 16), ((8, 20), (0, 7))]
)
def test_every_pixel_is_owned_once(land, size, overlap):
    sampler = TiledSampler(land, size=size, overlap=overlap)
    for count in counted(sampler, 'core'):
        assert (count == 1).all()
    for cut in sampler.cuts():
        rows, columns = cut.window.toslices()
        core_rows, core_columns = cut.core.toslices()
        assert rows.start <= core_rows.start < core_rows.stop <= rows.stop
        assert columns.start <= core_columns.start < core_columns.stop <= columns.stop
        height, width = SHAPES[cut.scene]
        # torchgeo.md, trap 8: TorchGeo's tiles hang over on all sides
        assert rows.start >= 0
        assert rows.stop <= max(height, sampler.size[0])
        assert columns.start >= 0
        assert columns.stop <= max(width, sampler.size[1])


def test_torchgeos_tiles_hang_over():
    plain = Plain(grid_of(300, 300))
    x, y, _ = plain.bounds
    theirs = list(GriddedPatchSampler(plain, size=128, stride=96))
    # torchgeo.md, trap 8
    assert min(tile[0].start for tile in theirs) < x.start
    assert max(tile[0].stop for tile in theirs) > x.stop
    assert min(tile[1].start for tile in theirs) < y.start
    ours = list(TiledSampler(plain, size=128, overlap=32))
    assert min(tile[0].start for tile in ours) == x.start
    assert max(tile[0].stop for tile in ours) == x.stop
    assert (ours[0][1].stop, ours[-1][1].start) == (y.stop, y.start)


@pytest.mark.parametrize('processes', [1, 2, 3, 50])
def test_processes_go_over_contiguous_runs(land, processes):
    whole = cuts(TiledSampler(land, size=16))
    parts = [
        TiledSampler(land, size=16, rank=rank, world_size=processes) for rank in range(processes)
    ]
    assert [cut for part in parts for cut in cuts(part)] == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [len(part) for part in parts] == [len(cuts(part)) for part in parts]


def test_tiles_are_known_by_number(land):
    sampler = TiledSampler(land, size=16, overlap=5)
    for number, patch in enumerate(sampler):
        assert patch.tile_id == number
        again = sampler.patch(number)
        assert (again, again.scene, again.window, again.core) == (
            patch,
            patch.scene,
            patch.window,
            patch.core,
        )
        assert sampler.window(number) == patch.window
    with pytest.raises(BadParameter, match='tile_id'):
        sampler.patch(len(sampler))


def test_numbers_do_not_depend_on_what_is_left_out(land):
    whole = TiledSampler(land, size=16)
    part = TiledSampler(land, size=16, roi=shapely.box(X + 300, Y - 500, X + 600, Y - 200))
    assert 0 < len(part) < len(whole)
    for patch in part:
        assert whole.window(patch.tile_id) == patch.window


def test_tiles_outside_of_a_region_are_left_out(land):
    circle = shapely.Point(X + 300, Y - 300).buffer(120)
    found = {patch.tile_id for patch in TiledSampler(land, size=16, roi=circle)}
    for patch in TiledSampler(land, size=16):
        x, y = patch.core.col_off * 10 + X, Y - patch.core.row_off * 10
        core = shapely.box(x, y - patch.core.height * 10, x + patch.core.width * 10, y)
        shared = core.intersection(circle).area
        # a sliver along the edge may count or not
        assert (patch.tile_id in found) == (shared > 0) or shared < 100


def test_rasters_of_other_times_are_left_out():
    land = Land(grid_of(20, 20), grid_of(20, 20), dates=['2020-01-01', '2021-06-01'])
    toi = pd.Interval(pd.Timestamp('2021-01-01'), pd.Timestamp('2022-01-01'))
    sampler = TiledSampler(land, size=16, toi=toi)
    assert [patch.scene for patch in sampler] == [1] * 4
    assert sampler.tile_ids.tolist() == [4, 5, 6, 7]


def test_tiles_without_weight_are_left_out():
    land = Land(grid_of(64, 80))
    weights = np.zeros((8, 10))
    weights[0, 0] = 1
    sampler = TiledSampler(land, size=32, weights=[weights], cell=8)
    assert cuts(sampler) == [(0, 0, 0, 32, 32)]
    assert len(sampler) == 1
    with pytest.raises(BadParameter, match='weights'):
        TiledSampler(land, size=32, weights=[weights], cell=7)


class TestValidFraction:
    @pytest.fixture
    def valid(self):
        valid = np.random.default_rng(0).random((64, 80)) < 0.9
        valid[:, :37] = False
        return valid

    @pytest.mark.parametrize('fraction', [0.05, 0.5, 0.9])
    @pytest.mark.parametrize('processes', [1, 3])
    def test_only_tiles_below_it_are_left_out(self, valid, fraction, processes):
        land = Land(grid_of(64, 80), valid=[valid])
        whole = TiledSampler(land, size=16, overlap=4)
        enough = [
            tile for tile in whole.tile_ids.tolist()
            if valid[whole.window(tile).toslices()].mean() >= fraction
        ]  # fmt: skip
        assert 0 < len(enough) < len(whole)
        parts = [
            TiledSampler(
                land, size=16, overlap=4, min_valid=fraction, rank=rank, world_size=processes
            )
            for rank in range(processes)
        ]
        found = [patch for part in parts for patch in part]
        # they keep their numbers and places
        assert [patch.tile_id for patch in found] == enough
        assert [patch.window for patch in found] == [whole.window(tile) for tile in enough]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    def test_goes_with_regions_and_weights(self, valid):
        land = Land(grid_of(64, 80), grid_of(16, 16, row=100), valid=[valid, np.ones((16, 16))])
        weights = [np.ones((4, 5)), np.zeros((1, 1))]
        weights[0][0] = 0
        sampler = TiledSampler(
            land, size=16, min_valid=0.5, weights=weights, cell=16,
            roi=shapely.box(X, Y - 800, X + 640, Y),
        )  # fmt: skip
        assert sampler.tile_ids.tolist() == [7, 8, 12, 13, 17, 18]

    def test_by_a_function(self, valid):
        plain = Plain(grid_of(64, 80))
        with pytest.raises(BadParameter, match='Give valid'):
            TiledSampler(plain, size=16, min_valid=0.5)
        sampler = TiledSampler(
            plain, size=16, min_valid=0.85, valid=lambda _, window: valid[window.toslices()]
        )
        for cut in sampler.cuts():
            assert valid[cut.window.toslices()].mean() >= 0.85

    def test_beyond_a_raster_nothing_is_valid(self):
        land = Land(grid_of(8, 16))
        assert len(TiledSampler(land, size=16, min_valid=0.5)) == 1
        with pytest.raises(BadInput, match=r'no tile of 16 x 16 .*min_valid'):
            TiledSampler(land, size=16, min_valid=0.51)


def test_sizes_in_units_of_the_reference_system(land):
    sampler = TiledSampler(land, size=(160.0, 80.0), overlap=20.0, units=Units.CRS)
    assert (sampler.size, sampler.overlap) == ((16, 8), (2, 2))


def test_combines_with_time(land):
    sampler = TiledSampler(land, size=16)
    found = list(sampler @ SequentialTimestampSampler(land))
    assert [location[:2] for location in found] == [tuple(patch) for patch in sampler]


def test_length_is_known(land):
    sampler = TiledSampler(land, size=24, overlap=4)
    assert len(sampler) == len(list(sampler))
    assert len(list(itertools.islice(RandomSampler(sampler), 3))) == 3


@pytest.mark.parametrize('overlap', [16, (0, 16), -1])
def test_overlap_must_leave_something(land, overlap):
    with pytest.raises(BadParameter, match='overlap'):
        TiledSampler(land, size=16, overlap=overlap)


class Reader(LightningModule):
    """Predicts the place it is shown."""

    def predict_step(self, batch, batch_idx):
        return batch['image'][:, :, 0, 0]


@pytest.mark.filterwarnings('ignore:The .predict_dataloader. does not have many workers')
def test_lightning_predicts_each_tile_once(land, tmp_path):
    sampler = TiledSampler(land, size=8)
    trainer = Trainer(
        accelerator='cpu', devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    loader = DataLoader(land, batch_size=7, sampler=sampler)
    found = torch.cat(trainer.predict(Reader(), loader)).tolist()
    assert found == [[scene, top, left] for scene, left, top, _, _ in cuts(sampler)]
