"""The recipe that trains with simulated change, and its comparison, on small data."""

import json
import runpy
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import torch
from shapely.geometry import box

from tests.rasters import write_raster
from torchgeo_ext.bundles import read_bundle

RECIPE = Path(__file__).parents[2] / 'recipes' / 'change' / 'simulated'
SIZE = 48

SCENES = """
[[train]]
before = 'before.tif'

[[train]]
before = 'before.tif'
after = 'after.tif'
water = 'ignore'

[[evaluate]]
name = 'pond'
before = 'before.tif'
after = 'after.tif'
water = 'label'
points = 'points.csv'
polygons = 'polygons.gpkg'
fields = ['first', 'last']
simulate = 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two dates of a field with a pond, of which one is larger."""
    monkeypatch.syspath_prepend(str(RECIPE))
    noise = np.random.default_rng(0)
    paths = []
    for name, length in (('before', 10), ('after', 20)):
        image = noise.uniform(80, 120, (4, SIZE, SIZE))
        image[3] += 100
        image[:, 4:20, 4 : 4 + length] = noise.uniform(20, 30, (4, 16, length))
        image[1, 4:20, 4 : 4 + length] += 40
        paths.append(write_raster(tmp_path / f'{name}.tif', image.astype('uint8')))
    with rasterio.open(paths[0]) as dataset:
        corners = [dataset.transform * place for place in ((15, 5), (23, 18), (30, 30), (45, 45))]
    boxes = [box(*corners[0], *corners[1]), box(*corners[2], *corners[3])]
    geopandas.GeoDataFrame(
        {'first': ['land', 'land'], 'last': ['water', 'land']}, geometry=boxes, crs=dataset.crs
    ).to_file(tmp_path / 'polygons.gpkg')
    inside, outside = (dataset.transform * place for place in ((18.5, 10.5), (40.5, 40.5)))
    np.savetxt(tmp_path / 'points.csv', [(*inside, 0.3, 1), (*outside, 0.7, 0)], delimiter=',')
    (tmp_path / 'scenes.toml').write_text(SCENES)
    return tmp_path


def run(script, monkeypatch, *words):
    monkeypatch.setattr(sys, 'argv', [script, *map(str, words)])
    runpy.run_path(str(RECIPE / script), run_name='__main__')


def training(folder, checkpoint):
    """Give the words of a short training."""
    data = ['--data', folder, '--scenes', folder / 'scenes.toml', '--checkpoint', checkpoint]
    return [*data, '--steps', 3, '--batch-size', 2, '--size', 32]


def test_training_and_comparison_run(folder, monkeypatch):
    checkpoint, bundle, table = (folder / name for name in ('siamlite.pt', 'bundle', 'table.json'))
    run('train.py', monkeypatch, *training(folder, checkpoint))
    run('make_bundle.py', monkeypatch, '--checkpoint', checkpoint, '--output', bundle)
    scenes = ['--data', folder, '--scenes', folder / 'scenes.toml']
    run('evaluate.py', monkeypatch, *scenes, '--bundle', bundle, '--table', table)
    rows = json.loads(table.read_text())
    found = {(row['reference'], row['method']): row for row in rows}
    references = {'points', 'water', 'polygons', 'all of real change', 'simulated', 'all simulated'}
    assert found.keys() == {(r, m) for r in references for m in ('irmad', 'cva', 'model')}
    # a pond that grew is found without training
    assert all(found[reference, 'cva']['AP'] > 0.9 for reference in ('points', 'water', 'polygons'))
    real = [found[reference, 'cva']['AP'] for reference in ('points', 'water', 'polygons')]
    assert found['all of real change', 'cva']['AP'] == pytest.approx(np.mean(real), abs=1e-3)
    words = ['--checkpoint', checkpoint, '--output', bundle, '--table', table]
    run('make_bundle.py', monkeypatch, *words)
    assert read_bundle(bundle).card.training['evaluation'] == rows


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(folder, monkeypatch):
    import train as recipe

    monkeypatch.setattr(recipe, 'EVERY', 1)
    run('train.py', monkeypatch, *training(folder, folder / 'whole.pt'))
    whole = torch.load(folder / 'whole.pt', weights_only=True)
    words = training(folder, folder / 'parts.pt')
    monkeypatch.setattr(sys, 'argv', ['train.py', *map(str, words)])
    with monkeypatch.context() as interrupted:
        losses = iter([recipe.loss_of] * 2)
        interrupted.setattr(recipe, 'loss_of', lambda *given: next(losses)(*given))
        with pytest.raises(StopIteration):
            recipe.main()
    assert torch.load(folder / 'parts.pt', weights_only=True)['step'] == 2
    recipe.main()
    parts = torch.load(folder / 'parts.pt', weights_only=True)
    assert parts['step'] == 3
    torch.testing.assert_close(parts['model'], whole['model'])


def test_points_and_scenes_are_of_the_recipe(folder):
    import scenes

    listed = [scenes.scenes(scenes.SCENES, part) for part in ('train', 'evaluate')]
    dates = [{entry.get(key) for entry in part for key in ('before', 'after')} for part in listed]
    assert dates[0] & dates[1] <= {None}
    points = [entry['points'] for entry in listed[1] if 'points' in entry]
    assert len(points) == 2
    for name in points:
        shares, changed = np.loadtxt(RECIPE / name, delimiter=',')[:, 2:].T
        assert shares.sum() == pytest.approx(1, abs=0.01)
        assert set(changed) == {0, 1}
