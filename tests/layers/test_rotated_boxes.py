"""Rotated boxes: corners and back, exact overlaps, suppression."""

import math

import numpy as np
import pytest
import shapely
import torch
from torchvision.ops import batched_nms, box_iou

from torchgeo_ext.layers.rotated_boxes import (
    box_corners,
    box_outlines,
    boxes_around,
    ordered,
    outline_iou,
    outline_nms,
    rotated_iou,
    rotated_nms,
)


def random_boxes(number, seed=0):
    generator = torch.Generator().manual_seed(seed)
    middles = torch.rand(number, 2, generator=generator) * 60
    sides = torch.rand(number, 2, generator=generator) * 20 + 1
    angles = (torch.rand(number, 1, generator=generator) - 0.5) * 6
    return torch.cat([middles, sides, angles], 1)


def test_the_angle_turns_the_long_side_clockwise_on_screen():
    corners = box_corners(torch.tensor([[10.0, 20, 8, 2, math.pi / 6]]))[0]
    along = corners[1] - corners[0]
    torch.testing.assert_close(along, torch.tensor([8 * math.cos(math.pi / 6), 4.0]))
    assert along[1] > 0  # y runs down
    torch.testing.assert_close(corners.mean(0), torch.tensor([10.0, 20.0]))


def test_corners_and_back():
    boxes = random_boxes(200)
    back = boxes_around(box_outlines(boxes))
    torch.testing.assert_close(back[:, :4], ordered(boxes)[:, :4], rtol=1e-4, atol=1e-3)
    turned = (back[:, 4] - ordered(boxes)[:, 4]).mul(2).cos()  # the same line
    torch.testing.assert_close(turned, torch.ones(200), rtol=0, atol=1e-4)
    assert (back[:, 2] >= back[:, 3]).all()
    assert (back[:, 4] >= -math.pi / 2).all()
    assert (back[:, 4] < math.pi / 2).all()
    # in another order the corners are those of the same box
    shifted = shapely.polygons(box_corners(boxes).roll(1, 1).numpy())
    assert outline_iou(shifted, box_outlines(boxes)).diagonal().min() > 0.999


def test_boxes_around_any_outline():
    triangle, line = shapely.Polygon([(0, 0), (4, 0), (0, 2)]), shapely.LineString([(0, 0), (3, 0)])
    around = boxes_around(np.array([triangle, line], dtype=object))
    assert around[0, 2] * around[0, 3] == pytest.approx(8, rel=1e-5)
    assert around[1].tolist() == [1.5, 0, 3, 0, 0]
    assert boxes_around(np.empty(0, dtype=object)).shape == (0, 5)


def test_overlaps_are_those_of_upright_boxes_where_nothing_is_turned():
    first, second = random_boxes(30), random_boxes(20, seed=1)
    first[:, 4], second[:, 4] = 0, 0
    upright = [torch.cat([b[:, :2] - b[:, 2:4] / 2, b[:, :2] + b[:, 2:4] / 2], 1)
               for b in (first, second)]  # fmt: skip
    torch.testing.assert_close(rotated_iou(first, second), box_iou(*upright), rtol=1e-4, atol=1e-5)
    # a quarter turn with sides exchanged is the same box
    other = first[:, [0, 1, 3, 2, 4]] + torch.tensor([0, 0, 0, 0, math.pi / 2])
    assert rotated_iou(first, other).diagonal().min() > 0.999


def test_overlap_of_a_square_and_one_turned_by_half_a_right_angle():
    square = torch.tensor([[0.0, 0, 2, 2, 0]])
    octagon = 8 * (math.sqrt(2) - 1)
    found = rotated_iou(square, torch.tensor([[0.0, 0, 2, 2, math.pi / 4]]))
    assert found.item() == pytest.approx(octagon / (8 - octagon), rel=1e-5)
    assert rotated_iou(square, torch.zeros(0, 5)).shape == (1, 0)


def test_suppression_as_torchvision_has_it_for_upright_boxes():
    boxes = random_boxes(300)
    boxes[:, 4] = 0
    random = torch.Generator().manual_seed(2)
    scores = torch.rand(300, generator=random)
    labels = torch.randint(0, 3, (300,), generator=random)
    upright = torch.cat([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], 1)
    expected = batched_nms(upright, scores, labels, 0.3).tolist()
    assert rotated_nms(boxes, scores, labels, 0.3).tolist() == expected
    assert 50 < len(expected) < 300
    assert outline_nms(box_outlines(upright), scores, labels, 0.3).tolist() == expected


def test_suppression_sees_the_angle():
    # long boxes that cross: their upright boxes are the same
    boxes = torch.tensor([[0.0, 0, 20, 2, 0.7], [0, 0, 20, 2, -0.7], [1, 0, 20, 2, 0.7]])
    scores, labels = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1, 1, 1])
    assert rotated_nms(boxes, scores, labels, 0.3).tolist() == [0, 1]
    assert rotated_nms(boxes, scores, torch.tensor([1, 1, 2]), 0.3).tolist() == [0, 1, 2]
    assert rotated_nms(boxes[:0], scores[:0], labels[:0], 0.3).tolist() == []
