"""Detectors of upright boxes on any backbone: what places and questions learn, and that they do."""

import math

import pytest
import torch
from torchvision.ops import box_iou

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import centernet, detr, ssd
from torchgeo_ext.models.centernet import draw_peaks, near_enough, peak_loss
from torchgeo_ext.models.detr import map_waves, match

BUILDERS = (ssd, centernet, detr)
BOXES = [torch.tensor([[6.0, 8, 26, 24], [36, 34, 58, 50]]), torch.tensor([[20.0, 30, 44, 54]])]
LABELS = [torch.tensor([1, 2]), torch.tensor([1])]


def scenes(size=64):
    """Images with boxes that are bright, or dark if they are of class 2."""
    images = torch.zeros(len(BOXES), 1, size, size)
    for image, boxes, labels in zip(images, BOXES, LABELS, strict=True):
        for (left, top, right, bottom), label in zip(
            boxes.int().tolist(), labels.tolist(), strict=True
        ):
            image[0, top:bottom, left:right] = 3 - 2 * label
    return images


def small(builder, **arguments):
    torch.manual_seed(0)
    fewer = {'layers': 2} if builder is detr else {}
    return builder('eurosat_baseline3', **{'num_classes': 3, 'width': 32} | fewer | arguments)


def steady(model):
    """The model without what makes answers differ from step to step."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # it has seen few images
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    return model


@pytest.mark.parametrize(
    ('builder', 'arguments'), [(ssd, {}), (centernet, {}), (detr, {'width': 64, 'queries': 8})]
)
def test_it_learns_where_objects_lie(builder, arguments):
    images = scenes()
    model = steady(small(builder, in_chans=1, **arguments)).train()
    targets = [{'boxes': b, 'labels': n} for b, n in zip(BOXES, LABELS, strict=True)]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3 if builder is detr else 2e-3)
    totals = []
    for _ in range(60):
        optimizer.zero_grad()
        total = sum(model(images, targets).values())
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.5 * totals[0]
    with torch.inference_mode():
        found = model.eval()(images)
    for answer, boxes, labels in zip(found, BOXES, LABELS, strict=True):
        best = answer['boxes'][: len(boxes)]
        assert box_iou(best, boxes).max(0).values.min() > 0.5
        assert sorted(answer['labels'][: len(boxes)].tolist()) == sorted(labels.tolist())
        assert (answer['scores'].diff() <= 0).all()


@pytest.mark.parametrize('builder', BUILDERS)
def test_images_without_objects_of_any_size(builder):
    model = small(builder, in_chans=2).train()
    nothing = {'boxes': torch.zeros(0, 4), 'labels': torch.zeros(0, dtype=torch.long)}
    sum(model(torch.rand(2, 2, 40, 56), [nothing] * 2).values()).backward()
    model.eval().score_thresh = 0.0
    with torch.inference_mode():
        [found] = model(torch.rand(1, 2, 41, 75))
    boxes = found['boxes']
    assert len(boxes) == len(found['scores']) == len(found['labels']) > 0
    assert set(found['labels'].tolist()) <= {1, 2}
    assert boxes.min() >= 0
    assert boxes[:, 0::2].max() <= 75
    assert boxes[:, 1::2].max() <= 41
    model.score_thresh = 1.0
    with torch.inference_mode():
        [found] = model(torch.rand(1, 2, 41, 75))
    assert found['boxes'].shape == (0, 4)


@pytest.mark.parametrize('builder', [centernet, detr])
def test_training_without_targets(builder):
    with pytest.raises(BadParameter, match='targets'):
        small(builder).train()(torch.rand(1, 3, 40, 40))


def test_backbones_and_widths_that_do_not_fit():
    with pytest.raises(BadParameter, match='finest is 64'):
        ssd('eurosat_baseline3', finest=64)
    with pytest.raises(BadParameter, match='width is 30'):
        detr('eurosat_baseline3', width=30)


def test_a_box_that_is_off_by_so_much_overlaps_enough():
    for width, height in ((10.0, 10.0), (40.0, 6.0), (3.0, 90.0)):
        radius = near_enough(torch.tensor([[width, height]])).item()
        box = torch.tensor([[0, 0, width, height]])
        shifts = [(1, 1, 1, 1), (1, 1, -1, -1), (-1, -1, 1, 1)]
        overlaps = [box_iou(box, box + radius * torch.tensor([s])).item() for s in shifts]
        # the worst of the three cases is just good enough
        assert min(overlaps) == pytest.approx(0.7, abs=1e-3)


def test_peaks_of_a_class_leave_higher_ones_alone():
    maps = torch.zeros(2, 12, 20)
    places, sides = torch.tensor([[5, 4], [8, 4], [19, 11]]), torch.tensor([[30.0, 30]] * 3)
    draw_peaks(maps, places, sides, torch.tensor([0, 0, 1]))
    assert maps[0, 4, 5] == maps[0, 4, 8] == maps[1, 11, 19] == 1
    assert (maps == 1).sum() == 3
    radius = int(near_enough(sides)[0])
    sigma = (2 * radius + 1) / 6
    assert maps[0, 4, 4].item() == pytest.approx(math.exp(-1 / (2 * sigma**2)))
    assert maps[0, 4, 5 - radius] > 0 == maps[0, 4, 4 - radius]


def test_focal_loss_of_peaks():
    wanted = torch.tensor([1.0, 0.5, 0.0])
    scores = torch.tensor([0.8, 0.6, 0.1])
    expected = -(0.2**2 * math.log(0.8) + 0.5**4 * 0.6**2 * math.log(0.4) + 0.1**2 * math.log(0.9))
    assert peak_loss(scores, wanted).item() == pytest.approx(expected)


def test_each_object_gets_the_answer_that_fits_best_together():
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1], [0.45, 0.5, 0.2, 0.2]])
    wanted = torch.tensor([[0.44, 0.5, 0.2, 0.2], [0.46, 0.5, 0.2, 0.2]])
    answers, objects = match(torch.zeros(3, 2), boxes, torch.tensor([1, 1]), wanted)
    assert dict(zip(answers.tolist(), objects.tolist(), strict=True)) == {0: 1, 2: 0}
    # a class that is right is worth more than a box a little nearer
    classes = torch.tensor([[0.0, 9, 0], [0, 0, 0], [0, 0, 9]])
    answers, _ = match(classes, boxes, torch.tensor([1]), wanted[:1])
    assert answers.tolist() == [0]


def test_places_of_a_map_differ_whatever_its_size():
    for height, width in ((1, 1), (3, 5), (16, 9)):
        waves = map_waves(height, width, 32)
        assert waves.shape == (height * width, 32)
        assert len(waves.unique(dim=0)) == height * width
        # half of the features tell of rows alone
        rows = waves.reshape(height, width, 32)[..., :16]
        assert torch.equal(rows, rows[:, :1].expand_as(rows))
