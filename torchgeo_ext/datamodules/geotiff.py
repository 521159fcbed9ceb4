"""Data module for one's own rasters: segmentation of images, change between two dates."""

import dataclasses
import functools
import itertools
import logging
import math
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor, nn
from torchgeo.datamodules import GeoDataModule
from torchgeo.datasets import GeoDataset
from torchgeo.datasets.utils import Sample

from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.datamodules import _plots
from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datamodules._card import card_of, describe_bands
from torchgeo_ext.datamodules._parts import TEST, TRAINING, VALIDATION, Parts, make_parts
from torchgeo_ext.datamodules._pictures import overview, quicklook, reduced, rgb_bands
from torchgeo_ext.datamodules._pretrained import (
    figures_of,
    seen_by_weights,
    seen_in_checkpoint,
    standardiser,
)
from torchgeo_ext.datamodules._series import StandardiseSeries
from torchgeo_ext.datamodules._survey import BandValues, Survey, survey
from torchgeo_ext.datasets import GeoPair, TiledRaster, VectorLabels, collate_samples
from torchgeo_ext.datasets._classes import LabelClass
from torchgeo_ext.datasets._scene import Scene
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.progress import Progress, portion, silent
from torchgeo_ext.samplers import (
    BlockedSplit,
    BlockRoles,
    CellWeights,
    SeededRandomSampler,
    TiledSampler,
    class_weights,
)
from torchgeo_ext.samplers._sampler import PatchSampler, Size
from torchgeo_ext.samplers.cell_weights import Balance
from torchgeo_ext.sensors import SensorBand
from torchgeo_ext.transforms._base import check_fraction

log = logging.getLogger(__name__)


#: A path or many; names may hold * and ?. In this order, as jsonargparse makes a path of a list.
Paths = Sequence[str | os.PathLike[str]] | str | os.PathLike[str]

#: Steps of an epoch, whatever the size of the rasters.
_FEWEST_STEPS, _MOST_STEPS = 12, 400

#: Keeps the contrast of a uniform image finite.
_TINY = 1e-6
#: Tiles among which typical ones are chosen.
_CANDIDATES = 200
#: Places on a plot, and the width or height of each in pixels.
_MOST_MAPS, _MAP = 4, 400
#: Key of a checkpoint for mean and standard deviation of a series.
_SERIES = 'series'
#: Layers of which each pair may have its own.
_LAYERS = ('labels', 'labels_before', 'labels_after', 'map_before', 'damage', 'pseudo_labels')
#: What tasks may learn from, by the number of layers of a mask.
_LABELS = {
    1: 'one layer of labels (labels or damage)',
    2: 'the land cover of both dates (labels_before and labels_after)',
}
#: Arguments of tasks that tell the number of classes.
_NUMBERS = ('num_classes', 'map_classes', 'levels')
_ROLES = ('no labels', 'training', 'validation', 'used for nothing', 'test')
_ROLE_COLORS = ('#ffffff', '#4477aa', '#ee6677', '#000000', '#ccbb44')


class GeoTIFFDataModule(GeoDataModule):
    """Training patches, validation, test and prediction tiles of one's own rasters.

    With ``images`` it is for segmentation (:class:`~torchgeo_ext.datasets.TiledRaster`), with
    ``before`` and ``after`` for change (:class:`~torchgeo_ext.datasets.GeoPair`).

    Whole blocks of land are held out, the same ones in all rasters, chosen so that each class has
    its share in them. Training patches are drawn at random where there are training labels; they
    may show pixels of held-out blocks but never their labels, nor those in a strip around them.
    Tiles count each labelled pixel of the blocks held out exactly once. Bands are standardised with
    the mean and standard deviation of the training blocks. What a model needs to be used (bands,
    classes, statistics, tile size) goes into every checkpoint.

    Args:
        images: Rasters of the same bands: files, folders, or names with * and ?.
        before: Earlier rasters, for change.
        after: As many later ones, in the same order.
        labels: Class rasters or polygons, or :class:`~torchgeo_ext.datasets.VectorLabels` (such as
            lines and points with a ``buffer``, whose path does not start from ``root``); not needed
            to predict. Of pairs either one layer, or one
            for each in the same order; so are the following, which pairs alone may have.
        labels_before: Land cover of the earlier date, for ``SemanticChangeDetection`` and others;
            places are then counted, held out and drawn by what they changed into.
        labels_after: That of the later date.
        map_before: Existing map of land cover, for ``ConditionalChangeDetection``.
        damage: Polygons or rasters with the levels of damage, for ``BuildingDamage``.
        pseudo_labels: Change as something else sees it, for ``SemiSupervisedChangeDetection``.
        series: Images of many dates of the same places, for networks such as ``fusu``; its bands
            are standardised with their mean and standard deviation. Not to be turned: see ``turn``.
        series_size: Height and width of what a sample has of it, in its pixels.
        root: Folder that relative paths start from.
        bands: Numbers of the bands to use, from 1; all but alpha if not given.
        sensor: Name of the sensor, for the names and wavelengths of bands where files do not tell;
            found out from the first image if not given.
        nodata: Value that means "no measurement", in place of what files say; or one for each band
            used, None where files tell.
        class_field: Field with the class of a polygon, text or whole numbers.
        classes: Names of the classes to learn by value; other values of label rasters are then not
            labelled (an error in those of land cover and damage). By default all that are found.
        ignore_value: Label value that means "not labelled", besides the nodata value.
        on_error: What to do with files that cannot be read: ``raise``, or ``skip`` with a warning.
        split: How land is split; its fold decides which epoch is the best.
        test_fold: Another fold that is kept for testing; without one, tests use that of the split.
        statistics: File of ``torchgeo-ext compute-statistics`` with mean and standard deviation of
            the bands; by default those of the training blocks are computed.
        as_pretrained: Name of weights; done to the bands is then what was done in their
            pre-training, without resizing, instead of standardising.
        balance: Draw patches with rare classes more often: not at all, so that all classes are
            drawn equally often (``inverse``), or half-way (``square_root``).
        sampler: Draws the training patches, where there are training labels; by default
            :class:`~torchgeo_ext.samplers.SeededRandomSampler`. Any of ours whose places can be
            weighed, such as ``BalancedChangeSampler``, ``HardExampleSampler`` (see
            :mod:`torchgeo_ext.datamodules.losses`), ``PolygonSampler`` and ``StratifiedSampler``,
            without dataset, size, length, seed, weights and cell, which come from here. Those that
            go by something of their own take no notice of how much ``balance`` and ``weights`` give
            a place.
        weights: What makes places deserve to be drawn more often besides, such as
            :class:`~torchgeo_ext.samplers.RasterWeight`.
        unlabelled: Share of training patches to draw where there are no labels, 0 to 1, for
            ``SemiSupervisedChangeDetection``.
        transforms: What is done to training batches, in physical values: modules that take a batch
            as a dict, and single augmentations of kornia.
        turn: Flip and turn training patches at random.
        patch_size: Height and width of patches and tiles in pixels.
        batch_size: Patches per step.
        length: Training patches per epoch; by default enough to see each training label about
            twice, within limits. Rounded up to whole batches.
        num_workers: Processes that read patches; 0 is fastest when the rasters fit into memory.
        seed: Decides on patches.

    Attributes:
        progress: Told how far the preparations are; may be set before :meth:`setup`.
        seen: What is done to physical values instead of standardising, if so; may be set before
            :meth:`setup`.
        survey: Band statistics and label counts, once set up.

    Raises:
        BadParameter: If it is not told what to learn from.
    """

    patch_size: int
    parts: Parts
    survey: Survey

    def __init__(
        self,
        *,
        images: Paths | None = None,
        before: Paths | None = None,
        after: Paths | None = None,
        labels: VectorLabels | Paths | None = None,
        labels_before: Paths | None = None,
        labels_after: Paths | None = None,
        map_before: Paths | None = None,
        damage: Paths | None = None,
        pseudo_labels: Paths | None = None,
        series: Paths | None = None,
        series_size: int = 128,
        root: str = '.',
        bands: Sequence[int | str] | None = None,
        sensor: str | None = None,
        nodata: float | list[float | None] | None = None,
        class_field: str | None = None,
        classes: dict[int, str] | None = None,
        ignore_value: int | None = None,
        on_error: Literal['raise', 'skip'] = 'raise',
        split: BlockedSplit | None = None,
        test_fold: int | None = None,
        statistics: str | None = None,
        as_pretrained: str | None = None,
        balance: Balance = 'none',
        sampler: Callable[[GeoDataset, Size], PatchSampler] | None = None,
        weights: CellWeights | None = None,
        unlabelled: float = 0.0,
        transforms: list[nn.Module] | None = None,
        turn: bool = True,
        patch_size: int = 64,
        batch_size: int = 8,
        length: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        paths = _chosen(images=images, before=before, after=after)
        layers = _given(
            labels_before=labels_before,
            labels_after=labels_after,
            map_before=map_before,
            damage=damage,
            pseudo_labels=pseudo_labels,
            series=series,
        )
        if layers and before is None:
            raise BadParameter(
                f'{" and ".join(layers)}: these are of pairs, but images are given.',
                'Give labels, or before and after instead of images.',
            )
        check_fraction('unlabelled', unlabelled)
        options: dict[str, Any] = {
            'labels': None,
            **{name: under(root, value) for name, value in (paths | layers).items()},
            **({} if labels is None else {'labels': under(root, labels)}),
            'bands': bands,
            'nodata': nodata,
            'class_field': class_field,
            'classes': classes,
            'ignore_value': ignore_value,
            'on_error': on_error,
        }
        if series is not None:
            options['series_size'] = series_size
            if turn:
                raise BadParameter(
                    'turn is true, but the series beside the pairs would not be turned along.',
                    'Set turn to false.',
                )
        self._make = GeoPair if before is not None else TiledRaster
        super().__init__(self._make, batch_size, patch_size, length, num_workers, **options)
        self.name = Path(root).resolve().name
        self.sensor = sensor
        self.split = split or BlockedSplit()
        self.test_fold = test_fold
        if test_fold is not None and test_fold == self.split.fold:
            raise BadParameter(
                f'test_fold is {test_fold}, which is the fold of split.', 'Choose another fold.'
            )
        self.statistics = None if statistics is None else under(root, statistics)
        if statistics is not None and as_pretrained is not None:
            raise BadParameter(
                f'statistics is {statistics} and as_pretrained is {as_pretrained}.',
                'Give one of both.',
            )
        self.as_pretrained = as_pretrained
        self.balance: Balance = balance
        self._make_sampler: Callable[..., PatchSampler] = sampler or SeededRandomSampler
        self.weights = weights
        self.unlabelled = unlabelled
        self.collate_fn = collate_samples  # type: ignore[assignment]  # takes more than TorchGeo's
        self.transforms = transforms or []
        self.turn = turn
        self.seed = seed
        self.progress: Progress = silent
        self.seen: Preprocessing | None = None
        # known once there are statistics
        self.aug = None  # type: ignore[assignment]

    @property
    def is_change(self) -> bool:
        """Whether it gives pairs."""
        return self._make is GeoPair

    @functools.cached_property
    def labelled(self) -> SceneDataset:
        """The dataset with all its labels."""
        dataset = self._open(portion(self.progress, 0, 0.1))
        if dataset.fits_in_cache:
            dataset.keep(portion(self.progress, 0.1, 0.2))
        return dataset

    @functools.cached_property
    def described(self) -> tuple[SensorBand, ...]:
        """Name and, if known, wavelength of each band."""
        return describe_bands(self.labelled, self.sensor)

    def _open(self, progress: Progress) -> SceneDataset:
        options = self.kwargs | {'progress': progress}
        given = {name: options[name] for name in _LAYERS if options.get(name) is not None}
        own = {
            name: paths
            for name, paths in given.items()
            if not isinstance(paths, str | VectorLabels) and paths[1:]
        }
        if not self.is_change or not own:
            return self._make(**options)
        name, number = next((name, len(paths)) for name, paths in own.items())
        each = {'before': options['before'], 'after': options['after']} | own
        if any(isinstance(paths, str) or len(paths) != number for paths in each.values()):
            raise BadParameter(
                f'{name} has {number} layers, so {" and ".join(n for n in each if n != name)} must '
                'be lists of as many.',
                'Give one layer for all pairs, or one for each pair.',
            )
        pairs = [
            self._make(**options | dict(zip(each, pair, strict=True)))
            for pair in zip(*each.values(), strict=True)
        ]
        return functools.reduce(operator.or_, pairs)

    def setup(self, stage: str = 'fit') -> None:
        """Look through the rasters, once, and set up what a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            BadInput: If there are too few labels to learn from and to be judged by.
            BadParameter: If blocks are so large that there is but one, or the model does not fit.
        """
        if stage == 'predict':
            self.predict_dataset = self.labelled
            self.predict_sampler = self._tiles(self.labelled, None)
            if self.statistics is not None:
                self._standardise(BandValues.of_file(self.statistics, self.labelled))
            return
        if self.train_dataset is not None:
            return
        self._check_model()
        self.parts = make_parts(
            self.labelled, self.split, self.test_fold, portion(self.progress, 0.2, 0.6)
        )
        roles = [TRAINING, VALIDATION] if self.test_fold is None else [TRAINING, VALIDATION, TEST]
        self.survey = survey(
            self.labelled, self.parts.roles, roles, self.cell, portion(self.progress, 0.6, 1)
        )
        if self.statistics is not None:
            values = BandValues.of_file(self.statistics, self.labelled)
            self.survey = dataclasses.replace(self.survey, values=values)
        self._check_counts()
        self._standardise(self.survey.values)
        self.train_dataset = self._part(TRAINING)
        self.train_sampler = self._make_sampler(
            self.train_dataset,
            size=self.patch_size,
            length=self._epoch_length(),
            seed=self.seed,
            weights=self._cell_weights(),
            cell=self.cell,
        )
        self.val_dataset = self._part(VALIDATION)
        self.val_sampler = self._tiles(self.val_dataset, VALIDATION)
        self.test_dataset = self._part(roles[-1])
        self.test_sampler = self._tiles(self.test_dataset, roles[-1])

    @property
    def block_side(self) -> float:
        """Metres that a block is wide; NaN if whole regions are held out."""
        split = self.parts.split
        return split.lattice.transform.a if isinstance(split, BlockRoles) else math.nan

    @property
    def cell(self) -> int:
        """Height and width of the cells that labels are counted in."""
        return max(1, self.patch_size // 4)

    def _part(self, role: int) -> SceneDataset:
        """Give the rasters with the labels of one role only."""
        return self.labelled.only_where(functools.partial(_used_for, self.parts, role))

    def _tiles(self, dataset: SceneDataset, role: int | None) -> TiledSampler:
        """Go over all tiles, or those with labels of a role."""
        cells = None if role is None else [c.sum(-1) for c in self.survey.cells[role]]
        return TiledSampler(
            dataset,
            size=self.patch_size,
            overlap=self.patch_size // 4,
            weights=cells,
            cell=self.cell,
        )

    def _check_model(self) -> None:
        """See that the model of the training reads these bands and tells these classes apart."""
        if self.trainer is None:
            return
        hparams = self.trainer.lightning_module.hparams
        bands = len(self.described)
        asked = hparams.get('in_channels')
        if asked not in (None, bands):
            raise BadParameter(
                f'model.in_channels is {asked}, but the images have {bands} bands: '
                f'{", ".join(band.name for band in self.described)}.',
                f'Set it to {bands}, or choose other bands.',
            )
        self._check_labels(self.trainer.lightning_module)

    def _check_labels(self, task: Any) -> None:
        """See that a task learns from such labels, and reads such a map."""
        hparams, layers = task.hparams, self.labelled.mask_layers
        told = 2 if hparams.get('task') == 'binary' else hparams.get('num_classes')
        values = getattr(task, 'mask_values', {1: told})
        if layers not in values:
            wanted = ' or '.join(_LABELS[number] for number in values)
            raise BadParameter(
                f'{type(task).__name__} learns from {wanted}, but the data module has '
                f'{_LABELS[layers]}.',
                f'Choose another task, or give it {wanted}.',
            )
        _check_number(hparams, 'the labels have', self.labelled.classes, values[layers])
        if 'map_classes' not in hparams:
            return
        if self.labelled.map_classes:
            number = hparams['map_classes']
            _check_number(hparams, 'the map has', self.labelled.map_classes, number)
        elif layers == 1:
            raise BadParameter(
                f'{type(task).__name__} reads a map of land cover, but the data module has none.',
                'Give map_before.',
            )

    def _check_counts(self) -> None:
        training, validation = self.survey.counts(TRAINING), self.survey.counts(VALIDATION)
        if (training > 0).sum() < 2:
            raise BadInput(
                'labels: fewer than two classes are left to learn from after the hold-out of '
                'blocks.',
                'Label more places, or make blocks smaller.',
            )
        for entry, learned, judged in zip(self.labelled.classes, training, validation, strict=True):
            if not learned or not judged:
                log.warning(
                    'Class %s (%d) has %s.',
                    entry.name,
                    entry.value,
                    'no label to learn from' if not learned else 'no label in the hold-out',
                )

    def _standardise(self, values: BandValues) -> None:
        if self.seen is None and self.as_pretrained is not None:
            self.seen = seen_by_weights(self.as_pretrained, self.labelled, self.described)
        standardise = standardiser(values, self.seen)
        self.mean, self.std = figures_of(standardise)
        self.aug = standardise
        self.train_aug = augmentation(self.transforms, standardise, turn=self.turn)
        if self.kwargs.get('series') is not None:
            beside = StandardiseSeries(*self._series_statistics)
            self.aug, self.train_aug = (
                nn.Sequential(aug, beside) for aug in (self.aug, self.train_aug)
            )

    @functools.cached_property
    def _series_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each band of the series."""
        assert isinstance(self.labelled, GeoPair)
        assert self.labelled.series is not None
        mean, std = self.labelled.series.statistics()
        return mean.tolist(), std.tolist()

    def _cell_weights(self) -> list[NDArray[np.float64]]:
        """Weigh the cells of each raster by their training labels; without any they get none."""
        by_class = class_weights(self.survey.counts(TRAINING), self.balance)
        cells = [counts @ by_class for counts in self.survey.cells[TRAINING]]
        if self.unlabelled:
            cells = self._with_unlabelled(cells)
        if self.weights is None:
            return cells
        given = self.weights.weigh(self.labelled.grids, self.cell, progress=self.progress)
        return [own * more for own, more in zip(cells, given, strict=True)]

    def _with_unlabelled(self, cells: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Give places without label their share of the weights of cells."""
        number = sum(int(free.sum()) for free in self.survey.free)
        if not number:
            raise BadInput(
                f'unlabelled is {self.unlabelled}, but all training land is labelled.',
                'Set it to 0, or give images of more land than labels.',
            )
        labelled = sum(float(own.sum()) for own in cells)
        return [
            own * ((1 - self.unlabelled) / labelled) + free * (self.unlabelled / number)
            for own, free in zip(cells, self.survey.free, strict=True)
        ]

    def _epoch_length(self) -> int:
        twice = 2 * self.survey.counts(TRAINING).sum() / self.patch_size**2
        steps = min(max(math.ceil(twice / self.batch_size), _FEWEST_STEPS), _MOST_STEPS)
        wanted = self.length or steps * self.batch_size
        # a last, smaller batch would be dropped
        return math.ceil(wanted / self.batch_size) * self.batch_size

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint should know to become a bundle, as plain values."""
        state = {DATA_CARD: card_of(self)}
        return (
            state
            if self.kwargs.get('series') is None
            else state | {_SERIES: self._series_statistics}
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Standardise as the training of a checkpoint did, whatever images there are now."""
        if _SERIES in state_dict:
            self._series_statistics = tuple(state_dict[_SERIES])
        bands, keys = state_dict[DATA_CARD]['bands'], BandValues._fields
        self.seen = seen_in_checkpoint(bands) or self.seen
        self._standardise(BandValues(*(np.array([b[key] for b in bands]) for key in keys)))

    def plot(self, sample: Sample, prediction: Tensor | None = None, *, title: str = '') -> Figure:
        """Draw a sample: its image or images, its label and, if given, what a model made of it.

        Args:
            sample: Of one of the datasets, in physical values.
            prediction: Class numbers (h, w), or (t, h, w) of both dates; by default ``prediction``
                of the sample, if any.
            title: Above it.
        """
        figure = _plots.draw_samples([self._row(sample, prediction)], self.labelled.classes)
        figure.suptitle(title)
        return figure

    def plot_samples(self, number: int = 4, task: nn.Module | None = None) -> Figure:
        """Draw tiles of the hold-out that show most classes.

        Args:
            number: How many.
            task: Predicts them, from standardised images.
        """
        rows = []
        for sample in self.typical(number):
            predicted = None if task is None else self.predict(task, sample)
            rows.append(self._row(sample, predicted))
        return _plots.draw_samples(rows, self.labelled.classes)

    def plot_split(self) -> Figure:
        """Draw on a map which blocks are learned from and which are held out."""
        views = [
            self._view(scene, small, self.parts.roles(small, small.window))
            for scene, small in self.places()
        ]
        return _plots.draw_roles(views, _ROLES, _ROLE_COLORS)

    def plot_coverage(self) -> Figure:
        """Draw how often each place is drawn in an epoch."""
        assert self.train_sampler is not None
        patches: list[Any] = list(self.train_sampler)
        views = []
        for scene, small in self.places():
            # all dates of a place count together
            same = {n for n, grid in enumerate(self.labelled.grids) if grid == scene.grid}
            counts = np.zeros(small.shape, dtype=np.int64)
            for patch in patches:
                if patch.scene in same:
                    rows, columns = _shrunk(patch.window, scene.grid, small)
                    counts[rows, columns] += 1
            views.append(self._view(scene, small, counts))
        return _plots.draw_counts(views, 'times a pixel is in a patch of one epoch')

    def typical(self, number: int) -> Iterator[Sample]:
        """Yield tiles of the hold-out that show most classes, of different places.

        Args:
            number: How many at most.
        """
        assert self.val_sampler is not None
        assert isinstance(self.val_dataset, SceneDataset)
        ranked = []
        candidates: Iterator[Any] = itertools.islice(self.val_sampler, _CANDIDATES)
        for place, patch in enumerate(candidates):
            mask = self.val_dataset[patch]['mask']
            labels = mask[mask >= 0]
            ranked.append((-len(labels.unique()), -labels.numel(), place, patch))
        shown: list[tuple[int, int]] = []
        for *_, patch in sorted(ranked, key=lambda entry: entry[:3]):
            corner = patch.window.col_off, patch.window.row_off
            if corner not in shown and len(shown) < number:
                shown.append(corner)
                yield self.val_dataset[patch]

    def predict(self, task: nn.Module, sample: Sample) -> Tensor:
        """Predict the class numbers of a sample with a task.

        Args:
            task: Takes standardised images.
            sample: Of one of the datasets, in physical values.

        Returns:
            (h, w), or (t, h, w) if the task makes its own maps of pairs.
        """
        device = next(task.parameters()).device
        batch = self.aug({key: value[None].to(device) for key, value in sample.items()})
        was_training = task.training
        # tasks of pairs that make several maps say how
        maps = getattr(task.eval(), 'maps', None)
        with torch.inference_mode():
            # tasks that look at more than the image say what
            inputs = getattr(task, 'inputs', operator.itemgetter('image'))
            scores = (task(inputs(batch)) if maps is None else maps(batch))[0].cpu()
        task.train(was_training)
        if maps is not None:
            return scores
        if scores.ndim == 1:  # of the whole tile
            scores = scores[:, None, None].expand(-1, *batch['image'].shape[-2:])
        return (scores[0] > 0).long() if len(scores) == 1 else scores.argmax(0)

    def _row(self, sample: Sample, prediction: Tensor | None) -> _plots.Row:
        bands = rgb_bands([band.name for band in self.described])
        image = sample['image'].cpu().numpy()
        dates = image[None] if image.ndim == 3 else image
        mean, std = dates.mean((0, 2, 3)), dates.std((0, 2, 3)) + _TINY
        titles = ('before', 'after') if self.is_change else ('image',)
        shown = sample.get('prediction') if prediction is None else prediction
        maps = _by_date('label', sample['mask'])
        if 'mask_change' in sample:
            maps['change'] = _plots.paint_change(sample['mask_change'][0].cpu().numpy())
        if shown is not None:
            maps |= _by_date('prediction', shown)
        if self._tells_change and 'prediction' in maps:
            maps['prediction'] = _plots.paint_change(maps['prediction'])
        return _plots.Row(
            {
                title: quicklook(date, mean, std, bands)
                for title, date in zip(titles, dates, strict=True)
            },
            maps,
        )

    @property
    def _tells_change(self) -> bool:
        """Whether the model of the training tells change alone, whatever the labels tell."""
        task = None if self.trainer is None else self.trainer.lightning_module
        return task is not None and task.hparams.get('semantic') is False

    def places(self) -> Iterator[tuple[Scene, Grid]]:
        """Yield a scene of each place once, with a small grid to draw it on."""
        shown: list[Grid] = []
        for scene in self.labelled.scenes:
            if scene.grid not in shown and len(shown) < _MOST_MAPS:
                shown.append(scene.grid)
                yield scene, reduced(scene.grid, _MAP)

    def _view(self, scene: Scene, small: Grid, painted: NDArray[Any]) -> _plots.MapView:
        values, bands = self.survey.values, rgb_bands([band.name for band in self.described])
        image, valid = overview(scene, small)
        image = np.where(valid, image, values.mean[:, None, None])
        left, bottom, right, top = small.bounds
        return _plots.MapView(
            Path(scene.images[0].path).name,
            quicklook(image, values.mean, values.std, bands),
            painted,
            (left, right, bottom, top),
        )


def _shrunk(window: Window, grid: Grid, small: Grid) -> tuple[slice, slice]:
    """Give the pixels of a smaller grid of the same place that a window touches."""
    y, x = small.height / grid.height, small.width / grid.width
    top, bottom = window.row_off * y, (window.row_off + window.height) * y
    left, right = window.col_off * x, (window.col_off + window.width) * x
    return (
        slice(max(0, int(top)), max(0, math.ceil(bottom))),
        slice(max(0, int(left)), max(0, math.ceil(right))),
    )


def _used_for(parts: Parts, role: int, grid: Grid, window: Window) -> NDArray[np.bool_]:
    used: NDArray[np.bool_] = parts.roles(grid, window) == role
    return used


def _chosen(**paths: Paths | None) -> dict[str, Paths]:
    """Give the images, or the earlier and later ones."""
    given = _given(**paths)
    if set(given) not in ({'images'}, {'before', 'after'}):
        raise BadParameter(
            f'GeoTIFFDataModule needs images, or before and after; it got '
            f'{" and ".join(given) or "neither"}.',
            'Give images for segmentation, before and after for change.',
        )
    return given


def _given(**paths: Paths | None) -> dict[str, Paths]:
    return {name: value for name, value in paths.items() if value is not None}


def _check_number(
    hparams: Mapping[str, Any], what: str, classes: Sequence[LabelClass], told: int | None
) -> None:
    """See that a model tells as many classes as there are."""
    if told in (None, len(classes)):
        return
    names = ', '.join(f'{entry.value} {entry.name}' for entry in classes)
    argument = next((name for name in _NUMBERS if hparams.get(name) is not None), None)
    if argument is None:
        raise BadParameter(
            f'The model tells {told} classes apart, but {what} {len(classes)}: {names}.',
            'Choose a task or model that tells more, or join classes of the labels.',
        )
    offset = hparams[argument] - (told or 0)
    raise BadParameter(
        f'model.{argument} is {hparams[argument]}, but {what} {len(classes)} classes: {names}.',
        f'Set it to {len(classes) + offset}.',
    )


def _by_date(title: str, maps: Tensor) -> dict[str, NDArray[Any]]:
    """Give maps (t, h, w), or a single one (h, w), titles."""
    values = maps.cpu().numpy().reshape(-1, *maps.shape[-2:])
    if len(values) == 1:
        return {title: values[0]}
    return {f'{title} {date}': v for date, v in zip(('before', 'after'), values, strict=True)}


def under(root: str, paths: Any) -> Any:
    """Make paths start from a folder; absolute ones and those of GDAL's own stay as they are."""
    if isinstance(paths, VectorLabels):
        return paths
    if isinstance(paths, str | os.PathLike):
        path = os.fspath(paths)
        return path if path.startswith('/vsi') or root == '.' else os.path.join(root, path)  # noqa: PTH118  # keeps patterns and layer names
    return [under(root, path) for path in paths]
