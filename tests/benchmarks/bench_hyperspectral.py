"""A cube of 202 bands segmented with SpectralEarth's ResNet-50, beside bare forward passes.

python tests/benchmarks/bench_hyperspectral.py [--size 1024] [--rounds 2]
python tests/benchmarks/bench_hyperspectral.py --quick

Bare passes on tiles that lie in memory, with PyTorch's own threads, and ours from file to file take
turns in one process; the fastest turn of each counts. The network has random weights and an FPN.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import rasterio
from bench_inference import CLASSES, bare, ours
from bench_spectral import make_cube

TILE, BANDS = 128, 202
#: The most that may be: time relative to bare passes, as for other networks.
LIMIT = 1.25


def make_model() -> Any:
    """Build the network."""
    import torch

    from torchgeo_ext.models import segmenter

    torch.manual_seed(0)
    return segmenter('spectralearth_resnet50', 'fpn', in_chans=BANDS, num_classes=CLASSES).eval()


def read_tiles(path: Path, count: int) -> list[Any]:
    """Put some tiles into memory."""
    import torch

    with rasterio.open(path) as dataset:
        windows = (
            rasterio.windows.Window(number * TILE, 0, TILE, TILE)
            for number in range(min(count, dataset.width // TILE))
        )
        return [
            torch.from_numpy(dataset.read(window=window).astype('float32'))[None]
            for window in windows
        ]


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=1024, help='pixels along a side')
    parser.add_argument('--rounds', type=int, default=2, help='turns of each')
    parser.add_argument('--quick', action='store_true', help='a small cube, about a minute')
    options = parser.parse_args()
    size, rounds = (384, 1) if options.quick else (options.size, options.rounds)
    count = (size // TILE) ** 2
    model = make_model()
    with tempfile.TemporaryDirectory() as folder:
        path = make_cube(Path(folder), size, BANDS)
        tiles = read_tiles(path, 8)
        bare(model, tiles, 2)
        times: dict[str, list[float]] = {'bare': [], 'ours': []}
        for _ in range(rounds):
            times['ours'].append(ours(model, path, Path(folder, 'classes.tif'), TILE))
            times['bare'].append(bare(model, tiles, count))
    passes, whole = min(times['bare']), min(times['ours'])
    print(
        f'{count} tiles of {TILE} x {TILE} x {BANDS}: bare {passes:.1f} s, ours {whole:.1f} s; '
        f'ours/bare {whole / passes:.3f} (at most {LIMIT})   '
        f'[load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores]'
    )


if __name__ == '__main__':
    main()
