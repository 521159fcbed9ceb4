"""Objects of a raster, beside the same number of bare forward passes of the detector.

python tests/benchmarks/bench_detection.py [--size 4096] [--rounds 2]
python tests/benchmarks/bench_detection.py --quick

Bare passes on tiles that lie in memory and ours take turns in one process; the fastest turn of each
counts. Bare passes use whichever memory format is faster and PyTorch's own threads; ours may be
faster than these because it computes two tiles at a time on a CPU. The networks have random weights
and find some hundred boxes in each tile, so that joining tiles is part of what is measured.

On a busy machine the time that processors worked says more than that of the clock; with
OMP_NUM_THREADS=1 it does not contain the threads' waiting for each other.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
    network = MaskedObjectDetection(name, 'resnet18', in_channels=3, num_classes=3).model
    if name == 'fcos':
        network.head.classification_head.cls_logits.bias.data.fill_(0.0)
    return network.eval()


class Seconds(NamedTuple):
    """What a turn took.

    Attributes:
        clock: By the clock.
        processors: That processors worked, all together.
    """

    clock: float
    processors: float


def timed[Result](work: Callable[..., Result], *arguments: Any) -> tuple[Seconds, Result]:
    """Do some work and tell how long it took."""
    clock, processors = time.perf_counter(), time.process_time()
    result = work(*arguments)
    return Seconds(time.perf_counter() - clock, time.process_time() - processors), result


def bare(detector: Any, batches: list[Any], count: int) -> None:
    """Run forward passes on batches that lie in memory."""
    import torch

    with torch.inference_mode():
        for number in range(count):
            detector(batches[number % len(batches)])


def ours(detector: Any, path: Path) -> tuple[int, int]:
    """Find objects with this package; give the number of tiles and of objects."""
    from torchgeo_ext.inference import Grid, RasterSource, open_raster
    from torchgeo_ext.inference.detect import find_objects

    with open_raster(str(path)) as dataset:
        grid = Grid.of(dataset)
    found = find_objects(
        detector, RasterSource(str(path)), grid, tile_size=TILE, overlap=0, threshold=0.05,
        batch_size=1, device='cpu',
    )  # fmt: skip
    return found.tiles, len(found.scores)


def compare(
    title: str, network: Any, path: Path, rounds: int, work: Callable[[], tuple[int, str]]
) -> str:
    """Let bare passes and ours take turns, and say what came of it.

    Args:
        title: What is measured.
        network: The network.
        path: The raster.
        rounds: Turns of each.
        work: Ours; gives the number of tiles and what else there is to say.
    """
    layout, batches = best_format(network, path, tiles=2)
    turns: dict[str, list[Seconds]] = {'bare': [], 'ours': []}
    tiles, found = 0, ''
    for _ in range(rounds):
        seconds, (tiles, found) = timed(work)
        turns['ours'].append(seconds)
        turns['bare'].append(timed(bare, network, batches, tiles)[0])
    passes, whole = (
        Seconds(*(min(of) for of in zip(*turns[who], strict=True))) for who in ('bare', 'ours')
    )
    return (
        f'{title}: {tiles} tiles of {TILE}{found}, bare passes {layout}: bare '
        f'{passes.clock:.1f} s, ours {whole.clock:.1f} s; ours/bare '
        f'{whole.clock / passes.clock:.3f} by the clock, '
        f'{whole.processors / passes.processors:.3f} of the processors (at most {LIMIT})   '
        f'[load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores]'
    )


def measure(name: str, path: Path, rounds: int) -> str:
    """Compare for a detector."""
    detector = make_detector(name)

    def work() -> tuple[int, str]:
        tiles, objects = ours(detector, path)
        return tiles, f', {objects} objects'

    return compare(f'{name:>12}', detector, path, rounds, work)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=4096, help='pixels along a side')
    parser.add_argument('--rounds', type=int, default=2, help='turns of each')
    parser.add_argument('--quick', action='store_true', help='a small raster, about two minutes')
    options = parser.parse_args()
    size, rounds = (1024, 2) if options.quick else (options.size, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = make_raster(Path(folder), size)
        for name in ('faster-rcnn', 'fcos', 'rotated-fcos'):
            print(measure(name, path, rounds), flush=True)


if __name__ == '__main__':
    main()
