"""The recipe of a small SatCLIP, on two made-up patches."""

import importlib.util
from pathlib import Path

import numpy as np
import yaml
from rasterio.transform import from_origin

from tests.data.pairs import write
from tests.data.s2100k import data as s2100k
from torchgeo_ext.cli._fit import run

RECIPE = Path(__file__).parents[2] / 'recipes' / 'location' / 'tiny' / 'run.py'


def test_it_learns_halves_and_judges_by_the_others(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location('tiny_satclip', RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    random = np.random.default_rng(0)
    for number in range(2):
        place = {'crs': 'EPSG:32633', 'transform': from_origin(5e5, 6e6 - 1e6 * number, 10, 10)}
        values = random.integers(1, 10_000, (12, 128, 128)).astype('uint16')
        write(tmp_path / f'{number}.tif', values, **place)
    patches = [recipe.Patch.of(path) for path in sorted(tmp_path.glob('*.tif'))]
    # the middle lies 640 m east of the meridian that the zone is laid around
    assert 15 < patches[0].longitude < 15.02
    assert 53.9 < patches[0].latitude < 54.2
    scores = recipe.compare(patches, tmp_path / 'output', epochs=1)
    assert len(scores) == 6
    assert all(0 <= value <= 2 for value in scores.values())
    assert 'image_to_place_recall@1 of 2: ' in capsys.readouterr().out
    # an even share of each patch, and no pixel in both
    west, east = (tmp_path / 'output' / side / 'images' for side in ('west', 'east'))
    assert (len(list(west.glob('*.tif'))), len(list(east.glob('*.tif')))) == (2, 4)


def test_towers_are_named_in_a_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    s2100k.make(tmp_path)
    towers = {
        'image': {'model': 'eurosat_baseline3', 'in_chans': 13},
        'point': {'model': 'location_fourier', 'frequencies': 2},
    }
    config = {
        'trainer': {
            'accelerator': 'cpu', 'fast_dev_run': True, 'enable_progress_bar': False,
            'enable_model_summary': False, 'default_root_dir': str(tmp_path / 'run'),
        },
        'model': {
            'class_path': 'ContrastiveTowers',
            'init_args': {'towers': towers, 'embed_dim': 8, 'largest_scale': 100.0},
        },
        'data': {
            'class_path': 'S2100kDataModule',
            'init_args': {'root': str(tmp_path), 'batch_size': 4, 'crop_size': 32},
        },
    }  # fmt: skip
    path = tmp_path / 'config.yaml'
    path.write_text(yaml.safe_dump(config), encoding='utf-8')
    run(['fit', '--config', str(path)])
