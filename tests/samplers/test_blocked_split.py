import dataclasses
import json

import geopandas
import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform
from rasterio.windows import Window

from tests.datasets.makers import CORNER, boxes, grid_transform, write_polygons
from tests.rasters import UTM
from tests.samplers.makers import grid_of
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers import BlockedSplit, BlockLattice, BlockRoles
from torchgeo_ext.samplers._blocks import block_of
from torchgeo_ext.samplers.blocked_split import (
    MARGIN,
    TRAINING,
    UNUSED,
    VALIDATION,
    block_key,
    choose_folds,
    coarser_key,
)

GRID = Grid(CRS.from_string(UTM), grid_transform(), 120, 90)


def split_of(grid=GRID, size=16, margin=0.25, seed=0, classes=3):
    lattice = BlockLattice.over(grid, size)
    keys = np.unique(lattice.keys(grid, grid.window))
    random = np.random.default_rng(7)
    folds = choose_folds(random.integers(0, 50, (len(keys), classes)), 4, seed)
    return BlockRoles(lattice, keys[folds > 0], keys[folds == 0], margin, 10.0 * size)


def roles_of(split, grid=GRID):
    return split.roles(grid, grid.window)


class TestBlocks:
    def test_are_squares_of_pixels(self):
        keys = BlockLattice.over(GRID, 16).keys(GRID, GRID.window)
        assert (keys[:16, :16] == keys[0, 0]).all()
        assert len(np.unique(keys)) == 6 * 8
        assert keys[0, 15] != keys[0, 16]

    @pytest.mark.parametrize(('column', 'row'), [(0, 0), (5, 7), (-1, 3), (-6, -7), (9, -1)])
    def test_coarser_ones_hold_four(self, column, row):
        key = block_key(np.float64(column), np.float64(row))
        assert coarser_key(int(key)) == int(
            block_key(np.float64(column // 2), np.float64(row // 2))
        )
        assert [int(part) for part in block_of(key)] == [column, row]

    def test_a_place_has_the_same_role_in_every_raster(self):
        split = split_of()
        shifted = Grid(GRID.crs, grid_transform(5.0, column=33, row=21), 100, 100)
        roles = roles_of(split, shifted)
        rows, columns = np.nonzero(roles < 9)
        x, y = shifted.transform @ (columns + 0.5, rows + 0.5)
        column, row = np.floor(~GRID.transform @ (x, y)).astype(int)
        own = roles_of(split)
        same = roles[rows, columns] == own[row, column]
        # margins are exact to half a pixel of either
        assert same[(roles[rows, columns] != MARGIN) & (own[row, column] != MARGIN)].all()

    @pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:32632'])
    def test_a_place_has_the_same_role_in_every_reference_system(self, crs):
        split = split_of(margin=0)
        left, top = transform(GRID.crs, CRS.from_string(crs), [500_100], [5_299_900])
        there = grid_of(
            30, 40, crs=crs, corner=(left[0], top[0]), resolution=1e-4 if '4326' in crs else 8.0
        )
        roles = roles_of(split, there)
        rows, columns = np.nonzero(roles < 9)
        xs, ys = there.transform @ (columns + 0.5, rows + 0.5)
        xs, ys = transform(there.crs, GRID.crs, xs, ys)
        column, row = np.floor(~GRID.transform @ (np.array(xs), np.array(ys))).astype(int)
        inside = (column >= 0) & (column < 120) & (row >= 0) & (row < 90)
        assert inside.sum() > 500
        own = roles_of(split)[row[inside], column[inside]]
        np.testing.assert_array_equal(roles[rows, columns][inside], own)

    def test_roles_of_a_window_are_those_of_the_whole(self):
        split = split_of()
        whole = roles_of(split)
        for window in (Window(5, 9, 40, 31), Window(119, 0, 1, 90)):
            np.testing.assert_array_equal(split.roles(GRID, window), whole[window.toslices()])

    @pytest.mark.parametrize(('margin', 'pixels'), [(0.25, 4), (1.0, 16), (1.6, 26), (2.0, 32)])
    def test_margin_keeps_training_away_from_validation(self, margin, pixels):
        split = split_of(size=16, margin=margin, seed=3)
        # a single block, so that something is left
        split = dataclasses.replace(split, validation=split.validation[:1])
        roles = roles_of(split)
        held, learned, strip = (np.argwhere(roles == r) for r in (VALIDATION, TRAINING, MARGIN))
        assert np.abs(learned[:, None] - held[None]).max(-1).min() == pixels + 1
        assert np.abs(strip[:, None] - held[None]).max(-1).min(1).max() == pixels

    def test_blocks_without_labels_are_unused(self):
        lattice = BlockLattice.over(GRID, 16)
        keys = np.unique(lattice.keys(GRID, GRID.window))[:9]
        split = BlockRoles(lattice, keys[:7], keys[7:])
        used = np.isin(lattice.keys(GRID, GRID.window), keys)
        assert (roles_of(split)[~used] == UNUSED).all()
        assert (roles_of(split)[used] != UNUSED).all()

    def test_survive_json(self):
        split = split_of()
        again = BlockRoles.from_dict(json.loads(json.dumps(split.to_dict())))
        np.testing.assert_array_equal(roles_of(again), roles_of(split))
        assert again.buffer == split.buffer


class TestFolds:
    @pytest.mark.parametrize('seed', range(5))
    @pytest.mark.parametrize('folds', [2, 5, 10])
    def test_get_their_share_of_each_class(self, seed, folds):
        random = np.random.default_rng(seed)
        counts = random.integers(0, 200, (80, 4)) * (random.random((80, 4)) < [1, 0.8, 0.3, 0.1])
        counts[:, 0] += 1
        fold = choose_folds(counts, folds, seed)
        assert set(fold) == set(range(folds))
        shares = np.stack([counts[fold == f].sum(0) for f in range(folds)]) / counts.sum(0)
        np.testing.assert_allclose(shares[:, :3], 1 / folds, atol=0.06)
        assert (fold == choose_folds(counts, folds, seed)).all()

    def test_a_rare_class_is_spread_and_first_learned(self):
        counts = np.zeros((30, 3), int)
        counts[:, 0] = 100
        counts[[3, 17], 1] = 40
        counts[5, 2] = 40
        for seed in range(10):
            fold = choose_folds(counts, 5, seed)
            assert fold[3] != fold[17]
            # what lies in one block is lost when that is held out; the first folds do not
            assert fold[5] == 4

    def test_seeds_choose_differently(self):
        counts = np.full((40, 2), 10)
        assert len({tuple(choose_folds(counts, 5, seed)) for seed in range(5)}) == 5

    @pytest.mark.parametrize('number', [2, 3, 7])
    def test_few_blocks_leave_no_fold_empty(self, number):
        assert sorted(choose_folds(np.full((number, 2), 10), number, 0)) == list(range(number))

    def test_too_few_blocks(self):
        with pytest.raises(ValueError, match='too few'):
            choose_folds(np.full((1, 2), 10), 2, 0)


class TestBlockedSplit:
    @pytest.mark.parametrize('buffer', [0.0, 25.0, 90.0, 400.0])
    def test_training_keeps_away_by_the_buffer(self, buffer):
        grids = [GRID, grid_of(60, 60, row=40, column=90, resolution=7.0)]
        roles = BlockedSplit(block_size=160, buffer=buffer).resolve(grids)
        found = roles.check(grids)
        assert found.validation > 0
        assert found.distance >= buffer
        if buffer < 400:
            assert found.distance <= buffer + 10
            assert found.training > 0

    @pytest.mark.parametrize(
        ('crs', 'corner', 'resolution'),
        [
            ('EPSG:3857', (1_500_000, 6_000_000), 14.0),  # a metre there takes 1.5
            ('EPSG:4326', (179.99, -16.0), 1e-4),  # the antimeridian runs through it
            ('EPSG:2229', (6_500_000, 1_900_000), 33.0),  # feet
        ],
    )
    def test_buffers_are_metres_on_the_ground(self, crs, corner, resolution):
        grid = grid_of(80, 110, crs=crs, corner=corner, resolution=resolution)
        roles = BlockedSplit(folds=3, block_size=300, buffer=60).resolve([grid])
        used = roles_of(roles, grid)
        assert roles.check([grid]).distance >= 60
        # measured on the ellipsoid
        geod = CRS.from_epsg(4326)
        places = []
        for role in (TRAINING, VALIDATION):
            rows, columns = np.nonzero(used == role)
            x, y = grid.transform @ (columns + 0.5, rows + 0.5)
            places.append(np.column_stack(transform(grid.crs, geod, x, y)))
        learned, held = places
        east = (learned[:, None, 0] - held[None, ::7, 0] + 180) % 360 - 180
        north = learned[:, None, 1] - held[None, ::7, 1]
        scale = np.cos(np.radians(held[0, 1]))
        metres = 111_200 * np.hypot(east * scale, north)
        assert 59 < metres.min() < 90

    def test_both_sides_of_the_antimeridian_agree(self):
        east = grid_of(100, 100, crs='EPSG:4326', corner=(179.99, 0), resolution=1e-4)
        west = grid_of(100, 100, crs='EPSG:4326', corner=(-180.01, 0), resolution=1e-4)
        roles = BlockedSplit(folds=3, block_size=200).resolve([east, west])
        np.testing.assert_array_equal(roles_of(roles, east), roles_of(roles, west))

    def test_folds_are_held_out_one_after_the_other(self):
        held = np.stack(
            [
                roles_of(BlockedSplit(fold=fold, block_size=160).resolve([GRID])) == VALIDATION
                for fold in range(5)
            ]
        )
        assert (held.sum(0) == 1).all()

    def test_blocks_are_as_large_as_leaves_enough(self):
        def count(lattice):
            keys = np.unique(lattice.keys(big, big.window))
            return {int(key): np.array([5, 3]) for key in keys}

        big = grid_of(1000, 1000)
        roles = BlockedSplit().resolve([big], count)
        number = len(roles.training) + len(roles.validation)
        assert 24 <= number < 4 * 24
        assert roles.lattice.transform.a / 10 in (16, 32, 64, 128, 256)
        assert roles.margin == 1 / 8

    def test_labels_decide_what_is_used(self):
        keys = {int(key): np.array([1]) for key in (0, 1, 2, 3, 4)}
        roles = BlockedSplit(block_size=160).resolve([GRID], lambda lattice: keys)
        used = roles_of(roles) != UNUSED
        assert used[:16, :80].all()
        assert used.sum() == 16 * 80

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            ({'folds': 1}, 'folds'),
            ({'fold': 5}, 'fold: 5'),
            ({'block_size': 0}, 'block_size'),
            ({'buffer': -1}, 'buffer'),
            ({'regions': 'r.gpkg'}, 'region_field'),
            ({'region': 'north'}, 'needs regions'),
        ],
    )
    def test_values_that_do_not_fit_are_refused(self, arguments, message):
        with pytest.raises(BadParameter, match=message):
            BlockedSplit(**arguments)

    def test_too_few_blocks_for_the_folds(self):
        with pytest.raises(BadParameter, match='4 blocks of 600 m, fewer than 5 folds'):
            BlockedSplit(block_size=600).resolve([GRID])
        with pytest.raises(BadInput, match='1 block of'):
            BlockedSplit().resolve([GRID], lambda lattice: {0: np.array([3])})
        with pytest.raises(BadParameter, match='less than a pixel'):
            BlockedSplit(block_size=9).resolve([GRID])
        with pytest.raises(BadInput, match='no pixel'):
            BlockedSplit().resolve([GRID], lambda lattice: {})

    def test_is_made_of_plain_values(self):
        split = BlockedSplit(folds=3, fold=2, block_size=160.0, buffer=20.0)
        again = BlockedSplit(**json.loads(json.dumps(dataclasses.asdict(split))))
        assert again == split
        np.testing.assert_array_equal(
            roles_of(again.resolve([GRID])), roles_of(split.resolve([GRID]))
        )

    def test_a_wrong_split_is_found_out(self):
        class Careless(BlockRoles):
            """Forgets the margin."""

            def roles(self, grid, window):
                return dataclasses.replace(split, margin=0).roles(grid, window)

        split = BlockedSplit(block_size=160, buffer=20).resolve([GRID])
        fields = {f.name: getattr(split, f.name) for f in dataclasses.fields(split)}
        assert split.check([GRID]).distance >= 20
        with pytest.raises(BadInput, match='comes within'):
            Careless(**fields).check([GRID])

    def test_plots_a_map(self):
        far = grid_of(40, 40, crs='EPSG:4326', corner=(15.0, 47.9), resolution=1e-4)
        figure = BlockedSplit(block_size=160).resolve([GRID, far]).plot([GRID, far])
        axes = figure.axes[0]
        assert len(axes.collections) == 2
        assert [text.get_text() for text in axes.get_legend().get_texts()][1] == 'training'
        drawn = axes.collections[0].get_array()
        np.testing.assert_array_equal(
            drawn, roles_of(BlockedSplit(block_size=160).resolve([GRID, far]))
        )


class TestRegions:
    @pytest.fixture
    def regions(self, tmp_path):
        shapes = boxes([(0, 0, 40, 90), (40, 0, 80, 90), (80, 0, 120, 40), (80, 40, 120, 90)])
        return write_polygons(tmp_path / 'r.gpkg', shapes, name=['west', 'mid', 'east', 'east'])

    def test_one_is_held_out(self, regions):
        split = BlockedSplit(regions=regions, region_field='name', region='mid')
        used = roles_of(split.resolve([GRID]))
        assert (used[:, 40:80] == VALIDATION).all()
        assert (used[:, :40] == TRAINING).all()
        assert (used[:, 80:] == TRAINING).all()

    def test_each_has_its_turn(self, regions):
        held = [
            roles_of(BlockedSplit(fold=f, regions=regions, region_field='name').resolve([GRID]))
            for f in range(3)
        ]
        assert (sum(used == VALIDATION for used in held) == 1).all()
        assert (held[0][:, 80:] == VALIDATION).all()

    @pytest.mark.parametrize('crs', [UTM, 'EPSG:4326', 'EPSG:3857'])
    def test_keeps_away_by_the_buffer(self, tmp_path, crs):
        x, y = CORNER
        circle = shapely.Point(x + 600, y - 450).buffer(200)
        shapes = geopandas.GeoSeries([circle, shapely.box(x, y - 900, x + 1200, y)], crs=UTM)
        path = write_polygons(tmp_path / 'r.gpkg', shapes.to_crs(crs), crs=crs, name=['in', 'out'])
        split = BlockedSplit(regions=path, region_field='name', region='in', buffer=100)
        grids = [GRID, grid_of(60, 60, crs='EPSG:4326', corner=(15.0, 47.853), resolution=1e-4)]
        roles = split.resolve(grids)
        found = roles.check(grids)
        assert 100 <= found.distance < 105
        assert found.validation > 0
        assert (roles_of(roles) == MARGIN).sum() > 0

    def test_pixels_in_no_region_are_unused(self, tmp_path):
        path = write_polygons(
            tmp_path / 'r.gpkg', boxes([(0, 0, 10, 10), (50, 50, 60, 60)]), name=['a', 'b']
        )
        used = roles_of(BlockedSplit(regions=path, region_field='name').resolve([GRID]))
        assert [(used == role).sum() for role in (TRAINING, VALIDATION)] == [100, 100]
        assert used[30, 30] == UNUSED

    def test_what_cannot_be_used_is_named(self, regions, tmp_path):
        def resolve(path, **arguments):
            return BlockedSplit(regions=str(path), **arguments).resolve([GRID])

        with pytest.raises(BadInput, match='cannot be read'):
            resolve(tmp_path / 'missing.gpkg', region_field='name')
        with pytest.raises(BadParameter, match="no field 'zone', but name"):
            resolve(regions, region_field='zone')
        with pytest.raises(BadParameter, match='none of east, mid, west'):
            resolve(regions, region_field='name', region='north')
        with pytest.raises(BadParameter, match='fold: 3'):
            resolve(regions, region_field='name', fold=3)
        single = write_polygons(tmp_path / 's.gpkg', boxes([(0, 0, 9, 9)]), name=['all'])
        with pytest.raises(BadInput, match='only one region'):
            resolve(single, region_field='name')
