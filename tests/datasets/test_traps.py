"""Traps of TorchGeo 0.10.1: each is shown in TorchGeo first, then that it cannot bite here."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import IntersectionDataset, RasterDataset, VectorDataset, stack_samples
from torchgeo.samplers import RandomPatchSampler, RandomTimedeltaSampler

from tests.datasets.makers import boxes, class_map, image_of, write_pair_of_layers, write_polygons
from tests.rasters import write_raster
from torchgeo_ext.datasets import GeoPair, RasterSeries, TiledRaster, VectorLabels, collate_samples


class Dated(RasterDataset):
    filename_regex = r'.*_(?P<date>\d{8})'


@pytest.fixture
def dates(tmp_path):
    """One place in 2020 and 2021."""
    paths = []
    for seed, day in enumerate(('20200601', '20210601')):
        image = image_of(class_map(seed=seed), seed=seed)
        paths.append(str(write_raster(tmp_path / f's_{day}.tif', image)))
    return paths


def test_geometry_in_float32(tmp_path):
    half_metre = rasterio.Affine(0.5, 0, 499995.3, 0, -0.5, 4649685.22)
    path = write_raster(tmp_path / 'i.tif', image_of(class_map()), transform=half_metre)

    theirs = RasterDataset(str(path))
    x, y, _ = theirs.bounds
    patch = slice(x.start, x.start + 8), slice(y.stop - 8, y.stop)
    found = theirs[patch]['transform'].double().flatten().tolist()
    assert abs(found[5] - 4649685.22) > 0.2  # nearly half a pixel

    ours = TiledRaster(path)
    for query in (patch, next(iter(RandomPatchSampler(ours, size=4, generator=0)))):
        sample = ours[query]
        column, row = ~half_metre @ (sample['transform'][2].item(), sample['transform'][5].item())
        assert column == pytest.approx(round(column), abs=1e-6)
        assert row == pytest.approx(round(row), abs=1e-6)
        assert sample['bounds'].dtype == sample['transform'].dtype == torch.float64
    assert ours[patch]['transform'].tolist() == list(half_metre)


def test_dropped_dates(dates):
    theirs = Dated(dates)
    sample = theirs[theirs.bounds]
    assert sample['image'].shape == (2, 64, 80)
    first, second = (rasterio.open(path).read() for path in dates)
    assert np.array_equal(sample['image'], first) or np.array_equal(sample['image'], second)

    ours = RasterSeries(dates)
    image = ours[ours.bounds]['image']
    np.testing.assert_array_equal(image[0], first)
    np.testing.assert_array_equal(image[1], second)


def test_concatenated_geometry_and_stacked_dates(dates):
    before, after = (RasterDataset(path) for path in dates)
    sample = (theirs := IntersectionDataset(before, after))[theirs.bounds]
    assert len(sample['bounds']) == 18
    assert sample['transform'].numel() == 18
    assert sample['image'].shape == (4, 64, 80)

    ours = GeoPair(*dates)
    sample = ours[ours.bounds]
    assert sample['bounds'].shape == sample['transform'].shape == (9,)
    assert sample['image'].shape == (2, 2, 64, 80)
    joined = TiledRaster(dates[0]) & TiledRaster(dates[0])
    sample = joined[joined.bounds]
    assert sample['bounds'].shape == sample['transform'].shape == (9,)
    assert sample['image'].shape == (4, 64, 80)


def test_a_time_zone_moves_windows_in_time(dates, monkeypatch):
    monkeypatch.setenv('TZ', 'America/Los_Angeles')
    time.tzset()
    try:
        theirs = Dated(dates)
        start = theirs.bounds[2].start
        sampler = RandomTimedeltaSampler(theirs, delta=pd.Timedelta(hours=12), generator=0)
        windows = [window for _, _, window in itertools.islice(sampler, 50)]
        assert min(window.start for window in windows) < start  # hours before the first image

        ours = RasterSeries(dates)
        seconds = ours[ours.bounds]['seconds'].tolist()
        assert seconds == [
            pd.Timestamp(day, tz='UTC').timestamp() for day in ('2020-06-01', '2021-06-01')
        ]
        assert ours[ours.bounds]['bounds'][6] == seconds[0]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_text_in_a_sample(tmp_path):
    image, labels = write_pair_of_layers(tmp_path)

    def describe(sample):
        return sample | {'caption': 'fields'}

    dataset = TiledRaster(image, labels, transforms=describe)
    sampler = RandomPatchSampler(dataset, size=8, length=2, generator=0)
    with pytest.raises(TypeError):
        next(iter(DataLoader(dataset, 2, sampler=sampler, collate_fn=stack_samples)))
    batch = next(iter(DataLoader(dataset, 2, sampler=sampler, collate_fn=collate_samples)))
    assert batch['caption'] == ['fields', 'fields']
    assert batch['image'].shape == (2, 2, 8, 8)


def test_nodata_is_not_told(tmp_path):
    values = image_of(class_map())
    values[:, :10] = 0
    path = write_raster(tmp_path / 'i.tif', values, nodata=0)
    theirs = RasterDataset(str(path))
    assert not {'mask', 'mask_valid'} & set(theirs[theirs.bounds])
    ours = TiledRaster(path)
    valid = ours[ours.bounds]['mask_valid']
    assert valid.dtype == torch.bool
    assert not valid[:10].any()
    assert valid[10:].all()


def test_union_mixes_dates_by_their_maximum(dates):
    theirs = RasterDataset(dates[0]) | RasterDataset(dates[1])
    first, second = (rasterio.open(path).read() for path in dates)
    np.testing.assert_array_equal(theirs[theirs.bounds]['image'], np.maximum(first, second))

    ours = TiledRaster(dates[0]) | TiledRaster(dates[1])
    assert len(ours) == 2
    np.testing.assert_array_equal(ours[ours.bounds]['image'], first)


def test_the_vector_file_is_read_for_each_patch(tmp_path):
    path = tmp_path / 'l.gpkg'
    write_polygons(path, boxes([(0, 0, 40, 64), (40, 0, 80, 64)]), kind=[1, 2])
    theirs = VectorDataset(str(path), res=10, label_name='kind')
    ours = VectorLabels(path, class_field='kind', res=10)
    query = ours.bounds
    path.unlink()
    assert (ours[query]['mask'][:, :40] == 0).all()
    assert (ours[query]['mask'][:, 40:] == 1).all()
    with pytest.raises(Exception, match='No such file'):
        theirs[query]


def test_opening_does_not_open_every_file_again(dates, tmp_path, monkeypatch):
    opened = []
    real = rasterio.open
    monkeypatch.setattr(
        rasterio, 'open', lambda path, *a, **k: opened.append(path) or real(path, *a, **k)
    )
    RasterDataset(dates)
    assert len(opened) >= 2
    cache = tmp_path / 'index.parquet'
    TiledRaster(dates, index_cache=cache)
    opened.clear()
    TiledRaster(dates, index_cache=cache)
    assert opened == []
