"""What operations that train a model share: from a data module to a bundle with its report."""

import dataclasses
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations._cube import bands_to_learn_from
from torchgeo_ext.operations._operation import ADVANCED, StrPath, file_out, within
from torchgeo_ext.operations._pretrained import Way, choose_preprocessing
from torchgeo_ext.progress import Progress, portion, silent
from torchgeo_ext.staging import staged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lightning.pytorch import LightningModule
    from numpy.typing import NDArray

    from torchgeo_ext.bundles import BundleCard
    from torchgeo_ext.datamodules import GeoTIFFDataModule
    from torchgeo_ext.inference.grid import Grid
    from torchgeo_ext.inference.outputs import ClassLike
    from torchgeo_ext.operations._object_training import ObjectSettings
    from torchgeo_ext.samplers import BlockedSplit
    from torchgeo_ext.sensors import SensorBand
    from torchgeo_ext.tasks import MaskedChangeDetection, MaskedSegmentation
    from torchgeo_ext.tasks._fit import Fitted
    from torchgeo_ext.tasks._masked import Scores

log = logging.getLogger(__name__)

Loss = Literal['ce', 'dice', 'focal', 'jaccard']
Balance = Literal['none', 'inverse', 'square_root']
# as in the room of models, which needs torch
Adaptation = Literal['auto', 'repeat', 'mean', 'nearest', 'zero']

# the parameters that operations have in common
BandAdaptation = Annotated[Adaptation, ADVANCED]
Normalisation = Annotated[Way, ADVANCED]
PatchSize = Annotated[int, within(16, 2048, 'pixels')]
BatchSize = Annotated[int, within(1, 512, 'patches')]
Epochs = Annotated[int, within(1, 10_000)]
Patience = Annotated[int, within(0, 10_000, 'epochs')]
LearningRate = Annotated[float, within(1e-7, 1.0), ADVANCED]
LossName = Annotated[Loss, ADVANCED]
ClassWeights = Annotated[Balance, ADVANCED]
IgnoreValue = Annotated[int, within(-(2**31), 2**31)]
ValidationFraction = Annotated[float, within(0.05, 0.5), ADVANCED]
BlockSize = Annotated[int, within(0, 100_000, 'pixels'), ADVANCED]
Augment = Annotated[bool, ADVANCED]
Seed = Annotated[int, within(0, 2**31 - 1), ADVANCED]
License = Annotated[str, ADVANCED]
ReportOut = Annotated[StrPath, file_out('html')]

#: Tiles of at least this size are predicted, if the network takes other sizes than it saw.
_TILE = 256
#: Context around a tile that its scores need.
_HALO = 32


@dataclass(frozen=True)
class Settings:
    """How to train; the arguments that operations have in common, as the user gave them."""

    architecture: str
    backbone: str
    weights: str | None
    patch_size: int
    batch_size: int
    epochs: int
    patience: int
    learning_rate: float
    loss: Loss | Literal['bce']
    class_weights: Balance
    validation_fraction: float
    block_size: int
    augment: bool
    seed: int
    device: str
    model_name: str | None
    license: str
    band_adaptation: Adaptation
    normalisation: Way


@dataclass(frozen=True)
class Training:
    """A finished training."""

    kind: Literal['segmentation', 'change']
    settings: Settings
    datamodule: 'GeoTIFFDataModule'
    task: 'MaskedSegmentation | MaskedChangeDetection'
    start: str
    fitted: 'Fitted[Scores]'
    name: str

    @property
    def binary(self) -> bool:
        """Whether the network gives a single score: changed or not."""
        return self.task.hparams['task'] == 'binary'

    @property
    def classes_text(self) -> str:
        """The classes as ``1 forest, 2 water``."""
        classes = self.datamodule.labelled.classes
        return ', '.join(f'{entry.value} {entry.name}' for entry in classes)


def data_settings(
    settings: 'Settings | ObjectSettings', bands: list[int] | None, **images: Any
) -> dict[str, Any]:
    """Pick the arguments that data modules of all trainings have.

    Args:
        settings: How to train.
        bands: Numbers of the bands that the user chose; None for all, or of cubes those of use.
        images: What bands are chosen of, by the argument it came from; None counts for nothing.
    """
    given = {argument: paths for argument, paths in images.items() if paths is not None}
    return {
        'bands': bands or bands_to_learn_from(given),
        'batch_size': settings.batch_size,
        'turn': settings.augment,
    }


def map_settings(settings: Settings) -> dict[str, Any]:
    """Pick the arguments of a data module of maps beside those of :func:`data_settings`."""
    # losses without class weights see rare classes more often instead
    weighted = settings.loss == 'ce'
    return {
        'patch_size': settings.patch_size,
        'balance': 'none' if weighted else settings.class_weights,
        'seed': settings.seed,
    }


def change_f1(done: Training) -> float:
    """Give the F1 score of change, or the mean of those of the kinds of change."""
    import numpy as np

    changes = [entry.value != 0 for entry in done.datamodule.labelled.classes]
    scores = done.fitted.scores.f1[changes]
    return float(np.nanmean(scores)) if not np.isnan(scores).all() else float('nan')


def train(
    datamodule: 'GeoTIFFDataModule',
    settings: Settings,
    *,
    output: StrPath,
    report: StrPath | None,
    progress: Progress,
) -> Training:
    """Train on labelled rasters or pairs and write the bundle.

    Args:
        datamodule: Made with :func:`data_settings` and :func:`map_settings`, not set up yet.
        settings: How to train.
        output: Folder of the bundle to write.
        report: Where to write the report as well, if not only into the bundle.
        progress: Told how far the work is.

    Returns:
        What was trained and how good it is.
    """
    from torchgeo_ext.bundles._write import check_bundle_folder
    from torchgeo_ext.operations._training_report import make_report
    from torchgeo_ext.tasks._fit import seeded

    folder = check_bundle_folder(output)
    with seeded(settings.seed):
        done = _fit(datamodule, settings, settings.model_name or folder.name, progress)
    # the user who stopped the training early wants the model and will not wait for more
    ending = silent if done.fitted.ending == 'canceled' else portion(progress, 0.95, 1)
    ending(0, 'writing the report')
    write_model(folder, make_card(done), done.task, make_report(done).html(), report, ending)
    return done


def write_model(
    folder: StrPath,
    card: 'BundleCard',
    task: 'LightningModule',
    page: str,
    report: StrPath | None,
    progress: Progress,
) -> None:
    """Write a trained model with its report.

    Args:
        folder: Folder of the bundle.
        card: Describes the model.
        task: The model.
        page: The report.
        report: Where to write the report as well, if not only into the bundle.
        progress: Told how far the work is.
    """
    from torchgeo_ext.bundles import write_bundle

    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, 'report.html')
        file.write_text(page, encoding='utf-8')
        progress(0.5, 'writing the bundle')
        write_bundle(folder, card, task, [file])
    if report is not None:
        with staged(report, 'report') as part:
            part.write_text(page, encoding='utf-8')


def _fit(
    datamodule: 'GeoTIFFDataModule', settings: Settings, name: str, progress: Progress
) -> Training:
    from torchgeo_ext.inference.device import pick_device
    from torchgeo_ext.operations._network import build_task, choose_patch_size
    from torchgeo_ext.tasks._fit import fit

    device = pick_device(settings.device)
    datamodule.progress = portion(progress, 0, 0.1)
    dataset = datamodule.labelled
    dates = dataset.dates
    kind: Literal['segmentation', 'change'] = 'segmentation' if dates == 1 else 'change'
    datamodule.split = block_split(
        dataset.grids, settings.validation_fraction, settings.block_size, settings.seed
    )
    task, start = build_task(
        kind,
        _task_arguments(datamodule, settings, kind),
        settings.weights,
        dataset.bands,
        settings.band_adaptation,
    )
    datamodule.seen, prepared = choose_preprocessing(
        settings.normalisation, settings.weights, dataset, datamodule.described
    )
    start = f'{start} {prepared}'
    log.info(start)
    smallest = min(min(grid.shape) for grid in dataset.grids)
    shape = (settings.batch_size, *((dates,) if dates > 1 else ()), len(dataset.bands))
    datamodule.patch_size = choose_patch_size(task, settings.patch_size, smallest, shape)
    datamodule.setup('fit')
    _weigh_classes(task, datamodule, settings)
    fitted = fit(
        task,
        datamodule,
        epochs=settings.epochs,
        patience=settings.patience,
        device=device,
        progress=portion(progress, 0.1, 0.95),
    )
    return Training(kind, settings, datamodule, task, start, fitted, name)


def block_split(
    grids: 'Sequence[Grid]', fraction: float, block_size: int, seed: int
) -> 'BlockedSplit':
    """Say how land is split.

    Args:
        grids: The images.
        fraction: Share of the labels to hold out.
        block_size: Side of blocks in pixels of the first image; 0 chooses.
        seed: Another seed, another hold-out.
    """
    from torchgeo_ext.inference.area import pixel_area
    from torchgeo_ext.samplers import BlockedSplit

    # blocks are asked for in pixels of the first image, and laid out in metres
    pixel = grids[0].resolution[0] if grids[0].crs is None else pixel_area(grids[0]) ** 0.5
    return BlockedSplit(
        folds=max(2, round(1 / fraction)), block_size=block_size * pixel or None, seed=seed
    )


def _task_arguments(
    datamodule: 'GeoTIFFDataModule', settings: Settings, kind: Literal['segmentation', 'change']
) -> dict[str, Any]:
    from torchgeo_ext.tasks._registered import takes_any_backbone

    dataset = datamodule.labelled
    values = [entry.value for entry in dataset.classes]
    binary = kind == 'change' and len(values) == 2 and values[0] == 0
    any_backbone = kind == 'segmentation' and takes_any_backbone(
        settings.architecture, settings.backbone
    )
    return {
        'model': settings.architecture,
        'backbone': settings.backbone,
        'in_channels': len(dataset.bands),
        'task': 'binary' if binary else 'multiclass',
        'num_classes': None if binary else len(values),
        'loss': 'bce' if binary and settings.loss == 'ce' else settings.loss,
        'ignore_index': -1,
        'lr': settings.learning_rate,
        # of the learning rate: halfway to giving up
        'patience': max(1, settings.patience // 2),
        **(wavelengths_of(settings.backbone, datamodule.described) if any_backbone else {}),
    }


def wavelengths_of(backbone: str, bands: 'Sequence[SensorBand]') -> dict[str, Any]:
    """Tell a backbone of the registry the wavelengths of bands, if it goes by them.

    Args:
        backbone: Its name.
        bands: The bands.

    Returns:
        Arguments of a task.

    Raises:
        BadInput: If some wavelengths are not known.
    """
    from torchgeo_ext.models.features import goes_by_wavelength

    if not goes_by_wavelength(backbone):
        return {}
    unknown = [band.name for band in bands if band.wavelength is None]
    if unknown:
        raise BadInput(
            f'image: {backbone} goes by wavelengths, but those of {", ".join(unknown[:6])} are not '
            'known.',
            'Name the bands as a sensor does, write their wavelengths into the file, or choose '
            'another backbone.',
        )
    return {'model_args': {'bands': [band.wavelength for band in bands]}}


def _weigh_classes(task: Any, datamodule: 'GeoTIFFDataModule', settings: Settings) -> None:
    """Give rare classes weight in the losses that can; for others patches are balanced."""
    from torch import tensor

    from torchgeo_ext.datamodules._parts import TRAINING
    from torchgeo_ext.samplers import class_weights

    if settings.class_weights == 'none' or settings.loss != 'ce':
        return
    weights = class_weights(datamodule.survey.counts(TRAINING), settings.class_weights)
    if task.hparams['task'] == 'binary':
        task.hparams['pos_weight'] = tensor(weights[1] / weights[0])
    else:
        task.hparams['class_weights'] = weights.tolist()
    task.configure_losses()


def make_card(done: Training) -> 'BundleCard':
    """Describe a trained model for its bundle."""
    from torchgeo_ext.bundles import BundleCard
    from torchgeo_ext.datamodules._card import (
        bands_of,
        classes_of,
        describe,
        extent_of,
        resolutions_of,
    )

    module, hparams = done.datamodule, done.task.hparams
    shaping = ('model', 'backbone', 'in_channels', 'task', 'num_classes', 'model_args')
    arguments = {key: hparams.get(key) for key in shaping}
    tile, halo = _tile(done)
    finest, coarsest = resolutions_of(module.labelled.grids)
    return BundleCard(
        name=done.name,
        description=describe(module),
        task=done.kind,
        bands=bands_of(module.labelled, module.survey.values, module.described, module.seen),
        classes=classes_of(module, binary=done.binary),
        architecture={
            'class': _architecture_class(done),
            'arguments': {key: value for key, value in arguments.items() if value is not None},
        },
        output_activation='sigmoid' if done.binary else 'softmax',
        dates=2 if done.kind == 'change' else 1,
        tile_size=tile,
        halo=halo,
        resolution_minimum=finest,
        resolution_maximum=coarsest,
        license=done.settings.license,
        training=_facts(done),
        extent=extent_of(module.labelled.grids),
    )


def _architecture_class(done: Training) -> str:
    from torchgeo_ext import registry
    from torchgeo_ext.tasks._further import FURTHER_DECODERS
    from torchgeo_ext.tasks._registered import takes_any_backbone

    architecture, backbone = done.settings.architecture, done.settings.backbone
    ours = architecture in {*FURTHER_DECODERS, *registry.models}
    if ours or (done.kind == 'segmentation' and takes_any_backbone(architecture, backbone)):
        return type(done.task).__name__
    # the same network, and TorchGeo alone can read it
    return 'SemanticSegmentation' if done.kind == 'segmentation' else 'ChangeDetection'


def _tile(done: Training) -> tuple[int, int]:
    """Choose size and halo of the tiles to predict."""
    from torchgeo_ext.operations._network import takes

    size = done.datamodule.patch_size
    dates = (2,) if done.kind == 'change' else ()
    if size < _TILE and takes(
        done.task, (1, *dates, len(done.datamodule.labelled.bands), _TILE, _TILE)
    ):
        size = _TILE
    return size, min(_HALO, size // 8)


def _facts(done: Training) -> dict[str, Any]:
    """Collect what is worth knowing later, as JSON can hold it."""
    from torchgeo_ext.datamodules._parts import TRAINING

    fitted, module = done.fitted, done.datamodule
    settings = dataclasses.asdict(done.settings) | {'patch_size': module.patch_size}
    names = [entry.name for entry in module.labelled.classes]
    return {
        'images': [
            [Path(image.path).name for image in scene.images] for scene in module.labelled.scenes
        ],
        'labels': Path(str(module.kwargs['labels'])).name,
        'settings': settings,
        'start': done.start,
        **outcome(fitted, names),
        'training_pixels': by_name(names, module.survey.counts(TRAINING)),
        'versions': versions(),
    }


def outcome(fitted: 'Fitted[Scores]', names: list[str]) -> dict[str, Any]:
    """Tell how a training ended and how good its result is."""
    scores = fitted.scores
    return {
        'epochs': len(fitted.epochs),
        'best_epoch': fitted.best.number,
        'ending': fitted.ending,
        'hold_out': {
            'overall_accuracy': scores.overall_accuracy,
            'mean_iou': scores.mean_iou,
            'mean_f1': scores.mean_f1,
            'iou': by_name(names, scores.iou),
            'f1': by_name(names, scores.f1),
            'confusion': scores.matrix.astype(int).tolist(),
        },
    }


def by_name(names: list[str], values: 'NDArray[Any]') -> dict[str, float | None]:
    """Name the values of classes; those that are not known become None."""
    return {
        name: None if value != value else value
        for name, value in zip(names, values.tolist(), strict=True)
    }


def versions() -> dict[str, str]:
    """Give the versions of what was used."""
    from importlib import metadata

    packages = ('torch', 'torchgeo', 'lightning', 'segmentation-models-pytorch', 'timm', 'rasterio')
    from torchgeo_ext import __version__

    return {'torchgeo_ext': __version__} | {name: metadata.version(name) for name in packages}


def shown_facts(facts: 'Mapping[str, Any]') -> dict[str, Any]:
    """Write facts of a training as a report shows them, with the versions of what was used."""
    shown = {name: '-' if value in (None, '') else value for name, value in facts.items()}
    return shown | versions()


#: What every report says of its hold-out.
SAME_IMAGES = (
    'The hold-out comes from the same images as the training, and it also decided which epoch is '
    'the best. For other places, seasons or sensors expect lower scores.'
)


def ending_notes(
    classes: 'Iterable[ClassLike]', counts: 'Iterable[int]', fitted: 'Fitted[Any]'
) -> 'Iterator[str]':
    """Tell of classes that the hold-out lacks, and of a training that did not end by itself.

    Args:
        classes: All classes.
        counts: How much of each the hold-out has.
        fitted: The training.
    """
    missing = [entry.name for entry, count in zip(classes, counts, strict=True) if not count]
    if missing:
        yield f'Not in the hold-out, so without a score: {", ".join(missing)}.'
    if fitted.ending == 'canceled':
        yield f'Training was stopped by the user after {len(fitted.epochs)} epochs.'
    if fitted.ending == 'diverged':
        yield 'Training diverged; the model is that of the best epoch before.'
