"""Raster in, raster out, beside the same number of bare forward passes and plain TorchGeo.

python tests/benchmarks/bench_inference.py [--size 8192] [--rounds 2] [--memory 2048 8192 16384]
python tests/benchmarks/bench_inference.py --quick

Time: bare passes on tiles that lie in memory, ours and TorchGeo's idiom take turns in one process,
the fastest turn of each counts. Bare passes use whichever memory format is faster and PyTorch's
own threads; ours may be faster than these because it computes two tiles at a time on a CPU.
Memory: the peak of a process of its own above what it held with the model loaded and warmed up.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

TILE, CLASSES = 512, 5
#: The most that may be: time relative to bare passes, megabytes above the idle process.
LIMITS = {'resnet18': 1.05, 'mobilenet': 1.25}
MEMORY = 400


def make_model(name: str) -> Any:
    """Build a network with random weights."""
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(0)
    encoder, decoder = {
        'resnet18': ('resnet18', (256, 128, 64, 32, 16)),
        'mobilenet': ('timm-mobilenetv3_small_100', (64, 48, 32, 24, 16)),
    }[name]
    network = smp.Unet(encoder, encoder_weights=None, decoder_channels=decoder, classes=CLASSES)
    return network.eval()


def make_raster(folder: Path, size: int) -> Path:
    """Write RGB uint8, tiled and compressed."""
    path = folder / f'image_{size}.tif'
    if path.exists():
        return path
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 1024)
    ground = np.stack(
        [ramp + 0 * ramp[:, None], 0 * ramp + ramp[:, None], 200 - ramp + 0 * ramp[:, None]]
    )
    profile = {
        'driver': 'GTiff', 'width': size, 'height': size, 'count': 3, 'dtype': 'uint8',
        'crs': 'EPSG:32633', 'transform': Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000),
        'tiled': True, 'blockxsize': 256, 'blockysize': 256, 'compress': 'deflate',
        'photometric': 'rgb',
    }  # fmt: skip
    with rasterio.open(path, 'w', **profile) as dataset:
        for top in range(0, size, 1024):
            for left in range(0, size, 1024):
                block = ground + random.integers(0, 16, ground.shape)
                dataset.write(block.astype('uint8'), window=Window(left, top, 1024, 1024))
    return path


def ours(model: Any, path: Path, output: Path, tile: int = TILE) -> float:
    """Predict with this package and return the seconds it took."""
    from torchgeo_ext.inference import (
        Grid,
        RasterClass,
        RasterOutput,
        RasterSource,
        open_raster,
        predict_raster,
    )

    classes = [RasterClass(n, f'class {n}', f'#{n * 40:02x}8040') for n in range(CLASSES)]
    begun = time.perf_counter()
    with open_raster(str(path)) as dataset:
        grid = Grid.of(dataset)
    predict_raster(
        model, RasterSource(str(path)), grid, [RasterOutput(output, 'classes', classes)],
        tile_size=tile, merge='crop', batch_size=1, device='cpu',
    )  # fmt: skip
    return time.perf_counter() - begun


def bare(model: Any, batches: list[Any], count: int) -> float:
    """Return the seconds of forward passes on batches that lie in memory."""
    import torch

    begun = time.perf_counter()
    with torch.inference_mode():
        for number in range(count):
            model(batches[number % len(batches)])
    return time.perf_counter() - begun


def torchgeo(model: Any, path: Path, output: Path) -> float:
    """Predict as TorchGeo's documentation does, stitched in memory, and return the seconds."""
    import torch
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GriddedPatchSampler

    begun = time.perf_counter()
    dataset = RasterDataset(str(path))
    loader = DataLoader(
        dataset, batch_size=1, sampler=GriddedPatchSampler(dataset, size=TILE, stride=TILE),
        collate_fn=stack_samples,
    )  # fmt: skip
    with rasterio.open(path) as source:
        profile = source.profile | {'count': 1}
        profile.pop('photometric', None)
        classes = np.zeros(source.shape, 'uint8')
        with torch.inference_mode():
            for batch in loader:
                best = model(batch['image']).argmax(1)[0].to(torch.uint8).numpy()
                bounds = batch['bounds'][0].tolist()
                column, row = (round(n) for n in ~source.transform @ (bounds[0], bounds[4]))
                part = classes[row : row + TILE, column : column + TILE]
                part[...] = best[: part.shape[0], : part.shape[1]]
    with rasterio.open(output, 'w', **profile) as result:
        result.write(classes, 1)
    return time.perf_counter() - begun


def best_format(model: Any, path: Path, tiles: int = 16) -> tuple[str, list[Any]]:
    """Lay model and some tiles out in whichever memory format gives faster bare passes."""
    import torch

    with rasterio.open(path) as dataset:
        pixels = [
            dataset.read(window=Window(left, 0, TILE, TILE)).astype('float32')[None]
            for left in range(0, min(dataset.width, tiles * TILE), TILE)
        ]
    formats = {'channels_last': torch.channels_last, 'channels_first': torch.contiguous_format}
    seconds, batches = {}, {}
    for name, layout in formats.items():
        model.to(memory_format=layout)
        batches[name] = [torch.from_numpy(t).contiguous(memory_format=layout) for t in pixels]
        bare(model, batches[name], 2)
        seconds[name] = min(bare(model, batches[name], 2) for _ in range(2))
    fastest = min(seconds, key=lambda name: seconds[name])
    model.to(memory_format=formats[fastest])
    return fastest, batches[fastest]


def measure_time(name: str, path: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Let bare passes, ours and TorchGeo take turns."""
    model = make_model(name)
    layout, batches = best_format(model, path)
    with rasterio.open(path) as dataset:
        count = (dataset.width // TILE) ** 2
    turns: dict[str, Callable[[], float]] = {
        'bare': lambda: bare(model, batches, count),
        'ours': lambda: ours(model, path, folder / 'ours.tif'),
        'torchgeo': lambda: torchgeo(model, path, folder / 'torchgeo.tif'),
    }
    seconds = {turn: min(times) for turn, times in _rounds(turns, rounds).items()}
    return {'layout': layout, 'tiles': count, **seconds}


def _rounds(turns: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {turn: [] for turn in turns}
    for _ in range(rounds):
        for turn, run in turns.items():
            times[turn].append(run())
    return times


def measure_memory(name: str, path: Path, folder: Path, run: str) -> dict[str, Any]:
    """Return the megabytes of the warmed-up process and of its peak above that."""
    model = make_model(name)
    # as many tiles whatever the size of the raster: what they leave in the process counts as idle
    _, batches = best_format(model, path, tiles=2)
    bare(model, batches, 4)
    del batches
    idle = _status('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
    {'ours': ours, 'torchgeo': torchgeo}[run](model, path, folder / f'{run}.tif')
    return {'idle': idle, 'peak': _status('VmHWM') - idle}


def _status(field: str) -> float:
    text = Path('/proc/self/status').read_text()
    return int(text.split(f'{field}:')[1].split()[0]) / 1024


def in_a_process_of_its_own(what: str, *arguments: object) -> dict[str, Any]:
    """Run one measurement of this file in a fresh interpreter."""
    command = [sys.executable, __file__, '--worker', what, *map(str, arguments)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def work(what: str, name: str, path: str, folder: str, last: str) -> None:
    """Do one measurement and print it as JSON."""
    if what == 'time':
        found = measure_time(name, Path(path), Path(folder), int(last))
    else:
        found = measure_memory(name, Path(path), Path(folder), last)
    print(json.dumps(found))


def load() -> str:
    """Say how busy the machine is: figures from a busy one mean little."""
    return f'load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores'


def print_times(size: int, rounds: int, folder: Path) -> None:
    """Print the ratios to bare passes."""
    path = make_raster(folder, size)
    for name, limit in LIMITS.items():
        t = in_a_process_of_its_own('time', name, path, folder, rounds)
        print(
            f'{name:>10} {size} px, {t["tiles"]} tiles of {TILE}, bare passes {t["layout"]}: '
            f'bare {t["bare"]:.1f} s, ours {t["ours"]:.1f} s, TorchGeo {t["torchgeo"]:.1f} s; '
            f'ours/bare {t["ours"] / t["bare"]:.3f} (at most {limit}), '
            f'TorchGeo/bare {t["torchgeo"] / t["bare"]:.3f}   [{load()}]',
            flush=True,
        )


def print_memory(sizes: list[int], folder: Path, names: list[str]) -> None:
    """Print the peaks above the idle process."""
    for name in names:
        for size in sizes:
            path = make_raster(folder, size)
            m = in_a_process_of_its_own('memory', name, path, folder, 'ours')
            text = f'peak {m["peak"]:.0f} MB above {m["idle"]:.0f} MB (at most {MEMORY})'
            if size == min(sizes):  # takes many times as long
                plain = in_a_process_of_its_own('memory', name, path, folder, 'torchgeo')
                text += f'; TorchGeo {plain["peak"]:.0f} MB'
            print(f'{name:>10} {size} px: {text}', flush=True)


def main() -> None:
    """Print times and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=8192, help='pixels along a side, for the times')
    parser.add_argument('--rounds', type=int, default=2, help='turns of each, for the times')
    parser.add_argument('--memory', type=int, nargs='*', default=[2048, 16384], help='sizes')
    parser.add_argument('--quick', action='store_true', help='small sizes, under a minute')
    parser.add_argument('--worker', nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            print_times(1024, 2, Path(folder))
            print_memory([1024, 2048], Path(folder), ['resnet18'])
        else:
            print_times(options.size, options.rounds, Path(folder))
            print_memory(options.memory, Path(folder), list(LIMITS))


if __name__ == '__main__':
    main()
