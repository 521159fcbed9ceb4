"""The recipe of scores of places, with its smallest encoder."""

import importlib.util
from pathlib import Path

RECIPE = Path(__file__).parents[2] / 'recipes' / 'location' / 'scores' / 'run.py'


def test_ways_are_compared_in_one_table(tmp_path):
    spec = importlib.util.spec_from_file_location('location_scores', RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    rows = recipe.compare(tmp_path, 'temperature', 500_000.0, models=['location_wrap'])
    scores = {row.name: row for row in rows}
    assert scores.keys() == {'Wrap (formula)', 'longitude and latitude', 'the 5 nearest points'}
    # temperature falls towards the poles, which straight lines over latitude cannot follow
    assert scores['Wrap (formula)'].spatial > scores['longitude and latitude'].spatial + 0.2
    assert scores['the 5 nearest points'].random > 0.9
    lines = list(recipe.table('temperature', 500_000.0, rows))
    assert len(lines) == 3 + len(rows)
    assert lines[3].startswith('| the 5 nearest points | neighbours | 0.9')
