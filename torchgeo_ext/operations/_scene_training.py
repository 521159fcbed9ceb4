"""From examples of scenes to a bundle with its report."""

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from torchgeo_ext.bundles import Band, BundleCard, ModelClass
from torchgeo_ext.bundles._write import check_bundle_folder
from torchgeo_ext.datamodules import SceneDataModule
from torchgeo_ext.datamodules._pictures import overview, quicklook, reduced, rgb_bands
from torchgeo_ext.errors import BadParameter, MissingWeights
from torchgeo_ext.inference import pick_device
from torchgeo_ext.operations._network import IMAGENET, find_weights
from torchgeo_ext.operations._operation import StrPath
from torchgeo_ext.operations._pretrained import choose_preprocessing
from torchgeo_ext.operations._training import (
    SAME_IMAGES,
    Settings,
    block_split,
    by_name,
    ending_notes,
    outcome,
    shown_facts,
    versions,
    wavelengths_of,
    write_model,
)
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.progress import Progress, portion, silent
from torchgeo_ext.samplers import class_weights
from torchgeo_ext.samplers._roles import TRAINING, VALIDATION
from torchgeo_ext.tasks import SceneClassification
from torchgeo_ext.tasks._fit import Fitted, fit, seeded
from torchgeo_ext.tasks._masked import Scores
from torchgeo_ext.tasks._report import Report, ReportClass, Sample, SplitMap
from torchgeo_ext.tasks._weights import load_into

log = logging.getLogger(__name__)

#: Examples of the hold-out that the report shows, and the height and width of its maps.
_MOST_SAMPLES, _MOST_MAPS, _MAP = 12, 4, 400


@dataclass(frozen=True)
class SceneTraining:
    """A finished training."""

    settings: Settings
    datamodule: SceneDataModule
    task: SceneClassification
    start: str
    fitted: Fitted[Scores]
    name: str


def train_scenes(
    datamodule: SceneDataModule,
    settings: Settings,
    *,
    frozen: bool,
    output: StrPath,
    report: StrPath | None,
    progress: Progress,
) -> SceneTraining:
    """Train on examples of scenes and write the bundle.

    Args:
        datamodule: Not set up yet.
        settings: How to train.
        frozen: Train the last layer alone.
        output: Folder of the bundle to write.
        report: Where to write the report as well, if not only into the bundle.
        progress: Told how far the work is.

    Returns:
        What was trained and how good it is.
    """
    folder = check_bundle_folder(output)
    device = pick_device(settings.device)
    with seeded(settings.seed):
        datamodule.progress = portion(progress, 0, 0.1)
        datamodule.split = block_split(
            datamodule.examples.images.grids,
            settings.validation_fraction,
            settings.block_size,
            settings.seed,
        )
        datamodule.seen, prepared = choose_preprocessing(
            settings.normalisation,
            settings.weights,
            datamodule.examples.images,
            datamodule.described,
        )
        datamodule.setup('fit')
        task, start = _build(datamodule, settings, frozen)
        start = f'{start} {prepared}'
        log.info(start)
        fitted = fit(
            task,
            datamodule,
            epochs=settings.epochs,
            patience=settings.patience,
            device=device,
            progress=portion(progress, 0.1, 0.95),
        )
    name = settings.model_name or folder.name
    done = SceneTraining(settings, datamodule, task, start, fitted, name)
    # the user who stopped the training early wants the model and will not wait for more
    ending = silent if fitted.ending == 'canceled' else portion(progress, 0.95, 1)
    ending(0, 'writing the report')
    write_model(folder, _card(done), task, _report(done).html(), report, ending)
    return done


def _build(
    datamodule: SceneDataModule, settings: Settings, frozen: bool
) -> tuple[SceneClassification, str]:
    """Build the task with its network, and say what it starts from."""
    several, backbone = datamodule.examples.multilabel, settings.backbone
    imagenet = settings.weights == IMAGENET
    named = None if imagenet or not settings.weights else settings.weights
    start = None if named is None else find_weights(named, _registered(backbone))
    if start is None and settings.band_adaptation != 'auto':
        raise BadParameter(
            f'band_adaptation is {settings.band_adaptation}, but there are no weights it can be '
            'chosen for.',
            'Name published weights, a checkpoint or a model folder, or leave it at auto.',
        )
    if frozen and not settings.weights:
        raise BadParameter(
            'freeze_backbone is true, but there are no weights, and a random network sees little.',
            'Name weights, or leave freeze_backbone out.',
        )
    weighted = not several and settings.class_weights != 'none'
    counts = datamodule.counts(TRAINING)
    arguments: dict[str, Any] = {
        'model': backbone,
        'in_channels': len(datamodule.described),
        'task': 'multilabel' if several else 'multiclass',
        'num_labels' if several else 'num_classes': len(datamodule.classes),
        'labels': [entry.name for entry in datamodule.classes],
        'loss': settings.loss,
        'class_weights': class_weights(counts, settings.class_weights).tolist()
        if weighted
        else None,
        'lr': settings.learning_rate,
        # of the learning rate: halfway to giving up
        'patience': max(1, settings.patience // 2),
        'freeze_backbone': frozen,
        **wavelengths_of(backbone, datamodule.described),
        **_resizing(datamodule.seen),
    }
    try:
        task = SceneClassification(**arguments, weights=True if imagenet else None)
    except MissingWeights:
        raise
    except RuntimeError as error:  # timm's, for a name it does not know
        raise BadParameter(
            f'backbone: {backbone!r} is not known ({error}).',
            'Name one of timm after tu-, such as tu-resnet18.',
        ) from error
    if start is not None:
        bands = [band.name for band in datamodule.described]
        network = nn.ModuleDict({'encoder': task.model.backbone})
        return task, load_into(network, start, bands, adaptation=settings.band_adaptation)
    if imagenet:
        return task, 'The network starts from ImageNet: filters of three colours.'
    return task, 'The network starts from random weights.'


def _resizing(seen: Preprocessing | None) -> dict[str, Any]:
    """Give images the size that those of the pre-training had."""
    if seen is None:
        return {}
    return {'resize': seen.resize, 'crop': seen.crop, 'interpolation': seen.interpolation}


def _registered(backbone: str) -> str | None:
    return None if backbone.startswith('tu-') else backbone


def _card(done: SceneTraining) -> BundleCard:
    """Describe a trained model for its bundle."""
    known, hparams = done.datamodule.card(), done.task.hparams
    names = (
        'model', 'in_channels', 'task', 'num_classes', 'num_labels', 'model_args', 'resize', 'crop',
        'interpolation',
    )  # fmt: skip
    several = done.datamodule.examples.multilabel
    return BundleCard(
        **known
        | {
            'bands': tuple(Band(**band) for band in known['bands']),
            'classes': tuple(ModelClass(**entry) for entry in known['classes']),
            'extent': None if known['extent'] is None else tuple(known['extent']),
            'training': _training(done),
        },
        name=done.name,
        task='classification',
        architecture={
            'class': SceneClassification.__name__,
            'arguments': {name: hparams[name] for name in names if hparams[name] is not None},
        },
        output_activation='sigmoid' if several else 'softmax',
        multilabel=several,
        license=done.settings.license,
    )


def _training(done: SceneTraining) -> dict[str, Any]:
    """Collect what is worth knowing later, as JSON can hold it."""
    module = done.datamodule
    names = [entry.name for entry in module.classes]
    return {
        'settings': _settings(done),
        'start': done.start,
        **outcome(done.fitted, names),
        'training_examples': by_name(names, module.counts(TRAINING)),
        'held_out_examples': by_name(names, module.counts(VALIDATION)),
        'versions': versions(),
    }


def _settings(done: SceneTraining) -> dict[str, Any]:
    settings = dataclasses.asdict(done.settings) | {'tile_size': done.datamodule.examples.size}
    del settings['architecture'], settings['patch_size']
    return settings


def _report(done: SceneTraining) -> Report:
    """Gather the report of a training."""
    module = done.datamodule
    counts = zip(module.classes, module.counts(TRAINING), module.counts(VALIDATION), strict=True)
    return Report(
        title=done.name,
        lead=module.describe(),
        files=list(_files(done)),
        classes=[
            ReportClass(*entry, int(learned), int(judged)) for entry, learned, judged in counts
        ],
        fitted=done.fitted,
        maps=list(_maps(done)),
        samples=list(_samples(done)),
        facts=_facts(done),
        notes=list(_notes(done)),
        counted='examples',
    )


def _files(done: SceneTraining) -> Iterator[tuple[str, ...]]:
    yield 'images', 'bands', 'examples'
    examples = done.datamodule.examples
    scenes = examples.images.scenes
    bands = ', '.join(band.name for band in done.datamodule.described)
    if len(scenes) > _MOST_SAMPLES:
        yield f'{len(scenes)} files', bands, str(len(examples))
        return
    for number, scene in enumerate(scenes):
        count = sum(patch.scene == number for patch in examples.patches)
        yield Path(scene.images[0].path).name, bands, str(count)


def _maps(done: SceneTraining) -> Iterator[SplitMap]:
    """Show where the examples of each place are, if there are several in an image."""
    module = done.datamodule
    scenes, patches = module.examples.images.scenes, module.examples.patches
    if len(patches) == len({patch.scene for patch in patches}):
        return
    for number, scene in enumerate(scenes[:_MOST_MAPS]):
        small = reduced(scene.grid, _MAP)
        image, valid = overview(scene, small)
        image = np.where(valid, image, module.values.mean[:, None, None])
        roles = np.zeros(small.shape, np.uint8)
        for patch, role in zip(patches, module.roles, strict=True):
            if patch.scene == number:
                place = ~small.transform @ patch.grid.transform
                x, y = zip(
                    place @ (0, 0), place @ (patch.grid.width, patch.grid.height), strict=True
                )
                (left, right), (top, bottom) = sorted(map(round, x)), sorted(map(round, y))
                roles[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = role
        shown = quicklook(image, module.values.mean, module.values.std, _rgb(done))
        yield SplitMap(Path(scene.images[0].path).name, shown, roles)


def _rgb(done: SceneTraining) -> tuple[int, ...]:
    return rgb_bands([band.name for band in done.datamodule.described])


def _samples(done: SceneTraining) -> Iterator[Sample]:
    module, device = done.datamodule, done.task.device
    held_out = module.held_out
    chosen = held_out[:: max(1, len(held_out) // _MOST_SAMPLES)][:_MOST_SAMPLES]
    for number in chosen:
        sample = module.examples[number]
        batch = module.aug({'image': sample['image'][None].to(device)})
        with torch.inference_mode():
            logits = done.task(batch['image'])[0].cpu()
        if module.examples.multilabel:
            told, predicted = sample['label'].numpy() > 0, logits.numpy() > 0
        else:
            told, predicted = (
                np.arange(len(logits)) == int(place) for place in (sample['label'], logits.argmax())
            )
        shown = quicklook(
            sample['image'].numpy(), module.values.mean, module.values.std, _rgb(done)
        )
        size = module.examples.size
        yield Sample({'image': shown}, _stripes(told, size), _stripes(predicted, size))


def _stripes(member: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    """Paint a square (h, w) in the numbers of the classes that hold, side by side."""
    held = np.flatnonzero(member)
    if not len(held):
        return np.full((size, size), -1)
    return np.broadcast_to(held[np.arange(size) * len(held) // size], (size, size))


def _facts(done: SceneTraining) -> dict[str, Any]:
    module, fitted = done.datamodule, done.fitted
    parameters = sum(parameter.numel() for parameter in done.task.model.parameters())
    facts = _settings(done) | {
        'weights': done.start,
        'parameters of the network': f'{parameters:,}',
        'training took': f'{fitted.seconds:.0f} s',
        'ended': fitted.ending,
        'examples not used': int((~np.isin(module.roles, (TRAINING, VALIDATION))).sum()),
    }
    return shown_facts(facts)


def _notes(done: SceneTraining) -> Iterator[str]:
    module = done.datamodule
    if any(grid.crs is None for grid in module.examples.images.grids):
        yield (
            'Files do not say where they lie, so single examples were held out. If some show the '
            'same place or its neighbours, scores are too high.'
        )
    else:
        yield (
            'The hold-out is made of blocks of land, the same ones in all images. No example that '
            'shares ground with one of the hold-out was learned from.'
        )
    yield SAME_IMAGES
    yield done.start
    yield from ending_notes(module.classes, module.counts(VALIDATION), done.fitted)
