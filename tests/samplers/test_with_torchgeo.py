"""Our samplers read TorchGeo's own datasets pixel by pixel, without resampling."""

import numpy as np
import pytest
import shapely
import torch
from torchgeo.datasets import RasterDataset
from torchgeo.samplers import SequentialTimestampSampler

from tests.datasets.makers import CORNER, grid_transform
from tests.rasters import gradient, write_raster
from torchgeo_ext.samplers import (
    PairSampler,
    SeededPeriodSampler,
    SeededRandomSampler,
    TiledSampler,
    TupleDataset,
    TwoSeasons,
)

X, Y = CORNER
#: A resolution that has no exact binary number.
FINE = 0.3


class Dated(RasterDataset):
    filename_glob = '*.tif'
    filename_regex = r'.*_(?P<date>\d{8})'


@pytest.fixture
def values():
    return gradient(2, 50, 71).astype(np.float32)


@pytest.fixture
def mosaic(tmp_path, values):
    """Two files beside each other, of one date."""
    for name, start, stop in (('a', 0, 40), ('b', 40, 71)):
        write_raster(
            tmp_path / f'{name}_20200101.tif', values[:, :, start:stop],
            transform=grid_transform(FINE, column=start),
        )  # fmt: skip
    return Dated(str(tmp_path))


@pytest.mark.parametrize('sampler_class', [SeededRandomSampler, TiledSampler])
def test_reads_exact_pixels(mosaic, values, sampler_class):
    sampler = sampler_class(mosaic, size=16)
    for cut, patch in zip(sampler.cuts(), sampler, strict=True):
        rows, columns = cut.window.toslices()
        np.testing.assert_array_equal(mosaic[patch]['image'], values[:, rows, columns])


def test_tiles_put_together_are_the_mosaic(mosaic, values):
    joined = np.full_like(values, -1)
    sampler = TiledSampler(mosaic, size=16, overlap=4)
    for cut, patch in zip(sampler.cuts(), sampler, strict=True):
        rows, columns = cut.window.toslices()
        joined[:, rows, columns] = mosaic[patch]['image']
    np.testing.assert_array_equal(joined, values)


def test_regions(mosaic, values):
    roi = shapely.box(X + 10 * FINE, Y - 45 * FINE, X + 60 * FINE, Y - 5 * FINE)
    sampler = SeededRandomSampler(mosaic, size=16, length=40, seed=0, roi=roi)
    inside = set(np.unique(values[:, 5:45, 10:60]))
    assert all(set(np.unique(mosaic[patch]['image'])) <= inside for patch in sampler)


@pytest.fixture
def series(tmp_path, values):
    for month in range(1, 13):
        write_raster(
            tmp_path / f's_2020{month:02d}01.tif', values[:1] * 0 + month,
            transform=grid_transform(FINE),
        )  # fmt: skip
    return Dated(str(tmp_path), time_series=True)


def test_products_with_time(series):
    space = SeededRandomSampler(series, size=16, length=12, seed=0)
    product = space @ SeededPeriodSampler(series, freq='M', seed=0)
    months = {int(series[place]['image'].unique()) for place in product}
    assert len(months) > 4
    tiles = TiledSampler(series, size=50) @ SequentialTimestampSampler(series)
    assert len(tiles) == 2 * 12


def test_pairs_of_seasons(series):
    sampler = PairSampler(series, size=16, dates=TwoSeasons(80), length=20, seed=0)
    pairs = TupleDataset(series)
    for pair in sampler:
        image = pairs[pair]['image']
        assert image.shape == (2, 1, 1, 16, 16)
        first, second = (int(torch.unique(part)) for part in image)
        assert min(abs(first - second), 12 - abs(first - second)) >= 2
