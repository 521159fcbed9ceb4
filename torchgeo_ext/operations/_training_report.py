"""Gathers what the report of a training shows."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from torchgeo_ext.datamodules._card import describe
from torchgeo_ext.datamodules._parts import TRAINING, VALIDATION
from torchgeo_ext.datamodules._pictures import overview, quicklook, rgb_bands
from torchgeo_ext.operations._training import SAME_IMAGES, Training, ending_notes, shown_facts
from torchgeo_ext.tasks._report import Report, ReportClass, Sample, SplitMap

_MOST_SAMPLES = 5


def make_report(done: Training) -> Report:
    """Gather the report of a training.

    Args:
        done: The training.
    """
    dataset, survey = done.datamodule.labelled, done.datamodule.survey
    classes = [
        ReportClass(*entry, int(training), int(validation))
        for entry, training, validation in zip(
            dataset.classes, survey.counts(TRAINING), survey.counts(VALIDATION), strict=True
        )
    ]
    return Report(
        title=done.name,
        lead=describe(done.datamodule),
        files=list(_files(done)),
        classes=classes,
        fitted=done.fitted,
        maps=list(_maps(done)),
        samples=[_sample(done, sample) for sample in done.datamodule.typical(_MOST_SAMPLES)],
        facts=_facts(done),
        notes=list(_notes(done)),
    )


def _files(done: Training) -> Iterator[tuple[str, ...]]:
    yield 'file', 'size', 'pixel', 'bands', 'type', 'reference system', 'date'
    for scene in done.datamodule.labelled.scenes:
        for image in scene.images:
            width, height = image.grid.resolution
            yield (
                Path(image.path).name,
                f'{image.grid.width} x {image.grid.height}',
                f'{width:.6g} x {height:.6g}',
                str(len(image.names)),
                image.dtypes[0],
                image.grid.crs.to_string()[:60] if image.grid.crs else 'none',
                'unknown' if image.time is None else f'{image.time.left:%Y-%m-%d}',
            )
    yield Path(str(done.datamodule.kwargs['labels'])).name, '', '', '', 'labels', '', ''


def _maps(done: Training) -> Iterator[SplitMap]:
    """Show the blocks of each place once, however many images there are of it."""
    values, bands = done.datamodule.survey.values, _rgb(done)
    for scene, small in done.datamodule.places():
        image, valid = overview(scene, small)
        image = np.where(valid, image, values.mean[:, None, None])
        yield SplitMap(
            Path(scene.images[0].path).name,
            quicklook(image, values.mean, values.std, bands),
            done.datamodule.parts.roles(small, small.window),
        )


def _rgb(done: Training) -> tuple[int, ...]:
    return rgb_bands([band.name for band in done.datamodule.described])


def _sample(done: Training, sample: dict[str, Any]) -> Sample:
    values, image = done.datamodule.survey.values, sample['image']
    predicted = done.datamodule.predict(done.task, sample)
    titles = ('before', 'after') if done.kind == 'change' else ('image',)
    dates = image if done.kind == 'change' else image[None]
    return Sample(
        {
            title: quicklook(date.numpy(), values.mean, values.std, _rgb(done))
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
        'block_size': f'{module.block_side:.6g} m',
        'weights': done.start,
        'parameters of the network': f'{parameters:,}',
        'patches per epoch': len(module.train_sampler or ()),
        'training took': f'{fitted.seconds:.0f} s',
        'ended': fitted.ending,
    }
    return shown_facts(facts)


def _notes(done: Training) -> Iterator[str]:
    module = done.datamodule
    yield (
        f'The hold-out is made of blocks of {module.block_side:.6g} m, the '
        'same ones in all images of a place. Training patches may show pixels of these blocks, but '
        'their labels, and those in a strip around them, were never learned from. Each labelled '
        'pixel of the hold-out was counted exactly once per image.'
    )
    yield SAME_IMAGES
    yield (
        'Labels are taken as the truth. Where they are old, coarse or made by a rule, scores tell '
        'how well the model repeats them.'
    )
    yield done.start
    yield 'Pixels without measurement in any band were left out.'
    counts = module.survey.counts(VALIDATION)
    yield from ending_notes(module.labelled.classes, counts, done.fitted)
