"""SpectralEarth's patches and tasks, on made-up files of their layout."""

import numpy as np
import pytest
import torch
from torchgeo.datasets import DatasetNotFoundError

from tests.rasters import write_raster
from torchgeo_ext.datamodules import SpectralEarthDataModule
from torchgeo_ext.datasets import SpectralEarth, SpectralEarthTask
from torchgeo_ext.errors import BadInput, BadParameter

BANDS = 202


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_raster(path, values)


@pytest.fixture
def folder(tmp_path):
    """Returns a function that writes some patches of a task."""

    def make(task, codes, dtype='int64', images='enmap', bands=BANDS):
        masks = task.partition('_')[2]
        for number, split in enumerate(('train', 'train', 'val', 'test')):
            name = f'000{number}/00{number}.tif'
            values = np.full((bands, 8, 8), number + 1, 'int16')
            write(tmp_path / images / name, values)
            write(
                tmp_path / masks / name,
                np.array(codes).reshape(2, 2).repeat(4, 0).repeat(4, 1).astype(dtype),
            )
            listed = tmp_path / 'splits' / task / f'{split}.txt'
            listed.parent.mkdir(parents=True, exist_ok=True)
            with listed.open('a') as file:
                file.write(name + '\n')
        return tmp_path

    return make


def test_codes_become_classes(folder):
    root = folder('enmap_cdl', [1, 210, 5, 36], 'uint8')
    dataset = SpectralEarthTask(root, 'enmap_cdl')
    assert len(dataset) == 2
    sample = dataset[1]
    assert sample['image'].shape == (BANDS, 8, 8)
    assert (sample['image'] == 2).all()
    assert sample['mask'][::4, ::4].tolist() == [[0, 13], [4, -1]]
    assert dataset.classes[13] == 'prunes'
    assert len(sample['wavelengths']) == BANDS
    assert (sample['wavelengths'].diff() > 0).all()
    assert dataset.plot(sample | {'prediction': sample['mask']}).axes[2].get_title() == 'prediction'


@pytest.mark.parametrize('dtype', ['uint32', 'int64', 'int32'])
def test_codes_that_do_not_fit_into_32_bits_with_sign(folder, dtype):
    codes = np.array([3301090205, 3301029900, 0, 7], 'uint32').astype(dtype)
    root = folder('enmap_eurocrops', codes, dtype)
    sample = SpectralEarthTask(root, 'enmap_eurocrops', 'val')[0]
    assert sample['mask'][::4, ::4].tolist() == [[0, 14], [-1, -1]]


def test_corine_is_a_set_of_classes(folder):
    root = folder('enmap_corine', [112, 111, 523, 999], 'int16')
    dataset = SpectralEarthTask(root, 'enmap_corine', 'test')
    label = dataset[0]['label']
    assert [dataset.classes[place] for place in label.nonzero().flatten()] == [
        'Urban fabric', 'Marine waters',
    ]  # fmt: skip
    assert label.sum() == 2


def test_other_sensors_have_other_bands(folder):
    root = folder('desis_cdl', [1, 2, 3, 204], 'uint8', 'desis', 235)
    sample = SpectralEarthTask(root, 'desis_cdl')[0]
    assert sample['image'].shape[0] == 235
    assert 'wavelengths' not in sample


def test_patches_for_pre_training(folder):
    root = folder('enmap_cdl', [1, 1, 1, 1], 'uint8')
    write(root / 'enmap' / '0000' / '999.tif', np.full((BANDS, 8, 8), 9, 'int16'))
    dataset = SpectralEarth(root, pairs=True)
    assert len(dataset) == 4
    sample = dataset[0]
    assert {sample[key].max().item() for key in ('image1', 'image2')} == {1, 9}
    assert torch.equal(dataset[1]['image1'], dataset[1]['image2'])
    assert SpectralEarth(root)[3]['image'].shape == (BANDS, 8, 8)


def test_the_data_module_standardises(folder):
    root = folder('enmap_cdl', [1, 2, 3, 4], 'uint8')
    module = SpectralEarthDataModule(str(root), 2, task='enmap_cdl')
    module.setup('fit')
    batch = next(iter(module.train_dataloader()))
    assert batch['image'].shape == (2, BANDS, 8, 8)
    values = module.aug(batch)['image']
    expected = (1 - module.mean) / module.std
    torch.testing.assert_close(values[batch['image'][:, 0, 0, 0] == 1][0, :, 0, 0], expected)
    with pytest.raises(BadParameter, match='desis_cdl is not of EnMAP'):
        SpectralEarthDataModule(str(root), task='desis_cdl')


class TestBadInput:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(DatasetNotFoundError, match=r'geoservice\.dlr\.de'):
            SpectralEarthTask(tmp_path)
        with pytest.raises(DatasetNotFoundError, match='enmap/PATCH'):
            SpectralEarth(tmp_path)

    def test_a_file_is_missing(self, folder):
        root = folder('enmap_cdl', [1, 2, 3, 4], 'uint8')
        (root / 'cdl' / '0000' / '000.tif').unlink()
        with pytest.raises(BadInput, match='listed but not there'):
            SpectralEarthTask(root)[0]

    def test_other_bands(self, folder):
        root = folder('enmap_cdl', [1, 2, 3, 4], 'uint8', bands=224)
        with pytest.raises(BadInput, match='has 224 bands'):
            SpectralEarthTask(root)[0]

    @pytest.mark.parametrize('arguments', [{'task': 'enmap'}, {'split': 'all'}])
    def test_unknown_names(self, tmp_path, arguments):
        with pytest.raises(BadParameter, match='is not one of'):
            SpectralEarthTask(tmp_path, **arguments)
