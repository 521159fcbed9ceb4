"""Both datasets of the Functional Map of the World, on fake data in the published folders."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torchgeo.datasets import DatasetNotFoundError, RGBBandsMissingError

from tests.data.fmow import data as fmow
from tests.data.fmowsentinel import data as sentinel
from tests.data.pairs import write
from torchgeo_ext.datasets import FMoW, FMoWSentinel
from torchgeo_ext.datasets._fmow import CLASSES
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput, BadParameter


def test_classes_are_sorted_by_name():
    assert len(CLASSES) == 62
    assert list(CLASSES) == sorted(CLASSES)


def test_scenes_are_what_boxes_show(tmp_path):
    number = fmow.make(tmp_path)
    dataset = FMoW(tmp_path, 'val', transforms=nn.Identity())
    assert len(dataset) == number
    sizes = [tuple(sample['image'].shape) for sample in dataset]
    # a box, and three of the next image: one begins before it
    assert sizes[:4] == [(3, 36, 40), (3, 36, 40), (3, 20, 24), (3, 28, 26)]
    assert [int(sample['label']) for sample in dataset] == [0] * 4 + [61] * 4
    place = dataset.scenes[2]
    with Image.open(place.path) as image:
        expected = np.array(image)[10:30, 20:44]
    assert torch.equal(dataset[2]['image'], torch.from_numpy(expected).movedim(-1, 0).float())
    swapped = FMoW(tmp_path, 'val', bands=['blue', 'green', 'red'])
    assert torch.equal(swapped[2]['image'], dataset[2]['image'].flip(0))


def test_lists_come_first(tmp_path):
    fmow.make(tmp_path)
    number = fmow.make_lists(tmp_path)
    dataset = FMoW(tmp_path)
    assert len(dataset) == number
    assert dataset[0]['image'].shape == (3, 36, 40)


@pytest.mark.parametrize(
    ('change', 'message'),
    [({'label': 'castle'}, 'castle'), ({'box': [1, 2, 3]}, 'without img_path'),
     ({'box': [90, 0, 5, 5]}, 'no pixel'), ({'img_path': 'x.jpg'}, 'missing')],
)  # fmt: skip
def test_lists_that_do_not_fit(tmp_path, change, message):
    fmow.make(tmp_path)
    fmow.make_lists(tmp_path)
    path = tmp_path / 'train_62classes.json'
    entry = next(iter(json.loads(path.read_text()).values()))
    path.write_text(json.dumps([entry | change]))
    with pytest.raises(BadInput, match=message):
        _ = FMoW(tmp_path)[0]
    path.write_text('{')
    with pytest.raises(BadInput, match='no JSON'):
        FMoW(tmp_path)


def test_scenes_of_sentinel(tmp_path):
    number = sentinel.make(tmp_path)
    for split in FMoWSentinel.splits:
        assert len(FMoWSentinel(tmp_path, split)) == number
    dataset = FMoWSentinel(tmp_path, 'test', bands=['B8A', 'B2'])
    sample = dataset[1]
    assert sample['image'].dtype == torch.float32
    assert sample['image'].shape == (2, 41, 48)
    stored = read_pixels(tmp_path / 'fmow-sentinel/test_gt/airport/airport_3/airport_3_1.tif')
    assert torch.equal(sample['image'], torch.from_numpy(stored[[8, 1]].astype('float32')))
    assert [int(each['label']) for each in dataset] == [0, 0, 61, 61]


def test_tables_that_do_not_fit(tmp_path):
    sentinel.make(tmp_path)
    table = pd.read_csv(tmp_path / 'train.csv')
    table.assign(category='castle').to_csv(tmp_path / 'train.csv')
    with pytest.raises(BadInput, match='castle'):
        FMoWSentinel(tmp_path)
    table.drop(columns='image_id').to_csv(tmp_path / 'train.csv')
    with pytest.raises(BadInput, match='no column image_id'):
        FMoWSentinel(tmp_path)
    path = tmp_path / 'fmow-sentinel/val/zoo/zoo_3/zoo_3_0.tif'
    write(path, np.zeros((4, 8, 8), 'uint16'))
    with pytest.raises(BadInput, match='4 bands instead of 13'):
        _ = FMoWSentinel(tmp_path, 'val')[2]
    path.unlink()
    with pytest.raises(BadInput, match='is missing'):
        _ = FMoWSentinel(tmp_path, 'val')[2]


@pytest.mark.parametrize('kind', [FMoW, FMoWSentinel])
def test_what_is_missing_is_told(kind, tmp_path):
    with pytest.raises(DatasetNotFoundError, match='See https'):
        kind(tmp_path)
    with pytest.raises(BadParameter, match='split'):
        kind(tmp_path, 'all')
    with pytest.raises(BadParameter, match='bands'):
        kind(tmp_path, bands=['B99'])


@pytest.mark.parametrize(('kind', 'make'), [(FMoW, fmow.make), (FMoWSentinel, sentinel.make)])
def test_plot(kind, make, tmp_path):
    make(tmp_path)
    dataset = kind(tmp_path)
    figure = dataset.plot(dataset[0] | {'prediction': torch.tensor(61)}, suptitle='Here')
    assert figure.axes[0].get_title() == 'Label: airport\nPrediction: zoo'
    plt.close(figure)
    dataset = kind(tmp_path, bands=kind.all_bands[:1])
    with pytest.raises(RGBBandsMissingError):
        dataset.plot(dataset[0])
