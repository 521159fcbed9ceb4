"""All published change datasets, on fake data in the published folders."""

import importlib

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torchgeo.datasets import DatasetNotFoundError, RGBBandsMissingError

from torchgeo_ext import datasets
from torchgeo_ext.datasets._change_pairs import SemanticPairs
from torchgeo_ext.errors import BadParameter

#: Class and folder of its fake data.
BINARY = {
    'CDD': 'cdd',
    'CLCD': 'clcd',
    'GZCD': 'gzcd',
    'PXCLCD': 'pxclcd',
    'S2Looking': 's2looking',
    'SYSUCD': 'sysucd',
    'WHUCD': 'whucd',
}
SEMANTIC = {
    'DynamicEarthNet': 'dynamicearthnet',
    'FSC180k': 'fsc180k',
    'FUSU': 'fusu',
    'HRSCD': 'hrscd',
    'LandsatSCD': 'landsatscd',
    'SECOND': 'second',
}
TEXT = {'ChangeChat105k': 'changechat', 'LEVIRMCI': 'levirmci'}
ALL = BINARY | SEMANTIC | TEXT


def fake(name, root):
    """Write the fake data of a dataset; gives the number of samples of each split."""
    return importlib.import_module(f'tests.data.{ALL[name]}.data').make(root)


@pytest.fixture(params=sorted(ALL))
def case(request, tmp_path):
    return getattr(datasets, request.param), tmp_path, fake(request.param, tmp_path)


def test_samples_keep_the_contract(case):
    kind, root, _ = case
    dataset = kind(root, 'train', transforms=nn.Identity())
    sample = dataset[len(dataset) - 1]
    image = sample['image']
    assert image.dtype == torch.float32
    assert image.shape[:2] == (2, len(kind.all_bands))
    assert image.max() > 1
    assert image[0].ne(image[1]).any()
    if 'mask' not in sample:
        return
    dates = 2 if issubclass(kind, SemanticPairs) else 1
    assert sample['mask'].dtype == torch.int64
    assert sample['mask'].shape == (dates, *image.shape[-2:])
    assert -1 <= sample['mask'].min() < sample['mask'].max() < len(dataset.classes)
    assert len(dataset.classes) == len(dataset.colors)


@pytest.mark.parametrize('name', sorted(SEMANTIC))
def test_change_between_land_cover(name, tmp_path):
    fake(name, tmp_path)
    sample = getattr(datasets, name)(tmp_path)[0]
    change, (before, after) = sample['mask_change'][0], sample['mask']
    assert change.dtype == torch.int64
    assert set(change.unique().tolist()) <= {-1, 0, 1}
    assert {0, 1} <= set(change.unique().tolist())
    if name in ('LandsatSCD', 'SECOND'):
        assert torch.equal(change == 1, (before > 0) & (after > 0))
    elif name != 'FSC180k':  # which tells its change by itself
        assert torch.equal(change == 1, (before != after) & (before >= 0) & (after >= 0))
    maps = datasets.changed_classes(sample['mask'], sample['mask_change'])
    assert maps[:, change == 0].eq(0).all()
    assert torch.equal(maps[:, change == 1], sample['mask'][:, change == 1])
    assert maps[:, change == -1].eq(-1).all()


def test_splits_are_apart(case):
    kind, root, sizes = case
    found = {split: kind(root, split) for split in kind.splits}
    assert {split: len(dataset) for split, dataset in found.items()} == sizes
    files = [{pair.images for pair in dataset.pairs} for dataset in found.values()]
    assert len(set().union(*files)) == sum(map(len, files))
    with pytest.raises(BadParameter, match='split'):
        kind(root, 'trian')


@pytest.mark.parametrize('name', sorted(ALL))
def test_missing_data_is_named(name, tmp_path):
    kind = getattr(datasets, name)
    with pytest.raises(DatasetNotFoundError, match='Dataset not found') as error:
        kind(tmp_path / 'empty')
    assert kind.page in str(error.value)
    assert kind.layout in str(error.value)


def test_plots(case):
    kind, root, _ = case
    dataset = kind(root)
    sample = dataset[0]
    maps = len(sample.get('mask', ()))
    figure = dataset.plot(sample, suptitle='Pair')
    assert len(figure.axes) == 2 + maps
    if 'mask' in sample:
        sample['prediction'] = sample['mask'].clone()
        figure = dataset.plot(sample, show_titles=False)
        assert len(figure.axes) == 2 + 2 * maps
    plt.close('all')


def test_bands_are_chosen_by_name(case):
    kind, root, _ = case
    everything = kind(root)[0]['image']
    bands = kind.all_bands[1::-1]
    dataset = kind(root, bands=bands)
    sample = dataset[0]
    assert torch.equal(sample['image'], everything[:, [1, 0]])
    with pytest.raises(RGBBandsMissingError):
        dataset.plot(sample)
    with pytest.raises(BadParameter, match='bands'):
        kind(root, bands=('ultraviolet',))


def test_statistics_fit_the_bands(case):
    kind, _, _ = case
    for rows in (kind.mean, kind.std):
        assert len(rows) in (1, 2)
        assert {len(row) for row in rows} == {len(kind.all_bands)}
    assert min(min(row) for row in kind.std) > 0
