"""The benchmark of normalisations, on made-up files of EuroSAT and on what needs no weights."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.eurosat import data as eurosat
from torchgeo_ext.errors import MissingWeights

RECIPE = Path(__file__).parents[2] / 'recipes' / 'classification' / 'normalisation' / 'run.py'


@pytest.fixture(scope='module')
def recipe():
    spec = importlib.util.spec_from_file_location('normalisation', RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_scores_of_every_way_on_eurosat(recipe, tmp_path, caplog, monkeypatch):
    def nothing_is_here(_):
        raise MissingWeights('no weights')

    monkeypatch.setattr(recipe, 'weights_file', nothing_is_here)
    eurosat.make(tmp_path, 6)
    data = recipe.load('EuroSAT', tmp_path)
    assert data.train.images.shape == (12, 13, 64, 64)
    assert data.bands[8] == 'B8A'
    networks = ['statistics', 'rcf', 'rcf, whitened', 'untrained ResNet-18', 'MoCo ResNet-50']
    rows = list(recipe.benchmark(data, networks, [0, 80]))
    assert 'MoCo ResNet-50 is left out: no weights' in caplog.text
    assert len(rows) == 4 * 2 * 3
    for row in rows:
        assert row['dataset'] == 'EuroSAT'
        for probe in ('neighbours', 'neighbours, scaled', 'linear'):
            assert 0 <= row[probe] <= 1
    best = {
        row['network']: max(r['linear'] for r in rows if r['network'] == row['network'])
        for row in rows
    }
    assert best['statistics'] == 1
    assert len(recipe.table(rows).splitlines()) == len(rows) + 2


def test_inputs_are_what_they_are_called(recipe):
    images = 100 + 10 * torch.randn(8, 3, 6, 6)
    network = recipe.Network((), lambda bands, examples: None, lambda x: x + 1)
    ways = {name: way(images) for name, way in recipe._normalisations(images, 50.0, network)}
    assert tuple(ways) == recipe.NORMALISATIONS
    assert torch.equal(ways['divided'], images / 50)
    assert ways['standardised'].mean((0, 2, 3)).abs().max() < 1e-4
    assert ways['standardised'].std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], rel=1e-4)
    assert (ways['between extremes'].amin(), ways['between extremes'].amax()) == (0, 1)
    assert torch.equal(ways['as in pre-training'], images + 1)
    assert recipe._prepared(images, 12, lambda x: x).shape == (8, 3, 12, 12)


def test_several_labels_are_scored_by_precision(recipe):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (40, 3))
    vectors = labels + 0.01 * random.normal(size=labels.shape)
    scores = recipe._scores(vectors, vectors, labels, labels)
    assert scores['linear'] == pytest.approx(1)
    assert scores['neighbours'] == pytest.approx(1)


def test_tiles_of_the_demo_are_held_out_by_land(recipe):
    data = recipe.load('tiles', Path())
    assert data.train.images.shape[1:] == (13, 8, 8)
    assert len(data.test.labels) > 20
    assert data.divisor == recipe.DIGITAL
