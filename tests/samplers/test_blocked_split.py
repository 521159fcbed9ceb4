import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.warp import transform
from rasterio.windows import Window

from tests.datasets.makers import grid_transform
from tests.rasters import UTM
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers import BlockedSplit, BlockLattice
from torchgeo_ext.samplers.blocked_split import (
    MARGIN,
    TRAINING,
    UNUSED,
    VALIDATION,
    block_key,
    choose_blocks,
    coarser_key,
)

GRID = Grid(CRS.from_string(UTM), grid_transform(), 120, 90)


def split_of(grid=GRID, size=16, margin=0.25, seed=0, fraction=0.25):
    lattice = BlockLattice.over(grid, size)
    keys = np.unique(lattice.keys(grid, grid.window))
    random = np.random.default_rng(7)
    histograms = {int(key): random.integers(0, 50, 3) for key in keys}
    return BlockedSplit.stratified(lattice, histograms, fraction=fraction, margin=margin, seed=seed)


def test_blocks_are_squares_of_pixels():
    keys = BlockLattice.over(GRID, 16).keys(GRID, GRID.window)
    assert (keys[:16, :16] == keys[0, 0]).all()
    assert len(np.unique(keys)) == 6 * 8
    assert keys[0, 15] != keys[0, 16]


def test_a_place_has_the_same_role_in_every_raster():
    split = split_of()
    shifted = Grid(GRID.crs, grid_transform(5.0, column=33, row=21), 100, 100)
    roles = split.roles(shifted, shifted.window)
    rows, columns = np.nonzero(roles < 9)
    x, y = shifted.transform @ (columns + 0.5, rows + 0.5)
    column, row = np.floor(~GRID.transform @ (x, y)).astype(int)
    own = split.roles(GRID, GRID.window)
    same = roles[rows, columns] == own[row, column]
    # margins are exact to half a pixel of either
    assert same[(roles[rows, columns] != MARGIN) & (own[row, column] != MARGIN)].all()


@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:32632'])
def test_a_place_has_the_same_role_in_every_reference_system(crs):
    split = split_of(margin=0)
    left, top = transform(GRID.crs, CRS.from_string(crs), [500_100], [5_299_900])
    step = 1e-4 if crs == 'EPSG:4326' else 8.0
    there = Grid(
        CRS.from_string(crs), type(GRID.transform)(step, 0, left[0], 0, -step, top[0]), 40, 30
    )
    roles = split.roles(there, there.window)
    rows, columns = np.nonzero(roles < 9)
    xs, ys = there.transform @ (columns + 0.5, rows + 0.5)
    xs, ys = transform(there.crs, GRID.crs, xs, ys)
    column, row = np.floor(~GRID.transform @ (np.array(xs), np.array(ys))).astype(int)
    inside = (column >= 0) & (column < 120) & (row >= 0) & (row < 90)
    assert inside.sum() > 500
    own = split.roles(GRID, GRID.window)[row[inside], column[inside]]
    np.testing.assert_array_equal(roles[rows, columns][inside], own)


def test_roles_of_a_window_are_those_of_the_whole():
    split = split_of()
    whole = split.roles(GRID, GRID.window)
    for window in (Window(5, 9, 40, 31), Window(119, 0, 1, 90)):
        np.testing.assert_array_equal(split.roles(GRID, window), whole[window.toslices()])


def test_margin_keeps_training_away_from_validation():
    split = split_of(size=16, margin=0.25)
    roles = split.roles(GRID, GRID.window)
    assert {TRAINING, VALIDATION, MARGIN} == set(np.unique(roles))
    held = np.argwhere(roles == VALIDATION)
    learned = np.argwhere(roles == TRAINING)
    distance = np.abs(learned[:, None] - held[None]).max(-1).min(1)
    assert distance.min() == 5  # four pixels lie between
    strip = np.argwhere(roles == MARGIN)
    assert np.abs(strip[:, None] - held[None]).max(-1).min(1).max() == 4


def test_blocks_without_labels_are_unused():
    lattice = BlockLattice.over(GRID, 16)
    keys = np.unique(lattice.keys(GRID, GRID.window))[:9]
    split = BlockedSplit.stratified(lattice, {int(k): np.array([5, 5]) for k in keys})
    roles = split.roles(GRID, GRID.window)
    used = np.isin(lattice.keys(GRID, GRID.window), keys)
    assert (roles[~used] == UNUSED).all()
    assert not set(split.training) & set(split.validation)
    assert set(split.training) | set(split.validation) == set(keys)


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('fraction', [0.1, 0.2, 0.5])
def test_each_class_gets_its_share(seed, fraction):
    random = np.random.default_rng(seed)
    histograms = random.integers(0, 200, (60, 4)) * (random.random((60, 4)) < [1, 0.8, 0.3, 0.1])
    histograms[:, 0] += 1
    chosen = choose_blocks(histograms, fraction, seed)
    share = histograms[chosen].sum(0) / histograms.sum(0)
    np.testing.assert_allclose(share[:3], fraction, atol=0.05)
    assert (chosen == choose_blocks(histograms, fraction, seed)).all()


def test_a_class_in_two_blocks_is_on_both_sides():
    histograms = np.zeros((30, 3), int)
    histograms[:, 0] = 100
    histograms[[3, 17], 1] = 40
    histograms[5, 2] = 40
    for seed in range(10):
        chosen = choose_blocks(histograms, 0.2, seed)
        assert 0 < histograms[chosen, 1].sum() < 80
        # what lies in one block can only be learned
        assert histograms[chosen, 2].sum() == 0


def test_seeds_choose_differently():
    histograms = np.full((40, 2), 10)
    choices = {tuple(choose_blocks(histograms, 0.2, seed)) for seed in range(5)}
    assert len(choices) == 5


@pytest.mark.parametrize('number', [2, 3])
def test_few_blocks_are_shared_out(number):
    chosen = choose_blocks(np.full((number, 2), 10), 0.05, 0)
    assert chosen.sum() == 1


def test_a_single_block_cannot_be_split():
    with pytest.raises(ValueError, match='two blocks'):
        choose_blocks(np.full((1, 2), 10), 0.2, 0)


@pytest.mark.parametrize(('column', 'row'), [(0, 0), (5, 7), (-1, 3), (-6, -7), (9, -1)])
def test_coarser_blocks_hold_four(column, row):
    key = int(block_key(np.float64(column), np.float64(row)))
    assert coarser_key(key) == int(block_key(np.float64(column // 2), np.float64(row // 2)))
