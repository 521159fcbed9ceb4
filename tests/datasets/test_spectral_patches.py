"""MARIDA and SegMunich, on made-up files of their layout."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torchgeo.datasets import DatasetNotFoundError, RGBBandsMissingError

from tests.data.marida import data as marida
from tests.data.pairs import write
from tests.data.segmunich import data as segmunich
from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.datamodules import SpectralPatchDataModule
from torchgeo_ext.datasets import MARIDA, SegMunich
from torchgeo_ext.errors import BadInput, BadParameter


class TestMARIDA:
    @pytest.fixture
    def root(self, tmp_path):
        marida.make(tmp_path)
        return tmp_path

    def test_classes_of_water_count_as_one_or_not(self, root):
        merged, apart = MARIDA(root), MARIDA(root, merge_water=False)
        assert (len(merged.classes), len(apart.classes)) == (11, 15)
        assert merged.classes[6] == apart.classes[6] == 'Marine Water'
        assert merged[0]['mask'][0, :16].tolist() == [-1, *range(11), 6, 6, 6, 6]
        assert apart[0]['mask'][0, :16].tolist() == list(range(-1, 15))
        assert (merged[0]['mask'][1] == -1).all()

    def test_what_is_not_measured_takes_the_mean(self, root):
        dataset = MARIDA(root, 'test', bands=['B8A', 'B01'])
        sample = dataset[1]
        assert sample['image'].shape == (2, 256, 256)
        assert sample['image'][:, 0, 0].tolist() == pytest.approx([0.0392113, 0.05197577])
        assert sample['wavelengths'].tolist() == pytest.approx([0.8647, 0.4427])

    def test_tiles_are_those_of_the_benchmark(self, root):
        whole, tiles = MARIDA(root), MARIDA(root, tile_size=96, overlap=16)
        assert len(tiles) == 9 * len(whole)
        for number, (row, column) in enumerate(np.ndindex(3, 3)):
            part = whole[1]['mask'][80 * row : 80 * row + 96, 80 * column : 80 * column + 96]
            assert torch.equal(tiles[9 + number]['mask'], part)

    def test_figures_show_colours_and_maps(self, root):
        dataset = MARIDA(root)
        sample = dataset[0]
        figure = dataset.plot(sample | {'prediction': sample['mask']}, suptitle='sea')
        assert [axis.get_title() for axis in figure.axes] == ['Image', 'Labels', 'Prediction']
        plt.close(figure)
        with pytest.raises(RGBBandsMissingError):
            MARIDA(root, bands=['B04']).plot(sample)

    def test_bad_input(self, root):
        with pytest.raises(DatasetNotFoundError, match=r'zenodo\.5151941.*splits'):
            MARIDA(root / 'patches')
        with pytest.raises(BadParameter, match=r'bands: .B09. is not one of B01'):
            MARIDA(root, bands=['B09'])
        with pytest.raises(BadParameter, match='overlap is 16 with a tile_size of None'):
            MARIDA(root, overlap=16)
        with pytest.raises(BadParameter, match='overlap is 96 with a tile_size of 96'):
            MARIDA(root, tile_size=96, overlap=96)
        split = 'val'
        path = next(root.glob('patches/*V/*_0.tif'))
        write(path.with_stem(f'{path.stem}_cl'), np.zeros((9, 9), 'float32'))
        with pytest.raises(BadInput, match='has 9 x 9 pixels where'):
            MARIDA(root, split)[0]
        path.unlink()
        with pytest.raises(BadInput, match='listed but not there'):
            MARIDA(root, split)


class TestSegMunich:
    @pytest.fixture
    def root(self, tmp_path):
        segmunich.make(tmp_path)
        return tmp_path

    def test_codes_become_classes(self, root):
        dataset = SegMunich(root, 'test')
        sample = dataset[0]
        assert sample['image'].shape == (10, 128, 128)
        assert sample['image'].dtype == torch.float32
        assert sample['mask'][0, ::8][:13].tolist() == list(range(13))
        assert dataset.classes[5] == 'surface water'
        assert len(sample['wavelengths']) == 10

    def test_a_share_of_the_training_split_is_held_out(self, root):
        parts = [
            {image['image'].stem for image in SegMunich(root, split, val_share=0.25).images}
            for split in ('train', 'val')
        ]
        assert [len(names) for names in parts] == [15, 5]
        assert len(parts[0] | parts[1]) == 20
        assert len(SegMunich(root, 'test')) == 3

    def test_bad_input(self, root):
        with pytest.raises(BadParameter, match='val_share is 1'):
            SegMunich(root, val_share=1)
        path = root / 'test' / 'label' / 'test0.tif'
        write(path, np.full((128, 128), 77, 'uint8'))
        with pytest.raises(BadInput, match='has the values 77'):
            SegMunich(root, 'test')[0]
        write(root / 'test' / 'img' / 'test1.tif', np.zeros((12, 128, 128), 'uint16'))
        with pytest.raises(BadInput, match='has 12 bands instead of 10'):
            SegMunich(root, 'test')[1]


def test_the_data_module_standardises_the_bands_it_gives(tmp_path):
    segmunich.make(tmp_path)
    module = SpectralPatchDataModule(
        SegMunich, str(tmp_path), 4, bands=['B12', 'B02'], tile_size=64, val_share=0.2
    )
    for stage in ('fit', 'test', 'predict'):
        module.setup(stage)
    assert (len(module.train_dataset), len(module.val_dataset)) == (4 * 16, 4 * 4)
    assert module.predict_dataset.split == 'test'
    card = module.state_dict()[DATA_CARD]
    told = [(band['name'], band['center_wavelength'], band['std']) for band in card['bands']]
    assert told[0] == ('B12', pytest.approx(2.2024), pytest.approx(1343.4838))
    assert told[1][:2] == ('B02', pytest.approx(0.4924))
    assert [entry['name'] for entry in card['classes']] == list(SegMunich.classes)
    batch = next(iter(module.val_dataloader()))
    expected = (batch['image'][:, 0] - 1805.06846) / 1343.4838
    assert torch.allclose(module.aug(dict(batch))['image'][:, 0], expected, atol=1e-5)
    torch.manual_seed(0)
    before = batch['mask'].clone()
    turned = module.train_aug(dict(batch))
    assert turned['wavelengths'].shape == (4, 2)
    assert not torch.equal(turned['mask'], before)
    assert all(
        torch.equal(one.flatten().sort().values, other.flatten().sort().values)
        for one, other in zip(turned['mask'], before, strict=True)
    )
