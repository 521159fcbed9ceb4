"""Every recipe runs one step on small data."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.datasets.makers import class_map, image_of
from tests.rasters import write_raster
from torchgeo_ext.cli import main

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path for path in (ROOT / 'recipes').rglob('*.yaml') if 'own' in path.stem)


def labels_of_a_pair(folder):
    """Changes between two synthetic images; the demo has no labels of its pair."""
    classes = class_map(96, 96, classes=2, side=12)
    write_raster(folder / 'b.tif', image_of(np.ones_like(classes), bands=4, dtype='uint8'))
    write_raster(folder / 'a.tif', image_of(classes, bands=4, dtype='uint8'))
    write_raster(folder / 'c.tif', classes - 1)
    return {
        'root': str(folder), 'before': 'b.tif', 'after': 'a.tif', 'labels': 'c.tif',
        'patch_size': 32,
    }  # fmt: skip


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.stem)
def test_recipe_runs_one_step(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    monkeypatch.chdir(ROOT)
    overrides = {'trainer.default_root_dir': tmp_path / 'run', 'trainer.accelerator': 'cpu'}
    if 'before' in yaml.safe_load(recipe.read_text(encoding='utf-8'))['data']['init_args']:
        small = labels_of_a_pair(tmp_path)
        overrides |= {f'data.init_args.{name}': value for name, value in small.items()}
    words = [word for name, value in overrides.items() for word in (f'--{name}', str(value))]
    limits = '--trainer.max_epochs 1 --trainer.limit_train_batches 1 --trainer.limit_val_batches 1'
    assert main(['fit', '--config', str(recipe), *words, *limits.split()]) == 0
    assert (tmp_path / 'run' / 'checkpoints' / 'last.ckpt').is_file()
