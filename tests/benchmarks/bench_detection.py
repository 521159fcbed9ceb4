"""Objects of a raster, beside the same number of bare forward passes of the detector.

python tests/benchmarks/bench_detection.py [--size 4096] [--rounds 2]
python tests/benchmarks/bench_detection.py --quick

Bare passes on tiles that lie in memory and ours take turns in one process; the fastest turn of each
counts. Bare passes use whichever memory format is faster and PyTorch's own threads; ours may be
faster than these because it computes two tiles at a time on a CPU. The networks have random weights
and find some hundred boxes in each tile, so that joining tiles is part of what is measured.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_inference import best_format, make_raster

TILE = 512
#: The most that may be: time relative to bare passes.
LIMIT = 1.1


def make_detector(name: str) -> Any:
    """Build a detector with random weights that is sure of many things."""
    import torch

    from torchgeo_ext.models import rotatedfcos
    from torchgeo_ext.tasks import MaskedObjectDetection

    torch.manual_seed(0)
    if name == 'rotated-fcos':
        network = rotatedfcos('resnet18', in_chans=3, num_classes=3, width=64)
        network.head.classes.bias.data.fill_(0.0)
        network.detections_per_img = 100
        return network.eval()
    return MaskedObjectDetection(name, 'resnet18', in_channels=3, num_classes=3).model.eval()


def bare(detector: Any, batches: list[Any], count: int) -> float:
    """Return the seconds of forward passes on batches that lie in memory."""
    import torch

    begun = time.perf_counter()
    with torch.inference_mode():
        for number in range(count):
            detector(batches[number % len(batches)])
    return time.perf_counter() - begun


def ours(detector: Any, path: Path) -> tuple[float, int, int]:
    """Find objects with this package; give the seconds it took, tiles and objects."""
    from torchgeo_ext.inference import Grid, RasterSource, open_raster
    from torchgeo_ext.inference.detect import find_objects

    begun = time.perf_counter()
    with open_raster(str(path)) as dataset:
        grid = Grid.of(dataset)
    found = find_objects(
        detector, RasterSource(str(path)), grid, tile_size=TILE, overlap=0, threshold=0.05,
        batch_size=1, device='cpu',
    )  # fmt: skip
    return time.perf_counter() - begun, found.tiles, len(found.scores)


def measure(name: str, path: Path, rounds: int) -> str:
    """Let bare passes and ours take turns, and say what came of it."""
    detector = make_detector(name)
    layout, batches = best_format(detector, path, tiles=2)
    times: dict[str, list[float]] = {'bare': [], 'ours': []}
    tiles = objects = 0
    for _ in range(rounds):
        seconds, tiles, objects = ours(detector, path)
        times['ours'].append(seconds)
        times['bare'].append(bare(detector, batches, tiles))
    passes, whole = min(times['bare']), min(times['ours'])
    return (
        f'{name:>12}: {tiles} tiles of {TILE}, {objects} objects, bare passes {layout}: bare '
        f'{passes:.1f} s, ours {whole:.1f} s; ours/bare {whole / passes:.3f} (at most {LIMIT})   '
        f'[load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores]'
    )


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=4096, help='pixels along a side')
    parser.add_argument('--rounds', type=int, default=2, help='turns of each')
    parser.add_argument('--quick', action='store_true', help='a small raster, about a minute')
    options = parser.parse_args()
    size, rounds = (1024, 1) if options.quick else (options.size, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = make_raster(Path(folder), size)
        for name in ('faster-rcnn', 'fcos', 'rotated-fcos'):
            print(measure(name, path, rounds), flush=True)


if __name__ == '__main__':
    main()
