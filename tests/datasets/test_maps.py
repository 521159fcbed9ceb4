"""Published images with maps of classes, on fake data in the published folders."""

import importlib
import shutil

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from rasterio.windows import Window
from torch import nn
from torchgeo.datasets import DatasetNotFoundError, LandCoverAI, RGBBandsMissingError

from tests.data.agrifmcropland import data as cropland
from tests.data.isprsvaihingen import data as vaihingen
from tests.data.landcoverai import data as landcoverai
from tests.data.massachusettsroads import data as roads
from tests.data.pairs import write
from torchgeo_ext import datasets
from torchgeo_ext.datasets import (
    AgriFMCropland,
    ISPRSPotsdam,
    ISPRSVaihingen,
    LandCoverAITiles,
    MassachusettsRoads,
    WHUBuilding,
)
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput, BadParameter

ALL = {
    kind.__name__: kind.__name__.lower()
    for kind in (
        AgriFMCropland, ISPRSPotsdam, ISPRSVaihingen, LandCoverAITiles, MassachusettsRoads,
        WHUBuilding,
    )
}  # fmt: skip


@pytest.fixture(params=sorted(ALL))
def case(request, tmp_path):
    make = importlib.import_module(f'tests.data.{ALL[request.param]}.data').make
    return getattr(datasets, request.param), tmp_path, make(tmp_path)


def test_samples_keep_the_contract(case):
    kind, root, number = case
    for split in kind.splits:
        dataset = kind(root, split, transforms=nn.Identity())
        assert len(dataset) == number[split]
    sample = dataset[len(dataset) - 1]
    assert sample['image'].dtype == torch.float32
    assert sample['image'].shape[-3:] == (len(kind.all_bands), *sample['mask'].shape)
    assert sample['mask'].dtype == torch.int64
    assert 0 <= sample['mask'].min() < sample['mask'].max() < len(dataset.classes)
    assert len(dataset.classes) == len(dataset.colors)
    assert len(kind.mean) == len(kind.std) == len(kind.all_bands)


def test_tiles_make_up_an_image(case):
    kind, root, _ = case
    whole = kind(root)[0]
    dataset = kind(root, tile_size=32)
    tiles = [dataset[index] for index in range(4)]
    rows = [
        torch.cat([left['image'], right['image']], -1) for left, right in (tiles[:2], tiles[2:])
    ]
    assert torch.equal(torch.cat(rows, -2), whole['image'])
    rows = [torch.cat([left['mask'], right['mask']], -1) for left, right in (tiles[:2], tiles[2:])]
    assert torch.equal(torch.cat(rows), whole['mask'])


def test_bands_come_as_asked(case):
    kind, root, _ = case
    swapped = kind(root, bands=kind.all_bands[::-1])
    assert torch.equal(swapped[0]['image'].flip(-3), kind(root)[0]['image'])
    with pytest.raises(BadParameter, match='bands'):
        kind(root, bands=['ultraviolet'])


def test_what_is_missing_is_told(case, tmp_path_factory):
    kind = case[0]
    with pytest.raises(DatasetNotFoundError, match='Expected for split'):
        kind(tmp_path_factory.mktemp('empty'))
    with pytest.raises(BadParameter, match='split'):
        kind(case[1], 'all')
    with pytest.raises(BadParameter, match='tile_size'):
        kind(case[1], tile_size=0)


def test_plot(case):
    kind, root, _ = case
    dataset = kind(root)
    sample = dataset[0]
    figure = dataset.plot(sample | {'prediction': sample['mask']}, suptitle='Here')
    assert [axis.get_title() for axis in figure.axes] == ['Image', 'Labels', 'Prediction']
    plt.close(figure)
    with pytest.raises(RGBBandsMissingError):
        kind(root, bands=[kind.rgb_bands[0]]).plot(sample)


def test_colours_of_isprs_are_classes(tmp_path):
    vaihingen.make(tmp_path)
    stored = read_pixels(tmp_path / 'gts_for_participants/top_mosaic_09cm_area1.tif')
    # this one is a little off
    assert stored.max() == 252
    mask = ISPRSVaihingen(tmp_path)[0]['mask']
    for number, color in enumerate(ISPRSVaihingen.colors):
        here = ((stored > 128) == (np.array(color) > 128)[:, None, None]).all(0)
        assert torch.equal(mask == number, torch.from_numpy(here))
    eroded = ISPRSVaihingen(tmp_path, eroded=True)[0]['mask']
    assert eroded[::8].eq(-1).all()
    assert torch.equal(eroded[1:8], mask[1:8])
    path = tmp_path / 'gts_for_participants/top_mosaic_09cm_area3.tif'
    write(path, np.full((3, 48, 48), (255,), 'uint8') * np.array([1, 0, 1], 'uint8')[:, None, None])
    with pytest.raises(BadInput, match='colours'):
        _ = ISPRSVaihingen(tmp_path)[1]


def test_heights_are_shares_of_the_range_of_their_area(tmp_path):
    vaihingen.make(tmp_path)
    stored = read_pixels(tmp_path / 'dsm/dsm_09cm_matching_area5.tif')[0]
    dataset = ISPRSVaihingen(tmp_path, 'test', bands=['height'])
    expected = torch.from_numpy((stored - stored.min()) / np.ptp(stored))
    assert torch.allclose(dataset[0]['image'][0], expected)
    part = dataset.read(0, Window(8, 4, 10, 12))['image'][0]
    assert torch.allclose(part, expected[4:16, 8:18])
    shutil.rmtree(tmp_path / 'dsm')
    assert len(ISPRSVaihingen(tmp_path, bands=ISPRSVaihingen.rgb_bands)[0]['image']) == 3
    with pytest.raises(BadInput, match='no height of area 1'):
        ISPRSVaihingen(tmp_path)


def test_folders_may_be_called_as_others_have_them(tmp_path):
    roads.make(tmp_path)
    expected = MassachusettsRoads(tmp_path, 'val')[1]
    (tmp_path / 'valid' / 'sat').rename(tmp_path / 'val')
    (tmp_path / 'valid' / 'map').rename(tmp_path / 'val_labels')
    found = MassachusettsRoads(tmp_path, 'val')[1]
    assert all(torch.equal(found[key], expected[key]) for key in found)
    (tmp_path / 'val_labels' / '1.tif').unlink()
    with pytest.raises(BadInput, match='no partner'):
        MassachusettsRoads(tmp_path, 'val')
    write(tmp_path / 'test' / 'map' / '0.tif', np.zeros((20, 40), 'uint8'))
    with pytest.raises(BadInput, match='20 x 40'):
        _ = MassachusettsRoads(tmp_path, 'test')[0]


def test_roads_are_background_in_the_first_version(tmp_path):
    landcoverai.make(tmp_path)
    five, four = LandCoverAITiles(tmp_path), LandCoverAITiles(tmp_path, roads=False)
    assert (len(five.classes), len(four.classes)) == (5, 4)
    mask = five[0]['mask']
    assert torch.equal(four[0]['mask'], mask.where(mask < 4, 0))
    # background, building, woodland, water, road in TorchGeo's order
    assert five.classes == tuple(name.lower() for name in LandCoverAI.classes)
    (tmp_path / 'output' / 'train_1_m.png').unlink()
    with pytest.raises(BadInput, match='lists train_1'):
        LandCoverAITiles(tmp_path)


def test_series_are_read_whole_or_in_part(tmp_path):
    cropland.make(tmp_path, dates=3)
    dataset = AgriFMCropland(tmp_path, 'val')
    with h5py.File(tmp_path / 'h5_samples' / '2018_T31TDK_val_1.h5') as file:
        stored, label = file['S2'][:].astype('float32'), file['label'][:].astype('int64')
    part = dataset.read(1, Window(8, 4, 10, 12))
    assert torch.equal(part['image'], torch.from_numpy(stored[:, :, 4:16, 8:18]))
    assert torch.equal(part['mask'], torch.from_numpy(label[4:16, 8:18]))
    with pytest.raises(BadInput, match='labels 0 to 1'):
        _ = AgriFMCropland(tmp_path, classes=['land'])[0]


@pytest.mark.parametrize(('name', 'shape'), [('S2', (3, 4, 40, 40)), ('label', (1, 40, 40))])
def test_series_that_do_not_fit(tmp_path, name, shape):
    cropland.make(tmp_path, dates=3)
    path = tmp_path / 'h5_samples' / '2018_T31TDK_train_0.h5'
    with h5py.File(path, 'a') as file:
        del file[name]
        file[name] = np.zeros(shape, 'uint16')
    with pytest.raises(BadInput, match='4 bands' if name == 'S2' else 'no label of 2 axes'):
        _ = AgriFMCropland(tmp_path)[0]
    path.write_bytes(b'no HDF5')
    with pytest.raises(BadInput, match='cannot be opened'):
        AgriFMCropland(tmp_path)
    path.unlink()
    with pytest.raises(BadInput, match='is missing'):
        AgriFMCropland(tmp_path)
