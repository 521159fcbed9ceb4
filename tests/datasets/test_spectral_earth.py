"""SpectralEarth's patches and tasks, on made-up files of their layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchgeo.datasets import DatasetNotFoundError

from tests.rasters import write_raster
from torchgeo_ext.datamodules import SpectralEarthDataModule, SpectralEarthPretrainDataModule
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
    assert sample['image'].shape[0] == len(sample['wavelengths']) == 235
    assert sample['wavelengths'][[0, -1]].tolist() == pytest.approx([0.402, 0.9996], abs=2e-3)


def test_hyperion_has_a_gap_between_its_cameras(folder):
    root = folder('eo1_cdl', [1, 2, 3, 204], 'uint8', 'eo1', 198)
    wavelengths = SpectralEarthTask(root, 'eo1_cdl').wavelengths
    assert wavelengths[[0, 49, 50, -1]].tolist() == pytest.approx(
        [0.42682, 0.92541, 0.91245, 2.3955]
    )


def test_some_bands(folder):
    root = folder('enmap_cdl', [1, 2, 3, 4], 'uint8')
    write(
        root / 'enmap' / '0000' / '000.tif', np.arange(BANDS * 4, dtype='int16').reshape(-1, 2, 2)
    )
    every, some = SpectralEarthTask(root), SpectralEarthTask(root, bands=[200, 3])
    assert torch.equal(some[0]['image'], every[0]['image'][[200, 3]])
    assert torch.equal(some[0]['wavelengths'], every.wavelengths[[200, 3]])
    assert SpectralEarth(root, bands=[5])[1]['image'].shape[0] == 1
    for kind in (SpectralEarthTask, SpectralEarth):
        with pytest.raises(BadParameter, match=r'bands: \[202\]'):
            kind(root, bands=[0, 202])


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
    some = SpectralEarthDataModule(str(root), 2, task='enmap_cdl', bands=[7, 2])
    assert torch.equal(some.std, module.std[[7, 2]])
    for task, bands, first in (('desis_cdl', 235, 704.41), ('eo1_cdl', 198, 2402.59)):
        figures = SpectralEarthDataModule(str(root), task=task).mean
        assert len(figures) == bands
        assert figures[0].item() == pytest.approx(first)


class TestPreTraining:
    @pytest.fixture
    def root(self, folder):
        return str(folder('enmap_cdl', [1, 1, 1, 1], 'uint8'))

    def test_a_share_of_the_places_is_held_out(self, root):
        module = SpectralEarthPretrainDataModule(
            root, 1, val_share=0.25, patch_size=4, bands=[0, 9]
        )
        module.setup('fit')
        assert (len(module.train_dataset), len(module.val_dataset)) == (3, 1)
        seen = [
            {batch['image'].max().item() for batch in loader}
            for loader in (module.train_dataloader(), module.val_dataloader())
        ]
        assert not seen[0] & seen[1]
        batch = next(iter(module.val_dataloader()))
        for crop in (module.aug, module.train_aug):
            values = crop(dict(batch))['image']
            assert values.shape == (1, 2, 4, 4)
            expected = (batch['image'][0, :, 0, 0] - module.mean) / module.std
            torch.testing.assert_close(values[0, :, 0, 0], expected)

    def test_dates_of_a_pair_follow_each_other(self, root):
        path = Path(root) / 'enmap' / '0000' / '999.tif'
        write(path, np.full((BANDS, 8, 8), 9, 'int16'))
        module = SpectralEarthPretrainDataModule(root, 3, pairs=True, turn=False)
        module.setup('fit')
        (batch,) = module.train_dataloader()
        assert batch['image'].shape == (3, 2 * BANDS, 8, 8)
        dates = batch['image'].unflatten(1, (2, BANDS))
        assert all(date.unique().numel() == 1 for pair in dates for date in pair)
        values = module.train_aug(batch)['image'].unflatten(1, (2, BANDS))
        same = dates[:, 0] == dates[:, 1]
        assert torch.equal(values[:, 0] == values[:, 1], same)

    def test_bad_input(self, root):
        with pytest.raises(BadParameter, match='val_share is 0'):
            SpectralEarthPretrainDataModule(root, val_share=0)
        with pytest.raises(BadParameter, match=r'bands: \[-1\]'):
            SpectralEarthPretrainDataModule(root, bands=[-1])


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
