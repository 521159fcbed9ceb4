"""Vectors of a raster, beside the same number of bare forward passes of the backbone.

python tests/benchmarks/bench_embedding.py [--size 4096] [--rounds 3]
python tests/benchmarks/bench_embedding.py --quick

As bench_detection.py. A vector for every 32 pixels, and one for each tile; random weights. The
smaller network, with passes of some milliseconds, shows what a tile costs besides.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bench_detection import compare
from bench_inference import TILE, make_raster


def make_network(name: str, *, pooled: bool) -> Any:
    """Build a backbone with random weights that gives vectors."""
    import torch

    from torchgeo_ext.inference.embedding import StageFeatures
    from torchgeo_ext.models.features import backbone_features
    from torchgeo_ext.preprocessing import Preprocessing

    torch.manual_seed(0)
    backbone = backbone_features(name, in_chans=3)
    last = len(backbone.feature_info) - 1
    seen = Preprocessing('other', mean=(100.0,) * 3, std=(50.0,) * 3)
    return StageFeatures(backbone, None if pooled else last, seen).eval()


def ours(network: Any, path: Path, output: Path, reduction: int) -> int:
    """Write the vectors with this package and return the number of tiles."""
    from torchgeo_ext.inference import Grid, RasterOutput, RasterSource, open_raster, predict_raster

    with open_raster(str(path)) as dataset:
        grid = Grid.of(dataset)
    return predict_raster(
        network, RasterSource(str(path)), grid, [RasterOutput(str(output), 'values')],
        tile_size=TILE, merge='crop', batch_size=1, device='cpu', reduction=reduction,
    ).tiles  # fmt: skip


def measure(name: str, path: Path, rounds: int, *, pooled: bool) -> str:
    """Compare for a backbone."""
    network = make_network(name, pooled=pooled)
    output, reduction = path.with_name('vectors.tif'), TILE if pooled else 32
    kind = 'a vector for each tile' if pooled else 'one for 32 pixels'
    return compare(
        f'{name:>12}, {kind}', network, path, rounds,
        lambda: (ours(network, path, output, reduction), ''),
    )  # fmt: skip


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=4096, help='pixels along a side')
    parser.add_argument('--rounds', type=int, default=3, help='turns of each')
    parser.add_argument('--quick', action='store_true', help='a small raster')
    options = parser.parse_args()
    size, rounds = (2048, 2) if options.quick else (options.size, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = make_raster(Path(folder), size)
        for name in ('resnet18', 'tu-mobilenetv3_small_100'):
            for pooled in (False, True):
                print(measure(name, path, rounds, pooled=pooled), flush=True)


if __name__ == '__main__':
    main()
