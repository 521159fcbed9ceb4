"""A cube resampled to 13 bands, beside reading it plus the matrix product.

python tests/benchmarks/bench_spectral.py [--size 2000] [--bands 224] [--rounds 2]
python tests/benchmarks/bench_spectral.py --quick

Three turns in one process, the fastest of each counts: reading all bands with rasterio block by
block, in the type of the file; the product of the 13 x 224 matrix with these pixels in float32,
with the threads of NumPy; and resample_spectra from file to file, which also converts, looks for
missing pixels, rounds, compresses and writes. The file is int16, tiled and DEFLATE compressed, as
products are. Memory is the peak of a process of its own above what it held before.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

BLOCK = 256
#: Megabytes above the idle process that the operation may take, whatever the size.
MEMORY = 900
#: Time relative to reading and the product, at most.
RATIO = 1.3


def make_cube(folder: Path, size: int, bands: int) -> Path:
    """Write smooth spectra with noise: int16, tiled, compressed, with wavelengths."""
    path = folder / f'cube_{size}_{bands}.tif'
    if path.exists():
        return path
    random = np.random.default_rng(0)
    centres = np.linspace(420, 2450, bands)
    shape = 2500 + 1500 * np.sin(centres / 300)
    profile = {
        'driver': 'GTiff', 'width': size, 'height': size, 'count': bands, 'dtype': 'int16',
        'crs': 'EPSG:32633', 'transform': Affine(30, 0, 500_000, 0, -30, 5_300_000),
        'tiled': True, 'blockxsize': BLOCK, 'blockysize': BLOCK, 'compress': 'deflate',
        'zlevel': 1, 'predictor': 2, 'interleave': 'band', 'nodata': -32768, 'bigtiff': 'yes',
    }  # fmt: skip
    with rasterio.open(path, 'w', **profile) as dataset:
        for index, centre in enumerate(centres, 1):
            dataset.update_tags(index, wavelength=f'{centre:.2f}', fwhm='9')
        for window in windows(size):
            noise = random.integers(-40, 40, (bands, window.height, window.width), 'int16')
            light = random.uniform(0.6, 1.4, (window.height, window.width))
            values = (shape[:, None, None] * light).astype('int16') + noise
            dataset.write(values, window=window)
    return path


def windows(size: int) -> list[Window]:
    """Blocks of the file."""
    return [
        Window(left, top, min(BLOCK, size - left), min(BLOCK, size - top))
        for top in range(0, size, BLOCK)
        for left in range(0, size, BLOCK)
    ]


def bare(path: Path, matrix: np.ndarray) -> tuple[float, float]:
    """Seconds of reading, and of the product alone."""
    reading = product = 0.0
    with rasterio.Env(GDAL_CACHEMAX=64 * 2**20), rasterio.open(path) as dataset:
        for window in windows(dataset.width):
            started = time.perf_counter()
            values = dataset.read(window=window)
            reading += time.perf_counter() - started
            pixels = values.reshape(len(values), -1).astype(np.float32)
            started = time.perf_counter()
            matrix @ pixels
            product += time.perf_counter() - started
    return reading, product


def ours(path: Path, output: Path) -> float:
    """Seconds of the operation, from file to file."""
    from torchgeo_ext.operations import resample_spectra

    started = time.perf_counter()
    resample_spectra(path, output, sensor='sentinel2a', uncovered='guess', device='cpu')
    return time.perf_counter() - started


def compare(path: Path, folder: Path, rounds: int) -> dict[str, float]:
    """Measure both in turns and give the fastest of each."""
    from torchgeo_ext.sensors import BandWavelengths, read_wavelengths
    from torchgeo_ext.transforms._response import response_matrix

    weights, _ = response_matrix(read_wavelengths(path), BandWavelengths.of_sensor('sentinel2a'))
    matrix = weights.astype(np.float32)
    turns = [(*bare(path, matrix), ours(path, folder / 'out.tif')) for _ in range(rounds)]
    reading, product, resampling = (min(column) for column in zip(*turns, strict=True))
    return {
        'reading': reading,
        'product': product,
        'resampling': resampling,
        'ratio': resampling / (reading + product),
    }


def peak_memory(path: Path, folder: Path) -> float:
    """Megabytes that the operation adds to a process."""
    code = (
        'import sys, torch, rasterio\n'
        'from torchgeo_ext.operations import resample_spectra\n'
        'import torchgeo_ext.operations._cube, torchgeo_ext.operations._spectral\n'
        'import torchgeo_ext.transforms\n'
        'words = lambda: open("/proc/self/status").read().split()\n'
        'kilobytes = lambda key: int(words()[words().index(key) + 1])\n'
        'before = kilobytes("VmRSS:")\n'
        'resample_spectra(sys.argv[1], sys.argv[2], uncovered="guess", device="cpu")\n'
        'print((kilobytes("VmHWM:") - before) / 1024)\n'
    )
    arguments = [sys.executable, '-W', 'ignore', '-c', code, str(path), str(folder / 'm.tif')]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Print what was measured, and what may be at most."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--size', type=int, default=2000)
    parser.add_argument('--bands', type=int, default=224)
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--quick', action='store_true', help='a small cube')
    options = parser.parse_args()
    if options.quick:
        options.size, options.rounds = 300, 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = make_cube(folder, options.size, options.bands)
        found = compare(path, folder, options.rounds)
        found['memory'] = peak_memory(path, folder)
    limits = {'ratio': RATIO, 'memory': MEMORY}
    measured = {'size': options.size, 'bands': options.bands, **found, 'at most': limits}
    print(json.dumps(measured, indent=2))


if __name__ == '__main__':
    main()
