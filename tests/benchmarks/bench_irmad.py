"""Time of an IR-MAD iteration beside that of reading the pair once, and memory by image height.

python tests/benchmarks/bench_irmad.py [size]
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

BANDS, ITERATIONS = 4, 5


def write_pair(folder: Path, width: int, height: int) -> list[str]:
    """Write two dates of correlated bands with noise, as tiled compressed uint16."""
    random = np.random.default_rng(0)
    profile = dict(  # noqa: C408  (reads as a list of options)
        driver='GTiff', width=width, height=height, count=BANDS, dtype='uint16', crs='EPSG:32633',
        transform=Affine(10, 0, 500_000, 0, -10, 5_300_000), tiled=True, blockxsize=256,
        blockysize=256, compress='deflate',
    )  # fmt: skip
    paths = [str(folder / f'{date}_{height}.tif') for date in ('before', 'after')]
    with rasterio.open(paths[0], 'w', **profile) as before, rasterio.open(
        paths[1], 'w', **profile
    ) as after:  # fmt: skip
        mixing = random.uniform(100, 300, (BANDS, BANDS))
        for _, window in before.block_windows():
            shape = (BANDS, window.height, window.width)
            ground = 3000 + np.tensordot(mixing, random.normal(size=shape), 1)
            for dataset in (before, after):
                seen = ground + 60 * random.normal(size=shape)
                dataset.write(seen.clip(1, 65535).astype('uint16'), window=window)
    return paths


def peak() -> float:
    """Give the peak memory of this process in MB."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def times(paths: list[str]) -> None:
    """Print the time of reading and of iterating, from files and from memory."""
    from torchgeo_ext.inference.irmad import fit_irmad
    from torchgeo_ext.inference.pairs import PixelPairs
    from torchgeo_ext.inference.reader import RasterSource

    sources = [RasterSource(path) for path in paths]
    with sources[0].open() as reader:
        grid = reader.grid
    pixels = grid.width * grid.height
    seconds = {}
    with PixelPairs(*sources, grid, remember=0) as pairs:
        started = time.perf_counter()
        for _ in pairs:
            pass
        seconds['reading'] = time.perf_counter() - started
    for name, remember in (('iteration from files', 0), ('iteration from memory', 2**30)):
        with PixelPairs(*sources, grid, remember=remember) as pairs:
            list(pairs if remember else ())
            started = time.perf_counter()
            fit_irmad(pairs, pairs.names, iterations=ITERATIONS, tolerance=-1)
            seconds[name] = (time.perf_counter() - started) / ITERATIONS
    print(f'{grid.width} x {grid.height} pixels, {BANDS} bands of uint16')
    for name, value in seconds.items():
        ratio = value / seconds['reading']
        print(f'{name:<24}{value:8.2f} s {1e9 * value / pixels:8.0f} ns/pixel {ratio:8.2f} x')


def memory(paths: list[str]) -> None:
    """Print what the operation adds to the memory of a process that is warmed up."""
    from torchgeo_ext.operations import detect_change

    folder = Path(paths[0]).parent
    detect_change(*paths[:2], folder / 'warm.tif', extent='500000,5297440,502560,5300000')
    before = peak()
    detect_change(*paths[:2], folder / 'change.tif', maximum_iterations=3)
    print(f'{peak() - before:.0f}')


def main() -> None:
    """Print one table for time and one for memory."""
    logging.disable()
    if sys.argv[1:2] == ['memory']:
        memory(sys.argv[2:])
        return
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    with tempfile.TemporaryDirectory() as folder:
        times(write_pair(Path(folder), size, size))
        print('Memory that detect_change takes on top, by height of the images:')
        for height in (size, 2 * size, 4 * size):
            paths = write_pair(Path(folder), size, height)
            words = [sys.executable, __file__, 'memory', *paths]
            added = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            print(f'{height:>8} rows {added.strip():>6} MB')


if __name__ == '__main__':
    main()
