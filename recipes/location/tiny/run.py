"""Trains a small SatCLIP on a few patches of S2-100K, and tells how well it finds their places.

python recipes/location/tiny/run.py --data FOLDER [--output tiny] [--epochs 60]

FOLDER has Sentinel-2 patches of twelve bands as GeoTIFF, 256 x 256 pixels each. The western half of
each is learned from. Tiles of the eastern halves then ask for their places, and places for their
tiles.
"""

import argparse
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import torch
from lightning.pytorch import Trainer, seed_everything
from rasterio.warp import transform as to_degrees

from torchgeo_ext.datamodules import S2100kDataModule
from torchgeo_ext.metrics import RetrievalEvaluator
from torchgeo_ext.tasks import ContrastiveTowers

#: Height and width of what is shown of a patch.
TILE = 64
KS = (1, 3)


@dataclass(frozen=True)
class Patch:
    """A patch and its place.

    Args:
        path: The GeoTIFF.
        longitude: Of its middle, in degrees.
        latitude: Of its middle, in degrees.
    """

    path: Path
    longitude: float
    latitude: float

    @classmethod
    def of(cls, path: Path) -> 'Patch':
        """Read the place of a patch."""
        with rasterio.open(path) as dataset:
            x, y = dataset.transform @ (dataset.width / 2, dataset.height / 2)
            (longitude,), (latitude,) = to_degrees(dataset.crs, 'EPSG:4326', [x], [y])
        return cls(path, longitude, latitude)


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--output', type=Path, default=Path('tiny'))
    parser.add_argument('--epochs', type=int, default=60)
    given = parser.parse_args()
    patches = [Patch.of(path) for path in sorted(given.data.glob('*.tif'))]
    compare(patches, given.output, given.epochs)


def compare(patches: Sequence[Patch], output: Path, epochs: int) -> dict[str, float]:
    """Train, and print the scores beside those of guessing.

    Args:
        patches: Where to learn.
        output: Folder for halves and tiles of patches.
        epochs: Steps of the training, each of which sees every patch once.

    Returns:
        The scores.
    """
    tiles = write_tiles(patches, output / 'east')
    scores = score(train(patches, output, epochs), tiles)
    number = len(patches)
    for name, value in scores.items():
        guessed = int(name.partition('@')[2]) / number if 'recall' in name else (number + 1) / 2
        print(f'{name} of {number}: {value:.3f} (guessing: {guessed:.3f})')
    return scores


def train(patches: Sequence[Patch], output: Path, epochs: int) -> ContrastiveTowers:
    """Train on the western halves of patches."""
    seed_everything(0, verbose=False)
    root = write_halves(patches, output / 'west')
    data = S2100kDataModule(str(root), len(patches), crop_size=TILE, share=0, smallest_file=0)
    task = ContrastiveTowers(
        towers={
            'image': {'model': 'tu-resnet10t', 'in_chans': 13},
            'point': {'model': 'location_harmonics', 'legendre_polys': 10},
        },
        embed_dim=64,
        lr=1e-3,
    )
    trainer(max_epochs=epochs, limit_val_batches=0).fit(task, datamodule=data)
    return task.eval()


def score(task: ContrastiveTowers, tiles: Path) -> dict[str, float]:
    """Let tiles ask for their places among all, and places for their tiles.

    Args:
        task: The trained towers.
        tiles: What :func:`write_tiles` wrote.

    Returns:
        Recall and median rank, the mean over the tiles of a patch.
    """
    data = S2100kDataModule(str(tiles), 64, crop_size=TILE, smallest_file=0)
    parts = trainer().predict(task, datamodule=data)
    image, point = (torch.cat([part[key] for part in parts]) for key in ('image', 'point'))
    number = len(pd.read_csv(tiles / 'index.csv').drop_duplicates(['lon', 'lat']))
    # a row for each place and a column for each tile of it
    images, points = (each.unflatten(0, (number, -1)) for each in (image, point))
    found = []
    for tile in range(images.shape[1]):
        metric = RetrievalEvaluator(KS, names=('image', 'place'))
        metric.update(images[:, tile], points[:, tile])
        found.append(metric.compute())
    wanted = [name for name in found[0] if 'recall' in name or 'median_rank' in name]
    return {name: statistics.mean(float(each[name]) for each in found) for name in wanted}


def write_halves(patches: Sequence[Patch], root: Path) -> Path:
    """Write the western halves of patches in the layout of S2-100K."""
    return write(
        root, [(patch, read(patch)[..., : read(patch).shape[2] // 2]) for patch in patches]
    )


def write_tiles(patches: Sequence[Patch], root: Path) -> Path:
    """Write the tiles of the eastern halves of patches in the layout of S2-100K."""
    tiles = []
    for patch in patches:
        values = read(patch)
        _, height, width = values.shape
        tiles += [
            (patch, values[:, top : top + TILE, left : left + TILE])
            for top in range(0, height - TILE + 1, TILE)
            for left in range(width // 2, width - TILE + 1, TILE)
        ]
    return write(root, tiles)


def read(patch: Patch) -> np.ndarray:
    """Read the bands (c, h, w) of a patch."""
    with rasterio.open(patch.path) as dataset:
        return dataset.read()


def write(root: Path, parts: Sequence[tuple[Patch, np.ndarray]]) -> Path:
    """Write parts of patches (c, h, w), each with the place of its patch."""
    (root / 'images').mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (patch, values) in enumerate(parts):
        name = f'patch_{number}.tif'
        count, height, width = values.shape
        with rasterio.open(patch.path) as dataset:
            place = {'crs': dataset.crs, 'transform': dataset.transform}
        with rasterio.open(
            root / 'images' / name, 'w', 'GTiff', width, height, count, dtype=values.dtype, **place
        ) as dataset:
            dataset.write(values)
        rows.append((name, patch.longitude, patch.latitude))
    pd.DataFrame(rows, columns=['fn', 'lon', 'lat']).to_csv(root / 'index.csv', index=False)
    return root


def trainer(**options: int) -> Trainer:
    """Make a trainer that writes and says nothing."""
    warnings.filterwarnings('ignore', '.*does not have many workers')
    warnings.filterwarnings('ignore', '.*smaller than the logging interval')
    return Trainer(
        accelerator='cpu',
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


if __name__ == '__main__':
    main()
