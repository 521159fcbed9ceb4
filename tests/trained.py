"""Makes small trained models: untrained in truth, but complete bundles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torchgeo.tasks import ChangeDetection, SemanticSegmentation

from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle

#: The smallest encoder of segmentation-models-pytorch, so that files stay small.
BACKBONE = 'timm-mobilenetv3_small_minimal_100'
COLORS = ('#1f78b4', '#33a02c', '#e31a1c', '#ff7f00')


def tiny_bundle(
    folder: Path,
    *,
    names: Sequence[str] = ('red', 'green', 'blue'),
    classes: Sequence[str] = ('water', 'land', 'city'),
    dates: int = 1,
    **card: Any,
) -> Path:
    """Write a bundle with random, but always the same, weights.

    Args:
        folder: Where.
        names: Of the bands.
        classes: Of the classes; values count from 1. Two make a model of a single score.
        dates: 1 for segmentation, 2 for change.
        **card: Other entries of the card.
    """
    binary = len(classes) == 2
    arguments: dict[str, Any] = {
        'model': 'unet',
        'backbone': BACKBONE,
        'in_channels': len(names),
        'task': 'binary' if binary else 'multiclass',
        'num_classes': None if binary else len(classes),
    }
    task = SemanticSegmentation if dates == 1 else ChangeDetection
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = task(**arguments, loss='bce' if binary else 'ce')
        # statistics of batches nobody saw would make every score equal
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.8, 1.2)
                torch.nn.init.normal_(module.bias, std=0.3)
    settings: dict[str, Any] = {
        'name': 'tiny',
        'description': 'For tests.',
        'task': 'segmentation' if dates == 1 else 'change',
        'bands': tuple(Band(name, mean=30_000.0, std=15_000.0) for name in names),
        'classes': tuple(
            ModelClass(value, name, color)
            for value, (name, color) in enumerate(zip(classes, COLORS, strict=False), 1)
        ),
        'architecture': {'class': task.__name__, 'arguments': arguments},
        'output_activation': 'sigmoid' if binary else 'softmax',
        'dates': dates,
        'tile_size': 64,
        'halo': 16,
        'license': 'CC0-1.0',
    }
    return write_bundle(folder, BundleCard(**settings | card), network.model)
