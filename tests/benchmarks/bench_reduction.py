"""PCA and MNF of a hyperspectral cube beside reading it twice, and memory by image height.

python tests/benchmarks/bench_reduction.py [size]

Reading is with rasterio, block by block, in the type of the file. Products are those that cannot be
done without: of all pixels with themselves (for MNF also of as many differences) in float64, and of
the pixels with the components in float32. Memory is what the operation adds to a process.
"""

import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

BANDS, COMPONENTS = 224, 10
#: The most that may be: time relative to reading twice and the products, and megabytes that an
#: image of three times the height may take more; a few tiles do not fill what is read ahead.
RATIO, GROWTH = 2.0, 150


def write_cube(folder: Path, width: int, height: int) -> str:
    """Write bands of a few materials and noise, as tiled compressed int16."""
    random = np.random.default_rng(0)
    path = str(folder / f'cube_{height}.tif')
    mixing = random.uniform(0, 800, (BANDS, 6)).astype(np.float32)
    with rasterio.open(
        path, 'w', driver='GTiff', width=width, height=height, count=BANDS, dtype='int16',
        crs='EPSG:32633', transform=Affine(30, 0, 500_000, 0, -30, 5_300_000), nodata=-32768,
        tiled=True, blockxsize=128, blockysize=128, compress='deflate', zlevel=1,
        interleave='band',
    ) as dataset:  # fmt: skip
        for _, window in dataset.block_windows():
            shape = (window.height, window.width)
            ground = np.tensordot(mixing, random.random((6, *shape), np.float32), 1)
            noise = 10 * random.standard_normal((BANDS, *shape), np.float32)
            dataset.write((ground + noise).astype('int16'), window=window)
    return path


def peak() -> float:
    """Give the peak memory of this process in MB."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def times(path: str) -> None:
    """Print the time of both passes beside that of reading alone."""
    from torchgeo_ext.inference.spectral.cube import noise_moments, signal_moments
    from torchgeo_ext.operations import reduce_bands
    from torchgeo_ext.operations._cube import open_cube

    cube = open_cube(path, list(range(1, BANDS + 1)))
    seconds = {}

    def timed(name: str, work: object) -> None:
        started = time.perf_counter()
        work()
        seconds[name] = time.perf_counter() - started

    def read() -> None:
        with rasterio.open(path) as dataset:
            for _, window in dataset.block_windows():
                dataset.read(window=window)

    pixels = next(iter(cube.windows())).pixels[:, : 2**13]
    pieces = cube.grid.width * cube.grid.height // pixels.shape[1]
    exact, axes = pixels.astype(np.float64), pixels[:COMPONENTS, :BANDS].copy()

    def squares() -> None:
        for _ in range(pieces):
            exact @ exact.T

    def projections() -> None:
        for _ in range(pieces):
            axes @ pixels

    read()
    reduce_bands(path, Path(path).with_name('warm.tif'), components=COMPONENTS)
    timed('reading once', read)
    timed('squares', squares)
    timed('projections', projections)
    timed('gathering for PCA', lambda: signal_moments(cube))
    timed('gathering for MNF', lambda: noise_moments(cube))
    for method in ('pca', 'mnf'):
        output = Path(path).with_name(f'{method}.tif')
        timed(
            f'{method}, both passes',
            lambda output=output, method=method: reduce_bands(
                path, output, method=method, components=COMPONENTS
            ),
        )
    number = cube.grid.width * cube.grid.height
    print(f'{cube.grid.width} x {cube.grid.height} pixels, {BANDS} bands of int16')
    for name, value in seconds.items():
        ratio = value / seconds['reading once']
        print(f'{name:<20}{value:8.2f} s {1e9 * value / number:8.0f} ns/pixel {ratio:6.2f} x')
    for method, times_squared in (('pca', 1), ('mnf', 2)):
        needed = 2 * seconds['reading once'] + seconds['projections']
        needed += times_squared * seconds['squares']
        ratio = seconds[f'{method}, both passes'] / needed
        print(f'{method}: {ratio:.2f} x reading twice and the products (at most {RATIO:g})')


def memory(path: str, method: str) -> None:
    """Print what the operation adds to the memory of a process that is warmed up."""
    from torchgeo_ext.operations import reduce_bands

    folder = Path(path).parent
    reduce_bands(
        path, folder / 'warm.tif', method=method, components=2,
        extent=(500_000, 5_298_080, 501_920, 5_300_000),
    )  # fmt: skip
    before = peak()
    reduce_bands(path, folder / 'all.tif', method=method, components=COMPONENTS)
    print(f'{peak() - before:.0f}')


def main() -> None:
    """Print one table for time and one for memory."""
    logging.disable()
    if sys.argv[1:2] == ['memory']:
        memory(*sys.argv[2:])
        return
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    with tempfile.TemporaryDirectory() as folder:
        paths = {height: write_cube(Path(folder), size, height) for height in (size, 3 * size)}
        times(paths[size])
        print('Memory that reduce_bands takes on top, by height of the image:')
        for method in ('pca', 'mnf'):
            added = {}
            for height, path in paths.items():
                words = [sys.executable, __file__, 'memory', path, method]
                told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
                added[height] = float(told)
            shown = ', '.join(
                f'{rows} rows {megabytes:.0f} MB' for rows, megabytes in added.items()
            )
            grown = added[3 * size] - added[size]
            print(f'{method}: {shown}; {grown:.0f} MB more (at most {GROWTH})')


if __name__ == '__main__':
    main()
