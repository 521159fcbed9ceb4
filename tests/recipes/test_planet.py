"""The recipe of the small geolocator, on a few of its patches and for a few steps."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from torchgeo_ext.bundles import read_bundle

RECIPE = Path(__file__).parents[2] / 'recipes' / 'location' / 'planet' / 'run.py'


@pytest.fixture(scope='module')
def recipe():
    spec = importlib.util.spec_from_file_location('planet', RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_known_places_are_found_and_unknown_ones_are_not(recipe, tmp_path, capsys):
    patches = tmp_path / 'patches'
    patches.mkdir()
    for number in (252161, 322265, 70541):  # South Africa, Canada, the Sahara
        shutil.copy(recipe.DATA / f'patch_{number}.tif', patches)
    scores = recipe.compare(patches, tmp_path, epochs=8)
    known, guessed = scores['known places'], scores['known places, guessing']
    assert guessed['within_25_km'] == pytest.approx(1 / 3)
    assert known['within_25_km'] > 0.6
    # the others are thousands of kilometres away
    assert scores['unknown places']['within_2500_km'] == 0
    assert scores['unknown places, guessing']['median_km'] > 5000
    assert 'unknown places, guessing: within_1_km 0' in capsys.readouterr().out
    card = read_bundle(tmp_path / 'bundle').card
    assert (card.task, card.cells.finest.counts.tolist()) == ('geolocation', [1, 1, 1])
    assert [band.name for band in card.bands] == ['B02', 'B03', 'B04', 'B08']
