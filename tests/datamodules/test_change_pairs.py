"""Published change datasets on their way into a training."""

import kornia.augmentation as K
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torchgeo.datasets import BRIGHTDFC2025, LEVIRCDPlus

from tests.data.bright import data as bright
from tests.data.clcd import data as clcd
from tests.data.dynamicearthnet import data as dynamicearthnet
from tests.data.levircd import data as levircd
from tests.data.levirmci import data as levirmci
from tests.data.pairs import image, write
from tests.data.pxclcd import data as pxclcd
from tests.data.second import data as second
from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.cli._fit import run
from torchgeo_ext.datamodules import ChangePairDataModule
from torchgeo_ext.datamodules._hidden_labels import HiddenLabels
from torchgeo_ext.datasets import CLCD, LEVIRMCI, PXCLCD, SECOND, SYSUCD, DynamicEarthNet
from torchgeo_ext.errors import BadInput, BadParameter


def module_of(dataset, root, stage='fit', **options):
    module = ChangePairDataModule(dataset, str(root), batch_size=2, **options)
    module.setup(stage)
    return module


def test_each_date_has_its_figures(tmp_path):
    clcd.make(tmp_path)
    module = module_of(CLCD, tmp_path)
    batch = next(iter(module.val_dataloader()))
    standardised = module.aug(batch)['image']
    for date in range(2):
        mean, std = (torch.tensor(rows[date])[:, None, None] for rows in (CLCD.mean, CLCD.std))
        expected = (batch['image'][:, date] - mean) / std
        assert torch.allclose(standardised[:, date], expected, atol=1e-5)


def test_figures_follow_the_bands(tmp_path):
    dynamicearthnet.make(tmp_path)
    module = module_of(DynamicEarthNet, tmp_path, bands=['nir', 'red'], months='all')
    batch = next(iter(module.train_dataloader()))
    assert len(module.train_dataset) == 3
    expected = (batch['image'][:, 1, 0] - 2521.4004) / 1035.1437
    assert torch.allclose(module.aug(batch)['image'][:, 1, 0], expected, atol=1e-5)


def test_figures_of_ones_own(tmp_path):
    pxclcd.make(tmp_path)
    batch = {'image': torch.full((2, 2, 3, 4, 4), 10.0)}
    module = ChangePairDataModule(PXCLCD, mean=[[4.0] * 3, [6.0] * 3], std=[[2.0] * 3])
    assert module.aug(batch)['image'][:, :, 0, 0, 0].tolist() == [[3.0, 2.0]] * 2
    with pytest.raises(BadParameter, match=r'mean is .* with 3 numbers'):
        ChangePairDataModule(PXCLCD, mean=[[4.0]])


@pytest.mark.parametrize('patch_size', [None, 16, 40])
def test_dates_and_masks_stay_aligned(tmp_path, patch_size):
    second.make(tmp_path)
    module = module_of(SECOND, tmp_path, patch_size=patch_size, mean=[[0.0] * 3], std=[[1.0] * 3])
    torch.manual_seed(0)
    batch = next(iter(module.train_dataloader()))
    # the mask written into the image must go where the mask goes
    batch['image'][:, :, 0] = batch['mask'].float()
    batch['image'][:, :, 1] = batch['mask_change'].float()
    result = module.train_aug(batch)
    side = patch_size or 32
    assert result['image'].shape == (2, 2, 3, side, side)
    assert result['mask'].dtype == result['mask_change'].dtype == torch.int64
    inside = result['mask'] >= 0
    assert inside.float().mean() == pytest.approx(min(1, 32**2 / side**2), abs=1e-6)
    assert result['image'][:, :, 2][~inside].eq(0).all()
    assert torch.equal(result['image'][:, :, 0][inside].round().long(), result['mask'][inside])
    change = result['mask_change'].expand_as(result['mask'])
    assert torch.equal(result['image'][:, :, 1][inside].round().long(), change[inside])


def test_ones_own_augmentations_come_before_the_figures(tmp_path):
    pxclcd.make(tmp_path)
    invert = K.RandomInvert(torch.tensor(255.0), p=1.0)
    module = module_of(PXCLCD, tmp_path, patch_size=None, transforms=[invert], turn=False)
    batch = next(iter(module.train_dataloader()))
    inverted = module.aug({'image': 255 - batch['image']})['image']
    assert torch.allclose(module.train_aug(batch)['image'], inverted, atol=1e-4)


def test_what_crops_bring_in_from_outside_is_the_mean(tmp_path):
    clcd.make(tmp_path)
    module = module_of(CLCD, tmp_path, patch_size=96, transforms=[K.RandomBrightness(p=1.0)])
    batch = module.train_aug(next(iter(module.train_dataloader())))
    assert batch['image'].movedim(2, 0)[:, ~batch['mask_valid']].eq(0).all()
    assert batch['mask'][:, 0][~batch['mask_valid'][:, 0]].eq(-1).all()


def test_figures_undo_what_was_done(tmp_path):
    clcd.make(tmp_path)
    module = module_of(CLCD, tmp_path)
    assert module.mean[0] == pytest.approx((CLCD.mean[0][0] + CLCD.mean[1][0]) / 2)
    sample = module.val_dataset[0]
    assert len(module.plot(sample | {'prediction': sample['mask']}).axes) == 4
    plt.close('all')


def test_texts_stay_lists(tmp_path):
    levirmci.make(tmp_path)
    batch = next(iter(module_of(LEVIRMCI, tmp_path, 'test').test_dataloader()))
    assert [len(texts) for texts in batch['texts']] == [5, 5]
    assert batch['label'].tolist() == [0, 1]
    assert batch['mask'].shape == (2, 1, 32, 32)


def test_what_cannot_be(tmp_path):
    with pytest.raises(
        BadParameter, match="val_split: 'validation' is not one of train, val, test"
    ):
        ChangePairDataModule(SYSUCD, val_split='validation')
    with pytest.raises(BadParameter, match="bands: 'swir' is not one of blue, green, red, nir"):
        ChangePairDataModule(DynamicEarthNet, bands=['swir'])
    for ratio, size in ((0.0, 16), (1.5, 16), (0.75, None)):
        with pytest.raises(BadParameter, match='max_class_ratio is'):
            ChangePairDataModule(SYSUCD, max_class_ratio=ratio, patch_size=size)
    pxclcd.make(tmp_path)
    random = np.random.default_rng(0)
    for folder, bands in (('A', 3), ('B', 3), ('label', 1)):
        values = image(random, bands, size=24)
        write(tmp_path / 'val' / folder / '00001.png', values if bands == 3 else values[0] * 0)
    with pytest.raises(BadInput, match='different sizes: 24 x 24, 32 x 32'):
        next(iter(module_of(PXCLCD, tmp_path, 'validate').val_dataloader()))


@pytest.mark.parametrize(
    ('dataset', 'make', 'splits'),
    [
        (LEVIRCDPlus, levircd.make_plus, {'val_split': 'test'}),
        (BRIGHTDFC2025, bright.make, {'test_split': 'val'}),
    ],
)
def test_torchgeos_datasets(tmp_path, dataset, make, splits):
    make(tmp_path)
    module = module_of(dataset, tmp_path, patch_size=16, **splits)
    batch = next(iter(module.train_dataloader()))
    assert module.train_aug(batch)['image'].shape == (2, 2, 3, 16, 16)
    whole = next(iter(module.val_dataloader()))
    expected = (whole['image'][:, :, 0] - 123.675) / 58.395
    assert torch.allclose(module.aug(whole)['image'][:, :, 0], expected, atol=1e-5)
    with pytest.raises(BadParameter, match='gives all its bands'):
        ChangePairDataModule(dataset, bands=['red'], **splits)


def test_crops_that_one_class_does_not_fill(tmp_path):
    pxclcd.make(tmp_path)
    torch.manual_seed(0)
    module = module_of(PXCLCD, tmp_path, patch_size=8, max_class_ratio=0.75, turn=False)
    mask = torch.zeros(64, 1, 32, 32, dtype=torch.int64)
    mask[:32, :, 16:] = 1  # the others have one class, so any crop of them is taken
    batch = {'image': mask[:, None].expand(-1, 2, 3, -1, -1).float(), 'mask': mask}
    cropped = module.train_aug(batch)
    share = cropped['mask'].float().mean(dim=(1, 2, 3))
    varied = (share[:32] >= 0.25) & (share[:32] <= 0.75)
    assert varied.float().mean() > 0.5  # a single draw: 5 of 25 places
    assert share[32:].eq(0).all()
    # what was drawn anew is of one piece
    brighter = cropped['image'][:, 0, 0] > cropped['image'].min()
    assert torch.equal(brighter[:32], cropped['mask'][:32, 0] == 1)
    plain = module_of(PXCLCD, tmp_path, patch_size=8, turn=False).train_aug(dict(batch))
    share = plain['mask'].float().mean(dim=(1, 2, 3))
    assert ((share[:32] >= 0.25) & (share[:32] <= 0.75)).float().mean() < 0.5


def test_labels_of_some_pairs_are_hidden(tmp_path):
    pxclcd.make(tmp_path)
    module = module_of(PXCLCD, tmp_path, labelled=0.5)
    masks = [sample['mask'] for sample in module.train_dataset]
    hidden = [mask.eq(-1).all().item() for mask in masks]
    assert sorted(hidden) == [False, True]
    plain = PXCLCD(tmp_path)
    for sample, other, gone in zip(module.train_dataset, plain, hidden, strict=True):
        assert torch.equal(sample['image'], other['image'])
        assert gone or torch.equal(sample['mask'], other['mask'])
    again = module_of(PXCLCD, tmp_path, labelled=0.5).train_dataset
    assert [sample['mask'].eq(-1).all().item() for sample in again] == hidden
    assert all(sample['mask'].ge(0).all() for sample in module.val_dataset)
    with pytest.raises(BadParameter, match=r'labelled is 0.0; it must be above 0'):
        ChangePairDataModule(PXCLCD, labelled=0.0)


def test_what_was_seen_elsewhere_is_not_hidden():
    sample = {'mask': torch.ones(1, 2, 2), 'mask_change': torch.ones(1, 2, 2)}
    kept = {
        'image': torch.ones(2, 3, 2, 2), 'mask_valid': torch.ones(2, 2, 2), 'texts': ['new houses'],
        'mask_pseudo': torch.ones(1, 2, 2), 'mask_pseudo_dates': torch.ones(2, 2, 2),
    }  # fmt: skip
    dataset = HiddenLabels([sample | kept] * 3, 0.1)
    (unlabelled, *_) = (dataset[index] for index in range(3) if index not in dataset.labelled)
    assert all(unlabelled[key].eq(-1).all() for key in sample)
    assert all(unlabelled[key] is value for key, value in kept.items())


def test_bundles_learn_of_figures_both_dates_share():
    told = ChangePairDataModule(PXCLCD).state_dict()[DATA_CARD]
    assert [band['name'] for band in told['bands']] == ['red', 'green', 'blue']
    assert told['bands'][0]['mean'] == pytest.approx(123.675)
    assert [entry['name'] for entry in told['classes']] == ['no change', 'change']
    assert ChangePairDataModule(CLCD).state_dict() == {}


CONFIG = """
model:
  class_path: ChangeDetection
  init_args: {model: fcsiamdiff, backbone: resnet18, task: binary, loss: bce}
data:
  class_path: ChangePairDataModule
  init_args:
    dataset: torchgeo_ext.datasets.PXCLCD
    root: ROOT
    batch_size: 2
    patch_size: 32
  dict_kwargs: {tile_size: 32}
trainer: {accelerator: cpu, fast_dev_run: true}
"""


@pytest.mark.parametrize('command', ['fit', 'test'])
def test_from_the_command_line(tmp_path, command, capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    pxclcd.make(tmp_path / 'data')
    path = tmp_path / 'config.yaml'
    path.write_text(CONFIG.replace('ROOT', str(tmp_path / 'data')))
    run([command, '--config', str(path)])
    if command == 'test':
        assert 'test_loss' in capsys.readouterr().out
