"""From images and polygons to a bundle that finds objects, with its report."""

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import torch
from torch import nn
from torchgeo.tasks.detection import BACKBONE_LAT_DIM_MAP

from torchgeo_ext.bundles import Band, BundleCard, ModelClass
from torchgeo_ext.bundles._write import check_bundle_folder
from torchgeo_ext.datamodules import GeoObjectDataModule
from torchgeo_ext.datamodules._pictures import overview, quicklook, reduced, rgb_bands
from torchgeo_ext.errors import BadParameter, MissingWeights
from torchgeo_ext.inference import pick_device
from torchgeo_ext.layers.rotated_boxes import box_outlines
from torchgeo_ext.operations._network import IMAGENET, find_weights
from torchgeo_ext.operations._operation import StrPath
from torchgeo_ext.operations._pretrained import Way, choose_preprocessing
from torchgeo_ext.operations._training import (
    SAME_IMAGES,
    Adaptation,
    Balance,
    block_split,
    by_name,
    ending_notes,
    shown_facts,
    versions,
    wavelengths_of,
    write_model,
)
from torchgeo_ext.operations._validate import near_matches
from torchgeo_ext.operations.train_detector import Detector
from torchgeo_ext.progress import Progress, portion, silent
from torchgeo_ext.tasks import (
    MaskedInstanceSegmentation,
    MaskedObjectDetection,
    RotatedObjectDetection,
)
from torchgeo_ext.tasks._fit import Fitted, fit, seeded
from torchgeo_ext.tasks._object_report import ObjectReport, ObjectSample
from torchgeo_ext.tasks._objects import JudgedObjects, ObjectScores
from torchgeo_ext.tasks._report import ReportClass, SplitMap
from torchgeo_ext.tasks._weights import load_into
from torchgeo_ext.tasks.masked_object_detection import TORCHGEO

log = logging.getLogger(__name__)

#: Tiles of the hold-out that the report shows, and places on its maps and their size.
_MOST_SAMPLES, _MOST_MAPS, _MAP = 5, 4, 400
#: Score of the objects that the report shows.
_SURE = 0.5
#: Detectors of torchvision, on its ResNets; others are on any backbone.
_ON_RESNETS = (*TORCHGEO, 'mask-rcnn')
#: Pixels that detectors halve their maps by.
_STRIDE = 32


@dataclass(frozen=True)
class ObjectSettings:
    """How to train; the arguments as the user gave them."""

    architecture: Detector
    backbone: str
    weights: str | None
    band_adaptation: Adaptation
    normalisation: Way
    patch_size: int
    batch_size: int
    epochs: int
    patience: int
    learning_rate: float
    class_weights: Balance
    validation_fraction: float
    block_size: int
    augment: bool
    seed: int
    device: str
    model_name: str | None
    license: str


@dataclass(frozen=True)
class ObjectTraining:
    """A finished training."""

    settings: ObjectSettings
    datamodule: GeoObjectDataModule
    task: JudgedObjects
    start: str
    fitted: Fitted[ObjectScores]
    name: str


def make_data(settings: ObjectSettings, **options: Any) -> GeoObjectDataModule:
    """Make the data module of a training.

    Args:
        settings: How to train.
        options: Images, labels and what is said of them, and what
            :func:`~torchgeo_ext.operations._training.data_settings` picks.
    """
    return GeoObjectDataModule(
        balance=settings.class_weights,
        masks=settings.architecture == 'mask-rcnn',
        patch_size=max(_STRIDE, round(settings.patch_size / _STRIDE) * _STRIDE),
        **options,
    )


def train_objects(
    datamodule: GeoObjectDataModule,
    settings: ObjectSettings,
    *,
    output: StrPath,
    report: StrPath | None,
    progress: Progress,
) -> ObjectTraining:
    """Train on polygons and write the bundle.

    Args:
        datamodule: Made with :func:`make_data`.
        settings: How to train.
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
            datamodule.images.grids,
            settings.validation_fraction,
            settings.block_size,
            settings.seed,
        )
        task, start = _build(datamodule, settings)
        datamodule.seen, prepared = choose_preprocessing(
            settings.normalisation, settings.weights, datamodule.images, datamodule.described
        )
        start = f'{start} {prepared}'
        log.info(start)
        datamodule.setup('fit')
        fitted = fit(
            task,
            datamodule,
            epochs=settings.epochs,
            patience=settings.patience,
            device=device,
            progress=portion(progress, 0.1, 0.95),
        )
    name = settings.model_name or folder.name
    done = ObjectTraining(settings, datamodule, task, start, fitted, name)
    # the user who stopped the training early wants the model and will not wait for more
    ending = silent if fitted.ending == 'canceled' else portion(progress, 0.95, 1)
    ending(0, 'writing the report')
    write_model(folder, _card(done), task, _report(done).html(), report, ending)
    return done


def _build(datamodule: GeoObjectDataModule, settings: ObjectSettings) -> tuple[JudgedObjects, str]:
    """Build the task with its network, and say what it starts from."""
    imagenet = settings.weights == IMAGENET
    named = None if imagenet or not settings.weights else settings.weights
    architecture = settings.architecture
    on_any, timm = architecture not in _ON_RESNETS, settings.backbone.startswith('tu-')
    _check_backbone(settings, imagenet)
    start = None
    if named is not None:
        start = find_weights(named, settings.backbone if on_any and not timm else None)
    elif settings.band_adaptation != 'auto':
        raise BadParameter(
            f'band_adaptation is {settings.band_adaptation}, but there are no weights it can be '
            'chosen for.',
            'Name published weights, a checkpoint or a model folder, or leave it at auto.',
        )
    arguments: dict[str, Any] = {
        'backbone': settings.backbone,
        'in_channels': len(datamodule.described),
        'num_classes': 1 + len(datamodule.classes),
        'lr': settings.learning_rate,
        # of the learning rate: halfway to giving up
        'patience': max(1, settings.patience // 2),
    }
    if on_any:
        arguments |= wavelengths_of(settings.backbone, datamodule.described)
    task: Any
    try:
        if architecture == 'rotated-fcos':
            task = RotatedObjectDetection(**arguments, weights=imagenet)
        elif architecture == 'mask-rcnn':
            weights = 'DEFAULT' if imagenet else None
            task = MaskedInstanceSegmentation(**arguments, weights_backbone=weights)
        else:
            task = MaskedObjectDetection(architecture, **arguments, weights=imagenet)
    except OSError as error:  # what downloads raise when there is no connection
        raise MissingWeights(
            f'weights: the ImageNet weights of {settings.backbone} are not on this machine and '
            f'could not be downloaded ({error}).',
            'Connect to the network once, or leave weights empty to start at random.',
        ) from error
    if start is not None:
        encoder = task.model.encoder if on_any else task.model.backbone.body
        bands = [band.name for band in datamodule.described]
        network = nn.ModuleDict({'encoder': encoder})
        return task, load_into(network, start, bands, adaptation=settings.band_adaptation)
    if imagenet:
        return task, 'The backbone starts from ImageNet: filters of three colours.'
    return task, 'The network starts from random weights.'


def _check_backbone(settings: ObjectSettings, imagenet: bool) -> None:
    """See that there is a backbone of that name for the detector."""
    backbone = settings.backbone
    if settings.architecture in _ON_RESNETS:
        if backbone not in BACKBONE_LAT_DIM_MAP:
            raise BadParameter(
                f'backbone: {backbone!r} is not known for the architecture '
                f'{settings.architecture}.',
                near_matches(backbone, [*BACKBONE_LAT_DIM_MAP]),
            )
        return
    if imagenet and not backbone.startswith('tu-'):
        raise BadParameter(
            f'weights: {backbone} has none by the name of imagenet.',
            f'Choose the backbone tu-{backbone}, name published weights, or leave weights empty.',
        )


def _card(done: ObjectTraining) -> BundleCard:
    """Describe a trained model for its bundle."""
    known, hparams = done.datamodule.card(), done.task.hparams
    masks = isinstance(done.task, MaskedInstanceSegmentation)
    names = ('model', 'backbone', 'in_channels', 'num_classes', 'model_args')
    # the same network, and TorchGeo alone can read it
    plain = done.settings.architecture in TORCHGEO
    return BundleCard(
        **known
        | {
            'bands': tuple(Band(**band) for band in known['bands']),
            'classes': tuple(ModelClass(**entry) for entry in known['classes']),
            'extent': None if known['extent'] is None else tuple(known['extent']),
            'training': _training(done),
        },
        name=done.name,
        task='instance_segmentation' if masks else 'detection',
        architecture={
            'class': 'ObjectDetection' if plain else type(done.task).__name__,
            'arguments': {name: hparams[name] for name in names if hparams.get(name) is not None},
        },
        output_activation='none',
        license=done.settings.license,
    )


def _training(done: ObjectTraining) -> dict[str, Any]:
    """Collect what is worth knowing later, as JSON can hold it."""
    module, fitted = done.datamodule, done.fitted
    names = [entry.name for entry in module.classes]
    scores = fitted.scores
    by_class = ('ap', 'ap_50', 'precision', 'recall')
    return {
        'images': module.card()['training']['images'],
        'labels': Path(str(module.kwargs['labels'])).name,
        'settings': dataclasses.asdict(done.settings) | {'patch_size': module.patch_size},
        'start': done.start,
        'epochs': len(fitted.epochs),
        'best_epoch': fitted.best.number,
        'ending': fitted.ending,
        'hold_out': {
            'map': scores.map,
            'map_50': scores.map_50,
            **{key: by_name(names, getattr(scores, key)) for key in by_class},
        },
        'training_objects': by_name(names, module.learned),
        'held_out_objects': by_name(names, scores.labelled),
        'versions': versions(),
    }


def _report(done: ObjectTraining) -> ObjectReport:
    """Gather the report of a training."""
    module = done.datamodule
    counts = zip(module.classes, module.learned, done.fitted.scores.labelled, strict=True)
    return ObjectReport(
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
    )


def _files(done: ObjectTraining) -> Iterator[tuple[str, ...]]:
    yield 'file', 'size', 'bands', 'objects'
    module = done.datamodule
    bands = ', '.join(band.name for band in module.described)
    for scene, objects in zip(module.images.scenes, module.objects, strict=True):
        size = f'{scene.grid.width} x {scene.grid.height}'
        yield Path(scene.images[0].path).name, size, bands, str(len(objects))


def _maps(done: ObjectTraining) -> Iterator[SplitMap]:
    module = done.datamodule
    for scene in module.images.scenes[:_MOST_MAPS]:
        small = reduced(scene.grid, _MAP)
        image, valid = overview(scene, small)
        image = np.where(valid, image, module.values.mean[:, None, None])
        shown = quicklook(image, module.values.mean, module.values.std, _rgb(done))
        roles = module.roles.roles(small, small.window)
        yield SplitMap(Path(scene.images[0].path).name, shown, roles)


def _rgb(done: ObjectTraining) -> tuple[int, ...]:
    return rgb_bands([band.name for band in done.datamodule.described])


def _samples(done: ObjectTraining) -> Iterator[ObjectSample]:
    module, task = done.datamodule, done.task
    device = next(task.parameters()).device
    for sample, _ in module.typical(_MOST_SAMPLES):
        batch = module.aug({k: sample[k][None].to(device) for k in ('image', 'mask_valid')})
        with torch.inference_mode():
            [found] = task(batch['image'])
        sure = found['scores'] >= _SURE
        boxes = found['boxes'][sure].cpu()
        x, y = (boxes[:, :2] if boxes.shape[1] == 5 else (boxes[:, :2] + boxes[:, 2:]) / 2).T
        inside = sample['judged'][
            y.long().clamp(0, module.patch_size - 1), x.long().clamp(0, module.patch_size - 1)
        ]
        labelled = sample['bbox'] if boxes.shape[1] == 5 else sample['bbox_xyxy']
        yield ObjectSample(
            quicklook(sample['image'].numpy(), module.values.mean, module.values.std, _rgb(done)),
            [*labelled.reshape(-1, 4, 2).numpy()] if boxes.shape[1] == 5 else _corners(labelled),
            _corners(boxes[inside]),
            (found['labels'][sure].cpu()[inside] - 1).tolist(),
        )


def _corners(boxes: torch.Tensor) -> list[Any]:
    return [*shapely.get_coordinates(box_outlines(boxes)).reshape(-1, 5, 2)]


def _facts(done: ObjectTraining) -> dict[str, Any]:
    module, fitted = done.datamodule, done.fitted
    parameters = sum(parameter.numel() for parameter in done.task.model.parameters())
    facts = dataclasses.asdict(done.settings)
    facts |= {
        'patch_size': f'{module.patch_size} pixels',
        'block_size': f'{module.block_side:.6g} m',
        'weights': done.start,
        'parameters of the network': f'{parameters:,}',
        'training took': f'{fitted.seconds:.0f} s',
        'ended': fitted.ending,
    }
    return shown_facts(facts)


def _notes(done: ObjectTraining) -> Iterator[str]:
    module = done.datamodule
    yield (
        f'The hold-out is made of blocks of {module.block_side:.6g} m, the same ones in all images '
        'of a place. Their pixels, and those of a strip around them, were hidden from training. '
        'Each object with its middle in them was counted once.'
    )
    yield SAME_IMAGES
    yield (
        'Labels are taken as complete: what is not drawn counts as background, and objects that '
        'were found there as wrong.'
    )
    yield done.start
    yield from ending_notes(module.classes, done.fitted.scores.labelled, done.fitted)
