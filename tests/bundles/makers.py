"""Makes tiny tasks, checkpoints, cards and bundles."""

import dataclasses
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torchgeo.tasks import SemanticSegmentation

from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle

BANDS = (
    Band('B02', 0.492, 0.065, scale=1e-4, offset=-0.1, nodata=0, mean=0.05, std=0.02, minimum=0.0),
    Band('B03', 0.560, 0.035, scale=1e-4, offset=-0.1, nodata=0, mean=0.07, std=0.03, maximum=0.9),
    Band('B04', 0.665, 0.030, scale=1e-4, offset=-0.1, nodata=0, mean=0.09, std=0.04),
)
CLASSES = (
    ModelClass(1, 'water', '#1f78b4'),
    ModelClass(2, 'forêt', '#33a02c'),
    ModelClass(7, '水田', '#ff7f00'),
)


def task(**changes: Any) -> SemanticSegmentation:
    """A segmentation task of 432 parameters: 3 bands, 3 classes, any tile size."""
    torch.manual_seed(0)
    return SemanticSegmentation(**({'model': 'fcn', 'in_channels': 3, 'num_classes': 3} | changes))


def card(**changes: Any) -> BundleCard:
    """The card of :func:`task`."""
    made = BundleCard(
        name='Land cover of Tinyland',
        description='For tests.',
        task='segmentation',
        bands=BANDS,
        classes=CLASSES,
        architecture={
            'class': 'SemanticSegmentation',
            'arguments': {'model': 'fcn', 'in_channels': 3, 'num_classes': 3},
        },
        output_activation='softmax',
        tile_size=32,
        halo=4,
        resolution_minimum=8.0,
        resolution_maximum=12.0,
        license='CC-BY-4.0',
        citation='Nobody (2026). Land cover of Tinyland.',
        training={'metrics': {'mean_iou': 0.5}, 'epochs': 3},
        extent=(14.0, 45.0, 15.0, 46.0),
    )
    return dataclasses.replace(made, **changes)


def bundle(folder: Path, **changes: Any) -> Path:
    """Write a bundle of :func:`task`; ``changes`` are those of its card."""
    return write_bundle(folder, card(**changes), task())


def checkpoint(path: Path, module: LightningModule) -> Path:
    """Save a checkpoint as Lightning's Trainer does."""
    logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        trainer = Trainer(
            accelerator='cpu', logger=False, enable_checkpointing=False, enable_model_summary=False
        )
        trainer.strategy.connect(module)
        trainer.save_checkpoint(path)
    return path
