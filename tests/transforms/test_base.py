"""How transforms read samples, draw, and stand in TorchGeo's and kornia's places."""

import dataclasses
import doctest
import importlib
import pkgutil
from types import SimpleNamespace

import kornia.augmentation as K
import numpy as np
import pytest
import rasterio
import torch
from jsonargparse import ArgumentParser
from rasterio.transform import from_origin
from torch import nn
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets import RasterDataset

from torchgeo_ext import registry, transforms
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import Haze, MissingLines, Rescale
from torchgeo_ext.transforms._base import ImageTransform, check_range, uniform


class Brighten(ImageTransform):
    """Adds a number of its own to each image."""

    def draw(self, count, images):
        return {'number': uniform((count, 1, 1, 1), (1, 2))}

    def apply_transform(self, images, drawn):
        return dataclasses.replace(images, pixels=images.pixels + drawn['number'])


def added(image):
    """The number that was added to each image of zeros."""
    return image[..., 0, 0, 0]


def test_each_image_of_a_batch_has_a_number_of_its_own():
    torch.manual_seed(0)
    assert len(added(Brighten()(torch.zeros(8, 2, 3, 3))).unique()) == 8


def test_four_axes_are_a_series_only_if_dates_share():
    torch.manual_seed(0)
    assert len(added(Brighten(same_on_time=True)(torch.zeros(8, 2, 3, 3))).unique()) == 1
    numbers = added(Brighten(same_on_time=True)(torch.zeros(5, 4, 2, 3, 3)))
    assert (numbers == numbers[:, :1]).all()
    assert len(numbers[:, 0].unique()) == 5


def test_probability_is_that_of_an_image():
    torch.manual_seed(0)
    share = (added(Brighten(p=0.3)(torch.zeros(4000, 1, 1, 1))) > 0).float().mean()
    assert share == pytest.approx(0.3, abs=0.03)
    series = added(Brighten(p=0.3, same_on_time=True)(torch.zeros(4000, 2, 1, 1, 1))) > 0
    assert (series[:, 0] == series[:, 1]).all()
    assert series[:, 0].float().mean() == pytest.approx(0.3, abs=0.03)


def test_never_is_never():
    image = torch.rand(4, 2, 3, 3)
    assert torch.equal(Brighten(p=0)(image), image)


def test_chance_does_not_shift_what_others_get():
    image = torch.zeros(30, 1, 1, 1)
    torch.manual_seed(3)
    sometimes = added(Brighten(p=0.5)(image))
    torch.manual_seed(3)
    torch.rand(30)
    always = added(Brighten()(image))
    assert 0 < (sometimes == always).sum() < 30
    assert ((sometimes == always) | (sometimes == 0)).all()


def test_a_mask_that_kornia_made_a_number_will_do():
    valid = torch.tensor([[0, 1]])
    result = Brighten()({'image': torch.zeros(1, 1, 2), 'mask_valid': valid})
    assert result['image'][0, 0, 0] == 0 < result['image'][0, 0, 1]
    assert result['mask_valid'].dtype == torch.int64


@pytest.mark.parametrize(
    ('sample', 'words'),
    [
        ({}, 'Brighten needs a floating-point image'),
        ({'image': torch.zeros(1, 2, 2, dtype=torch.int32)}, r'int32 \(1, 2, 2\)'),
        ({'image': torch.zeros(2, 2)}, r'\(2, 2\)'),
        ({'image': torch.zeros(1, 1, 1, 1, 2, 2)}, 'three to five axes'),
        (
            {'image': torch.zeros(3, 1, 2, 2), 'mask_valid': torch.ones(2, 2)},
            r'mask_valid has the shape \(2, 2\).*needs \(3, 2, 2\)',
        ),
        (
            {'image': torch.zeros(3, 2, 2), 'wavelengths': torch.ones(4)},
            r'wavelengths have the shape \(4,\)',
        ),
    ],
)
def test_samples_that_do_not_fit(sample, words):
    with pytest.raises(BadInput, match=words):
        Brighten()(sample)


def test_numbers_out_of_range():
    with pytest.raises(BadParameter, match=r'p is 1\.5'):
        Brighten(p=1.5)
    with pytest.raises(BadParameter, match=r'depth is \(2, 1\)'):
        check_range('depth', (2, 1), 0)
    with pytest.raises(BadParameter, match='from 0 to inf'):
        check_range('depth', (-1, 1), 0)


def batch():
    labels = torch.arange(2 * 4 * 5).reshape(2, 4, 5)
    return {'image': labels[:, None].float(), 'mask': labels, 'bounds': torch.zeros(2, 9)}


def test_beside_kornias_sequence():
    flip = K.AugmentationSequential(K.RandomHorizontalFlip(p=1), data_keys=None, keepdim=True)
    result = nn.Sequential(flip, Rescale([2.0], [0.0]), MissingLines(p=0))(batch())
    assert torch.equal(result['mask'], batch()['mask'].flip(-1))
    assert torch.equal(result['image'][:, 0], 2.0 * result['mask'])
    assert result['bounds'].shape == (2, 9)


def test_inside_kornias_sequence():
    augment = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=1), Rescale([2.0], [0.0]), data_keys=None, keepdim=True
    )
    result = augment(batch())
    assert torch.equal(result['mask'], batch()['mask'].flip(-1))
    assert torch.equal(result['image'][:, 0], 2.0 * result['mask'])


def test_inside_kornias_sequence_masks_would_be_lost():
    augment = K.AugmentationSequential(MissingLines(), data_keys=None, keepdim=True)
    with pytest.raises(BadInput, match='beside'):
        augment(batch())


def test_in_the_slot_of_a_data_module():
    module = NonGeoDataModule(RasterDataset)
    module.train_aug = nn.Sequential(Rescale([2.0], [0.0]), Haze(bands=[0.5], p=0))
    module.trainer = SimpleNamespace(training=True)
    result = module.on_after_batch_transfer(batch(), 0)
    assert torch.equal(result['image'][:, 0], 2.0 * result['mask'])


def test_as_transforms_of_a_dataset(tmp_path):
    path = tmp_path / 'image.tif'
    profile = {
        'driver': 'GTiff', 'dtype': 'uint16', 'count': 2, 'height': 4, 'width': 5,
        'crs': 'EPSG:32633', 'transform': from_origin(500000, 5000000, 10, 10),
    }  # fmt: skip
    values = np.arange(40, dtype=np.uint16).reshape(2, 4, 5)
    with rasterio.open(path, 'w', **profile) as file:
        file.write(values)
    dataset = RasterDataset(str(path), transforms=Rescale([0.5], [1.0]))
    sample = dataset[dataset.bounds]
    assert torch.equal(sample['image'], torch.from_numpy(values * 0.5 + 1).float())


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [
        ('AppendIndices', {'indices': ['NDVI'], 'bands': 'sentinel2_l2a'}),
        ('AppendIndices', {'indices': ['SAVI'], 'bands': [0.66, 0.84], 'constants': {'L': 0.5}}),
        ('AppendIndices', {'indices': ['NDVI'], 'bands': ['red', 'nir']}),
        ('BandDropout', {'fill': 'mean'}),
        ('BandDropout', {'fill': [0.1, 0.2]}),
        ('Degrade', {'mtf': 'quickbird'}),
        ('Haze', {'depth': [0.1, 0.2]}),
        ('Speckle', {'form': 'decibel'}),
        ('ToPhysical', {'sensor': 'landsat8_l1', 'sun_elevation': 40.0}),
    ],
)
def test_in_a_configuration(name, arguments):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument('--transform', type=nn.Module)
    entry = {'class_path': f'torchgeo_ext.transforms.{name}', 'init_args': arguments}
    built = parser.instantiate_classes(parser.parse_object({'transform': entry})).transform
    assert repr(built) == repr(getattr(transforms, name)(**arguments))


def test_arguments_are_printed():
    assert repr(Rescale([0.5], [1.0])) == ('Rescale(scale=(0.5,), offset=(1.0,), valid_range=None)')


@pytest.mark.parametrize('module', pkgutil.iter_modules(transforms.__path__), ids=lambda m: m.name)
def test_examples(module):
    imported = importlib.import_module(f'torchgeo_ext.transforms.{module.name}')
    assert doctest.testmod(imported).failed == 0


def test_known_by_name():
    assert registry.transforms['Haze'] is Haze
    assert 'compute_index' not in registry.transforms
