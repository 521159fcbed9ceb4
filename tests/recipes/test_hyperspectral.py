"""The recipe that judges ways to classify a hyperspectral image, on a simulated one."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.cubes import simulate, write_cube
from tests.rasters import write_raster

RECIPE = Path(__file__).parents[2] / 'recipes' / 'hyperspectral' / 'run.py'


def test_all_ways_find_most_of_a_simple_scene(tmp_path, capsys, monkeypatch):
    spec = importlib.util.spec_from_file_location('hyperspectral', RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)

    def pixelwise(in_chans, num_classes):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(in_chans, 16, 1), nn.ReLU(), nn.Conv2d(16, num_classes, 1))

    monkeypatch.setattr(recipe, 'models', {'pixelwise': pixelwise})
    for name, value in (('COMPONENTS', 4), ('TREES', 5), ('FOLDS', 2)):
        monkeypatch.setattr(recipe, name, value)
    scene = simulate(64, 64)
    image = write_cube(tmp_path / 'image.tif', scene.values)
    labels = np.where(scene.shares.max(0) > 0.6, 1 + scene.shares.argmax(0), 0)
    labels[np.random.default_rng(0).random(labels.shape) < 0.5] = 0
    labels = write_raster(tmp_path / 'labels.tif', labels.astype('uint8'), resolution=30)
    found = recipe.compare(image, labels, tmp_path, 16, ['pixelwise'], 5)
    assert len(found) == 7
    for held, shuffled in found.values():
        assert min(*held, *shuffled) > 0.6
    assert 'SVM, bands' in capsys.readouterr().out
