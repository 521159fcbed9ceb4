import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GriddedPatchSampler, RandomPatchSampler

from tests.datasets.makers import class_map, grid_transform, image_of
from tests.rasters import write_raster
from torchgeo_ext.datasets import GeoPair, RasterSeries, TiledRaster, intersect, unite
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers import SeededRandomSampler


class Masks(RasterDataset):
    is_image = False


@pytest.fixture
def optical(tmp_path):
    return write_raster(tmp_path / 's2_20200601.tif', image_of(class_map()), names=('B03', 'B04'))


@pytest.fixture
def radar(tmp_path):
    """Twice as fine, 20 pixels to the east, and without measurement in its first rows."""
    image = image_of(class_map(128, 160), bands=1, seed=5)
    image[:, :20] = 0
    return write_raster(
        tmp_path / 's1_20200601.tif', np.kron(image[:, ::2, ::2], np.ones((1, 2, 2), 'uint16')),
        transform=grid_transform(5.0, column=40), nodata=0, names=('VV',),
    )  # fmt: skip


class TestIntersect:
    def test_bands_follow_each_other_on_the_grid_of_the_first(self, optical, radar):
        dataset = TiledRaster(optical) & TiledRaster(radar, resampling='nearest')
        assert dataset.bands == ('B03', 'B04', 'VV')
        assert [grid.shape for grid in dataset.grids] == [(64, 60)]
        sample = dataset[dataset.bounds]
        np.testing.assert_array_equal(sample['image'][:2, 10:], image_of(class_map())[:, 10:, 20:])
        expected = image_of(class_map(128, 160), bands=1, seed=5)[0, ::2, ::2][10:, :60]
        np.testing.assert_array_equal(sample['image'][2, 10:], expected)
        assert not sample['mask_valid'][:10].any()
        assert sample['mask_valid'][10:].all()
        assert sample['transform'].tolist() == list(grid_transform(column=20))
        assert sample['bounds'].shape == (9,)

    def test_labels_count_where_all_is_measured(self, optical, radar, tmp_path):
        labels = write_raster(tmp_path / 'l.tif', class_map())
        for dataset in (
            TiledRaster(optical, labels) & TiledRaster(radar),
            TiledRaster(optical) & TiledRaster(radar, labels),
        ):
            sample = dataset[dataset.bounds]
            assert dataset.labelled
            assert [entry.value for entry in dataset.classes] == [1, 2, 3]
            assert (sample['mask'][:9] == -1).all()
            np.testing.assert_array_equal(sample['mask'][10:], class_map()[10:, 20:] - 1)

    def test_all_samplers_work(self, optical, radar):
        dataset = TiledRaster(optical) & TiledRaster(radar)
        whole = dataset[dataset.bounds]['image']
        for sampler in (
            SeededRandomSampler(dataset, size=16, length=4, seed=0),
            RandomPatchSampler(dataset, size=16, length=4, generator=0),
            GriddedPatchSampler(dataset, size=16),
        ):
            for batch in DataLoader(dataset, 2, sampler=sampler, collate_fn=stack_samples):
                assert batch['image'].shape[1:] == (3, 16, 16)
        patch = next(iter(SeededRandomSampler(dataset, size=16, seed=0)))
        rows, columns = patch.window.toslices()
        assert torch.equal(dataset[patch]['image'], whole[:, rows, columns])

    def test_a_single_date_joins_every_date(self, optical, tmp_path):
        later = write_raster(tmp_path / 's2_20210601.tif', image_of(class_map(seed=3)))
        height = write_raster(tmp_path / 'height.tif', np.full((64, 80), 300, 'int16'))
        dataset = GeoPair(optical, later) & TiledRaster(height)
        image = dataset[dataset.bounds]['image']
        assert image.shape == (2, 3, 64, 80)
        assert (image[:, 2] == 300).all()
        with pytest.raises(BadParameter, match='1 dates, the other 2'):
            TiledRaster(height) & GeoPair(optical, later)

    def test_times_must_overlap_unless_it_is_said(self, optical, tmp_path):
        later = write_raster(tmp_path / 's1_20210601.tif', image_of(class_map()))
        first, second = TiledRaster(optical), TiledRaster(later)
        with pytest.raises(BadInput, match='share no time'):
            first & second
        dataset = intersect(first, second, spatial_only=True)
        sample = pickle.loads(pickle.dumps(dataset))[dataset.bounds]
        np.testing.assert_array_equal(sample['image'][2:], image_of(class_map()))

    def test_no_common_place(self, optical, tmp_path):
        far = write_raster(
            tmp_path / 'f.tif', image_of(class_map()), transform=grid_transform(column=99)
        )
        with pytest.raises(BadInput, match='share no place'):
            TiledRaster(optical) & TiledRaster(far)

    def test_two_labels(self, optical, tmp_path):
        labels = write_raster(tmp_path / 'l.tif', class_map())
        with pytest.raises(BadParameter, match='Both datasets have labels'):
            TiledRaster(optical, labels) & TiledRaster(optical, labels)

    @pytest.mark.parametrize('is_image', [True, False])
    def test_datasets_of_torchgeo(self, optical, tmp_path, is_image):
        values = class_map()
        values[:, :8] = 0
        path = write_raster(tmp_path / 't.tif', values, transform=grid_transform(column=8))
        theirs = (RasterDataset if is_image else Masks)(str(path))
        dataset = TiledRaster(optical) & theirs
        sample = dataset[dataset.bounds]
        if is_image:
            np.testing.assert_array_equal(sample['image'][2], values[:, :72])
        else:
            np.testing.assert_array_equal(sample['mask'], values[:, :72])

    def test_beside_datasets_of_torchgeo(self, optical, radar):
        # TorchGeo's own "&", which asks for its first dataset's pixels
        dataset = RasterDataset(str(optical)) & TiledRaster(radar)
        x, y, _ = dataset.bounds
        sample = dataset[x.start : x.start + 160, y.start : y.start + 160]
        assert sample['image'].shape == (3, 16, 16)


class TestUnite:
    def test_scenes_stand_beside_each_other(self, optical, tmp_path):
        other = write_raster(
            tmp_path / 'o.tif', image_of(class_map(seed=4)), transform=grid_transform(column=80),
            names=('B03', 'B04'),
        )  # fmt: skip
        dataset = unite(TiledRaster(optical), TiledRaster(other))
        assert len(dataset.grids) == 2
        assert dataset.bounds[0].stop == 500_000 + 1600
        scenes = {p.scene for p in SeededRandomSampler(dataset, size=8, length=30, seed=0)}
        assert scenes == {0, 1}

    def test_they_must_be_alike(self, optical, radar, tmp_path):
        with pytest.raises(BadParameter, match='different bands'):
            TiledRaster(optical) | TiledRaster(radar)
        with pytest.raises(BadParameter, match='TiledRaster and RasterSeries'):
            TiledRaster(optical) | RasterSeries(optical)
        labels = write_raster(tmp_path / 'l.tif', class_map())
        with pytest.raises(BadParameter, match='different classes'):
            TiledRaster(optical) | TiledRaster(optical, labels)


def test_slices_are_answered_at_the_time_they_name(tmp_path):
    paths = [
        write_raster(tmp_path / f'{day}.tif', image_of(class_map(), seed=n))
        for n, day in enumerate(('20200101', '20210101'))
    ]
    dataset = TiledRaster(paths[0]) | TiledRaster(paths[1])
    x, y, _ = dataset.bounds
    later = dataset[x, y, pd.Timestamp('2021-01-01') : pd.Timestamp('2021-12-31')]
    np.testing.assert_array_equal(later['image'], image_of(class_map(), seed=1))
