"""Time and memory of counting classes in many footprints, beside reading the raster alone.

The second way rasterises polygon by polygon, each on the pixels around it.

python tests/benchmarks/bench_zonal.py [size ...]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine

TILE = 512
PIXEL = 0.5
#: Pixels from house to house.
APART = 40
VALUES = range(1, 5)
COLUMNS = '{:<12}{:>8}{:>12}{:>9}{:>14}{:>12}{:>14}'


def write_scene(path: Path, size: int) -> Path:
    """Write levels of damage."""
    rng = np.random.default_rng(0)
    profile = dict(  # noqa: C408  (reads as a list of options)
        driver='GTiff', width=size, height=size, count=1, dtype='uint8', nodata=0, crs='EPSG:32633',
        transform=Affine(PIXEL, 0, 500_000, 0, -PIXEL, 5_300_000), tiled=True, blockxsize=TILE,
        blockysize=TILE, compress='deflate',
    )  # fmt: skip
    with rasterio.open(path, 'w', **profile) as dataset:
        for _, window in dataset.block_windows():
            levels = rng.integers(0, 5, (window.height, window.width), dtype=np.uint8)
            dataset.write(levels, 1, window=window)
    return path


def houses(size: int) -> np.ndarray:
    """Lay out turned rectangles of some 25 by 15 pixels, one for each square of the town."""
    rng = np.random.default_rng(0)
    steps = np.arange(APART, size - APART, APART, dtype=float)
    centres = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 1, 2)
    half = rng.uniform((8, 5), (17, 10), (len(centres), 2))[:, None]
    corners = half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    angle = rng.uniform(0, np.pi, (len(centres), 1))
    x, y = corners[..., 0], corners[..., 1]
    turned = np.stack(
        (x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)), axis=-1
    )
    return shapely.polygons((centres + turned) * (PIXEL, -PIXEL) + (500_000, 5_300_000))


def peak() -> float:
    """Give the peak memory of this process in MB."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def ours(path: Path, shapes: np.ndarray) -> int:
    """Count with Zones."""
    from torchgeo_ext.inference.grid import Grid
    from torchgeo_ext.inference.zonal import Zones

    with rasterio.open(path) as dataset:
        zones = Zones(shapes, dataset.crs, Grid.of(dataset))
    return int(zones.count(path, VALUES).values.sum())


def one_by_one(path: Path, shapes: np.ndarray) -> int:
    """Rasterise each polygon alone, on a raster that is in memory."""
    from rasterio.features import geometry_window, rasterize

    counted = 0
    with rasterio.open(path) as dataset:
        values = dataset.read(1)
        for shape in shapes:
            window = geometry_window(dataset, [shape])
            part = values[window.toslices()]
            inside = rasterize([shape], part.shape, transform=dataset.window_transform(window))
            counted += int(np.bincount(part[inside > 0], minlength=5)[1:].sum())
    return counted


def read(path: Path, shapes: np.ndarray) -> int:
    """Read all blocks and do nothing with them."""
    with rasterio.open(path) as dataset:
        for _, window in dataset.block_windows():
            dataset.read(1, window=window)
    return 0


def measure(way: str, path: Path) -> None:
    """Run one way in this process and print its line."""
    import geopandas  # noqa: F401  (loaded before, so that libraries do not count)
    import rasterio.features

    import torchgeo_ext.inference.zonal  # noqa: F401

    with rasterio.open(path) as dataset:
        size = dataset.width
    shapes = houses(size)
    before, start = peak(), time.perf_counter()
    counted = {'ours': ours, 'one by one': one_by_one, 'read': read}[way](path, shapes)
    seconds = time.perf_counter() - start
    print(
        COLUMNS.format(
            way, size, len(shapes), f'{seconds:.2f}', f'{len(shapes) / seconds:,.0f}',
            f'{peak() - before:.0f}', counted,
        ),
        flush=True,
    )  # fmt: skip


def main(sizes: list[int]) -> None:
    """Measure each way in a process of its own."""
    heads = 'way', 'size', 'polygons', 's', 'polygons/s', 'peak + MB', 'pixels'
    print(COLUMNS.format(*heads), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = write_scene(Path(folder, f'{size}.tif'), size)
            for way in ('ours', 'one by one', 'read'):
                subprocess.run([sys.executable, __file__, '--measure', way, path], check=True)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--measure']:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main([int(size) for size in sys.argv[1:]] or [4096, 12288])
