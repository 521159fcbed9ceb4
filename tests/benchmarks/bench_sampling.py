"""Patches per second: bare window reads, our datasets and samplers, TorchGeo's.

python tests/benchmarks/bench_sampling.py [--quick] [--workers 2] [--compress deflate|none]

Four GeoTIFFs of 4096 x 4096 pixels with four bands of uint16, tiled by 256, compressed as files of
satellites mostly are (without, reading is little more than copying memory, and what is made of
uint16 in float32 counts for more); patches of 256 x 256 at random places; a single date, and a pair
of dates. Bare reads use as many threads, each with its own open files, as the loaders with workers
have processes that read. All ways take turns, the fastest turn of each counts; starting the
processes does not.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

SIZE, BANDS, BLOCK, PATCH, BATCH = 4096, 4, 256, 256, 16
#: Patches per second relative to bare reads, at least.
LIMIT = 0.8


def make_rasters(folder: Path, compress: str) -> list[list[Path]]:
    """Write two dates of four neighbouring rasters and return their paths by date."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 8000, SIZE)
    dates = []
    for day in ('20200601', '20210601'):
        paths = []
        for number in range(4):
            path = folder / day / f'scene{number}_{day}.tif'
            path.parent.mkdir(exist_ok=True)
            column, row = number % 2, number // 2
            transform = Affine(
                10, 0, 500_000 + column * SIZE * 10, 0, -10, 5_300_000 - row * SIZE * 10
            )
            with rasterio.open(
                path, 'w', driver='GTiff', width=SIZE, height=SIZE, count=BANDS, dtype='uint16',
                crs='EPSG:32633', transform=transform, tiled=True, blockxsize=BLOCK,
                blockysize=BLOCK, compress=compress,
            ) as dataset:  # fmt: skip
                for band in range(1, BANDS + 1):
                    values = ramp + ramp[:, None] / band + random.integers(0, 64, (SIZE, SIZE))
                    dataset.write(values.astype('uint16'), band)
            paths.append(path)
        dates.append(paths)
    return dates


def bare(dates: Sequence[Sequence[Path]], threads: int, count: int) -> float:
    """Read windows in a process of its own: threads and forking do not go together."""
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        return pool.submit(read_windows, dates, threads, count).result()


def read_windows(dates: Sequence[Sequence[Path]], threads: int, count: int) -> float:
    """Read windows with one set of open files per thread and return patches per second."""
    random = np.random.default_rng(1)
    places = random.integers(0, SIZE - PATCH, (count, 2)).tolist()
    numbers = random.integers(0, 4, count).tolist()

    def work(thread: int) -> None:
        files = [[rasterio.open(path) for path in paths] for paths in dates]
        for number, (row, column) in list(zip(numbers, places, strict=True))[thread::threads]:
            for date in files:
                date[number].read(window=Window(column, row, PATCH, PATCH))

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return count / (time.perf_counter() - begun)


def ours(dates: Sequence[Sequence[Path]], workers: int, count: int) -> float:
    """Load batches with this package and return patches per second."""
    from torchgeo_ext.datasets import GeoPair, TiledRaster, collate_samples
    from torchgeo_ext.samplers import SeededRandomSampler

    paths = [[str(path) for path in date] for date in dates]
    dataset = TiledRaster(paths[0]) if len(paths) == 1 else GeoPair(*paths)
    sampler = SeededRandomSampler(dataset, size=PATCH, length=count, seed=0)
    return load(dataset, sampler, collate_samples, workers, count)


def torchgeo(dates: Sequence[Sequence[Path]], workers: int, count: int) -> float:
    """Load batches as TorchGeo's documentation does and return patches per second."""
    from torchgeo.datasets import IntersectionDataset, RasterDataset, stack_samples
    from torchgeo.samplers import RandomPatchSampler

    sets = [RasterDataset([str(path) for path in date]) for date in dates]
    dataset = sets[0] if len(sets) == 1 else IntersectionDataset(*sets, spatial_only=True)
    sampler = RandomPatchSampler(dataset, size=PATCH, length=count, generator=0)
    return load(dataset, sampler, stack_samples, workers, count)


def load(
    dataset: Any, sampler: Any, collate: Callable[..., Any], workers: int, count: int
) -> float:
    """Go through a loader; the clock starts when the first batch is there."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        dataset, BATCH, sampler=sampler, num_workers=workers, collate_fn=collate,
        persistent_workers=workers > 0,
    )  # fmt: skip
    for _ in zip(loader, range(2 * max(1, workers)), strict=False):
        pass
    begun = time.perf_counter()
    for batch in loader:
        batch['image'].shape  # noqa: B018  # what a training step would begin with
    return count / (time.perf_counter() - begun)


def rounds(ways: dict[str, Callable[[], float]], number: int) -> Iterator[tuple[str, float]]:
    """Let the ways take turns and yield the best of each."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(number):
        for name, way in ways.items():
            best[name] = max(best[name], way())
    yield from best.items()


def main() -> None:
    """Print patches per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='fewer patches and rounds')
    parser.add_argument(
        '--workers', type=int, default=2, help='processes, and threads of bare reads'
    )
    parser.add_argument('--compress', default='deflate', choices=('deflate', 'none'))
    arguments = parser.parse_args()
    count, turns = (256, 2) if arguments.quick else (1024, 3)
    warnings.filterwarnings('ignore', message='.*This process.*is multi-threaded')
    with tempfile.TemporaryDirectory() as folder:
        dates = make_rasters(Path(folder), arguments.compress)
        for title, chosen in (('single date', dates[:1]), ('date pair', dates)):
            for workers in (0, arguments.workers):
                ways = {
                    'bare reads': lambda c=chosen: bare(c, arguments.workers, count),
                    'ours': lambda c=chosen, w=workers: ours(c, w, count),
                    'TorchGeo': lambda c=chosen, w=workers: torchgeo(c, w, count),
                }
                speeds = dict(rounds(ways, turns))
                ratios = {name: speed / speeds['bare reads'] for name, speed in speeds.items()}
                print(f'{title}, {workers} worker processes')
                for name, speed in speeds.items():
                    print(f'  {name:12}{speed:8.0f} patches/s  {ratios[name]:5.2f} of bare')
                print(f'  ours / TorchGeo: {speeds["ours"] / speeds["TorchGeo"]:.2f}')
                print(f'  ours / bare: {ratios["ours"]:.2f} (at least {LIMIT})')


if __name__ == '__main__':
    main()
