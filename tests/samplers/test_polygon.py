import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from tests.datasets.makers import CORNER, boxes, write_polygons
from tests.samplers.makers import Land, Plain, cuts, grid_of
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers import PolygonSampler

X, Y = CORNER
FIELDS = [(10, 10, 14, 12), (40, 30, 45, 40), (70, 55, 78, 62), (0, 0, 2, 2)]


@pytest.fixture
def land():
    return Land(grid_of(64, 80))


@pytest.fixture
def fields(tmp_path):
    return write_polygons(tmp_path / 'f.gpkg', boxes(FIELDS), name=list('abcd'))


def test_features_are_in_the_middle(land, fields):
    sampler = PolygonSampler(land, size=16, features=fields, seed=0)
    assert len(sampler) == 4
    found = {cut.tile_id: cut.window for cut in sampler.cuts()}
    assert (found[1].col_off, found[1].row_off) == (34, 27)
    # patches stay inside
    assert (found[2].col_off, found[2].row_off) == (64, 48)
    assert (found[3].col_off, found[3].row_off) == (0, 0)


def test_all_come_before_any_comes_again(land, fields):
    sampler = PolygonSampler(land, size=16, features=fields, length=10, seed=0)
    numbers = [cut.tile_id for cut in sampler.cuts()]
    assert sorted(numbers[:4]) == sorted(numbers[4:8]) == [0, 1, 2, 3]
    sampler.set_epoch(1)
    assert [cut.tile_id for cut in sampler.cuts()] != numbers


@pytest.mark.parametrize('jitter', [0.1, 0.5])
def test_jitter_moves_them(land, fields, jitter):
    sampler = PolygonSampler(land, size=16, features=fields, jitter=jitter, length=400, seed=0)
    columns = [cut.window.col_off - 34 for cut in sampler.cuts() if cut.tile_id == 1]
    assert len(set(columns)) > 2
    assert max(map(abs, columns)) == pytest.approx(16 * jitter, abs=1)


@pytest.mark.parametrize('crs', ['EPSG:32633', 'EPSG:4326'])
def test_large_features_show_all_their_parts(land, tmp_path, crs):
    ring = (
        shapely.Point(X + 400, Y - 320)
        .buffer(250)
        .difference(shapely.Point(X + 400, Y - 320).buffer(150))
    )
    line = shapely.LineString([(X, Y), (X + 800, Y - 640)])
    shapes = geopandas.GeoSeries([ring, line], crs='EPSG:32633')
    path = write_polygons(tmp_path / 'f.gpkg', shapes.to_crs(crs), crs=crs, name=['ring', 'line'])
    sampler = PolygonSampler(land, size=8, features=path, length=400, seed=0)
    middles = {0: [], 1: []}
    for cut in sampler.cuts():
        x, y = sampler.place.slices(cut.scene, cut.window)
        middles[cut.tile_id].append(shapely.Point((x.start + x.stop) / 2, (y.start + y.stop) / 2))
    for number, points in middles.items():
        # half a pixel of rounding, and patches that stay inside
        assert max(shapely.distance(points, shapes[number])) < 60
        assert np.ptp([point.x for point in points]) > 400


def test_points_on_several_rasters(tmp_path):
    land = Land(grid_of(30, 30), grid_of(30, 30), grid_of(30, 30, row=500))
    path = write_polygons(tmp_path / 'p.gpkg', [shapely.Point(X + 155, Y - 145)], name=['a'])
    sampler = PolygonSampler(land, size=5, features=path, length=50, seed=0)
    assert {cut.scene for cut in sampler.cuts()} == {0, 1}
    assert {cut.window.flatten() for cut in sampler.cuts()} == {(13, 12, 5, 5)}


def test_regions_and_times(fields):
    land = Land(grid_of(64, 80), grid_of(64, 80), dates=['2020-01-01', '2021-06-01'])
    toi = pd.Interval(pd.Timestamp('2021-01-01'), pd.Timestamp('2022-01-01'))
    sampler = PolygonSampler(
        land, size=8, features=fields, toi=toi, roi=shapely.box(X, Y - 200, X + 300, Y), seed=0
    )
    assert {(cut.scene, cut.tile_id) for cut in sampler.cuts()} == {(1, 0), (1, 3)}


@pytest.mark.parametrize('processes', [2, 3])
def test_processes_share_the_features(land, fields, processes):
    parts = [
        cuts(PolygonSampler(land, size=16, features=fields, seed=2, rank=r, world_size=processes))
        for r in range(processes)
    ]
    whole = PolygonSampler(
        land, size=16, features=fields, seed=2, length=6 if processes == 3 else 4
    )
    assert sorted(cut for part in parts for cut in part) == sorted(cuts(whole))


class TestValidFraction:
    @pytest.fixture
    def valid(self):
        valid = np.random.default_rng(0).random((64, 80)) < 0.9
        valid[:, :38] = False
        return valid

    @pytest.mark.parametrize('fraction', [0.3, 0.6])
    @pytest.mark.parametrize('jitter', [0.0, 0.5])
    def test_is_guaranteed(self, valid, fields, fraction, jitter):
        sampler = PolygonSampler(
            Land(grid_of(64, 80), valid=[valid]),
            size=16, features=fields, jitter=jitter, length=100, seed=0, min_valid=fraction,
        )  # fmt: skip
        found = list(sampler.cuts())
        assert len(found) == len(sampler) == 100
        assert min(valid[cut.window.toslices()].mean() for cut in found) >= fraction
        # two of four lie in the void, and the others come as often as each other
        numbers = [cut.tile_id for cut in found]
        assert (numbers.count(1), numbers.count(2)) == (50, 50)

    @pytest.mark.parametrize('processes', [2, 3])
    def test_processes_share_the_work(self, valid, fields, processes):
        land = Land(grid_of(64, 80), valid=[valid])
        given = {'size': 16, 'features': fields, 'jitter': 0.5, 'min_valid': 0.5, 'seed': 2}
        parts = [
            cuts(PolygonSampler(land, **given, length=12, rank=rank, world_size=processes))
            for rank in range(processes)
        ]
        whole = cuts(PolygonSampler(land, **given, length=12))
        assert [parts[i % processes][i // processes] for i in range(12)] == whole

    def test_what_cannot_be_had_is_said(self, valid, fields):
        land = Land(grid_of(64, 80), valid=[valid])
        sampler = PolygonSampler(land, size=16, features=fields, min_valid=1.0, seed=0)
        with pytest.raises(BadInput, match=r'enough valid pixels.*min_valid'):
            list(sampler)


def test_patches_without_a_cell_of_weight_are_left_out(land, fields):
    weights = np.zeros((16, 20))
    weights[2:4, 2:4] = 1
    arguments = {'size': 16, 'features': fields, 'length': 20, 'seed': 0}
    sampler = PolygonSampler(land, weights=[weights], cell=4, **arguments)
    assert {cut.tile_id for cut in sampler.cuts()} == {0, 3}
    with pytest.raises(BadInput, match='positive weight'):
        list(PolygonSampler(land, weights=[np.zeros((16, 20))], cell=4, **arguments))
    with pytest.raises(BadParameter, match='shapes'):
        PolygonSampler(land, weights=[weights], cell=5, **arguments)


def test_plain_datasets_and_small_rasters(fields):
    assert len(list(PolygonSampler(Plain(grid_of(12, 12)), size=16, features=fields, seed=0))) == 2


def test_what_cannot_be_used(land, fields):
    with pytest.raises(BadParameter, match='jitter'):
        PolygonSampler(land, size=16, features=fields, jitter=0.6)
    with pytest.raises(BadInput, match='none in'):
        PolygonSampler(Land(grid_of(9, 9, row=900)), size=4, features=fields)


@pytest.mark.parametrize('longitude', [179.95, -180.05])
@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:3832'])
def test_across_the_antimeridian(tmp_path, longitude, crs):
    land = Land(grid_of(100, 100, crs='EPSG:4326', corner=(longitude, 0), resolution=1e-3))
    field = shapely.box(-179.985, -0.06, -179.975, -0.05)
    shapes = geopandas.GeoSeries([field], crs='EPSG:4326').to_crs(crs)
    path = write_polygons(tmp_path / 'f.gpkg', shapes, crs=crs, name=['a'])
    (cut,) = PolygonSampler(land, size=12, features=path, seed=0).cuts()
    assert cut.window.flatten() == (64, 49, 12, 12)
