"""A map from examples, beside reading its embedding alone.

python tests/benchmarks/bench_examples.py [--quick]

The embedding is that of a Sentinel-2 tile of 10,980 x 10,980 pixels with one vector for every 8 x 8
pixels; there are ten points for each of ten classes.
"""

import sys
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine

from torchgeo_ext.inference import Grid, RasterSource, open_raster
from torchgeo_ext.operations import segment_from_examples

DIMENSIONS, CLASSES, POINTS = 64, 10, 10
SIZE, QUICK = 1373, 256


def make(folder: Path, size: int) -> tuple[Path, Path]:
    """Write an embedding of smooth vectors, and points whose class is that of their place."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] / size
    waves = random.uniform(1, 20, (DIMENSIONS, 2))
    embedding = folder / 'embedding.tif'
    transform = Affine(80, 0, 500_000, 0, -80, 5_300_000)
    with rasterio.open(
        embedding, 'w', driver='GTiff', width=size, height=size, count=DIMENSIONS, dtype='float32',
        crs='EPSG:32633', transform=transform, nodata=np.nan, tiled=True, blockxsize=256,
        blockysize=256, interleave='band', compress='deflate', predictor=3, zlevel=1,
    ) as dataset:  # fmt: skip
        for number, (x, y) in enumerate(waves, start=1):
            band = np.sin(x * columns + y * rows) + random.normal(0, 0.1, (size, size))
            dataset.write(band.astype('float32'), number)
    places = random.uniform(0, 1, (CLASSES * POINTS, 2))
    frame = geopandas.GeoDataFrame(
        {'kind': [f'class {int(x * CLASSES)}' for x, _ in places]},
        geometry=[shapely.Point(transform @ (size * x, size * y)) for x, y in places],
        crs='EPSG:32633',
    )
    frame.to_file(folder / 'examples.gpkg', engine='pyogrio')
    return embedding, folder / 'examples.gpkg'


def read(embedding: Path) -> float:
    """Give the seconds that reading all of it takes."""
    started = time.perf_counter()
    with open_raster(str(embedding)) as dataset:
        grid = Grid.of(dataset)
    with RasterSource(str(embedding)).open(grid) as reader:
        for window in grid.windows(256):
            reader.read(window)
    return time.perf_counter() - started


def main() -> None:
    """Print seconds and ratios."""
    size = QUICK if '--quick' in sys.argv else SIZE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        embedding, examples = make(folder, size)
        alone = min(read(embedding) for _ in range(2))
        # as in an engine that is warm; the first call also imports what it needs
        segment_from_examples(
            embedding,
            examples,
            'kind',
            folder / 'first.tif',
            extent=(500_000, 5_296_000, 504_000, 5_300_000),
        )
        print(f'{size} x {size} vectors of {DIMENSIONS}: reading alone {alone:.1f} s')
        for method in ('linear', 'prototypes', 'neighbours'):
            started = time.perf_counter()
            segment_from_examples(
                embedding, examples, 'kind', folder / f'{method}.tif', method=method
            )
            took = time.perf_counter() - started
            print(f'{method:>10}: {took:.1f} s, {took / alone:.1f} x reading')


if __name__ == '__main__':
    main()
