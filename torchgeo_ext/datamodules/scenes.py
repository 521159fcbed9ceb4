"""Data module for one's own examples of scenes: tiles, places or files, each with its class."""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, Subset, WeightedRandomSampler
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets.utils import Sample

from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datamodules._card import bands_of, describe_bands, extent_of, resolutions_of
from torchgeo_ext.datamodules._pretrained import figures_of, seen_by_weights, standardiser
from torchgeo_ext.datamodules._scene_split import deal
from torchgeo_ext.datamodules._survey import BandValues
from torchgeo_ext.datasets import ScenePatches, TiledRaster
from torchgeo_ext.datasets._classes import LabelClass
from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.statistics import Moments
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.progress import Progress, portion, silent
from torchgeo_ext.samplers import BlockedSplit, class_weights
from torchgeo_ext.samplers._roles import TRAINING, VALIDATION
from torchgeo_ext.samplers.cell_weights import Balance
from torchgeo_ext.sensors import SensorBand

#: Steps of an epoch at least, however few examples there are.
_FEWEST_STEPS = 12


class SceneDataModule(NonGeoDataModule):
    """Examples for :class:`~torchgeo_ext.tasks.SceneClassification`, from one's own files.

    They are the squares of :class:`~torchgeo_ext.datasets.ScenePatches`. Whole blocks of land are
    held out, the same ones in all images, chosen so that each class has its share in them, and
    examples that share a pixel of the ground with one of those are not learned from. Only files
    that lie nowhere are dealt out one by one. Bands are standardised with the mean and standard
    deviation of the examples learned from. What a model needs to be used goes into every
    checkpoint.

    In YAML::

        data:
          class_path: SceneDataModule
          init_args: {images: scene.tif, labels: fields.gpkg, class_field: crop, tile_size: 64}

    Args:
        images: Rasters of the same bands: files, folders, or names with * and ?.
        labels: Class raster, polygons, or points.
        folder: Folder with a folder of images for each class, instead of these.
        class_field: Field with the class of a polygon or point, text or whole numbers; of several
            classes text, parted by commas.
        bands: Numbers of the bands to use; all but alpha if not given.
        sensor: Name of the sensor, for names and wavelengths of bands where files do not tell.
        tiles: Whether polygons are labels of the tiles that they cover; otherwise each is one
            example. Rasters always are.
        around: Whether the example of a polygon is the smallest square around it, resampled;
            otherwise all are squares of ``tile_size`` around the middle.
        share: Share of a tile that its class must cover, above 0 to 1.
        multilabel: Whether an example may have several classes.
        ignore_value: Label value that means "not labelled".
        tile_size: Height and width of examples in pixels; 0 takes that of the first file in a
            folder, else 64.
        batch_size: Examples per step.
        split: How land is split; its block size is chosen by the places of the examples if it has
            none.
        balance: Draw examples of rare classes more often: not at all, so that all classes are
            drawn equally often (``inverse``), or half-way (``square_root``).
        as_pretrained: Name of weights; done to the bands is then what was done in their
            pre-training, without resizing, instead of standardising.
        transforms: What is done to training batches, in physical values.
        turn: Flip and turn training examples at random.
        num_workers: Processes that read examples.
        seed: Decides on the order of examples, and on the hold-out of files that lie nowhere.

    Attributes:
        progress: Told how far the preparations are; may be set before :meth:`setup`.
        seen: What is done to physical values instead of standardising, if so; may be set before
            :meth:`setup`.
        values: Statistics of the bands, once set up.
        roles: What each example is used for (n,), once set up.

    Raises:
        BadParameter: If it is not told what to learn from.
    """

    values: BandValues
    roles: NDArray[np.uint8]

    def __init__(
        self,
        *,
        images: Paths | None = None,
        labels: Paths | None = None,
        folder: str | None = None,
        class_field: str | None = None,
        bands: list[int] | None = None,
        sensor: str | None = None,
        tiles: bool = False,
        around: bool = True,
        share: float = 0.5,
        multilabel: bool = False,
        ignore_value: int | None = None,
        tile_size: int = 0,
        batch_size: int = 32,
        split: BlockedSplit | None = None,
        balance: Balance = 'none',
        as_pretrained: str | None = None,
        transforms: list[nn.Module] | None = None,
        turn: bool = True,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        if (images is None or labels is None) == (folder is None):
            raise BadParameter(
                f'images is {images}, labels is {labels} and folder is {folder}.',
                'Give images and labels, or a folder with a folder of images for each class.',
            )
        if not 0 < share <= 1:
            raise BadParameter(f'share is {share}; it must be above 0 and at most 1.')
        if multilabel and folder is not None:
            raise BadParameter(
                'multilabel is true, but in a folder for each class every image has one class.',
                'Give images and labels, or leave multilabel out.',
            )
        super().__init__(
            ScenePatches, batch_size, num_workers, images=images, labels=labels, folder=folder,
            class_field=class_field, bands=bands, tiles=tiles, around=around, share=share,
            multilabel=multilabel, ignore_value=ignore_value, size=tile_size,
        )  # fmt: skip
        self.sensor, self.split, self.balance = sensor, split or BlockedSplit(), balance
        self.transforms, self.turn, self.seed = transforms or [], turn, seed
        self.as_pretrained = as_pretrained
        self.progress: Progress = silent
        self.seen: Preprocessing | None = None
        # known once there are statistics
        self.aug = None  # type: ignore[assignment]

    @functools.cached_property
    def examples(self) -> ScenePatches:
        """All examples."""
        given, look = self.kwargs, portion(self.progress, 0, 0.3)
        size, several = given['size'], given['multilabel']
        if given['folder'] is not None:
            return ScenePatches.of_folders(
                given['folder'], size, bands=given['bands'], progress=look
            )
        options = {'bands': given['bands'], 'progress': look}
        cut = portion(self.progress, 0.3, 0.6)
        labels = given['labels']
        if given['class_field'] is None or given['tiles']:
            rasters = TiledRaster(
                given['images'], labels, class_field=given['class_field'],
                ignore_value=given['ignore_value'], **options,
            )  # fmt: skip
            return ScenePatches.of_tiles(
                rasters, size, share=given['share'], multilabel=several, progress=cut
            )
        return ScenePatches.of_features(
            TiledRaster(given['images'], **options), str(labels), given['class_field'], size,
            around=given['around'], ignore_value=given['ignore_value'], multilabel=several,
            progress=cut,
        )  # fmt: skip

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Value, name and colour of each class."""
        return self.examples.classes

    @functools.cached_property
    def described(self) -> tuple[SensorBand, ...]:
        """Name and, if known, wavelength of each band."""
        return describe_bands(self.examples.images, self.sensor)

    def setup(self, stage: str) -> None:
        """Deal out the examples and look through those to learn from, once.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            BadInput: If there are too few examples to learn from and to be judged by.
        """
        if stage == 'predict':
            self.predict_dataset = self.examples
        if self.train_dataset is not None:
            return
        self._check_model()
        self.roles = deal(self.examples, self.split, self.seed)
        self._check_counts()
        self._standardise(self._survey())
        self.train_dataset = Subset(self.examples, self.training)
        self.val_dataset = Subset(self.examples, self.held_out)
        self.test_dataset = self.val_dataset

    @property
    def training(self) -> list[int]:
        """Numbers of the examples to learn from."""
        return np.flatnonzero(self.roles == TRAINING).tolist()

    @property
    def held_out(self) -> list[int]:
        """Numbers of the examples to be judged by."""
        return np.flatnonzero(self.roles == VALIDATION).tolist()

    def counts(self, role: int) -> NDArray[np.int64]:
        """Count the examples of each class (k,) that have a role."""
        total: NDArray[np.int64] = self.examples.members[self.roles == role].sum(0)
        return total

    def train_dataloader(self) -> DataLoader[Sample]:
        """Give whole batches of training examples, at least as many as an epoch needs."""
        dataset: Any = self.train_dataset
        steps = max(_FEWEST_STEPS, math.ceil(len(dataset) / self.batch_size))
        number, generator = steps * self.batch_size, torch.Generator().manual_seed(self.seed)
        sampler: RandomSampler | WeightedRandomSampler = RandomSampler(
            dataset, num_samples=number, generator=generator
        )
        if self.balance != 'none':
            sampler = WeightedRandomSampler(self._weights(), number, generator=generator)
        return DataLoader(
            dataset,
            self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            persistent_workers=self.num_workers > 0,
        )

    def _weights(self) -> list[float]:
        """Weigh the training examples by their rarest class."""
        by_class = class_weights(self.counts(TRAINING), self.balance)
        members = self.examples.members[self.roles == TRAINING]
        weights = np.where(members, by_class, 0).max(1)
        # what shows no class at all is as likely as the commonest one
        none = ~members.any(1)
        return np.where(none, by_class[by_class > 0].min(), weights).tolist()

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint should know to become a bundle, as plain values."""
        return {DATA_CARD: self.card()}

    def card(self) -> dict[str, Any]:
        """Give what the bundle of a model says of its data, as plain values."""
        grids = self.examples.images.grids
        finest, coarsest = resolutions_of(patch.grid for patch in self.examples.patches)
        extent, bands = (
            extent_of(grids),
            bands_of(self.examples.images, self.values, self.described, self.seen),
        )
        return {
            'description': self.describe(),
            'bands': [dataclasses.asdict(band) for band in bands],
            'classes': [entry._asdict() for entry in self.classes],
            'tile_size': self.examples.size,
            'halo': 0,
            'resolution_minimum': finest,
            'resolution_maximum': coarsest,
            'extent': None if extent is None else list(extent),
            'training': {
                'training_examples': self.counts(TRAINING).tolist(),
                'held_out_examples': self.counts(VALIDATION).tolist(),
            },
        }

    def describe(self) -> str:
        """Say in a sentence what a model of it was trained for."""
        names = ', '.join(entry.name for entry in self.classes)
        number = int((self.roles == TRAINING).sum())
        return (
            f'Scenes ({names}) from {len(self.described)} bands, trained on {number} examples of '
            f'{self.examples.size} x {self.examples.size} pixels.'
        )

    def _check_model(self) -> None:
        """See that the model of the training reads these bands and tells these classes apart."""
        if self.trainer is None:
            return
        hparams = self.trainer.lightning_module.hparams
        several = self.examples.multilabel
        wanted = {
            'in_channels': (len(self.described), 'bands'),
            'num_labels' if several else 'num_classes': (len(self.classes), 'classes'),
        }
        if (hparams.get('task') == 'multilabel') != several:
            raise BadParameter(
                f'model.task is {hparams.get("task")}, but multilabel of the data is {several}.',
                'Set task to multilabel and multilabel to true, or neither.',
            )
        for name, (number, what) in wanted.items():
            if hparams.get(name) not in (None, number):
                raise BadParameter(
                    f'model.{name} is {hparams[name]}, but the examples have {number} {what}.',
                    f'Set it to {number}.',
                )

    def _check_counts(self) -> None:
        learned, judged = self.counts(TRAINING), self.counts(VALIDATION)
        fewest = 1 if self.examples.multilabel else 2
        if (learned > 0).sum() < fewest or not judged.any():
            raise BadInput(
                f'labels: of {len(self.examples)} examples {learned.sum()} are left to learn from '
                f'and {judged.sum()} to be judged by, too few.',
                'Give more examples, in more places, or make tiles or blocks smaller.',
            )

    def _standardise(self, values: BandValues) -> None:
        self.values = values
        if self.seen is None and self.as_pretrained is not None:
            self.seen = seen_by_weights(self.as_pretrained, self.examples.images, self.described)
        standardise = standardiser(values, self.seen)
        self.mean, self.std = figures_of(standardise)
        self.aug = standardise
        self.train_aug = augmentation(self.transforms, standardise, turn=self.turn)

    def _survey(self) -> BandValues:
        """Compute the statistics of the bands of the examples to learn from."""
        moments, training = Moments(len(self.described)), self.training
        for place, number in enumerate(training):
            self.progress(0.6 + 0.4 * place / len(training), 'computing statistics')
            sample = self.examples[number]
            moments.add(sample['image'][:, sample['mask_valid']].numpy())
        return BandValues(moments.mean, moments.std, moments.minimum, moments.maximum)
