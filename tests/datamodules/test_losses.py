"""Training patches drawn by samplers of one's own choice, and by the losses of a model."""

import functools

import geopandas
import pytest
import shapely
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from tests.datasets.makers import CORNER, class_map, write_pair_of_layers
from torchgeo_ext.datamodules import GeoTIFFDataModule
from torchgeo_ext.datamodules.losses import TellLosses
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers import (
    BalancedChangeSampler,
    ClassBalance,
    HardExampleSampler,
    PolygonSampler,
    StratifiedSampler,
    WeightedSampler,
)

SIDE = 128


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def layers(tmp_path):
    return write_pair_of_layers(tmp_path, class_map(SIDE, SIDE))


@pytest.fixture
def points(tmp_path):
    x, y = CORNER
    places = [shapely.Point(x + 130 * i, y - 130 * j) for i in range(10) for j in range(10)]
    path = tmp_path / 'points.gpkg'
    geopandas.GeoDataFrame(geometry=places, crs='EPSG:32633').to_file(path)
    return str(path)


def module_of(layers, sampler, **options):
    image, labels = layers
    return GeoTIFFDataModule(
        images=image, labels=labels, patch_size=16, batch_size=4, length=24, sampler=sampler,
        **options,
    )  # fmt: skip


class Constant(LightningModule):
    """Says class 0 everywhere, so that the loss is that of the other classes."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(2, 3, 1)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = torch.tensor([4.0, 0.0, 0.0])
        self.criterion = nn.CrossEntropyLoss(ignore_index=-1)
        self.seen = []

    def training_step(self, batch):
        self.seen.append(batch['bounds'].clone())
        return self.criterion(self.head(batch['image']), batch['mask'])

    def validation_step(self, batch):
        self.criterion(self.head(batch['image']), batch['mask'])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(layers, folder, epochs, *, last='', sampler=HardExampleSampler, task=None):
    task = task or Constant()
    trainer = Trainer(
        max_epochs=epochs, accelerator='cpu', logger=False, enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[TellLosses(), ModelCheckpoint(folder / f'{epochs}', 'last')],
    )  # fmt: skip
    module = module_of(layers, sampler)
    trainer.fit(task, datamodule=module, ckpt_path=last or None, weights_only=True)
    return task, module


@pytest.mark.parametrize('kind', ['balanced', 'hard', 'polygons', 'stratified', 'weighted'])
def test_any_sampler_draws_where_there_are_training_labels(layers, points, kind):
    sampler = {
        'balanced': functools.partial(BalancedChangeSampler, ratio=0.8),
        'hard': HardExampleSampler,
        'polygons': functools.partial(PolygonSampler, features=points, jitter=0.5),
        'stratified': functools.partial(StratifiedSampler, strata=layers[1]),
        'weighted': functools.partial(WeightedSampler, weight=ClassBalance(layers[1])),
    }[kind]
    module = module_of(layers, sampler, balance='square_root')
    module.setup('fit')
    patches = list(module.train_sampler)
    assert len(patches) == 24
    assert patches == list(module.train_sampler)
    for patch in patches:
        assert patch.window.width == patch.window.height == 16
        assert (module.train_dataset[patch]['mask'] >= 0).any()


def test_losses_are_those_of_the_patches(layers, tmp_path):
    task, module = fit(layers, tmp_path, 1)
    sampler = module.train_sampler
    state = sampler.state_dict()
    found = dict(zip(state['tile_ids'].tolist(), state['losses'].tolist(), strict=True))
    sampler.load_state_dict({'epoch': 0, 'tile_ids': torch.tensor([]), 'losses': torch.tensor([])})
    expected = {}
    for cut in sampler.cuts():
        sample = module.train_dataset[sampler.place.patch(cut)]
        scores = task.head(torch.zeros_like(sample['image']))[None]
        loss = nn.functional.cross_entropy(scores, sample['mask'][None], ignore_index=-1)
        expected.setdefault(cut.tile_id, []).append(float(loss.detach()))
    expected = {cell: sum(losses) / len(losses) for cell, losses in expected.items()}
    assert found == pytest.approx(expected, rel=1e-5)
    assert len(set(expected.values())) > 10


def test_hard_places_are_seen_again(layers, tmp_path):
    hardest = functools.partial(HardExampleSampler, hard=1.0, power=8.0)
    task, _ = fit(layers, tmp_path, 4, sampler=hardest)
    corners = torch.cat(task.seen)[:, [0, 3]].tolist()
    first, last = corners[:24], corners[-24:]
    assert len({tuple(c) for c in first}) > len({tuple(round(x / 80) for x in c) for c in last})


@pytest.mark.filterwarnings('ignore:The dirpath has changed')
def test_a_training_goes_on_with_what_the_sampler_knows(layers, tmp_path):
    whole, _ = fit(layers, tmp_path / 'whole', 3)
    fit(layers, tmp_path / 'parts', 1)
    last = tmp_path / 'parts' / '1' / 'last.ckpt'
    rest, _ = fit(layers, tmp_path / 'parts', 3, last=last)
    assert torch.equal(torch.cat(whole.seen)[24:], torch.cat(rest.seen))


def test_what_cannot_be_told(layers, tmp_path):
    with pytest.raises(BadParameter, match='drawn by BalancedChangeSampler'):
        fit(layers, tmp_path, 1, sampler=BalancedChangeSampler)
    task = Constant()
    task.criterion = None
    with pytest.raises(BadParameter, match='Constant has none'):
        fit(layers, tmp_path, 1, task=task)
