"""STAR, on fake data in the published files."""

import json
import sys

import numpy as np
import pytest
import rasterio
import torch
from torchgeo.datasets import DatasetNotFoundError

from tests.data.pairs import image, write
from tests.data.star import data as star
from torchgeo_ext.datasets import STAR
from torchgeo_ext.datasets.star import _numbers
from torchgeo_ext.errors import BadInput, MissingDependency

pytest.importorskip('h5py')


@pytest.fixture
def root(tmp_path):
    star.make(tmp_path)
    return tmp_path


def test_rotated_boxes_and_relations(root):
    dataset = STAR(root)
    sample = dataset[0]
    assert dataset.classes == ('ship', 'dock')
    assert dataset.predicates == ('parallelly docked at', 'adjacent')
    assert sample['label'].tolist() == [0, 1, 0]
    expected = torch.tensor(star.CORNERS, dtype=torch.float32).reshape(3, 8)
    assert torch.allclose(sample['bbox'], expected, atol=1e-4)
    assert sample['bbox_xyxy'][0].tolist() == pytest.approx([4, 4, 16, 16], abs=1e-4)
    assert sample['relations'].dtype == torch.int64
    assert sample['relations'].tolist() == [[0, 1, 0], [1, 2, 1]]
    # rows of another image count from its first object
    other = STAR(root, 'test')[0]
    assert torch.equal(other['relations'], sample['relations'])
    assert STAR(root)[1]['bbox'].shape == (0, 8)
    assert STAR(root, 'val')[0]['relations'].shape == (0, 3)


def test_tiles_have_the_relations_within(root):
    dataset = STAR(root, tile_size=28, visible=0.9)
    places = [tile for tile, (number, _) in enumerate(dataset.tiles) if number == 0]
    first, *_, last = (dataset[tile] for tile in places)
    assert first['objects'].tolist() == [0, 1]
    assert first['relations'].tolist() == [[0, 1, 0]]
    assert last['origin'].tolist() == [36, 20]
    assert last['objects'].tolist() == [2]
    assert last['relations'].shape == (0, 3)
    corners = np.array(star.CORNERS[2]) - (36, 20)
    assert torch.allclose(last['bbox'], torch.tensor(corners.reshape(1, 8)).float(), atol=1e-4)
    # the whole image tells them all
    assert len(dataset.images[0].relations) == 2


def test_published_split():
    numbers = {split: _numbers(split, 1273) for split in STAR.splits}
    assert {split: len(found) for split, found in numbers.items()} == {
        'train': 771,
        'val': 234,  # without eleven that are for test
        'test': 264,
    }
    assert len(set().union(*numbers.values())) == 1269


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_huge_images_are_read_by_windows(root):
    path = root / 'STAR_img' / '0000.png'
    path.unlink()
    tall = {'driver': 'GTiff', 'width': 30000, 'height': 25000, 'count': 3, 'dtype': 'uint8'}
    with rasterio.open(path.with_suffix('.tif'), 'w', tiled=True, sparse_ok=True, **tall) as file:
        file.write(np.full((3, 48, 64), 7, 'uint8'), window=rasterio.windows.Window(0, 0, 64, 48))
    dataset = STAR(root, with_objects=True)
    assert len(dataset) == 1
    sample = dataset[0]
    assert sample['image'].shape == (3, 1024, 1024)
    assert sample['image'].sum() == 7 * 3 * 48 * 64
    assert len(sample['label']) == 3


def test_what_does_not_fit_is_named(root):
    (root / 'STAR_img' / '0005.png').unlink()
    with pytest.raises(BadInput, match=r'The image 0005.png is not in'):
        STAR(root, 'test')
    listed = root / 'STAR_image_data_v1.json'
    images = json.loads(listed.read_text())
    images[0]['width'] = 32
    listed.write_text(json.dumps(images))
    with pytest.raises(BadInput, match=r'0000.png has 32 x 48 pixels; objects of .* lie beyond'):
        STAR(root)
    listed.write_text(json.dumps(images[:-1]))
    with pytest.raises(BadInput, match=r'has 13 images, .* 12'):
        STAR(root)
    names = root / 'STAR-SGG-dicts-with-attri.json'
    names.write_text(json.dumps({'label_to_idx': {'ship': 1, 'dock': 3}, 'predicate_to_idx': {}}))
    with pytest.raises(BadInput, match='does not number its names from 1 on'):
        STAR(root)
    names.unlink()
    with pytest.raises(DatasetNotFoundError, match='STAR-SGG-dicts-with-attri'):
        STAR(root)


def test_images_of_one_band_are_named(root):
    write(root / 'STAR_img' / '0000.png', image(np.random.default_rng(0), size=64)[0])
    with pytest.raises(BadInput, match='has 1 bands'):
        STAR(root)[0]


def test_h5py_is_asked_for(root, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(MissingDependency, match=r'torchgeo_ext\[hdf5\]'):
        STAR(root)
