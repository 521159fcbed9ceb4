"""Published scenes on their way into a training."""

import pytest
import torch
from torchgeo.datasets import EuroSAT
from torchgeo.models import ResNet50_Weights

from tests.data.eurosat import data as eurosat
from tests.data.fmow import data as fmow
from tests.data.fmowsentinel import data as sentinel
from torchgeo_ext.datamodules import PublishedSceneDataModule
from torchgeo_ext.datasets import FMoW, FMoWSentinel
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import DynamicVis_Weights, SatMAEPP_Weights

BANDS = ['B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B11', 'B12']
SENTINEL = SatMAEPP_Weights.SENTINEL2_FMOW_MAE


def module_of(root, stage='fit', dataset=FMoWSentinel, weights=SENTINEL, **options):
    module = PublishedSceneDataModule(
        dataset, str(root), batch_size=2, as_pretrained=weights, **options
    )
    module.setup(stage)
    return module


def test_images_of_all_sizes_become_one(tmp_path):
    sentinel.make(tmp_path)
    module = module_of(tmp_path, bands=BANDS)
    for loader in (module.train_dataloader(), module.val_dataloader()):
        assert next(iter(loader))['image'].shape == (2, 10, 96, 96)


def test_training_images_are_parts_and_others_have_their_middle(tmp_path):
    fmow.make(tmp_path)
    weights = 'SatMAEPP_Weights.FMOW_RGB_MAE'
    module = module_of(tmp_path, dataset=FMoW, weights=weights, test_split='val')
    torch.manual_seed(0)
    first, again = (module.train_dataset[0]['image'] for _ in range(2))
    assert not torch.equal(first, again)
    whole = FMoW(tmp_path, 'val')[0]['image'].mean()
    assert torch.equal(module.val_dataset[0]['image'], module.val_dataset[0]['image'])
    assert (module.val_dataset[0]['image'].mean() - whole).abs() < 10
    # without a crop in the pre-training, all of an image counts
    other = module_of(tmp_path, dataset=FMoW, weights=DynamicVis_Weights.FMOW_B, size=32)
    assert other.val_dataset[0]['image'].shape == (3, 32, 32)
    assert (other.val_dataset[0]['image'].mean() - whole).abs() < 2


def test_values_are_normalised_as_in_the_pretraining(tmp_path):
    sentinel.make(tmp_path)
    module = module_of(tmp_path, bands=BANDS, turn=False)
    batch = next(iter(module.val_dataloader()))
    expected = SENTINEL.meta['preprocessing'].apply(batch['image'])
    for normalise in (module.aug, module.train_aug):
        result = normalise({key: value.clone() for key, value in batch.items()})
        assert torch.allclose(result['image'], expected)
        assert torch.equal(result['label'], batch['label'])
    assert expected.min() == 0
    assert expected.max() <= 1


def test_stages_have_their_splits(tmp_path):
    sentinel.make(tmp_path)
    module = module_of(tmp_path, bands=BANDS)
    assert (module.train_dataset.split, module.val_dataset.split) == ('train', 'val')
    for stage in ('test', 'predict'):
        module.setup(stage)
        assert getattr(module, f'{stage}_dataset').split == 'test'


def test_datasets_of_torchgeo_will_do(tmp_path):
    eurosat.make(tmp_path)
    weights = 'ResNet50_Weights.SENTINEL2_ALL_SOFTCON'
    module = module_of(tmp_path, dataset=EuroSAT, weights=weights, size=32)
    batch = module.train_aug(next(iter(module.train_dataloader())))
    assert batch['image'].shape == (2, 13, 32, 32)
    assert 0 <= batch['image'].min() <= batch['image'].max() <= 1


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(BadParameter, match='scale'):
        module_of(tmp_path, scale=(0.5, 0.2))
    with pytest.raises(BadParameter, match='not known what was done'):
        module_of(tmp_path, weights=ResNet50_Weights.SENTINEL1_GRD_CLOSP)
