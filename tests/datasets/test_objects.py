"""Published images with objects, on fake data in the published folders."""

import importlib
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn
from torchgeo.datasets import DatasetNotFoundError

from tests.data import yolo
from tests.data.cloudtracks import data as cloudtracks
from tests.data.pairs import image, write
from torchgeo_ext import datasets
from torchgeo_ext.datasets import GDIT, CloudTracks, HRPlanesV2, collate_samples
from torchgeo_ext.datasets import _objects as objects
from torchgeo_ext.errors import BadInput, BadParameter

#: Class and folder of its fake data.
ALL = {'CloudTracks': 'cloudtracks', 'GDIT': 'gdit', 'HRPlanesV2': 'hrplanesv2', 'STAR': 'star'}


def fake(name, root):
    """Write the fake data of a dataset; gives the number of images of each split."""
    if name == 'STAR':
        pytest.importorskip('h5py')
    return importlib.import_module(f'tests.data.{ALL[name]}.data').make(root)


@pytest.fixture(params=sorted(ALL))
def case(request, tmp_path):
    return getattr(datasets, request.param), tmp_path, fake(request.param, tmp_path)


def test_samples_keep_the_contract(case):
    kind, root, _ = case
    dataset = kind(root, transforms=nn.Identity(), with_objects=True)
    sample = dataset[0]
    number = len(sample['label'])
    assert number > 0
    assert sample['image'].dtype == sample['bbox_xyxy'].dtype == torch.float32
    assert sample['label'].dtype == sample['objects'].dtype == torch.int64
    assert sample['image'].shape[0] == 3
    assert sample['image'].max() > 1
    assert sample['bbox_xyxy'].shape == (number, 4)
    height, width = sample['image'].shape[-2:]
    upper, lower = sample['bbox_xyxy'][:, :2], sample['bbox_xyxy'][:, 2:]
    assert (upper >= 0).all()
    assert (upper < lower).all()
    assert (lower <= torch.tensor([width, height])).all()
    assert sample['label'].max() < len(dataset.classes) == len(dataset.colors)


def test_splits_are_apart(case):
    kind, root, sizes = case
    found = {split: kind(root, split) for split in sizes}
    assert {split: len(dataset.images) for split, dataset in found.items()} == sizes
    files = [
        {image.path for image in dataset.images}
        for split, dataset in found.items()
        if split != 'all'
    ]
    assert len(set().union(*files)) == sum(map(len, files))
    with pytest.raises(BadParameter, match='split'):
        kind(root, 'trian')


@pytest.mark.parametrize('name', sorted(ALL))
def test_missing_data_is_named(name, tmp_path):
    kind = getattr(datasets, name)
    for root in (tmp_path / 'nowhere', tmp_path):
        with pytest.raises(DatasetNotFoundError, match='Dataset not found') as error:
            kind(root)
        assert kind.page in str(error.value)
        assert kind.layout in str(error.value)


def test_plots(case):
    kind, root, _ = case
    dataset = kind(root, with_objects=True)
    sample = dataset[0]
    number = len(sample['label'])
    (axis,) = dataset.plot(sample, suptitle='Image').axes
    assert len(axis.patches) == len(axis.texts) == number
    sample |= {'prediction_bbox_xyxy': sample['bbox_xyxy'], 'prediction_label': sample['label']}
    (axis,) = dataset.plot(sample, show_titles=False).axes
    assert len(axis.patches) == 2 * number
    assert not axis.texts
    plt.close('all')


def test_tiles_join_to_the_image(case):
    kind, root, _ = case
    whole = kind(root)[0]
    tiled = kind(root, tile_size=28, overlap=8, visible=1e-6)
    found = set()
    for number, window in tiled.tiles:
        if number:
            continue
        sample = tiled[tiled.tiles.index((number, window))]
        x, y = sample['origin'].tolist()
        side = whole['image'][:, y : y + 28, x : x + 28]
        # JPEG files decode alike in windows
        assert torch.equal(sample['image'], side)
        found |= set(sample['objects'].tolist())
        for place, box in zip(sample['objects'], sample['bbox_xyxy'], strict=True):
            full = whole['bbox_xyxy'][whole['objects'].tolist().index(int(place))]
            moved = (full - torch.tensor([x, y, x, y])).clamp(0, 28)
            # bounds of a part may be less than the part of the bounds
            assert (box[:2] >= moved[:2] - 1e-4).all()
            assert (box[2:] <= moved[2:] + 1e-4).all()
            assert torch.allclose(box, moved, atol=1e-4) or kind not in (GDIT, HRPlanesV2)
    assert found == set(whole['objects'].tolist())


@pytest.fixture
def planes(tmp_path):
    fake('HRPlanesV2', tmp_path)
    return tmp_path


def test_boxes_of_yolo(planes):
    sample = HRPlanesV2(planes)[0]
    assert sample['image'].shape == (3, 48, 64)
    expected = torch.tensor([[8.0, 4, 24, 20], [48, 12, 64, 36]])
    assert torch.allclose(sample['bbox_xyxy'], expected, atol=1e-4)
    assert len(HRPlanesV2(planes)[1]['label']) == 0
    assert len(HRPlanesV2(planes, with_objects=True)) == 1


def test_what_is_little_seen_is_left_out(planes):
    # the first tile has three quarters of the first box
    seen = HRPlanesV2(planes, tile_size=20, visible=0.74)[0]
    assert torch.allclose(seen['bbox_xyxy'], torch.tensor([[8.0, 4, 20, 20]]), atol=1e-4)
    assert len(HRPlanesV2(planes, tile_size=20, visible=0.76)[0]['label']) == 0
    with pytest.raises(BadParameter, match='visible is 0'):
        HRPlanesV2(planes, visible=0)


def test_tiles_end_with_the_image(planes):
    dataset = HRPlanesV2(planes, tile_size=30, overlap=10)
    corners = [(w.col_off, w.row_off) for number, w in dataset.tiles if number == 0]
    assert corners == [(0, 0), (20, 0), (34, 0), (0, 18), (20, 18), (34, 18)]
    large = HRPlanesV2(planes, tile_size=50)  # higher than the images
    assert [large[number]['image'].shape for number in (0, 1)] == [(3, 48, 50)] * 2
    with pytest.raises(BadParameter, match='tile_size is 8 with an overlap of 8'):
        HRPlanesV2(planes, tile_size=8, overlap=8)


def test_only_the_window_is_read(planes, monkeypatch):
    windows = []

    def read(path, window):
        windows.append((window.width, window.height))
        return read_it(path, window)

    read_it = objects._read
    monkeypatch.setattr(objects, '_read', read)
    sample = HRPlanesV2(planes, tile_size=16)[5]
    assert sample['image'].shape == (3, 16, 16)
    assert windows == [(16, 16)]


def test_samples_of_different_boxes_join(planes):
    dataset = HRPlanesV2(planes)
    batch = collate_samples([dataset[0], dataset[1]])
    assert batch['image'].shape == (2, 3, 48, 64)
    assert [len(boxes) for boxes in batch['bbox_xyxy']] == [2, 0]


def test_other_folders_of_yolo(tmp_path):
    yolo.make(tmp_path / 'kinds', ('images/{}', 'labels/{}'))
    assert len(GDIT(tmp_path / 'kinds', 'val')) == 1
    yolo.make(tmp_path / 'listed', ('all', 'all'))
    listed = tmp_path / 'listed' / 'train.txt'
    listed.write_text('data/obj/train_1.jpg\n\n')
    assert [image.path.name for image in GDIT(tmp_path / 'listed').images] == ['train_1.jpg']
    listed.write_text('train_9.jpg')
    with pytest.raises(BadInput, match=r'train.txt names train_9.jpg, which is not in'):
        GDIT(tmp_path / 'listed')


@pytest.mark.parametrize(
    'line', ['1 0.5 0.5 0.1 0.1', '0 0.5 0.5 0.1', '0 250 100 8 8', 'plane 0.5 0.5 0.1 0.1']
)
def test_lines_that_are_no_box_are_named(planes, line):
    (planes / 'train' / 'train_0.txt').write_text(f'{yolo.BOXES}{line}\n')
    with pytest.raises(
        BadInput, match=rf"train_0.txt, line 3: '{line}' is not a class from 0 to 0"
    ):
        HRPlanesV2(planes)


def test_images_need_their_texts_and_colours(planes):
    write(planes / 'val' / 'val_0.png', image(np.random.default_rng(0), size=32)[0])
    with pytest.raises(BadInput, match=r'val_0.png has 1 bands instead of red, green and blue'):
        HRPlanesV2(planes, 'val')[0]
    (planes / 'test' / 'test_0.txt').unlink()
    with pytest.raises(BadInput, match=r'test_0.jpg has no partner .*test_0.txt'):
        HRPlanesV2(planes, 'test')
    for path in (planes / 'train').glob('*.txt'):
        path.write_text('')
    with pytest.raises(BadParameter, match='with_objects: no image of the split train'):
        HRPlanesV2(planes, with_objects=True)


def test_masks_of_tracks(tmp_path):
    fake('CloudTracks', tmp_path)
    dataset = CloudTracks(tmp_path)
    sample = dataset[0]
    assert sample['mask'].dtype == torch.int64
    assert sample['masks'].shape == (3, 32, 32)
    first, second, crossed = sample['masks'].bool()
    assert first[2:6, 2:30].all()
    assert first.sum() == 4 * 28
    assert (first & second).sum() == 4 * 4
    assert 24 <= crossed.sum() <= 40  # half of 8 x 8, each pixel along the lines or not
    assert torch.equal(sample['mask'].bool(), first | second | crossed)
    assert dataset[1]['masks'].shape == (0, 32, 32)
    assert dataset[1]['mask'].sum() == 0
    # a tile has what is too little to count in its mask
    tile = CloudTracks(tmp_path, tile_size=12, visible=0.9)[0]
    assert len(tile['masks']) == 0
    assert torch.equal(tile['mask'], sample['mask'][:12, :12])
    assert len(dataset.plot(sample).axes[0].images) == 2
    plt.close('all')


def test_tracks_of_coco(tmp_path):
    cloudtracks.write_images(tmp_path)
    content = {
        'images': [{'id': 7, 'file_name': 'train/mod_1.png'}],
        'annotations': [
            {'id': number, 'image_id': 7, 'segmentation': [np.ravel(track).tolist()]}
            for number, track in enumerate(cloudtracks.TRACKS)
        ],
    }
    path = tmp_path / 'tracks.json'
    path.write_text(json.dumps(content))
    fake('CloudTracks', tmp_path / 'labelme')
    dataset = CloudTracks(tmp_path, 'train', annotations='tracks.json')
    expected = CloudTracks(tmp_path / 'labelme')[0]['masks']
    assert [len(image.labels) for image in dataset.images] == [0, 3]
    assert torch.equal(dataset[1]['masks'], expected)
    content['annotations'][1]['segmentation'] = {'counts': 'abc', 'size': [32, 32]}
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput, match=r'tracks.json: annotation 1 is not a single polygon'):
        CloudTracks(tmp_path, annotations='tracks.json')


def test_what_is_no_track_is_named(tmp_path):
    fake('CloudTracks', tmp_path)
    line = {'shapes': [{'points': [[0, 0], [9, 9]], 'shape_type': 'line'}]}
    (tmp_path / 'jsons' / 'mod_3.json').write_text(json.dumps(line))
    with pytest.raises(BadInput, match=r'mod_3.json: shape 1 is a line of 2 points'):
        CloudTracks(tmp_path, 'test')
    (tmp_path / 'val.txt').write_text('mod_8.png')
    with pytest.raises(BadInput, match=r'val.txt names mod_8, which is not in .*images'):
        CloudTracks(tmp_path, 'val')
    (tmp_path / 'train.txt').unlink()
    with pytest.raises(DatasetNotFoundError, match='train'):
        CloudTracks(tmp_path, 'train')
