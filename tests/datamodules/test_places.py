"""PlaceDataModule: whole blocks of land held out, and a checkpoint that says all of the data."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from tests.rasters import write_raster
from tests.tasks.pairs import trainer
from tests.tasks.places import small_backbone
from torchgeo_ext.bundles import read_checkpoint
from torchgeo_ext.datamodules import PlaceDataModule
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics._sphere import great_circle
from torchgeo_ext.tasks import Geolocation, geolocation


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """40 small images around four towns; the brightness is that of the town."""
    folder = tmp_path_factory.mktemp('places')
    random = np.random.default_rng(0)
    towns = np.array([(10, 50), (-60, -30), (140, 35), (30, 0)])
    town = np.arange(40) % 4
    points = towns[town] + random.uniform(-3, 3, (40, 2))
    for number, brightness in enumerate(town.tolist()):
        values = random.normal(1000 * brightness, 50, (2, 32, 32)).astype('float32')
        write_raster(folder / f'{number}.tif', values, crs=None, names=['red', 'nir'])
    frame = pd.DataFrame(points, columns=['lon', 'lat'])
    frame.assign(file=[f'{number}.tif' for number in range(40)]).to_csv(
        folder / 'places.csv', index=False
    )
    return folder


def make(folder, **options):
    known = {'table': str(folder / 'places.csv'), 'size': 16, 'batch_size': 8}
    return PlaceDataModule(str(folder), **known | options)


def test_blocks_are_held_out_with_a_margin(folder):
    data = make(folder, share=0.2, test_share=0.25, block_size=200_000.0, buffer=120_000.0)
    data.setup('fit')
    parts = [data.train_dataset.points, data.val_dataset.points, data.test_dataset.points]
    assert min(map(len, parts)) >= 3
    assert sum(map(len, parts)) < 40
    assert np.array_equal(parts[0], data.training_points)
    for first in range(3):
        for second in range(first):
            one, other = map(torch.from_numpy, (parts[first], parts[second]))
            assert great_circle(one[:, None], other).min() > 120


def test_without_test_places_those_of_validation_serve(folder):
    data = make(folder)
    data.setup('test')
    assert data.test_dataset is data.val_dataset


def test_batches_are_standardised(folder):
    data = make(folder)
    data.setup('fit')
    batch = next(iter(data.train_dataloader()))
    assert batch['image'].shape == (8, 2, 16, 16)
    whole = torch.stack([data.train_dataset[n]['image'] for n in range(len(data.train_dataset))])
    found = data.aug({'image': whole})['image']
    assert found.mean().abs() < 0.02
    assert (found.std() - 1).abs() < 0.02


def test_what_cannot_be_is_refused(folder):
    with pytest.raises(BadParameter, match=r'lie in [1-9] blocks'):
        make(folder, block_size=1e7).setup('fit')
    with pytest.raises(BadInput, match='no place is farther than'):
        make(folder, buffer=2e7).setup('fit')
    with pytest.raises(BadParameter, match='share is 0'):
        make(folder, share=0)
    with pytest.raises(BadParameter, match=r'test_share 0\.6'):
        make(folder, test_share=0.6)
    with pytest.raises(BadParameter, match='buffer -1'):
        make(folder, buffer=-1)
    with pytest.raises(BadParameter, match='block_size is 0'):
        make(folder, block_size=0)


def test_a_training_makes_its_cells_and_its_checkpoint_says_all(folder, tmp_path, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(geolocation, 'backbone_features', small_backbone)
    data = make(folder, share=0.2, buffer=10_000.0)
    task = Geolocation('small', in_channels=2, maximum=[20, 8], minimum=2, deepest=4, lr=0.05)
    fitting = trainer(max_epochs=20)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*does not have many workers')
        warnings.filterwarnings('ignore', '.*log_every_n_steps')
        fitting.fit(task, datamodule=data)
        (tested,) = fitting.test(task, datamodule=data, verbose=False)
    # the brightness tells the town, and towns are some hundred kilometres wide
    assert tested['test_within_2500_km'] == 1
    assert tested['test_median_km'] < 750
    assert tested['test_within_1_km'] < 0.5
    fitting.save_checkpoint(tmp_path / 'x.ckpt')
    card = read_checkpoint(tmp_path / 'x.ckpt').card
    assert card.task == 'geolocation'
    assert [band.name for band in card.bands] == ['red', 'nir']
    assert card.bands[0].mean == pytest.approx(float(data.mean[0]), rel=1e-5)
    assert card.tile_size == 16
    assert card.cells.as_dict() == task.cells.as_dict()
    assert card.training['training_places'] == len(data.training_points)
    low, high = data.training_points.min(axis=0), data.training_points.max(axis=0)
    assert [*card.extent] == [*low, *high]
