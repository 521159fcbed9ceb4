import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples
from torchgeo.samplers import (
    GriddedPatchSampler,
    RandomPatchSampler,
    RandomPeriodSampler,
    RandomTimestampSampler,
    SequentialTimestampSampler,
)

from tests.datasets.makers import class_map, grid_transform, image_of
from tests.rasters import write_raster
from torchgeo_ext.datasets import RasterSeries, collate_samples
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers import SeededRandomSampler, TiledSampler

DAYS = ('2020-01-31', '2020-06-01', '2020-12-31')


def write_date(folder, day, name='s', **options):
    image = image_of(class_map(), seed=int(day.replace('-', '')))
    return str(write_raster(folder / f'{name}_{day}.tif', image, **options))


@pytest.fixture
def series(tmp_path):
    (tmp_path / 's').mkdir()
    return [write_date(tmp_path / 's', day) for day in DAYS]


def test_all_dates_in_time_order(series):
    sample = (dataset := RasterSeries(series[::-1]))[dataset.bounds]
    assert sample['image'].shape == (3, 2, 64, 80)
    for day, image in zip(DAYS, sample['image'], strict=True):
        np.testing.assert_array_equal(image, image_of(class_map(), seed=int(day.replace('-', ''))))
    assert sample['mask_valid'].shape == (3, 64, 80)
    assert sample['doy'].tolist() == [31, 153, 366]
    assert sample['doy'].dtype == torch.float32
    assert sample['seconds'].tolist() == [pd.Timestamp(d, tz='UTC').timestamp() for d in DAYS]
    assert sample['seconds'].dtype == torch.float64
    assert sample['gap'].tolist() == [False] * 3
    assert len(dataset) == 3
    assert dataset.dates == 3


def test_a_folder_is_a_place(series, tmp_path):
    assert len(RasterSeries(tmp_path / 's').scenes) == 1


def test_places_share_their_dates_and_have_gaps(series, tmp_path):
    other = write_date(tmp_path, '2020-09-01', 'other', transform=grid_transform(column=200))
    dataset = RasterSeries([series, [other]], days=['2020-10-01'])
    first, second = (dataset[patch] for patch in TiledSampler(dataset, size=80))
    assert first['gap'].tolist() == [False, False, True, True, False]
    assert second['gap'].tolist() == [True, True, False, True, True]
    assert not second['mask_valid'][0].any()
    assert (second['image'][0] == 0).all()
    assert torch.equal(first['seconds'], second['seconds'])
    batch = collate_samples([first, second])
    assert batch['image'].shape == (2, 5, 2, 80, 80)


def test_a_slice_in_time_gives_its_dates(series):
    dataset = RasterSeries(series)
    x, y, _ = dataset.bounds
    sample = dataset[x, y, pd.Timestamp('2020-05-01') : pd.Timestamp('2021-01-01')]
    assert sample['doy'].tolist() == [153, 366]
    with pytest.raises(IndexError):
        dataset[x, y, pd.Timestamp('2020-02-01') : pd.Timestamp('2020-03-01')]


@pytest.mark.parametrize(
    ('values', 'bits', 'cloudy'),
    [((), (), (1, 3, 8)), ((3, 8), (), (3, 8)), ((), (0, 1), (1, 3)), ((8,), (1,), (3, 8))],
)
def test_clouds_are_no_measurement(series, tmp_path, values, bits, cloudy):
    mask = np.zeros((32, 40), 'uint8')
    mask[0, :3] = 1, 3, 8
    clouds = write_raster(tmp_path / 'scl_20200601.tif', mask, resolution=20.0)
    dataset = RasterSeries(series, clouds=str(clouds), cloud_values=values, cloud_bits=bits)
    valid = dataset[dataset.bounds]['mask_valid']
    assert valid[0].all()
    assert valid[2].all()
    expected = np.kron(~np.isin(mask, cloudy), np.ones((2, 2), bool))
    np.testing.assert_array_equal(valid[1], expected)


def test_labels_count_where_any_date_is_seen(tmp_path):
    paths = []
    for number, day in enumerate(DAYS[:2]):
        image = image_of(class_map())
        image[:, 0, : number + 1] = 0
        paths.append(str(write_raster(tmp_path / f'{day}.tif', image, nodata=0)))
    labels = write_raster(tmp_path / 'labels.tif', class_map())
    sample = (dataset := RasterSeries(paths, labels))[dataset.bounds]
    assert sample['mask'].shape == (64, 80)
    assert sample['mask'][0, :3].tolist()[0] == -1
    assert (sample['mask'][0, 1:] >= 0).all()


def test_tiles_of_one_overpass_are_one_date(tmp_path):
    image = image_of(class_map())
    west = write_raster(tmp_path / 's_20200601T100000.tif', image)
    east = write_raster(
        tmp_path / 's_20200601T100100.tif', image, transform=grid_transform(column=80)
    )
    later = write_raster(tmp_path / 's_20200601T120000.tif', image)
    sample = (dataset := RasterSeries([west, east, later]))[dataset.bounds]
    assert sample['image'].shape == (2, 2, 64, 160)
    assert sample['mask_valid'][0].all()
    assert not sample['mask_valid'][1, :, 80:].any()
    assert (sample['seconds'][1] - sample['seconds'][0]) == 7200


@pytest.mark.parametrize('spatial', [RandomPatchSampler, GriddedPatchSampler])
def test_torchgeos_samplers_in_space_and_time(series, spatial):
    dataset = RasterSeries(series)
    arguments = {'generator': 0, 'length': 4} if spatial is RandomPatchSampler else {}
    space = spatial(dataset, size=32, **arguments)
    if spatial is RandomPatchSampler:
        sampler = space @ RandomTimestampSampler(dataset, generator=0)
    else:
        sampler = space @ SequentialTimestampSampler(dataset)
    loader = DataLoader(dataset, 2, sampler=sampler, collate_fn=stack_samples)
    days = set()
    for batch in loader:
        assert batch['image'].shape[1:] == (1, 2, 32, 32)
        days.update(batch['doy'].flatten().tolist())
    assert days <= {31, 153, 366}
    if spatial is GriddedPatchSampler:
        assert days == {31, 153, 366}
    year = space @ RandomPeriodSampler(dataset, freq='Y', generator=0)
    assert dataset[next(iter(year))]['image'].shape[0] == 3


def test_a_file_without_date(series, tmp_path):
    bare = write_raster(tmp_path / 'bare.tif', image_of(class_map()))
    with pytest.raises(BadInput, match=r'bare\.tif has no date') as caught:
        RasterSeries([*series, bare])
    assert 'date_pattern' in caught.value.hint


def test_dates_written_in_another_way(tmp_path):
    paths = [
        write_raster(tmp_path / f'L8_{d}_x.tif', image_of(class_map()))
        for d in ('2020032', '2020366')
    ]
    dataset = RasterSeries(paths, date_pattern='_%Y%j_')
    assert dataset[dataset.bounds]['doy'].tolist() == [32, 366]


def test_our_samplers_may_name_a_time(series):
    dataset = RasterSeries(series)
    spring = pd.Interval(pd.Timestamp('2020-05-01'), pd.Timestamp('2020-07-01'))
    sampler = SeededRandomSampler(dataset, size=16, length=3, seed=0, toi=spring)
    for patch in sampler:
        sample = dataset[patch]
        assert sample['doy'].tolist() == [153]
        rows, columns = patch.window.toslices()
        expected = image_of(class_map(), seed=20200601)[:, rows, columns]
        np.testing.assert_array_equal(sample['image'][0], expected)


def test_clouds_of_another_day(series, tmp_path):
    clouds = write_raster(tmp_path / 'scl_20200701.tif', class_map())
    with pytest.raises(BadInput, match=r'scl_20200701\.tif is of 2020-07-01'):
        RasterSeries(series, clouds=clouds)


def test_a_day_that_is_none(series):
    with pytest.raises(BadParameter, match="'soon' is no date"):
        RasterSeries(series, days=['soon'])
