"""Ten points for each class beside a U-Net trained on every labelled pixel, on places held out.

python recipes/segmentation/few_points/run.py [--output few_points] [--draws 5] [--epochs 25]

The scene of the demo (Sentinel-2, three dates, 1 km x 1 km in Slovenia) is cut into a northern and
a southern half. Each in turn is learned from, the other one is mapped and compared with its land
use. Points are drawn at random a pixel inside the polygons, several times.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import rasterio
import shapely
import torch
from rasterio.features import rasterize
from torchmetrics.functional.classification import multiclass_jaccard_index, multiclass_recall

from torchgeo_ext.operations import (
    embed_image,
    segment_from_examples,
    segment_image,
    train_segmentation,
)

DATA = Path(__file__).parents[2] / 'demo' / 'data'
SCENES = [DATA / f'sentinel2_2015-{day}.tif' for day in ('07-11', '08-30', '09-09')]
#: Classes with enough pixels in both halves, in the order of their numbers in maps.
CLASSES = ['artificial surface', 'forest', 'grassland', 'schrubland']
POINTS = 10
#: Rows between the halves that belong to neither.
GAP = 4


@dataclass(frozen=True)
class Half:
    """One half of the scene.

    Args:
        name: Of the half.
        box: Its outline.
        rows: Its rows.
    """

    name: str
    box: shapely.Polygon
    rows: slice


def main() -> None:
    """Print the scores of each way, for both halves held out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output', type=Path, default=Path('few_points'))
    parser.add_argument('--draws', type=int, default=5)
    parser.add_argument('--epochs', type=int, default=25)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    compare(given.output, given.draws, given.epochs)


def compare(output: Path, draws: int, epochs: int) -> dict[str, list[tuple[float, float]]]:
    """Run all ways.

    Args:
        output: Folder for maps.
        draws: How often points are drawn for each half.
        epochs: Of the U-Net; 0 leaves it out.

    Returns:
        Mean IoU and mean recall of each run, by way.
    """
    stack = stacked(output / 'stack.tif')
    embedding = output / 'embedding.tif'
    embed_image(stack, embedding, reduction=1, components=24, picture=output / 'embedding_rgb.tif')
    rasters = {'bands of three dates': stack, 'random features': embedding}
    scores: dict[str, list[tuple[float, float]]] = {}
    for learned, held in halves():
        truth = labels_of(held)
        for draw in range(draws):
            points = draw_points(learned, draw, output / f'points_{learned.name}_{draw}.gpkg')
            for name, raster in rasters.items():
                path = output / f'{raster.stem}_{learned.name}_{draw}.tif'
                segment_from_examples(raster, points, 'LULC_NAME', path)
                scores.setdefault(f'{POINTS} points a class, {name}', []).append(
                    score(path, held, truth)
                )
        if epochs:
            path = output / f'unet_{learned.name}.tif'
            train_unet(learned, output, epochs, path)
            scores.setdefault('U-Net, all labelled pixels', []).append(score(path, held, truth))
    for name, runs in scores.items():
        ious, recalls = zip(*runs, strict=True)
        spread = f' (standard deviation {statistics.stdev(ious):.3f})' if len(runs) > 2 else ''
        print(
            f'{name}: mean IoU {statistics.mean(ious):.3f}{spread}, mean recall '
            f'{statistics.mean(recalls):.3f}, of {len(runs)} runs'
        )
    return scores


def stacked(path: Path) -> Path:
    """Write the bands of all dates into one raster."""
    parts = []
    for scene in SCENES:
        with rasterio.open(scene) as dataset:
            parts.append(dataset.read())
            profile = dataset.profile
    bands = np.concatenate(parts)
    with rasterio.open(path, 'w', **{**profile, 'count': len(bands)}) as dataset:
        dataset.write(bands)
    return path


def halves() -> Iterator[tuple[Half, Half]]:
    """Yield what to learn from and what to hold out, both ways round."""
    with rasterio.open(SCENES[0]) as dataset:
        left, bottom, right, top = dataset.bounds
        height, size = dataset.height, dataset.res[1]
    middle, gap = (top + bottom) / 2, GAP / 2 * size
    first, last = (height - GAP) // 2, (height + GAP) // 2
    north = Half('north', shapely.box(left, middle + gap, right, top), slice(0, first))
    south = Half('south', shapely.box(left, bottom, right, middle - gap), slice(last, height))
    yield north, south
    yield south, north


def polygons() -> geopandas.GeoDataFrame:
    """Read the land use of the classes that count."""
    frame = geopandas.read_file(DATA / 'land_use.gpkg')
    return frame[frame['LULC_NAME'].isin(CLASSES)]


def labels_of(half: Half) -> np.ndarray:
    """Give the classes (h, w) of a half, from 0; -1 where there is none."""
    with rasterio.open(SCENES[0]) as dataset:
        shape, transform = dataset.shape, dataset.transform
    frame = polygons()
    numbers = frame['LULC_NAME'].map(CLASSES.index)
    shapes = list(zip(frame.geometry, numbers, strict=True))
    return rasterize(shapes, shape, fill=-1, transform=transform, dtype='int16')[half.rows]


def draw_points(half: Half, seed: int, path: Path) -> Path:
    """Write random points of each class inside of a half."""
    random = np.random.default_rng(seed)
    frame = polygons()
    inner, whole = (shape.intersection(half.box) for shape in (frame.buffer(-7), frame.geometry))
    drawn = []
    for name in CLASSES:
        there = frame['LULC_NAME'] == name
        area = inner[there].union_all()
        # a narrow class has no pixel inside of its rim
        area = whole[there].union_all() if area.is_empty else area
        points = geopandas.GeoSeries([area], crs=frame.crs).sample_points(POINTS, rng=random)
        drawn.append(points.explode().to_frame('geometry').assign(LULC_NAME=name))
    pd.concat(drawn).to_file(path)
    return path


def train_unet(half: Half, output: Path, epochs: int, path: Path) -> None:
    """Train a U-Net on all labelled pixels of a half, and map the scene with it."""
    frame = polygons()
    labels = output / f'labels_{half.name}.gpkg'
    frame.assign(geometry=frame.intersection(half.box)).loc[lambda cut: ~cut.is_empty].to_file(
        labels
    )
    folder = output / f'unet_{half.name}'
    train_segmentation(
        SCENES,
        labels,
        folder,
        class_field='LULC_NAME',
        patch_size=32,
        epochs=epochs,
        patience=epochs,
    )
    segment_image(SCENES[1], path, bundle=folder)


def score(path: Path, half: Half, truth: np.ndarray) -> tuple[float, float]:
    """Give the mean IoU and the mean recall of a map on a half.

    Args:
        path: The map.
        half: Where to compare.
        truth: Classes (h, w) of the half.
    """
    with rasterio.open(path) as dataset:
        values, classes = dataset.read(1)[half.rows], json.loads(dataset.tags()['classes'])
    numbers = np.zeros(256, np.int64)
    for entry in classes:
        numbers[entry['value']] = CLASSES.index(entry['name'])
    found = torch.from_numpy(numbers[values])
    known = torch.from_numpy(truth.astype(np.int64))
    pair = found[known >= 0], known[known >= 0]
    iou, recall = (
        float(metric(*pair, num_classes=len(CLASSES), average='macro'))
        for metric in (multiclass_jaccard_index, multiclass_recall)
    )
    return iou, recall


if __name__ == '__main__':
    main()
