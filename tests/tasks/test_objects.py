"""Tasks that find objects: what they learn, and what counts in judging them."""

import json

import numpy as np
import pyogrio
import pytest
import shapely
import torch
from torchgeo.tasks import ObjectDetection
from torchvision.ops import FrozenBatchNorm2d

from tests.bundles.makers import checkpoint
from tests.data.star import data as star
from tests.rasters import write_raster
from tests.tasks.pairs import trainer
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.datamodules import ObjectDataModule
from torchgeo_ext.datasets import STAR
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.operations import create_bundle, detect_objects
from torchgeo_ext.tasks import (
    MaskedInstanceSegmentation,
    MaskedObjectDetection,
    RotatedObjectDetection,
)

SMALL = {'backbone': 'eurosat_baseline3', 'width': 32}
BOXES = torch.tensor([[2.0, 2, 10, 12], [20, 4, 30, 12]])


def answering(task, answers):
    """The task with fixed answers of its network."""
    task.forward = lambda *_: answers
    task.log_dict = lambda scores, **_: None
    return task


def judge(task, batch):
    task.validation_step(batch, 0)
    return task.val_scores()


def test_objects_elsewhere_may_be_found_or_not():
    elsewhere = torch.tensor([[40.0, 40, 50, 50], [70, 0, 80, 9]])
    found = {
        'boxes': torch.cat([BOXES, elsewhere]),
        'scores': torch.tensor([0.9, 0.8, 0.95, 0.99]),
        'labels': torch.ones(4).long(),
    }
    judged = torch.zeros(1, 64, 64, dtype=torch.bool)
    judged[:, :, :32] = True
    batch = {'image': torch.zeros(1, 3, 64, 64), 'bbox_xyxy': [BOXES],
             'label': [torch.ones(2).long()]}  # fmt: skip
    task = answering(MaskedObjectDetection('fcos', 'resnet18', num_classes=2), [found])
    assert judge(task, batch | {'judged': judged}).map == 1
    task.val_metrics.reset()
    scores = judge(task, batch)
    assert scores.map_50 == pytest.approx(0.5, abs=0.01)
    assert scores.precision.tolist() == [0.5]
    assert scores.labelled.tolist() == [2]
    assert [*scores.figures] == ['mAP', 'mAP at 0.5']


def test_masks_are_compared_by_their_pixels():
    task = MaskedInstanceSegmentation(backbone='resnet18', in_channels=1, num_classes=2)
    wanted = torch.zeros(2, 32, 32, dtype=torch.uint8)
    wanted[0, 2:12, 2:10], wanted[1, 4:12, 20:30] = 1, 1
    masks = wanted.float()[:, None] * 0.9
    masks[1, :, :, 25:] = 0.4
    found = {'boxes': BOXES, 'masks': masks}
    assert task.overlaps(found, {'masks': wanted}).tolist() == [[1, 0], [0, 0.5]]
    batch = {
        'image': torch.rand(1, 1, 64, 64), 'bbox_xyxy': [BOXES], 'label': [torch.ones(2).long()],
        'mask': [torch.nn.functional.pad(wanted, (0, 32, 0, 32))],
    }  # fmt: skip
    task.log_dict = lambda losses, **_: None
    loss = task.training_step(batch, 0)
    assert loss.isfinite()
    task.eval()
    task.validation_step(batch, 0)
    assert task.val_scores().labelled.tolist() == [2]
    with pytest.raises(BadParameter, match="backbone 'vgg'"):
        MaskedInstanceSegmentation(backbone='vgg')


def test_what_starts_at_random_learns_as_a_whole():
    theirs = ObjectDetection('faster-rcnn', 'resnet18', num_classes=2)
    ours = MaskedObjectDetection('faster-rcnn', 'resnet18', num_classes=2)
    frozen = [isinstance(m, FrozenBatchNorm2d) for m in ours.modules()]
    assert not any(frozen)
    assert any(isinstance(m, FrozenBatchNorm2d) for m in theirs.modules())
    assert all(p.requires_grad for p in ours.parameters())
    # the same network when it predicts: TorchGeo's task reads the weights
    state = {k: v for k, v in ours.state_dict().items() if not k.endswith('num_batches_tracked')}
    theirs.load_state_dict(state)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        [one], [other] = ours.eval()(x), theirs.eval()(x)
    torch.testing.assert_close(one['boxes'], other['boxes'])
    kept = MaskedObjectDetection('fcos', 'resnet18', num_classes=2, freeze_backbone=True)
    assert not any(p.requires_grad for p in kept.model.backbone.body.parameters())


@pytest.mark.parametrize('model', ['ssd', 'centernet', 'detr'])
def test_registered_detectors_are_learned_and_run(model, tmp_path):
    torch.manual_seed(0)
    task = MaskedObjectDetection(model, 'eurosat_baseline3', in_channels=2, num_classes=3)
    task.log_dict = lambda losses, **_: None
    batch = {
        'image': torch.rand(2, 2, 64, 64), 'bbox_xyxy': [BOXES, BOXES[:0]],
        'label': [torch.tensor([1, 2]), torch.zeros(0, dtype=torch.long)],
    }  # fmt: skip
    task.training_step(batch, 0).backward()
    assert any(p.grad.abs().sum() > 0 for p in task.model.encoder.parameters())
    task.eval()
    with torch.inference_mode():
        task.validation_step(batch, 0)
    assert task.val_scores().labelled.tolist() == [1, 1]
    values = np.random.default_rng(0).integers(1, 9000, (2, 80, 150)).astype('uint16')
    image = write_raster(tmp_path / 'i.tif', values)
    create_bundle(checkpoint(tmp_path / 'x.ckpt', task), tmp_path / 'bundle', image=image)
    bundle = read_bundle(tmp_path / 'bundle')
    assert bundle.card.architecture['class'] == 'MaskedObjectDetection'
    x = torch.rand(1, 2, 64, 64) * 9000
    detector = bundle.build()
    with torch.inference_mode():
        [found] = detector(x)
        [expected] = task.model(torch.addcmul(detector.bias, x, detector.gain))
    # bundles tell more objects of an image
    best = slice(len(expected['boxes'])), slice(None)
    torch.testing.assert_close(found['boxes'][best], expected['boxes'])
    output = tmp_path / 'o.gpkg'
    result = detect_objects(image, tmp_path / 'bundle', output, threshold=0.05, tile_size=64)
    assert result.objects == len(pyogrio.read_dataframe(output, layer='o'))
    # half a tile of overlap, though the model's halo is as large as that
    assert result.tiles == 8
    kept = MaskedObjectDetection(model, 'eurosat_baseline3', num_classes=2, freeze_backbone=True)
    assert not any(p.requires_grad for p in kept.model.encoder.parameters())


def test_rotated_boxes_are_learned_from_tiles_of_star(tmp_path):
    star.make(tmp_path)
    module = ObjectDataModule(STAR, str(tmp_path), batch_size=1, tile_size=64)
    task = RotatedObjectDetection(**SMALL, num_classes=1 + 48)
    fitting = trainer(fast_dev_run=True)
    fitting.fit(task, datamodule=module)
    assert fitting.callback_metrics.keys() >= {'val_map', 'val_map_50', 'boxes'}
    assert all(value.isfinite() for name, value in fitting.callback_metrics.items()
               if not name.startswith('val'))  # fmt: skip


def test_rotated_boxes_are_drawn_as_they_lie(tmp_path):
    torch.manual_seed(0)
    task = RotatedObjectDetection(**SMALL, in_channels=1, num_classes=3).eval()
    # sure of everything, and of bars that lie aslant
    task.model.head.classes.bias.data.fill_(2.0)
    task.model.head.overlaps.bias.data.fill_(2.0)
    task.model.head.boxes.bias.data = torch.tensor([0.0, 0, 1.0, 0])
    task.model.head.angles.bias.data = torch.tensor([0.5, 0.866])  # twice 30 degrees
    image = write_raster(tmp_path / 'i.tif', np.full((40, 50), 9, 'uint8'), resolution=2.0)
    create_bundle(checkpoint(tmp_path / 'x.ckpt', task), tmp_path / 'bundle', image=image)
    assert read_bundle(tmp_path / 'bundle').card.task == 'detection'
    result = detect_objects(image, tmp_path / 'bundle', tmp_path / 'o.gpkg', threshold=0.3)
    found = pyogrio.read_dataframe(tmp_path / 'o.gpkg', layer='o')
    assert result.objects == len(found) == sum(json.loads(result.counts).values()) > 3
    corners = shapely.get_coordinates(found.geometry.values).reshape(-1, 5, 2)
    sides = np.diff(corners, axis=1)[:, :2]
    longer = np.where(np.hypot(*sides[:, 0].T)[:, None] > np.hypot(*sides[:, 1].T)[:, None],
                      sides[:, 0], sides[:, 1])  # fmt: skip
    # clockwise on screen is downwards on the map
    turns = np.degrees(np.arctan2(-longer[:, 1], longer[:, 0])) % 180
    assert np.median(turns) == pytest.approx(30, abs=3)
    assert (found['length_m'] > found['width_m']).all()
