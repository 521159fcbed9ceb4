import itertools
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import RandomSampler
from torchgeo.samplers import (
    GeoSampler,
    RandomPatchSampler,
    SequentialTimestampSampler,
    SpatialSampler,
)

from tests.datasets.makers import class_map, image_of, write_pair_of_layers
from tests.rasters import write_raster
from torchgeo_ext.datasets import TiledRaster
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers import SeededRandomSampler, TiledSampler


@pytest.fixture
def dataset(tmp_path):
    return TiledRaster(*write_pair_of_layers(tmp_path))


def dataset_of(folder, *shapes):
    """One raster per (height, width), all in one place."""
    images = [
        write_raster(folder / f'{i}.tif', image_of(class_map(*shape)))
        for i, shape in enumerate(shapes)
    ]
    return TiledRaster(images, write_raster(folder / 'l.tif', class_map(400, 400)))


def windows(sampler):
    return [(patch.scene, *patch.window.flatten()) for patch in sampler]


class TestSeededRandomSampler:
    def test_is_one_of_torchgeos(self, dataset):
        sampler = SeededRandomSampler(dataset, size=16)
        assert isinstance(sampler, GeoSampler)
        assert isinstance(sampler, SpatialSampler)
        with pytest.warns(UserWarning, match='different number of timestamps'):
            product = sampler @ SequentialTimestampSampler(dataset)
        x, y, _ = next(iter(product))
        assert dataset[x, y]['image'].shape == (2, 16, 16)

    def test_a_seed_decides(self, dataset):
        a, b, c = (SeededRandomSampler(dataset, size=16, length=9, seed=s) for s in (0, 0, 1))
        assert windows(a) == windows(b) != windows(c)

    def test_without_a_seed_torchs_decides(self, dataset):
        # torchgeo.md, trap 6: TorchGeo's sampler ignores seed_everything
        drawn, theirs = [], []
        for _ in range(2):
            torch.manual_seed(3)
            drawn.append(windows(SeededRandomSampler(dataset, size=16, length=9)))
            theirs.append(list(RandomPatchSampler(dataset, size=16, length=9)))
        assert drawn[0] == drawn[1]
        assert theirs[0] != theirs[1]

    def test_each_epoch_draws_anew(self, dataset):
        sampler = SeededRandomSampler(dataset, size=16, length=9, seed=0)
        first = windows(sampler)
        assert first == windows(sampler)
        sampler.set_epoch(1)
        assert first != windows(sampler)

    def test_yields_its_length_on_rasters_smaller_than_a_patch(self, tmp_path):
        # torchgeo.md, trap 7: TorchGeo's sampler yields nothing here
        dataset = dataset_of(tmp_path, (20, 33))
        patches = list(SeededRandomSampler(dataset, size=64, length=7, seed=0))
        assert len(patches) == 7
        for patch in patches:
            assert (dataset[patch]['mask'] >= 0).sum() == 20 * 33
        assert len({patch.window for patch in patches}) > 1

    def test_reaches_every_pixel_and_stays_inside(self, dataset):
        seen = np.zeros(dataset.grids[0].shape, int)
        for patch in SeededRandomSampler(dataset, size=24, length=300, seed=0):
            assert patch.window.row_off >= 0
            assert patch.window.row_off + 24 <= 64
            assert patch.window.col_off >= 0
            assert patch.window.col_off + 24 <= 80
            seen[patch.window.toslices()] += 1
        assert seen.min() > 0

    def test_the_coordinates_are_those_of_the_pixels(self, dataset):
        for patch in SeededRandomSampler(dataset, size=16, length=5, seed=0):
            exact = dataset[patch]
            assert torch.equal(dataset[tuple(patch)]['image'], exact['image'])

    def test_every_patch_holds_a_cell_with_weight(self, dataset):
        weights = np.zeros((16, 20))
        weights[3, 19] = weights[15, 0] = 1
        sampler = SeededRandomSampler(
            dataset, size=12, length=200, seed=0, weights=[weights], cell=4
        )
        for patch in sampler:
            rows, columns = patch.window.toslices()
            held = [
                rows.start <= r * 4
                and r * 4 + 4 <= rows.stop
                and columns.start <= c * 4
                and c * 4 + 4 <= columns.stop
                for r, c in ((3, 19), (15, 0))
            ]
            assert any(held)

    def test_weights_decide_how_often(self, tmp_path):
        dataset = dataset_of(tmp_path, (32, 32), (64, 32))
        weights = [np.full((2, 2), 3.0), np.full((4, 2), 0.5)]
        sampler = SeededRandomSampler(
            dataset, size=16, length=4000, seed=0, weights=weights, cell=16
        )
        first = sum(patch.scene == 0 for patch in sampler)
        assert first / 4000 == pytest.approx(12 / 16, abs=0.03)

    def test_nothing_to_draw(self, dataset):
        with pytest.raises(ValueError, match='no cell'):
            SeededRandomSampler(dataset, size=16, weights=[np.zeros((8, 10))], cell=8)

    def test_cell_larger_than_patch(self, dataset):
        with pytest.raises(ValueError, match='larger than a patch'):
            SeededRandomSampler(dataset, size=16, cell=17)

    def test_patches_survive_pickling(self, dataset):
        patch = next(iter(SeededRandomSampler(dataset, size=16)))
        copy = pickle.loads(pickle.dumps(patch))
        assert copy == patch
        assert copy.window == patch.window

    def test_works_without_exact_grids(self, dataset):
        del dataset.scenes[1:]
        plain = type('Plain', (), {'index': dataset.index, 'res': dataset.res})()
        plain.bounds, plain.crs = dataset.bounds, dataset.crs
        for patch in SeededRandomSampler(plain, size=16, length=5, seed=0):
            assert torch.equal(dataset[tuple(patch)]['image'], dataset[patch]['image'])


class TestTiledSampler:
    @pytest.mark.parametrize(('size', 'overlap'), [(16, 0), (16, 4), (17, 8), (32, 31), (64, 16)])
    def test_every_pixel_is_owned_once(self, tmp_path, size, overlap):
        shapes = [(1, 5), (16, 16), (33, 70), (64, 49)]
        dataset = dataset_of(tmp_path, *shapes)
        owned = [np.zeros(shape, int) for shape in shapes]
        for patch in TiledSampler(dataset, size=size, overlap=overlap):
            owned[patch.scene][patch.core.toslices()] += 1
            rows, columns = patch.window.toslices()
            core_rows, core_columns = patch.core.toslices()
            assert rows.start <= core_rows.start
            assert core_rows.stop <= rows.stop
            assert columns.start <= core_columns.start
            assert core_columns.stop <= columns.stop
            # torchgeo.md, trap 8: TorchGeo's tiles hang over on all sides
            height, width = shapes[patch.scene]
            assert rows.start >= 0
            assert rows.stop <= max(height, size)
            assert columns.stop <= max(width, size)
        for counted in owned:
            assert (counted == 1).all()

    def test_masks_add_up_to_the_labels(self, dataset):
        labels = [dataset[patch]['mask'] for patch in TiledSampler(dataset, size=24, overlap=10)]
        counted = sum((mask >= 0).sum() for mask in labels)
        assert counted == 64 * 80

    def test_tiles_without_weight_are_left_out(self, dataset):
        weights = np.zeros((8, 10))
        weights[0, 0] = 1
        sampler = TiledSampler(dataset, size=32, weights=[weights], cell=8)
        assert [patch.window.flatten() for patch in sampler] == [(0, 0, 32, 32)]
        assert len(sampler) == 1

    def test_length_is_known(self, dataset):
        sampler = TiledSampler(dataset, size=24, overlap=4)
        assert len(sampler) == len(list(sampler))
        assert len(list(itertools.islice(RandomSampler(sampler), 3))) == 3

    def test_overlap_must_leave_something(self, dataset):
        with pytest.raises(BadParameter, match='overlap'):
            TiledSampler(dataset, size=16, overlap=16)
