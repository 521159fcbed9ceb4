"""Pseudo-labels of change: the rules, the files, and the datasets that read them."""

import pytest
import torch

from tests.data.whucd import data as whucd
from torchgeo_ext.datasets import WHUCD, ImageContent, change_events, write_pseudo_labels
from torchgeo_ext.errors import BadInput, BadParameter

SIZE = 32


def content(*boxes, unsure=None):
    """Class 0 inside boxes (rows, columns), class 1 outside; each box is an object."""
    probabilities, instances = torch.zeros(2, SIZE, SIZE), torch.zeros(len(boxes), SIZE, SIZE)
    probabilities[1] = 0.9
    for instance, (rows, columns) in zip(instances, boxes, strict=True):
        instance[rows, columns] = 1
        probabilities[:, rows, columns] = torch.tensor([0.95, 0.1])[:, None, None]
    if unsure:
        probabilities[(slice(None), *unsure)] = 0.5
    return ImageContent(probabilities, instances.bool())


LEFT, RIGHT = (slice(0, 8), slice(0, 8)), (slice(0, 8), slice(20, 28))
GROWN = (slice(0, 12), slice(0, 8))


def test_objects_that_come_go_and_grow():
    change, dates = change_events(content(LEFT), content(LEFT, RIGHT), targets=[0])
    assert change[RIGHT].eq(1).all()
    assert change.sum() == 64
    assert dates[:, 0, 0].tolist() == [1, 1]
    gone, _ = change_events(content(LEFT, RIGHT), content(LEFT), targets=[0])
    assert torch.equal(gone, change)
    # a rim that differs is that of an object seen on both dates
    assert change_events(content(LEFT), content(GROWN), targets=[0])[0].sum() == 0
    # the pixels differ only where class 1 is no target
    assert change_events(content(), content(RIGHT), targets=[0, 1])[0].sum() == 0


def test_an_object_without_pixels_of_its_class_has_not_changed():
    before, after = content(), content(RIGHT)
    after = after._replace(probabilities=before.probabilities)
    assert change_events(before, after, targets=[0])[0].sum() == 0


def test_what_is_unlikely_is_unknown():
    corner = (slice(0, 4), slice(20, 24))
    change, dates = change_events(content(), content(RIGHT, unsure=corner), targets=[0])
    assert change[corner].eq(-1).all()
    assert dates[1][corner].eq(-1).all()
    assert dates[0][corner].eq(0).all()
    assert change.eq(1).sum() == 48
    assert change_events(content(), content(), [0], doubt=0.95)[0].eq(-1).all()


def test_what_cannot_be():
    with pytest.raises(
        BadParameter, match=r'targets is \[2\]; the source tells the classes 0 to 1'
    ):
        change_events(content(), content(), targets=[2])
    with pytest.raises(BadParameter, match='targets is'):
        change_events(content(), content(), targets=[])
    with pytest.raises(BadParameter, match='doubt is 80'):
        change_events(content(), content(), targets=[0], doubt=80)
    smaller = ImageContent(torch.zeros(2, 8, 8), torch.zeros(0, 8, 8, dtype=torch.bool))
    with pytest.raises(BadInput, match='have the sizes'):
        change_events(content(), smaller, targets=[0])


def bright_parts(image):
    """A source: what is bright in the first band is one object."""
    bright = (image[0] > 128).float()
    return ImageContent(torch.stack([bright, 1 - bright]), bright[None].bool())


def test_written_and_read(tmp_path):
    whucd.make(tmp_path)
    folder = tmp_path / 'pseudo'
    write_pseudo_labels(WHUCD(tmp_path), bright_parts, folder, targets=[0])
    dataset = WHUCD(tmp_path, pseudo_labels=folder)
    sample = dataset[1]
    image = sample['image']
    assert torch.equal(sample['mask_pseudo_dates'], (image[:, 0] > 128).long())
    assert sample['mask_pseudo'].shape == (1, SIZE, SIZE)
    tiles = WHUCD(tmp_path, pseudo_labels=folder, tile_size=16)
    assert torch.equal(tiles[7]['mask_pseudo_dates'], sample['mask_pseudo_dates'][:, 16:, 16:])
    # other splits are judged by labels alone
    assert 'mask_pseudo' not in WHUCD(tmp_path, 'val', pseudo_labels=folder)[0]
    (folder / 'B' / f'{dataset.pairs[1].images[0].stem}.png').unlink()
    with pytest.raises(BadInput, match=r'pseudo_labels: .*B.*png is missing'):
        dataset[1]
