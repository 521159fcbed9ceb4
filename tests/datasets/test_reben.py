"""reBEN, on fake data in the published folders."""

import hashlib
import pickle
import shutil
import sys
import tarfile

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchgeo.datasets import BigEarthNetV2, DatasetNotFoundError, RGBBandsMissingError

from tests.data.reben import data as reben
from torchgeo_ext.datasets import ReBEN
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput, BadParameter, MissingDependency


@pytest.fixture
def root(tmp_path):
    reben.make(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_samples(root):
    dataset = ReBEN(root, transforms=nn.Identity(), maps=True)
    sample = dataset[1]
    assert sample['image'].shape == (12, 120, 120)
    assert sample['image'].dtype == torch.float32
    # TorchGeo gives VH first, in whole decibels
    assert sample['image'][:2, 0, 0].tolist() == [-13.5, -20.25]
    assert BigEarthNetV2(str(root), bands='s1')[1]['image'][:, 0, 0].tolist() == [-20, -14]
    assert sample['label'].dtype == sample['mask'].dtype == torch.int64
    assert {dataset.classes[k] for k in sample['label'].nonzero()} == set(reben.NAMES)
    assert sample['mask'].unique().tolist() == [-1, 2, 18]


def test_splits_are_those_of_the_metadata(root):
    patches = [set(ReBEN(root, split).patches['patch_id']) for split in ReBEN.splits]
    assert [len(names) for names in patches] == [2, 2, 2]
    assert len(set().union(*patches)) == 6
    with pytest.raises(BadParameter, match="split: 'validation' is not one of train, val, test"):
        ReBEN(root, 'validation')


def test_bands_by_name(root):
    dataset = ReBEN(root, bands=['B12', 'VH', 'B01'])
    image = dataset[0]['image']
    path = next(root.glob('BigEarthNet-S2/*train*/*_00_07/*_B01.tif'))
    # coarse pixels are repeated, not interpolated
    coarse = torch.from_numpy(read_pixels(path).astype('float32'))[0]
    expected = coarse.repeat_interleave(6, 0).repeat_interleave(6, 1)
    assert torch.equal(image[2], expected)
    assert image[1].eq(-19.25).all()
    assert [len(ReBEN(root, bands=name)[0]['image']) for name in ('s1', 's2')] == [2, 10]
    with pytest.raises(BadParameter, match="bands: 'B10' is not one of VV, VH, B01"):
        ReBEN(root, bands=['B10'])
    with pytest.raises(BadParameter, match="bands: 's3' is not one of s1, s2, all"):
        ReBEN(root, bands='s3')


def test_orders_of_classes(root):
    corine, by_name = (ReBEN(root, order=order, maps=True) for order in ('corine', 'sorted'))
    assert by_name.classes == tuple(sorted(BigEarthNetV2.class_set))
    assert by_name.classes[0] == 'Agro-forestry areas'
    assert corine.classes == tuple(BigEarthNetV2.class_set)
    one, other = corine[1], by_name[1]
    assert not torch.equal(one['label'], other['label'])
    assert torch.equal(ReBEN.reorder(one['label'], 'sorted'), other['label'])
    assert torch.equal(ReBEN.reorder(other['label'], 'corine'), one['label'])
    maps = [
        [('none', *dataset.classes)[k + 1] for k in sample['mask'][::8, ::8].ravel()]
        for dataset, sample in ((corine, one), (by_name, other))
    ]
    assert maps[0] == maps[1]
    assert set(maps[0]) == {'none', 'Arable land', 'Marine waters'}
    with pytest.raises(BadParameter, match='order'):
        ReBEN(root, order='clc')


def test_only_what_is_needed_must_be_there(root):
    shutil.rmtree(root / 'BigEarthNet-S1')
    shutil.rmtree(root / 'Reference_Maps')
    assert len(ReBEN(root, bands='s2')) == 2
    for options in ({}, {'bands': 's2', 'maps': True}):
        with pytest.raises(DatasetNotFoundError, match=r'bigearth.net.*metadata.parquet'):
            ReBEN(root, **options)


def test_archives_in_parts_are_unpacked(root, monkeypatch):
    folder = root / 'BigEarthNet-S1'
    with tarfile.open(root / 'whole.tar.gz', 'w:gz') as archive:
        archive.add(folder, folder.name)
    shutil.rmtree(folder)
    content, digests = (root / 'whole.tar.gz').read_bytes(), {}
    for name, part in (('aa', content[:500]), ('ab', content[500:])):
        (root / f'S1.{name}').write_bytes(part)
        # of either kind, told by its length
        digests[f'S1.{name}'] = (hashlib.md5 if name == 'aa' else hashlib.sha256)(part).hexdigest()
    monkeypatch.setitem(BigEarthNetV2.metadata_locs, 's1', {'files': digests})
    assert ReBEN(root, bands='s1')[0]['image'].shape == (2, 120, 120)
    assert not list(root.glob('BigEarthNet-S1.tar*'))
    shutil.rmtree(folder)
    (root / 'S1.ab').write_bytes(content)
    with pytest.raises(BadInput, match=r'S1.ab is not what was published'):
        ReBEN(root, bands='s1')


def test_what_is_missing_is_downloaded(root, monkeypatch):
    (root / 'web').mkdir()
    table = (root / 'metadata.parquet').rename(root / 'web' / 'metadata.parquet')
    digest = hashlib.md5(table.read_bytes()).hexdigest()
    files = {'files': {'metadata.parquet': digest}}
    monkeypatch.setitem(BigEarthNetV2.metadata_locs, 'metadata', files)
    monkeypatch.setattr(BigEarthNetV2, 'url', (root / 'web').as_uri() + '/{}')
    with pytest.raises(DatasetNotFoundError, match='download=True'):
        ReBEN(root)
    assert len(ReBEN(root, download=True)) == 2


def test_what_does_not_belong_is_named(root):
    path = next(root.glob('BigEarthNet-S1/*train*/*_0_7/*_VV.tif'))
    path.unlink()
    with pytest.raises(BadInput, match=r'_VV.tif is missing'):
        ReBEN(root)[0]
    table = pd.read_parquet(root / 'metadata.parquet')
    table['labels'] = [['Glaciers']] * len(table)
    table.to_parquet(root / 'metadata.parquet')
    with pytest.raises(BadInput, match=r"_00_07 has the label 'Glaciers'"):
        ReBEN(root, bands='s2')[0]
    table.assign(split='train').to_parquet(root / 'metadata.parquet')
    with pytest.raises(DatasetNotFoundError, match="split='test'"):
        ReBEN(root, 'test')


def test_plots(root):
    dataset = ReBEN(root, maps=True)
    sample = dataset[0]
    figure = dataset.plot(sample | {'prediction': sample['label']}, suptitle='Patch')
    assert len(figure.axes) == 2
    title = figure.axes[0].get_title()
    assert title.index('Label: Arable land, Marine') < title.index('Prediction: Arable land')
    assert len(ReBEN(root).plot(ReBEN(root)[0], show_titles=False).axes) == 1
    radar = ReBEN(root, bands='s1')
    with pytest.raises(RGBBandsMissingError):
        radar.plot(radar[0])
    plt.close('all')


@pytest.fixture
def store(root):
    pytest.importorskip('lmdb')
    reben.make_lmdb(root, root / 'lmdb')
    return root / 'lmdb'


def test_the_lmdb_of_its_converter(root, store):
    options = {'maps': True, 'bands': ['B12', 'VH', 'B01', 'VV']}
    expected = ReBEN(root, **options)[1]
    for name in ('BigEarthNet-S1', 'BigEarthNet-S2', 'Reference_Maps'):
        shutil.rmtree(root / name)
    dataset = ReBEN(root, lmdb=store, **options)
    sample = dataset[1]
    assert sample.keys() == expected.keys()
    assert all(torch.equal(sample[key], expected[key]) for key in expected)
    # several datasets share it, forked workers open it for themselves
    copied = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copied[1]['image'], expected['image'])
    loader = DataLoader(dataset, batch_size=2, num_workers=1)
    assert torch.equal(next(iter(loader))['image'][1], expected['image'])


def test_what_an_lmdb_lacks_is_named(root, store, monkeypatch):
    dataset = ReBEN(root, bands=['B02'], lmdb=store)
    dataset.patches.loc[0, 'patch_id'] = 'S2A_elsewhere'
    with pytest.raises(BadInput, match=r'lmdb has no entry S2A_elsewhere'):
        dataset[0]
    dataset.patches.loc[0, 'patch_id'] = dataset.patches.loc[0, 's1_name']
    with pytest.raises(BadInput, match=r'has no B02, but \[.VH., .VV.\]'):
        dataset[0]
    with pytest.raises(BadInput, match='is not the folder of an LMDB'):
        ReBEN(root, lmdb=root)
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    with pytest.raises(MissingDependency, match=r'torchgeo_ext\[lmdb\]'):
        ReBEN(root, lmdb=root)
