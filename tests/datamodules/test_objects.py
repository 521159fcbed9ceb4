"""Published images with objects on their way into a training."""

import numpy as np
import pytest
import torch
from torchgeo.tasks import ObjectDetection

from tests.data.cloudtracks import data as cloudtracks
from tests.data.hrplanesv2 import data as hrplanes
from tests.data.pairs import image, write
from torchgeo_ext.datamodules import ObjectDataModule
from torchgeo_ext.datamodules.objects import FlipBoxes
from torchgeo_ext.datasets import CloudTracks, HRPlanesV2
from torchgeo_ext.errors import BadParameter


@pytest.fixture
def root(tmp_path):
    hrplanes.make(tmp_path)
    return tmp_path


def module_of(root, stage='fit', **options):
    module = ObjectDataModule(HRPlanesV2, str(root), batch_size=2, **options)
    module.setup(stage)
    return module


def test_tiles_without_objects_are_left_out_of_training(root):
    module = module_of(root, tile_size=32)
    assert all(len(sample['label']) for sample in module.train_dataset)
    assert len(module.val_dataset) == 4
    assert any(not len(sample['label']) for sample in module.val_dataset)
    assert len(module_of(root, tile_size=32, with_objects=False).train_dataset) == 8
    for stage in ('test', 'predict'):
        module.setup(stage)
        assert getattr(module, f'{stage}_dataset').split == 'test'


def test_smaller_tiles_are_filled_up(root):
    write(root / 'train' / 'train_1.jpg', image(np.random.default_rng(0), size=40))
    batch = next(iter(module_of(root, with_objects=False, flip=False).train_dataloader()))
    assert batch['image'].shape == (2, 3, 48, 64)
    small = min((0, 1), key=lambda place: len(batch['label'][place]))
    assert batch['image'][small, :, 40:].eq(0).all()
    assert batch['image'][small, :, :, 40:].eq(0).all()
    assert [boxes.shape[1] for boxes in batch['bbox_xyxy']] == [4, 4]
    assert batch['label'][1 - small].tolist() == [1, 1]


def test_boxes_flip_with_their_images():
    torch.manual_seed(0)
    boxes = torch.tensor([[2.0, 1, 5, 3], [6, 4, 9, 7]])
    images = torch.zeros(16, 3, 8, 10)
    for x1, y1, x2, y2 in boxes.int().tolist():
        images[:, :, y1:y2, x1:x2] = 1
    batch = {'image': images, 'bbox_xyxy': [boxes] * 16, 'label': [torch.tensor([1, 1])] * 16}
    result = FlipBoxes()(batch)
    for flipped, moved in zip(result['image'], result['bbox_xyxy'], strict=True):
        assert flipped.sum() == images[0].sum()
        assert all(flipped[:, y1:y2, x1:x2].eq(1).all() for x1, y1, x2, y2 in moved.int().tolist())
    # all four ways occur
    assert len({tuple(moved.ravel().tolist()) for moved in result['bbox_xyxy']}) == 4


def test_a_detector_learns_from_it(root, monkeypatch):
    module = module_of(root, tile_size=32)
    batch = module.train_aug(next(iter(module.train_dataloader())))
    assert 0.2 < batch['image'].mean() < 0.8
    task = ObjectDetection(
        'retinanet', 'resnet18', in_channels=3, num_classes=1 + len(HRPlanesV2.classes)
    )
    monkeypatch.setattr(task, 'log_dict', lambda *args, **kwargs: None)
    loss = task.training_step(batch, 0)
    assert torch.isfinite(loss)
    assert loss > 0


def test_maps_for_segmentation(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('tracks')
    cloudtracks.make(folder)
    write(folder / 'images' / 'mod_1.png', image(np.random.default_rng(0), size=20))
    module = ObjectDataModule(
        CloudTracks, str(folder), batch_size=2, tile_size=None, with_objects=False, maps=True
    )
    module.setup('fit')
    batch = module.collate_fn([module.train_dataset[0], module.train_dataset[1]])
    assert batch.keys() == {'image', 'mask'}
    mask = batch['mask']
    assert mask.dtype == torch.int64
    assert mask[0].unique().tolist() == [0, 1]
    # the second image is smaller and has no track
    assert mask[1, :20, :20].eq(0).all()
    assert mask[1, 20:].eq(-1).all()
    assert mask[1, :, 20:].eq(-1).all()
    turned = module.train_aug({key: value.clone() for key, value in batch.items()})
    assert turned['image'].shape == batch['image'].shape
    assert turned['mask'].eq(1).sum() == mask.eq(1).sum()
    without = module_of(root, tile_size=32, maps=True)
    with pytest.raises(BadParameter, match='maps is true'):
        next(iter(without.train_dataloader()))
