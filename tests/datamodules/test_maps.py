"""Published images with maps on their way into a training."""

import pytest
import torch

from tests.data.isprsvaihingen import data as vaihingen
from tests.data.whubuilding import data as buildings
from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.datamodules import MapDataModule
from torchgeo_ext.datasets import ISPRSVaihingen, WHUBuilding
from torchgeo_ext.errors import BadParameter


def module_of(root, stage='fit', dataset=WHUBuilding, **options):
    module = MapDataModule(dataset, str(root), batch_size=2, **options)
    module.setup(stage)
    return module


def test_training_images_are_parts_at_random(tmp_path):
    buildings.make(tmp_path)
    module = module_of(tmp_path, patch_size=16, length=50)
    assert len(module.train_dataset) == 50
    whole = WHUBuilding(tmp_path)
    windows = {tuple(module.train_dataset[0]['image'].shape) for _ in range(3)}
    assert windows == {(3, 16, 16)}
    parts = torch.stack([module.train_dataset[0]['image'] for _ in range(20)])
    assert len(parts.unique(dim=0)) > 10
    # every part is one of an image
    found = (
        whole[0]['image'].unfold(1, 16, 1).unfold(2, 16, 1),
        whole[1]['image'].unfold(1, 16, 1).unfold(2, 16, 1),
    )
    part = parts[0][:, None, None]
    assert any((image == part).all(dim=(0, 3, 4)).any() for image in found)


def test_images_that_are_smaller_are_filled_up(tmp_path):
    buildings.make(tmp_path)
    module = module_of(tmp_path, patch_size=64, tile_size=32)
    assert module.train_dataset[0]['image'].shape == (3, 40, 40)
    batch = next(iter(module.val_dataloader()))
    assert batch['image'].shape == (2, 3, 32, 32)
    # the second tile of a row has eight columns
    assert batch['mask'][1, :, 8:].eq(-1).all()
    assert batch['mask'][0].ge(0).all()


def test_figures_follow_the_bands(tmp_path):
    vaihingen.make(tmp_path)
    options = {'dataset': ISPRSVaihingen, 'val_split': 'test', 'bands': ['height', 'red']}
    module = module_of(tmp_path, **options)
    batch = next(iter(module.val_dataloader()))
    result = module.aug({key: value.clone() for key, value in batch.items()})['image']
    assert torch.equal(result[:, 0], batch['image'][:, 0])
    assert torch.allclose(result[:, 1], batch['image'][:, 1] / 255)
    own = module_of(tmp_path, **options, mean=[0.5, 100], std=[1, 50])
    result = own.aug({key: value.clone() for key, value in batch.items()})['image']
    assert torch.allclose(result[:, 1], (batch['image'][:, 1] - 100) / 50)


def test_maps_turn_with_their_images(tmp_path):
    buildings.make(tmp_path)
    module = module_of(tmp_path, patch_size=None, mean=[0, 0, 0], std=[1, 1, 1])
    batch = next(iter(module.train_dataloader()))
    batch['image'] = batch['mask'][:, None].expand(-1, 3, -1, -1).float()
    torch.manual_seed(0)
    result = module.train_aug({key: value.clone() for key, value in batch.items()})
    assert torch.equal(result['image'][:, 0].round().long(), result['mask'])
    assert not torch.equal(result['mask'], batch['mask'])


def test_stages_have_their_splits_and_checkpoints_their_classes(tmp_path):
    buildings.make(tmp_path)
    module = module_of(tmp_path)
    assert (module.train_dataset.images.split, module.val_dataset.split) == ('train', 'val')
    card = module.state_dict()[DATA_CARD]
    assert [entry['name'] for entry in card['classes']] == ['background', 'building']
    assert [entry['name'] for entry in card['bands']] == ['red', 'green', 'blue']
    for stage in ('test', 'predict'):
        module.setup(stage)
        assert getattr(module, f'{stage}_dataset').split == 'test'


def test_scores_may_be_those_of_other_maps_than_learned(tmp_path):
    vaihingen.make(tmp_path)
    options = {'dataset': ISPRSVaihingen, 'val_split': 'test', 'evaluation': {'eroded': True}}
    module = module_of(tmp_path, **options)
    assert module.val_dataset[0]['mask'].min() == -1
    assert module.train_dataset[0]['mask'].min() == 0


@pytest.mark.parametrize(
    'options', [{'val_split': 'all'}, {'mean': [1.0]}, {'patch_size': 0}, {'length': 0}]
)
def test_what_cannot_be_is_refused(tmp_path, options):
    with pytest.raises(BadParameter, match=next(iter(options))):
        module_of(tmp_path, **options)
