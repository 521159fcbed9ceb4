"""Images per second of each backbone, beside the same network of another library if there is one.

python tests/benchmarks/bench_backbones.py [--quick] [--names NAME ...]

Both are run in turn in one process, so that the ratio holds on any machine. Weights are random,
which does not change how long it takes. A ratio above 1 means that ours is slower.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor

from torchgeo_ext import registry
from torchgeo_ext.models.features import backbone_features, list_backbones

#: Pixels along a side of an image, images at once, and runs of which the shortest counts.
SIZE, BATCH, REPEATS = 224, 2, 3
QUICK_SIZE, QUICK_BATCH, QUICK_REPEATS = 64, 1, 1
#: Backbones for other images: bands, and pixels along a side.
IMAGES = {
    'satmaepp_sentinel2_vitl': (10, 96), 'skysense_sentinel1_vitl': (2, 16),
    'skysense_sentinel2_vitl': (10, 16), 'lessvit_base': (4, 64),
}  # fmt: skip
#: The same network, or one of the same blocks and tokens, by the builder of its library.
PEERS: dict[str, Callable[[], Any]] = {
    'resnet18': lambda: timm.create_model('resnet18', num_classes=0),
    'resnet50': lambda: timm.create_model('resnet50', num_classes=0),
    'swin_t': lambda: torchvision.models.swin_t(),
    'swin_v2_t': lambda: torchvision.models.swin_v2_t(),
    'vit_small_patch16_224': lambda: timm.create_model('vit_small_patch16_224', num_classes=0),
    'vit_base_patch16_224': lambda: timm.create_model('vit_base_patch16_224', num_classes=0),
    'satmaepp_rgb_vitb': lambda: timm.create_model('vit_base_patch16_224', num_classes=0),
    'satmaepp_rgb_vitl': lambda: timm.create_model('vit_large_patch16_224', num_classes=0),
}
#: Networks that are worth a line each time: one size of each family.
USUAL = (
    'resnet18', 'resnet50', 'swin_t', 'swin_v2_t', 'vit_small_patch16_224', 'agrifm_encoder_base',
    'dynamicvis_b', 'eurosat_attention7', 'eurosat_balanced12', 'eurosat_baseline3', 'lessvit_base',
    'rsmamba_b', 'satmaepp_rgb_vitb', 'satmaepp_sentinel2_vitb', 'skysense_sentinel2_vitl',
    'spectralearth_resnet50', 'spectralearth_vits', 'vmamba_tiny',
)  # fmt: skip


def seconds(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Give the shortest run of each of some things that are done in turn."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, taken in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


def bands_of(name: str, pixels: int) -> tuple[int, int]:
    """Tell how many bands, and how many pixels along a side, the images of a backbone have."""
    if name in IMAGES:
        return IMAGES[name]
    usual = 10 if 'sentinel2' in name or name.startswith('agrifm') else 3
    return (202 if name.startswith('spectralearth') else usual), pixels


def compare(name: str, pixels: int, batch: int, repeats: int) -> None:
    """Print one line of the table."""
    bands, side = bands_of(name, pixels)
    torch.manual_seed(0)
    images = torch.randn(batch, bands, side, side)
    backbone = backbone_features(name, in_chans=bands).eval()
    works: list[Callable[[], object]] = [lambda: backbone.feature_maps(images)]
    if name in PEERS and side == SIZE:
        peer = PEERS[name]().eval()
        works.append(lambda: body(peer, images))
    with torch.inference_mode():
        works[0]()  # what is made once
        ours, *theirs = seconds(works, repeats)
    million = sum(parameter.numel() for parameter in backbone.parameters()) / 1e6
    ratio = f'{ours / theirs[0]:.2f}' if theirs else '-'
    where = 'this package' if name in registry.models else 'TorchGeo'
    print(
        f'{name:28} {where:13} {million:7.1f} {bands:4} x {side:<4} {batch / ours:8.2f} '
        f'{1000 * ours / batch:9.0f} {ratio:>6}'
    )


def body(network: Any, images: Tensor) -> Tensor:
    """Run a network of another library without its head."""
    features: Tensor = (
        network.forward_features(images)
        if hasattr(network, 'forward_features')
        else network.features(images)
    )
    return features


def main() -> None:
    """Print a table of the usual backbones, or of those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--names', nargs='+', choices=list_backbones(), default=list(USUAL))
    given = parser.parse_args()
    pixels, batch, repeats = (
        (QUICK_SIZE, QUICK_BATCH, QUICK_REPEATS) if given.quick else (SIZE, BATCH, REPEATS)
    )
    heads = f'{"bands x pixels":>10} {"images/s":>8} {"ms/image":>9} {"ratio":>6}'
    print(f'{"backbone":28} {"of":13} {"million":>7} {heads}')
    for name in given.names:
        compare(name, pixels, batch, repeats)


if __name__ == '__main__':
    main()
