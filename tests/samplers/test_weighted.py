import geopandas
import numpy as np
import pytest
import shapely

from tests.datasets.makers import CORNER, boxes, write_polygons
from tests.rasters import write_raster
from tests.samplers.makers import Land, Plain, cuts, grid_of
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers import (
    BalancedChangeSampler,
    ClassBalance,
    FeatureDensity,
    RasterWeight,
    StratifiedSampler,
    WeightedSampler,
    class_weights,
)
from torchgeo_ext.samplers._cells import CellSums, count_classes, sum_cells
from torchgeo_ext.samplers.cell_weights import class_cells

X, Y = CORNER


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def land():
    return Land(grid_of(64, 80))


@pytest.fixture
def classes():
    """Nine tenths of class 1, the rest of class 2; a column without label."""
    labels = np.ones((64, 80), np.uint8)
    labels[:, 72:] = 2
    labels[:, 0] = 255
    return labels


@pytest.fixture
def labels(tmp_path, classes):
    return str(write_raster(tmp_path / 'labels.tif', classes, nodata=255))


def cells_of(sampler):
    """Row and column of the cell each patch was drawn for."""
    columns = -(-sampler.place.grids[0].width // sampler.cell)
    return [divmod(cut.tile_id, columns) for cut in sampler.cuts()]


class TestCells:
    @pytest.mark.parametrize('cell', [1, 7, 16, 100])
    @pytest.mark.parametrize('chunk', [16, 1024])
    def test_sums_and_counts_are_those_of_numpy(self, cell, chunk, monkeypatch):
        monkeypatch.setattr('torchgeo_ext.samplers._cells._CHUNK', chunk)
        grid = grid_of(45, 70)
        values = np.random.default_rng(0).integers(-1, 4, grid.shape)
        (sums,) = sum_cells([grid], cell, lambda s, window: values[window.toslices()])
        found, (counts,) = count_classes([grid], cell, lambda s, window: values[window.toslices()])
        assert found.tolist() == [0, 1, 2, 3]
        for row, column in np.ndindex(sums.shape):
            part = values[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            assert sums[row, column] == part.sum()
            assert counts[row, column].tolist() == [(part == value).sum() for value in found]

    @pytest.mark.parametrize('cell', [1, 3, 8])
    def test_bounds_hold_what_is_in_a_window(self, cell):
        grid = grid_of(45, 70)
        values = np.random.default_rng(0).integers(0, 2, grid.shape)
        (counts,) = sum_cells([grid], cell, lambda s, window: values[window.toslices()])
        sums = CellSums(counts, cell, grid)
        random = np.random.default_rng(1)
        tops, lefts = random.integers(-30, 60, 400), random.integers(-30, 90, 400)
        exact = np.array(
            [
                values[max(0, t) : max(0, t + 12), max(0, c) : max(0, c + 20)].sum()
                for t, c in zip(tops, lefts, strict=True)
            ]
        )
        within, touched = (f(tops, lefts, (12, 20)) for f in (sums.within, sums.touched))
        assert (within <= exact).all()
        assert (exact <= touched).all()
        if cell == 1:
            assert (within == touched).all()

    def test_more_values_than_classes(self):
        grid = grid_of(45, 70)
        values = np.arange(45 * 70).reshape(grid.shape)
        with pytest.raises(BadInput, match='different values'):
            count_classes([grid], 8, lambda s, window: values[window.toslices()])


class TestClassBalance:
    @pytest.mark.parametrize(
        ('balance', 'share'), [('none', 0.1), ('square_root', 0.25), ('inverse', 0.5)]
    )
    def test_rare_classes_are_drawn_more_often(self, land, labels, balance, share):
        sampler = WeightedSampler(
            land, size=16, weight=ClassBalance(labels, balance), length=3000, seed=0
        )
        rare = np.mean([column >= 18 for _, column in cells_of(sampler)])
        assert sampler.cell == 4
        assert rare == pytest.approx(share, abs=0.03)

    def test_weights_of_classes(self):
        counts = np.array([100, 0, 25])
        assert class_weights(counts, 'none').tolist() == [1, 0, 1]
        assert class_weights(counts, 'inverse').tolist() == pytest.approx([0.4, 0, 1.6])
        assert class_weights(counts, 'square_root').tolist() == pytest.approx([2 / 3, 0, 4 / 3])

    def test_what_is_not_labelled_is_not_drawn(self, land, tmp_path):
        classes = np.full((64, 80), 7, np.uint8)
        classes[:32, :40] = 3
        labels = str(write_raster(tmp_path / 'l.tif', classes))
        weight = ClassBalance(labels, ignore_value=7)
        sampler = WeightedSampler(land, size=16, weight=weight, length=100, seed=0)
        assert all(row < 8 and column < 10 for row, column in cells_of(sampler))

    def test_rasters_beside_the_labels_are_not_drawn(self, labels):
        land = Land(grid_of(64, 80), grid_of(64, 80, row=1000))
        sampler = WeightedSampler(land, size=16, weight=ClassBalance(labels), length=50, seed=0)
        assert {cut.scene for cut in sampler.cuts()} == {0}

    def test_labels_of_another_place(self, labels):
        with pytest.raises(BadInput, match='no class'):
            WeightedSampler(Land(grid_of(64, 80, row=999)), size=16, weight=ClassBalance(labels))


class TestOtherWeights:
    @pytest.mark.parametrize('crs', ['EPSG:32633', 'EPSG:4326'])
    def test_features_attract(self, land, tmp_path, crs):
        points = [shapely.Point(X + 415, Y - 305), shapely.Point(X + 416, Y - 306)]
        shapes = [*points, *boxes([(0, 0, 4, 4)])]
        shapes = geopandas.GeoSeries(shapes, crs='EPSG:32633').to_crs(crs)
        path = write_polygons(tmp_path / 'f.gpkg', shapes, crs=crs, name=['a', 'b', 'c'])
        sampler = WeightedSampler(
            land, size=16, weight=FeatureDensity(path), length=600, seed=0, cell=8
        )
        found = cells_of(sampler)
        assert set(found) == {(3, 5), (0, 0)}
        assert found.count((3, 5)) / 600 == pytest.approx(2 / 3, abs=0.06)

    def test_a_background_lets_others_in(self, land, tmp_path):
        path = write_polygons(tmp_path / 'f.gpkg', boxes([(0, 0, 4, 4)]), name=['a'])
        weight = FeatureDensity(path, background=0.1)
        sampler = WeightedSampler(land, size=16, weight=weight, length=500, seed=0, cell=8)
        # of 80 cells one weighs 1.1 and the others 0.1
        assert cells_of(sampler).count((0, 0)) / 500 == pytest.approx(1.1 / 9, abs=0.04)

    def test_a_raster_on_another_grid(self, land, tmp_path):
        values = np.zeros((32, 40), np.float32)
        values[4, 6], values[20, 30] = 1, 3
        path = str(write_raster(tmp_path / 'w.tif', values, resolution=20.0))
        sampler = WeightedSampler(
            land, size=16, weight=RasterWeight(path), length=600, seed=0, cell=8
        )
        found = cells_of(sampler)
        near = [abs(row - 5) <= 1 and abs(column - 7) <= 1 for row, column in found]
        assert np.mean(near) == pytest.approx(0.75, abs=0.06)

    def test_a_function(self, land):
        def weight(grid, window):
            columns = np.arange(window.width) + window.col_off
            return np.broadcast_to(columns >= 60, (window.height, window.width))

        sampler = WeightedSampler(land, size=16, weight=weight, length=100, seed=0)
        assert {column >= 15 for _, column in cells_of(sampler)} == {True}

    def test_negative_weights_are_refused(self, land, tmp_path):
        path = str(write_raster(tmp_path / 'w.tif', np.full((64, 80), -1, np.float32)))
        with pytest.raises(BadParameter, match='negative'):
            WeightedSampler(land, size=16, weight=RasterWeight(path))

    def test_works_on_plain_datasets(self, labels):
        sampler = WeightedSampler(
            Plain(grid_of(64, 80)), size=16, weight=ClassBalance(labels), length=5, seed=0
        )
        assert len(list(sampler)) == 5

    def test_features_that_cannot_be_used(self, land, tmp_path):
        with pytest.raises(BadInput, match='cannot be read'):
            WeightedSampler(land, size=16, weight=FeatureDensity(str(tmp_path / 'no.gpkg')))


class TestCache:
    def test_counts_are_kept_until_the_file_changes(self, land, labels, tmp_path, monkeypatch):
        first = class_cells(labels, land.grids, 8, cache=tmp_path / 'kept')
        assert len(list((tmp_path / 'kept').iterdir())) == 1
        # nothing is read again
        monkeypatch.setattr('torchgeo_ext.samplers.cell_weights.read_band', None)
        values, (counts,) = class_cells(labels, land.grids, 8, cache=tmp_path / 'kept')
        np.testing.assert_array_equal(values, first[0])
        np.testing.assert_array_equal(counts, first[1][0])
        monkeypatch.undo()
        write_raster(tmp_path / 'labels.tif', np.full((64, 80), 5, np.uint16))
        assert class_cells(labels, land.grids, 8, cache=tmp_path / 'kept')[0].tolist() == [5]
        assert class_cells(labels, land.grids, 4, cache=tmp_path / 'kept')[1][0].shape[0] == 16

    def test_a_folder_that_cannot_be_written_is_no_harm(self, land, labels, tmp_path, caplog):
        (tmp_path / 'file').write_text('')
        found, _ = class_cells(labels, land.grids, 8, cache=tmp_path / 'file')
        assert found.tolist() == [1, 2]
        assert 'cannot be written' in caplog.text


class TestStratifiedSampler:
    @pytest.mark.parametrize('length', [10, 11, 99])
    def test_every_epoch_has_its_share_of_each(self, land, labels, classes, length):
        sampler = StratifiedSampler(land, size=16, strata=labels, length=length, seed=0)
        assert sampler.strata == {1: 0.5, 2: 0.5}
        for epoch in range(3):
            sampler.set_epoch(epoch)
            drawn = list(sampler.cuts())
            rare = sum(cut.tile_id % 20 >= 18 for cut in drawn)
            assert abs(rare - length / 2) <= 1
            for cut in drawn:
                wanted = 2 if cut.tile_id % 20 >= 18 else 1
                assert (classes[cut.window.toslices()] == wanted).any()

    def test_shares_are_chosen(self, land, labels):
        sampler = StratifiedSampler(
            land, size=16, strata=labels, shares={1: 3, 2: 1}, length=100, seed=0
        )
        assert abs(sum(cut.tile_id % 20 >= 18 for cut in sampler.cuts()) - 25) <= 1

    def test_strata_are_mixed(self, land, labels):
        sampler = StratifiedSampler(land, size=16, strata=labels, length=64, seed=0)
        rare = [cut.tile_id % 20 >= 18 for cut in sampler.cuts()]
        assert 0 < sum(rare[:16]) < 16

    def test_strata_outside_of_the_region_do_not_count(self, land, labels):
        roi = shapely.box(X, Y - 640, X + 600, Y)
        sampler = StratifiedSampler(land, size=16, strata=labels, roi=roi, length=5)
        assert sampler.strata == {1: 1.0}

    @pytest.mark.parametrize(
        ('shares', 'message'), [({9: 1}, 'not among'), ({1: -1}, 'negative'), ({1: 0}, 'nothing')]
    )
    def test_shares_that_cannot_be_drawn(self, land, labels, shares, message):
        with pytest.raises(BadParameter, match=message):
            StratifiedSampler(land, size=16, strata=labels, shares=shares)


class TestBalancedChangeSampler:
    @pytest.fixture
    def change(self):
        change = np.zeros((64, 80), np.int64)
        change[20:24, 30:33] = 1
        change[60:, 79:] = 1
        return change

    @pytest.mark.parametrize('ratio', [0.0, 0.3, 0.5, 1.0])
    @pytest.mark.parametrize('from_file', [True, False])
    def test_draws_both_kinds(self, change, tmp_path, ratio, from_file):
        land = Land(grid_of(64, 80), mask=[change])
        labels = str(write_raster(tmp_path / 'c.tif', change.astype('uint8') * 255))
        sampler = BalancedChangeSampler(
            land, size=16, ratio=ratio, length=200, seed=0, labels=labels if from_file else None
        )
        shown = [change[cut.window.toslices()].any() for cut in sampler.cuts()]
        assert abs(sum(shown) - 200 * ratio) <= 1

    def test_unlabelled_land_is_not_taken_for_unchanged(self, change):
        change[:, :40] = np.where(change[:, :40] == 1, 1, -1)
        land = Land(grid_of(64, 80), mask=[change])
        sampler = BalancedChangeSampler(land, size=16, ratio=0.0, length=50, seed=0)
        assert all(column >= 10 for _, column in cells_of(sampler))

    def test_nothing_of_a_kind(self, change):
        with pytest.raises(BadInput, match='no place has change'):
            BalancedChangeSampler(Land(grid_of(64, 80)), size=16)
        everywhere = Land(grid_of(64, 80), mask=[np.ones_like(change)])
        with pytest.raises(BadInput, match='no place has no change'):
            BalancedChangeSampler(everywhere, size=16)
        assert cuts(BalancedChangeSampler(everywhere, size=16, ratio=1.0, length=2, seed=0))
        change[::12, ::12] = 1
        speckled = BalancedChangeSampler(Land(grid_of(64, 80), mask=[change]), size=16)
        with pytest.raises(BadInput, match='without change'):
            cuts(speckled)

    def test_what_does_not_fit(self):
        with pytest.raises(BadParameter, match='ratio'):
            BalancedChangeSampler(Land(grid_of(9, 9)), size=4, ratio=2)
        with pytest.raises(BadParameter, match='Give labels'):
            BalancedChangeSampler(Plain(grid_of(9, 9)), size=4)
