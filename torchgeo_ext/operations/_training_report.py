"""Gathers what the report of a training shows."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from affine import Affine

from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import open_raster
from torchgeo_ext.operations._training import Training, describe, versions
from torchgeo_ext.tasks._pictures import quicklook, rgb_bands
from torchgeo_ext.tasks._report import Report, ReportClass, Sample, SplitMap

if TYPE_CHECKING:
    from torchgeo_ext.datasets._scene import Scene
    from torchgeo_ext.samplers import Patch

#: Width or height of a map in pixels.
_MAP = 400
_MOST_MAPS = 4
_MOST_SAMPLES = 5
#: Tiles among which the samples are chosen.
_CANDIDATES = 200


def make_report(done: Training) -> Report:
    """Gather the report of a training.

    Args:
        done: The training.
    """
    dataset, survey = done.datamodule.labelled, done.datamodule.survey
    classes = [
        ReportClass(*entry, int(training), int(validation))
        for entry, training, validation in zip(
            dataset.classes, survey.training_counts, survey.validation_counts, strict=True
        )
    ]
    return Report(
        title=done.name,
        lead=describe(done),
        files=list(_files(done)),
        classes=classes,
        fitted=done.fitted,
        maps=list(_maps(done)),
        samples=[_sample(done, patch) for patch in _best_patches(done)],
        facts=_facts(done),
        notes=list(_notes(done)),
    )


def _files(done: Training) -> Iterator[tuple[str, ...]]:
    yield 'file', 'size', 'pixel', 'bands', 'type', 'reference system', 'date'
    for scene in done.datamodule.labelled.scenes:
        for image in scene.images:
            with open_raster(image.path, image.argument) as dataset:
                width, height = Grid.of(dataset).resolution
                yield (
                    Path(image.path).name,
                    f'{dataset.width} x {dataset.height}',
                    f'{width:.6g} x {height:.6g}',
                    str(dataset.count),
                    dataset.dtypes[0],
                    dataset.crs.to_string()[:60] if dataset.crs else 'none',
                    f'{image.time.left:%Y-%m-%d}' if image.time else 'unknown',
                )
    yield Path(str(done.datamodule.kwargs['labels'])).name, '', '', '', 'labels', '', ''


def _maps(done: Training) -> Iterator[SplitMap]:
    """Show the blocks of each place once, however many images there are of it."""
    moments, bands = done.datamodule.survey.moments, rgb_bands(done.datamodule.labelled.bands)
    shown: list[Grid] = []
    for scene in done.datamodule.labelled.scenes:
        if scene.grid in shown or len(shown) == _MOST_MAPS:
            continue
        shown.append(scene.grid)
        small = _reduced(scene.grid)
        image, valid = _read_small(scene, small)
        image = np.where(valid, image, moments.mean[:, None, None])
        yield SplitMap(
            Path(scene.images[0].path).name,
            quicklook(image, moments.mean, moments.std, bands),
            done.datamodule.split.roles(small, small.window),
        )


def _reduced(grid: Grid) -> Grid:
    factor = max(1.0, max(grid.shape) / _MAP)
    width, height = math.ceil(grid.width / factor), math.ceil(grid.height / factor)
    scale = Affine.scale(grid.width / width, grid.height / height)
    return Grid(grid.crs, grid.transform @ scale, width, height)


def _read_small(scene: 'Scene', grid: Grid) -> tuple[Any, Any]:
    if grid.crs is None and grid.shape != scene.grid.shape:
        # GDAL does not warp without a reference system
        rows, columns = (
            np.linspace(0, size - 1, small).round().astype(int)
            for size, small in zip(scene.grid.shape, grid.shape, strict=True)
        )
        pixels = scene.read(scene.grid.window)
        return pixels.image[0][:, rows][:, :, columns], pixels.measured[0][rows][:, columns]
    pixels = scene.moved(grid).read(grid.window)
    return pixels.image[0], pixels.measured[0]


def _best_patches(done: Training) -> list['Patch']:
    """Choose tiles of the hold-out that show most classes, of different places."""
    sampler, dataset = done.datamodule.val_sampler, done.datamodule.val_dataset
    assert sampler is not None
    candidates: list[Any] = [patch for patch, _ in zip(sampler, range(_CANDIDATES), strict=False)]
    ranked = []
    for number, patch in enumerate(candidates):
        labels = dataset[patch]['mask']  # type: ignore[index]  # set up by now
        labels = labels[labels >= 0]
        ranked.append((-len(labels.unique()), -labels.numel(), number))
    chosen: list[Patch] = []
    for *_, number in sorted(ranked):
        patch = candidates[number]
        corner = patch.window.col_off, patch.window.row_off
        if corner not in [(other.window.col_off, other.window.row_off) for other in chosen]:
            chosen.append(patch)
    return chosen[:_MOST_SAMPLES]


def _sample(done: Training, patch: 'Patch') -> Sample:
    sample = done.datamodule.val_dataset[patch]  # type: ignore[index]  # set up by now
    moments, dataset = done.datamodule.survey.moments, done.datamodule.labelled
    image = sample['image']
    with torch.inference_mode():
        scores = done.task(done.datamodule.standardise(image)[None])[0]
    predicted = (scores[0] > 0).long() if len(scores) == 1 else scores.argmax(0)
    titles = ('before', 'after') if done.kind == 'change' else ('image',)
    dates = image if done.kind == 'change' else image[None]
    bands = rgb_bands(dataset.bands)
    return Sample(
        {
            title: quicklook(date.numpy(), moments.mean, moments.std, bands)
            for title, date in zip(titles, dates, strict=True)
        },
        sample['mask'].reshape(predicted.shape).numpy(),
        predicted.numpy(),
    )


def _facts(done: Training) -> dict[str, Any]:
    module, fitted = done.datamodule, done.fitted
    parameters = sum(parameter.numel() for parameter in done.task.model.parameters())
    facts = dataclasses.asdict(done.settings)
    facts |= {
        'patch_size': f'{module.patch_size} pixels',
        'block_size': f'{module.block_size} pixels',
        'weights': done.start,
        'parameters of the network': f'{parameters:,}',
        'patches per epoch': len(module.train_sampler or ()),
        'training took': f'{fitted.seconds:.0f} s',
        'ended': fitted.ending,
    }
    shown = {name: '-' if value in (None, '') else value for name, value in facts.items()}
    return shown | versions()


def _notes(done: Training) -> Iterator[str]:
    module = done.datamodule
    yield (
        f'The hold-out is made of blocks of {module.block_size} x {module.block_size} pixels, the '
        'same ones in all images of a place. Training patches may show pixels of these blocks, but '
        'their labels, and those in a strip around them, were never learned from. Each labelled '
        'pixel of the hold-out was counted exactly once per image.'
    )
    yield (
        'The hold-out comes from the same images as the training, and it also decided which epoch '
        'is the best. For other places, seasons or sensors expect lower scores.'
    )
    yield (
        'Labels are taken as the truth. Where they are old, coarse or made by a rule, scores tell '
        'how well the model repeats them.'
    )
    yield done.start
    yield (
        'Bands are standardised with the mean and standard deviation of the training blocks; '
        'pixels without measurement in any band were left out.'
    )
    missing = [
        entry.name
        for entry, count in zip(
            module.labelled.classes, module.survey.validation_counts, strict=True
        )
        if not count
    ]
    if missing:
        yield f'Not in the hold-out, so without a score: {", ".join(missing)}.'
    if done.fitted.ending == 'canceled':
        yield f'Training was stopped by the user after {len(done.fitted.epochs)} epochs.'
    if done.fitted.ending == 'diverged':
        yield 'Training diverged; the model is that of the best epoch before.'
