"""S2-100K on its way into a training, and places that are split by blocks."""

import numpy as np
import pytest
import torch

from tests.data.s2100k import data as s2100k
from torchgeo_ext.datamodules import S2100kDataModule
from torchgeo_ext.datamodules._places import split_by_blocks
from torchgeo_ext.datamodules.s2100k import Crop, MovePoints
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics._sphere import great_circle

SMALL = {'crop_size': 24, 'batch_size': 2, 'smallest_file': 2000}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('s2100k')
    s2100k.make(folder)
    return folder


@pytest.fixture
def globe():
    random = np.random.default_rng(0)
    return random.uniform(-1, 1, (4000, 2)) * (180, 80)


def module_of(root, stage='fit', **options):
    module = S2100kDataModule(str(root), **SMALL | options)
    module.setup(stage)
    return module


def raw(root):
    return next(iter(module_of(root).val_dataloader()))


def test_bands_are_those_of_level_1c(root):
    module = module_of(root)
    batch = raw(root)
    assert batch['image'].shape == (2, 12, 32, 32)
    image = module.aug(batch)['image']
    assert image.shape == (2, 13, 24, 24)
    assert image[:, 10].eq(0).all()  # B10
    expected = batch['image'][..., 4:28, 4:28] / 10_000
    torch.testing.assert_close(image[:, [*range(10), 11, 12]], expected)
    point = batch['point']
    assert (point.dtype, point.shape) == (torch.float64, (2, 2))
    assert torch.equal(module.aug(batch)['point'], point)


def test_training_patches_change_and_their_places_move(root):
    module, batch = module_of(root), raw(root)
    torch.manual_seed(0)
    first, second = module.train_aug(dict(batch)), module.train_aug(dict(batch))
    assert not torch.equal(first['image'], second['image'])
    assert first['image'].shape == (2, 13, 24, 24)
    assert first['image'][:, 10].eq(0).all()
    # blurred: neighbours are more alike than in the noise of the patches
    noise = module.aug(dict(batch))['image'].diff(dim=-1).std()
    assert first['image'].diff(dim=-1).std() < 0.7 * noise
    still = module_of(root, augment=False, jitter=0.0, crop_size=32)
    torch.testing.assert_close(
        still.train_aug(dict(batch)), still.aug(dict(batch)), check_dtype=True
    )


def test_places_move_in_all_directions_and_stay_on_the_globe():
    torch.manual_seed(0)
    point = torch.tensor([[10.0, 20.0]], dtype=torch.float64).expand(4000, 2)
    moved = MovePoints(0.01)({'point': point})['point'] - point
    assert moved.abs().max() <= 0.005
    assert moved.mean(dim=0).abs().max() < 2e-4
    assert moved.std(dim=0).min() > 0.0025
    pole = torch.tensor([[0.0, 90.0]], dtype=torch.float64).expand(100, 2)
    assert MovePoints(0.01)({'point': pole})['point'][:, 1].max() == 90


def test_crops_lie_anywhere_in_each_image():
    torch.manual_seed(0)
    rows = torch.arange(6.0)[None, None, :, None].expand(200, 1, 6, 6)
    found = Crop(4, at_random=True)({'image': rows})['image']
    assert sorted(set(found[:, 0, 0, 0].tolist())) == [0, 1, 2]
    assert Crop(4)({'image': rows})['image'][:, 0, 0, 0].eq(1).all()
    with pytest.raises(BadInput, match='crop_size is 7, but patches have 6 x 6'):
        Crop(7)({'image': rows})


def test_small_files_are_left_out(root):
    module = module_of(root, 'predict')
    assert len(module.predict_dataset) == s2100k.PATCHES - 1
    assert len(module_of(root, 'predict', smallest_file=0).predict_dataset) == s2100k.PATCHES
    with pytest.raises(BadInput, match='no file in'):
        module_of(root, 'predict', smallest_file=10**9)


@pytest.mark.parametrize('split', ['blocked', 'random'])
def test_parts_are_apart_and_repeat_themselves(root, split):
    module = module_of(root, split=split, share=0.25)
    train, val = (set(part.indices) for part in (module.train_dataset, module.val_dataset))
    assert train
    assert val
    assert not train & val
    again = module_of(root, 'test', split=split, share=0.25)
    assert set(again.test_dataset.indices) == val
    assert again.train_dataset is None
    everything = module_of(root, split=split, share=0)
    assert len(everything.train_dataset) == s2100k.PATCHES - 1
    assert everything.val_dataset is None


def test_blocks_are_held_out_with_a_margin(globe):
    learned, judged = split_by_blocks(globe, 0.1, 500_000, None, seed=0)
    assert len(judged) / len(globe) == pytest.approx(0.1, abs=0.01)
    places = torch.from_numpy(globe)
    distance = great_circle(places[learned][:, None], places[judged][None])
    assert distance.min() > 62.5
    # what lies in the margin is used for nothing, and that is not more than it must be
    left = np.setdiff1d(np.arange(len(globe)), np.union1d(learned, judged))
    near = great_circle(places[left][:, None], places[judged][None]).min(dim=1).values
    assert near.max() <= 62.5
    # held-out places have most of their neighbours among themselves
    alone = great_circle(places[judged][:, None], places[judged][None])
    alone.fill_diagonal_(torch.inf)
    assert (alone.min(dim=1).values < distance.min(dim=0).values).double().mean() > 0.5
    other = split_by_blocks(globe, 0.1, 500_000, 0, seed=1)[1]
    assert not np.array_equal(other, judged)
    whole = split_by_blocks(globe, 0.1, 500_000, 0, seed=0)
    assert len(np.union1d(*whole)) == len(globe)


def test_what_cannot_be_is_refused(root, globe):
    with pytest.raises(BadParameter, match='share is 1'):
        S2100kDataModule(share=1)
    with pytest.raises(BadParameter, match='crop_size is 0'):
        S2100kDataModule(crop_size=0)
    with pytest.raises(BadParameter, match='jitter is -1'):
        S2100kDataModule(jitter=-1)
    with pytest.raises(BadInput, match='batch_size is 100'):
        module_of(root, batch_size=100)
    with pytest.raises(BadParameter, match='fewer than the 10'):
        split_by_blocks(globe, 0.1, 3e7, None, seed=0)
    with pytest.raises(BadInput, match='no place is farther'):
        split_by_blocks(globe, 0.1, 500_000, 3e7, seed=0)
