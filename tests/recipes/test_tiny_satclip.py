"""The recipe of a small SatCLIP, on two made-up patches."""

import importlib.util
from pathlib import Path

import numpy as np
from rasterio.transform import from_origin

from tests.data.pairs import write

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
