"""Time and memory of polygonising a noisy class raster, beside GDAL's polygons without attributes.

python tests/benchmarks/bench_polygonize.py [size ...]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

TILE = 512
COLUMNS = '{:<12}{:>8}{:>12}{:>9}{:>14}{:>12}'


def write_scene(path: Path, size: int) -> Path:
    """Write five classes: smooth patches of some 30 pixels with noisy borders and specks."""
    from scipy.ndimage import zoom

    rng = np.random.default_rng(0)
    profile = dict(  # noqa: C408  (reads as a list of options)
        driver='GTiff', width=size, height=size, count=1, dtype='uint8', nodata=0, crs='EPSG:32633',
        transform=Affine(10, 0, 500_000, 0, -10, 5_300_000), tiled=True, blockxsize=TILE,
        blockysize=TILE, compress='deflate',
    )  # fmt: skip
    with rasterio.open(path, 'w', **profile) as dataset:
        for _, window in dataset.block_windows():
            coarse = rng.random((window.height // 32 + 1, window.width // 32 + 1))
            smooth = zoom(coarse, 33, order=1)[: window.height, : window.width]
            noisy = smooth + 0.04 * rng.standard_normal((window.height, window.width))
            classes = np.clip(noisy, 0, 0.99) * 5 + 1
            dataset.write(classes.astype(np.uint8), 1, window=window)
    return path


def peak() -> float:
    """Give the peak memory of this process in MB."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def ours(path: Path) -> int:
    """Polygonise to a GeoPackage with class names and areas."""
    from torchgeo_ext.inference.vectors import polygonize

    return polygonize(path, path.with_suffix('.gpkg'), classes=()).polygons


def gdal(path: Path) -> int:
    """Iterate over GDAL's polygons of the whole raster, without keeping or writing them."""
    from rasterio.features import shapes

    with rasterio.open(path) as dataset:
        values = dataset.read(1)
    return sum(1 for _ in shapes(values, mask=values > 0, connectivity=4))


def measure(way: str, path: Path) -> None:
    """Run one way in this process and print its line."""
    import pyogrio.raw  # noqa: F401  (loaded before, so that libraries do not count)
    import scipy.sparse.csgraph  # noqa: F401
    import shapely  # noqa: F401

    before, start = peak(), time.perf_counter()
    polygons = {'ours': ours, 'gdal': gdal}[way](path)
    seconds = time.perf_counter() - start
    with rasterio.open(path) as dataset:
        size = dataset.width
    print(
        COLUMNS.format(
            way,
            size,
            polygons,
            f'{seconds:.1f}',
            f'{polygons / seconds:,.0f}',
            f'{peak() - before:.0f}',
        ),
        flush=True,
    )


def main(sizes: list[int]) -> None:
    """Measure each way in a process of its own."""
    print(COLUMNS.format('way', 'size', 'polygons', 's', 'polygons/s', 'peak + MB'), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = write_scene(Path(folder, f'{size}.tif'), size)
            for way in ('ours', 'gdal'):
                subprocess.run([sys.executable, __file__, '--measure', way, path], check=True)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--measure']:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main([int(size) for size in sys.argv[1:]] or [2048, 4096])
