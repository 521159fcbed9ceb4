"""reBEN on its way into a training."""

import pytest
import torch

from tests.data.reben import data as reben
from torchgeo_ext.datamodules import ReBENDataModule
from torchgeo_ext.datasets import ReBEN
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.tasks import SceneClassification


def module_of(root, stage='fit', **options):
    reben.make(root)
    module = ReBENDataModule(str(root), batch_size=2, **options)
    module.setup(stage)
    return module


def test_figures_follow_the_bands(tmp_path):
    module = module_of(tmp_path, bands=['B8A', 'VH'])
    batch = next(iter(module.val_dataloader()))
    expected = (batch['image'][:, 0] - 2235.5566) / 1356.5441
    standardised = module.aug({key: value.clone() for key, value in batch.items()})['image']
    assert torch.allclose(standardised[:, 0], expected, atol=1e-5)
    assert torch.allclose(standardised[:, 1, 0, 0], (batch['image'][:, 1, 0, 0] + 19.3526) / 5.5905)
    with pytest.raises(BadParameter, match='bands'):
        ReBENDataModule(bands=['B10'])


def test_stages_have_their_splits(tmp_path):
    module = module_of(tmp_path)
    assert (module.train_dataset.split, module.val_dataset.split) == ('train', 'val')
    for stage in ('test', 'predict'):
        module.setup(stage)
        assert getattr(module, f'{stage}_dataset').split == 'test'


def test_maps_turn_with_their_images(tmp_path):
    module = module_of(tmp_path, bands=['B04'], maps=True)
    batch = next(iter(module.train_dataloader()))
    batch['image'][:, 0] = batch['mask'].float()
    torch.manual_seed(0)
    result = module.train_aug(batch)
    values = result['image'][:, 0] * module.std + module.mean
    assert torch.equal(values.round().long(), result['mask'])
    assert not torch.equal(
        result['mask'], torch.stack([module.train_dataset[i]['mask'] for i in (0, 1)])
    )


def test_a_task_learns_labels_of_the_published_order(tmp_path, monkeypatch):
    module = module_of(tmp_path, bands='s2', order='sorted')
    batch = module.train_aug(next(iter(module.train_dataloader())))
    task = SceneClassification(
        'tu-resnet10t', in_channels=10, task='multilabel', num_labels=19, loss='bce'
    )
    monkeypatch.setattr(task, 'log', lambda *args, **kwargs: None)
    assert module.train_dataset.classes == ReBEN.class_order('sorted')
    assert torch.isfinite(task.training_step(batch, 0))
