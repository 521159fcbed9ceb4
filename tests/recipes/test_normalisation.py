"""The benchmark of normalisations, on made-up files of EuroSAT and on what needs no weights."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torchgeo.datasets import EuroSAT

from tests.rasters import write_raster
from torchgeo_ext.errors import MissingWeights

RECIPE = Path(__file__).parents[2] / 'recipes' / 'classification' / 'normalisation' / 'run.py'
CLASSES = ('Forest', 'River')


@pytest.fixture(scope='module')
def recipe():
    spec = importlib.util.spec_from_file_location('normalisation', RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_eurosat(root, number=6):
    """Images of 64 x 64 pixels and 13 bands, whose classes differ in the first bands."""
    random = np.random.default_rng(0)
    for split, name in itertools.product(('train', 'val', 'test'), CLASSES):
        folder = root / EuroSAT.base_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        files = [f'{name}_{split}{place}.tif' for place in range(number)]
        for file in files:
            values = random.integers(500, 3000, (13, 64, 64))
            values[:4] += 2000 * CLASSES.index(name)
            write_raster(folder / file, values.astype('uint16'))
        with (root / EuroSAT.split_filenames[split]).open('a') as listing:
            listing.write(''.join(f'{file.replace(".tif", ".jpg")}\n' for file in files))


def test_scores_of_every_way_on_eurosat(recipe, tmp_path, caplog, monkeypatch):
    def nothing_is_here(_):
        raise MissingWeights('no weights')

    monkeypatch.setattr(recipe, 'weights_file', nothing_is_here)
    make_eurosat(tmp_path)
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
