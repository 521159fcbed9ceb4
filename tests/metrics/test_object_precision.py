"""ObjectPrecision: the numbers of COCO's own evaluation, through torchmetrics."""

import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_iou

from torchgeo_ext.metrics import ObjectPrecision


def boxes_of(number, generator):
    corner = torch.rand(number, 2, generator=generator) * 100
    return torch.cat([corner, corner + 5 + torch.rand(number, 2, generator=generator) * 30], 1)


def make_images():
    """Boxes that were found about where they are, with a few wrong and missing ones."""
    generator = torch.Generator().manual_seed(0)
    for number in range(12):
        count = 0 if number == 3 else 8
        boxes = boxes_of(count, generator)
        labels = torch.randint(0, 3, (count,), generator=generator)  # nobody has class 3
        found = boxes + torch.randn(boxes.shape, generator=generator) * 2
        found = torch.cat([found[1:], boxes_of(4, generator)])
        kinds = torch.cat([labels[1:], torch.randint(0, 4, (4,), generator=generator)])
        wrong = torch.rand(len(kinds), generator=generator) < 0.1
        kinds = torch.where(wrong, (kinds + 1) % 4, kinds)
        scores = torch.rand(len(kinds), generator=generator)
        yield found, scores, kinds, boxes, labels


def test_scores_are_those_of_coco():
    ours, theirs = ObjectPrecision(4), MeanAveragePrecision(class_metrics=True)
    for found, scores, kinds, boxes, labels in make_images():
        ours.update(box_iou(found, boxes), scores, kinds, labels)
        theirs.update(
            [{'boxes': found, 'scores': scores, 'labels': kinds}],
            [{'boxes': boxes, 'labels': labels}],
        )
    one, other = ours.compute(), theirs.compute()
    for name in ('map', 'map_50', 'map_75'):
        assert one[name] == pytest.approx(other[name].item(), abs=1e-6)
    assert 0.1 < one['map'] < one['map_50'] < 1
    torch.testing.assert_close(one['ap'][:3], other['map_per_class'][:3], rtol=0, atol=1e-6)
    assert one['ap'][3].isnan()


def test_precision_and_recall_count_what_is_sure():
    metric = ObjectPrecision(2)
    overlaps = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.0, 0.6], [0.7, 0.0]])
    scores = torch.tensor([0.9, 0.8, 0.4, 0.95])
    metric.update(overlaps, scores, torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0]))
    found = metric.compute()
    # of two boxes around one object one counts, and one of two objects was found with certainty
    assert found['precision'].tolist() == [0.5, 0.0]
    assert found['recall'][0] == 0.5
    assert found['recall'][1].isnan()


def test_nothing_found_and_nothing_labelled():
    metric = ObjectPrecision(1)
    none = torch.zeros(0)
    metric.update(torch.zeros(0, 2), none, none.long(), torch.tensor([0, 0]))
    metric.update(torch.zeros(1, 0), torch.tensor([0.9]), torch.tensor([0]), none.long())
    assert metric.compute()['map'] == 0
    metric.reset()
    metric.update(torch.zeros(0, 0), none, none.long(), none.long())
    assert metric.compute()['map'].isnan()
