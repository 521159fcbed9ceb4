"""Rotated FCOS: which places learn what, how alike boxes are, and that it learns."""

import math

import pytest
import torch

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.layers.rotated_boxes import rotated_iou
from torchgeo_ext.models.rotatedfcos import Places, assign, prob_iou, rotatedfcos


def places(stride=8, size=8, levels=2):
    parts = []
    for level in range(levels):
        step = stride << level
        x = (torch.arange(size >> level) + 0.5) * step
        points = torch.cartesian_prod(x, x).flip(1)
        parts.append((points, torch.full((len(points),), float(step)),
                      torch.full((len(points),), level)))  # fmt: skip
    return Places(*(torch.cat(part) for part in zip(*parts, strict=True)))


def test_places_inside_of_an_object_learn_it():
    there = places()
    # a bar, and a square in the middle of it, which takes the place there
    bar = torch.tensor([[36.0, 36, 60, 10, 0], [36, 36, 9, 9, 0]])
    learned, objects = assign(there, bar, 2)
    assert (there.levels[learned] == 0).all()
    assert there.points[learned[objects == 0]].tolist() == [[28, 36], [44, 36]]
    assert there.points[learned[objects == 1]].tolist() == [[36, 36]]
    upright, _ = assign(there, torch.tensor([[36.0, 36, 60, 10, math.pi / 2]]), 2)
    assert there.points[upright].tolist() == [[36, 28], [36, 36], [36, 44]]


def test_each_object_has_a_place_however_small_and_wherever_it_lies():
    there = places(size=16)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        middle = 8 + torch.rand(2, generator=generator) * 112
        angle = torch.rand(1, generator=generator) * 3
        box = torch.cat([middle, torch.tensor([3.0, 1.0]), angle])[None]
        assert len(assign(there, box, 2)[0])


def test_large_objects_belong_to_coarse_levels():
    there = places(size=64, levels=4)
    for side, level in ((127, 0), (129, 1), (300, 2), (5000, 3)):
        learned, _ = assign(there, torch.tensor([[256.0, 256, side, 30, 0.3]]), 4)
        assert set(there.levels[learned].tolist()) == {level}
    assert len(assign(there, torch.zeros(0, 5), 4)[0]) == 0


def test_likeness_of_boxes():
    box = torch.tensor([[10.0, 10, 8, 4, 0.3]])
    assert prob_iou(box, box).item() > 0.998
    # as published: the overlap falls with the distance, and a square has no angle
    moved = [prob_iou(box, box + torch.tensor([[d, 0, 0, 0, 0]])).item() for d in (1.0, 4.0, 20.0)]
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] < 0.01
    square = torch.tensor([[10.0, 10, 6, 6, 0]])
    turned = square + torch.tensor([[0, 0, 0, 0, 0.7]])
    assert prob_iou(square, turned).item() > 0.998
    assert prob_iou(box, box + torch.tensor([[0, 0, 0, 0, math.pi / 2]])).item() < 0.8
    # a quarter turn with sides exchanged is the same box
    same = box[:, [0, 1, 3, 2, 4]] + torch.tensor([[0, 0, 0, 0, math.pi / 2]])
    assert prob_iou(box, same).item() > 0.998


def test_likeness_has_a_slope_everywhere():
    first = torch.tensor([[10.0, 10, 8, 4, 0.3], [10, 10, 8, 4, 0.3]], requires_grad=True)
    second = torch.tensor([[10.0, 10, 8, 4, 0.3], [300, 10, 80, 4, 1.0]])
    prob_iou(first, second).sum().backward()
    assert first.grad.isfinite().all()


def draw(boxes, size=64):
    """An image with bright boxes."""
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing='ij')
    image = torch.zeros(1, size, size)
    for cx, cy, w, h, angle in boxes.tolist():
        along = (x - cx) * math.cos(angle) + (y - cy) * math.sin(angle)
        across = (y - cy) * math.cos(angle) - (x - cx) * math.sin(angle)
        image[0, (along.abs() < w / 2) & (across.abs() < h / 2)] = 1
    return image


def test_it_learns_where_and_how_objects_lie():
    torch.manual_seed(0)
    boxes = [
        torch.tensor([[20.0, 20, 26, 8, 0.6], [46, 44, 22, 6, -1.2]]),
        torch.tensor([[30.0, 36, 30, 8, -0.5]]),
    ]
    labels = [torch.tensor([1, 2]), torch.tensor([1])]
    images = torch.stack([draw(b) for b in boxes])
    model = rotatedfcos('eurosat_baseline3', in_chans=1, num_classes=3, width=32).train()
    targets = [{'boxes': b, 'labels': n} for b, n in zip(boxes, labels, strict=True)]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    first = None
    for _ in range(80):
        optimizer.zero_grad()
        losses = model(images, targets)
        total = sum(losses.values())
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimizer.step()
        first = total.item() if first is None else first
    assert set(losses) == {'classification', 'boxes', 'overlaps'}
    assert total.item() < 0.6 * first
    # the encoder's normalisation has seen few images
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    with torch.inference_mode():
        found = model.eval()(images)
    for answer, box, label in zip(found, boxes, labels, strict=True):
        best = rotated_iou(answer['boxes'][: len(box)], box)
        assert best.max(0).values.min() > 0.5
        assert set(answer['labels'][: len(box)].tolist()) == set(label.tolist())


def test_images_without_objects_and_training_without_targets():
    model = rotatedfcos('eurosat_baseline3', in_chans=2, num_classes=2, width=32).train()
    nothing = {'boxes': torch.zeros(0, 5), 'labels': torch.zeros(0, dtype=torch.long)}
    losses = model(torch.rand(2, 2, 40, 56), [nothing] * 2)
    sum(losses.values()).backward()
    assert losses['boxes'] == 0
    with pytest.raises(BadParameter, match='targets'):
        model(torch.rand(1, 2, 40, 56))
    with torch.inference_mode():
        model.eval().score_thresh = 1.0
        [found] = model(torch.rand(1, 2, 40, 56))
    assert found['boxes'].shape == (0, 5)


def test_backbones_without_coarse_maps():
    with pytest.raises(BadParameter, match='finest is 32'):
        rotatedfcos('eurosat_baseline3', finest=32)
