"""Compares a model of change with IR-MAD and CVA where it was not trained.

    python recipes/change/simulated/evaluate.py --data FOLDER --bundle FOLDER

Each method is run by ``detect_change`` on the same files and gives scores of a whole scene:
magnitudes or probabilities. The same is then made of the scores of all three: without any threshold
the average precision (AP) and the best F1 there is, and F1 and IoU with Otsu's threshold of the
scores of the scene. F1 with the threshold that the method takes by itself stands beside them.

The model is better than a method if both its mean AP and its mean F1 with Otsu's threshold are
higher over the references of real change. Simulated events do not count: it was trained with such.
"""

import argparse
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import geopandas
import numpy as np
import pandas
import rasterio
import torch
from rasterio.features import rasterize
from scenes import SCENES, Array, Scene, otsu, read_scene, scenes
from sklearn.metrics import average_precision_score, precision_recall_curve

from torchgeo_ext.operations import detect_change
from torchgeo_ext.transforms import SimulateChange

log = logging.getLogger('evaluate')

BANDS = ('red', 'green', 'blue', 'nir')
METHODS = ('irmad', 'cva', 'model')


class Trial(NamedTuple):
    """What is known of change in a scene.

    Attributes:
        name: Of the scene.
        reference: ``points``, ``water``, ``polygons`` or ``simulated``.
        scene: Images.
        truth: (h, w) bool, where something changed.
        weight: (h, w) how much a pixel counts; 0 where nothing is known.
    """

    name: str
    reference: str
    scene: Scene
    truth: Array
    weight: Array


def trials(folder: Path, listed: Path) -> Iterator[Trial]:
    """Give every scene of the evaluation with every reference there is."""
    for entry in scenes(listed, 'evaluate'):
        scene = read_scene(folder, entry)
        known = scene.valid.astype(float)
        if 'points' in entry:
            yield Trial(entry['name'], 'points', scene, *_points(listed, entry, scene))
        if entry.get('water') == 'label':
            yield Trial(entry['name'], 'water', scene, scene.water, known)
        if 'polygons' in entry:
            yield Trial(entry['name'], 'polygons', scene, *_polygons(folder, entry, scene))
        for number in range(entry.get('simulate', 0)):
            images, truth = _simulate(scene, number)
            changed = scene._replace(images=images)
            yield Trial(entry['name'], 'simulated', changed, truth, known * ~scene.water)


def _points(listed: Path, entry: dict[str, Any], scene: Scene) -> tuple[Array, Array]:
    """Points read by eye, each with its share of the ground; the head of their file says how."""
    truth, weight = np.zeros(scene.valid.shape, bool), np.zeros(scene.valid.shape)
    for x, y, share, changed in np.loadtxt(
        listed.with_name(entry['points']), delimiter=',', ndmin=2
    ):
        column, row = (int(place) for place in ~scene.transform * (x, y))
        truth[row, column], weight[row, column] = changed, share
    return truth, weight


def _polygons(folder: Path, entry: dict[str, Any], scene: Scene) -> tuple[Array, Array]:
    """Polygons with the class of both dates."""
    polygons = geopandas.read_file(folder / entry['polygons'])
    first, last = entry['fields']
    changed = polygons[first] != polygons[last]
    numbers = rasterize(
        zip(polygons.geometry, changed + 1, strict=True), scene.valid.shape, 0,
        transform=scene.transform,
    )  # fmt: skip
    return numbers == 2, (numbers > 0) * scene.valid.astype(float)


def _simulate(scene: Scene, seed: int) -> tuple[Array, Array]:
    """Put events into two real dates."""
    torch.manual_seed(1000 + seed)
    area = 128**2 / scene.valid.size
    simulate = SimulateChange((8, 12), area=(min(0.002 * area, 0.1), min(0.1 * area, 0.3)), p=1)
    valid = torch.from_numpy(scene.valid).expand(2, -1, -1)
    sample = simulate({'image': torch.from_numpy(scene.images), 'mask_valid': valid})
    return sample['image'].numpy(), sample['mask'][0].numpy() == 1


class Scored(NamedTuple):
    """Scores (h, w), NaN where there are none, and the threshold the method takes by itself."""

    scores: Array
    threshold: float


def score(scene: Scene, method: str, bundle: Path) -> Scored:
    """Let a method look at a scene, as a user would."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        dates = [folder / 'before.tif', folder / 'after.tif']
        for path, image in zip(dates, scene.images, strict=True):
            _write(path, np.where(scene.valid, image, np.nan), scene)
        name = 'probabilities' if method == 'model' else 'magnitude'
        how = {'bundle': bundle} if method == 'model' else {'model': method}
        files = {name: folder / 'scores.tif'}
        found = detect_change(*dates, folder / 'change.tif', **files, **how)
        with rasterio.open(folder / 'scores.tif') as dataset:
            scores = dataset.read(1, masked=True).astype(float).filled(np.nan)
    return Scored(scores, found.threshold_used)


def _write(path: Path, image: Array, scene: Scene) -> None:
    bands, height, width = image.shape
    with rasterio.open(
        path, 'w', driver='GTiff', width=width, height=height, count=bands, dtype='float32',
        crs=scene.crs, transform=scene.transform, nodata=np.nan,
    ) as dataset:  # fmt: skip
        dataset.write(image)
        dataset.descriptions = BANDS


def measure(scored: Scored, trial: Trial) -> dict[str, float]:
    """Compare scores with what is known."""
    found = np.isfinite(scored.scores)
    known = found & (trial.weight > 0)
    scores, truth, weight = scored.scores[known], trial.truth[known], trial.weight[known]
    precision, recall, _ = precision_recall_curve(truth, scores, sample_weight=weight)
    best = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    f1 = _f1(scores >= otsu(scored.scores[found]), truth, weight)
    return {
        'AP': float(average_precision_score(truth, scores, sample_weight=weight)),
        'best F1': float(best.max()),
        'F1 (Otsu)': f1,
        'IoU (Otsu)': f1 / (2 - f1),
        'F1 (own)': _f1(scores >= scored.threshold, truth, weight),
    }


def _f1(found: Array, truth: Array, weight: Array) -> float:
    both = (weight * (found & truth)).sum()
    return float(2 * both / max((weight * found).sum() + (weight * truth).sum(), 1e-9))


def summarise(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    """Average the trials of a scene, then the scenes with real and those with simulated change."""
    keys = ['scene', 'reference', 'method']
    scenes = pandas.DataFrame(rows).groupby(keys, sort=False).mean().reset_index()
    kinds = np.where(scenes['reference'] == 'simulated', 'all simulated', 'all of real change')
    means = scenes.assign(scene='mean', reference=kinds).groupby(keys, sort=False).mean()
    return pandas.concat([scenes, means.reset_index()]).round(3)


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, required=True, help='folder of the files')
    parser.add_argument('--scenes', type=Path, default=SCENES, help='list of scenes')
    parser.add_argument('--bundle', type=Path, required=True, help='what make_bundle.py wrote')
    parser.add_argument('--table', type=Path, help='JSON file to write')
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    log.setLevel(logging.INFO)
    rows = []
    for trial in trials(options.data, options.scenes):
        for method in METHODS:
            scored = score(trial.scene, method, options.bundle)
            head = {'scene': trial.name, 'reference': trial.reference, 'method': method}
            rows.append(head | measure(scored, trial))
    table = summarise(rows)
    log.info('| %s |\n|%s', ' | '.join(table), ' --- |' * len(table.columns))
    for row in table.itertuples(index=False):
        log.info('| %s |', ' | '.join(map(str, row)))
    if options.table:
        table.to_json(options.table, orient='records', indent=1)


if __name__ == '__main__':
    main()
