"""The recipe of ten points for each class, without its U-Net."""

import importlib.util
from pathlib import Path

RECIPE = Path(__file__).parents[2] / 'recipes' / 'segmentation' / 'few_points' / 'run.py'


def test_points_of_one_half_map_the_other_better_than_chance(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location('few_points', RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    scores = recipe.compare(tmp_path, draws=1, epochs=0)
    assert len(scores) == 2
    for runs in scores.values():
        assert len(runs) == 2  # either half held out
        recalls = [recall for _, recall in runs]
        assert sum(recalls) / 2 > 1.2 / len(recipe.CLASSES)
    assert '10 points a class, random features: mean IoU' in capsys.readouterr().out
