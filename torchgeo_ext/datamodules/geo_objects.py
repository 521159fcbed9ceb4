"""Data module for objects of one's own: polygons on rasters."""

import dataclasses
import functools
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets.utils import Sample

from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.datamodules._card import bands_of, describe_bands, extent_of, resolutions_of
from torchgeo_ext.datamodules._object_patches import (
    Cutter,
    HeldOutTiles,
    SceneObjects,
    TrainingPatches,
    count_objects,
    longest_sides,
    read_objects,
)
from torchgeo_ext.datamodules._pretrained import figures_of, seen_by_weights, standardiser
from torchgeo_ext.datamodules._survey import BandValues
from torchgeo_ext.datasets import TiledRaster
from torchgeo_ext.datasets._classes import LabelClass
from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.statistics import Moments
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.progress import Progress, portion, silent
from torchgeo_ext.samplers import BlockedSplit, BlockRoles, class_weights
from torchgeo_ext.samplers._roles import TRAINING, VALIDATION, Roles
from torchgeo_ext.samplers.cell_weights import Balance
from torchgeo_ext.sensors import SensorBand

log = logging.getLogger(__name__)

#: Steps of an epoch, whatever the number of objects.
_FEWEST_STEPS, _MOST_STEPS = 12, 400
#: Height and width of the windows that statistics are computed of.
_CHUNK = 1024
#: Keys of which each sample has as many as it shows objects.
_LISTS = ('bbox_xyxy', 'bbox', 'label', 'mask')
#: Share of the objects that fit into the margin of a tile.
_MOST_OBJECTS = 0.95
#: Pixels around an object that help to find it.
_AROUND = 4


class GeoObjectDataModule(NonGeoDataModule):
    """Training patches with objects, and tiles of the land held out, of one's own rasters.

    Whole blocks of land are held out, the same ones in all rasters, chosen so that objects of each
    class have their share in them. Training patches are drawn around objects to learn from; pixels
    of the blocks held out, and of a strip around them, are hidden. Tiles count each object of the
    hold-out once. Bands are standardised with the mean and standard deviation of the land that is
    not held out. All objects of a class have to be drawn where there are any: what is not counts as
    background.

    A batch has ``image`` (b, c, h, w), lists of ``bbox_xyxy`` (n, 4), ``bbox`` (n, 8; corners of
    rotated boxes) and ``label`` (n,), from 1, and with ``masks`` of ``mask`` (n, h, w): for
    ``MaskedObjectDetection``, ``RotatedObjectDetection`` and ``MaskedInstanceSegmentation``.

    Args:
        images: Rasters of the same bands: files, folders, or names with * and ?.
        labels: Polygons around the objects.
        class_field: Field with their class, text or whole numbers; all of one class without it.
        bands: Numbers of the bands to use, from 1; all but alpha if not given.
        sensor: Name of the sensor, for the names and wavelengths of bands where files do not tell.
        ignore_value: Class of polygons that are no objects.
        split: How land is split.
        balance: Draw rare classes more often: not at all, so that all are drawn equally often
            (``inverse``), or half-way (``square_root``).
        as_pretrained: Name of weights; done to the bands is then what was done in their
            pre-training, without resizing, instead of standardising.
        masks: Give the pixels of each object too.
        turn: Flip and turn training patches at random.
        patch_size: Height and width of patches and tiles in pixels.
        batch_size: Patches per step.
        length: Training patches per epoch; by default about twice the objects, within limits.
        num_workers: Processes that read patches.

    Attributes:
        progress: Told how far the preparations are; may be set before :meth:`setup`.
        seen: What is done to physical values instead of standardising, if so; may be set before
            :meth:`setup`.
    """

    roles: Roles
    values: BandValues

    def __init__(
        self,
        images: Paths,
        labels: str,
        *,
        class_field: str | None = None,
        bands: Sequence[int | str] | None = None,
        sensor: str | None = None,
        ignore_value: int | str | None = None,
        split: BlockedSplit | None = None,
        balance: Balance = 'square_root',
        as_pretrained: str | None = None,
        masks: bool = False,
        turn: bool = True,
        patch_size: int = 256,
        batch_size: int = 4,
        length: int | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            TiledRaster,  # type: ignore[arg-type]  # opened by :attr:`images`, whatever the stage
            batch_size, num_workers, images=images, labels=labels,
            class_field=class_field, bands=bands, ignore_value=ignore_value,
        )  # fmt: skip
        self.sensor, self.split, self.balance = sensor, split or BlockedSplit(), balance
        self.masks, self.turn, self.patch_size, self.length = masks, turn, patch_size, length
        self.collate_fn = _join
        self.as_pretrained = as_pretrained
        self.progress: Progress = silent
        self.seen: Preprocessing | None = None
        # known once there are statistics
        self.aug = None  # type: ignore[assignment]

    @functools.cached_property
    def images(self) -> SceneDataset:
        """The rasters."""
        look = portion(self.progress, 0, 0.3)
        dataset = TiledRaster(self.kwargs['images'], bands=self.kwargs['bands'], progress=look)
        if dataset.fits_in_cache:
            dataset.keep(portion(self.progress, 0.3, 0.6))
        return dataset

    @functools.cached_property
    def _read(self) -> tuple[list[SceneObjects], tuple[LabelClass, ...]]:
        options = self.kwargs
        return read_objects(
            str(options['labels']), self.images, options['class_field'], options['ignore_value']
        )

    @property
    def objects(self) -> list[SceneObjects]:
        """The objects on each raster."""
        return self._read[0]

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Value, name and colour of each class."""
        return self._read[1]

    @functools.cached_property
    def described(self) -> tuple[SensorBand, ...]:
        """Name and, if known, wavelength of each band."""
        return describe_bands(self.images, self.sensor)

    def setup(self, stage: str) -> None:
        """Look through objects and rasters, once, and set up what a stage needs.

        Args:
            stage: ``fit``, ``validate`` or ``test``.

        Raises:
            BadInput: If there are too few objects to learn from and to be judged by.
        """
        if self.train_dataset is not None:
            return
        grids, classes = self.images.grids, len(self.classes)
        count = functools.partial(count_objects, self.objects, grids, classes)
        self.roles = self.split.resolve(grids, count)
        cutter = Cutter(self.images, self.patch_size, self.masks)
        held_out = HeldOutTiles(cutter, self.objects, self.roles)
        learned, judged = self.learned, _count(held_out.objects, classes)
        self._check_counts(learned, judged)
        self._standardise(portion(self.progress, 0.6, 1))
        by_class = class_weights(learned, self.balance)
        self.train_dataset = TrainingPatches(
            cutter, self.objects, self.roles, by_class, self._epoch_length(), self.turn
        )
        self.val_dataset = self.test_dataset = held_out

    @functools.cached_property
    def learned(self) -> NDArray[np.int64]:
        """Number of the objects to learn from, by class (k,)."""
        kept = [
            own.select(own.roles(self.roles, grid) == TRAINING)
            for own, grid in zip(self.objects, self.images.grids, strict=True)
        ]
        return _count(kept, len(self.classes))

    @property
    def block_side(self) -> float:
        """Metres that a block is wide; NaN if whole regions are held out."""
        return self.roles.lattice.transform.a if isinstance(self.roles, BlockRoles) else math.nan

    @property
    def halo(self) -> int:
        """Margin of a tile, in pixels, that lets most objects be whole in one of two tiles."""
        sides = np.concatenate([longest_sides(own) for own in self.objects])
        wanted = math.ceil(np.quantile(sides, _MOST_OBJECTS) / 2) + _AROUND
        return min(wanted, self.patch_size // 4)

    def _epoch_length(self) -> int:
        steps = math.ceil(2 * self.learned.sum() / self.batch_size)
        steps = min(max(steps, _FEWEST_STEPS), _MOST_STEPS)
        wanted = self.length or steps * self.batch_size
        # a last, smaller batch would be dropped
        return math.ceil(wanted / self.batch_size) * self.batch_size

    def _check_counts(self, learned: NDArray[np.int64], judged: NDArray[np.int64]) -> None:
        if not learned.any() or not judged.any():
            raise BadInput(
                f'labels: {learned.sum()} objects are left to learn from and {judged.sum()} to be '
                'judged by, too few.',
                'Draw more objects, in more places, or make blocks smaller.',
            )
        for entry, own, other in zip(self.classes, learned, judged, strict=True):
            if not own or not other:
                log.warning(
                    'Class %s has %s.',
                    entry.name,
                    'no object to learn from' if not own else 'no object in the hold-out',
                )

    def _standardise(self, progress: Progress) -> None:
        """Standardise with the statistics of the land that is not held out."""
        moments = Moments(len(self.described))
        for scene, grid in enumerate(self.images.grids):
            for window in grid.windows(_CHUNK):
                progress(scene / len(self.images.grids), 'computing statistics')
                pixels = self.images.pixels(scene, window)
                used = pixels.measured[0] & (self.roles.roles(grid, window) != VALIDATION)
                moments.add(pixels.image[0][:, used])
        if not moments.count:
            raise BadInput('images: no pixel to learn from is valid.', 'Check the nodata values.')
        self.values = BandValues(moments.mean, moments.std, moments.minimum, moments.maximum)
        if self.seen is None and self.as_pretrained is not None:
            self.seen = seen_by_weights(self.as_pretrained, self.images, self.described)
        standardise = standardiser(self.values, self.seen)
        self.mean, self.std = figures_of(standardise)
        self.aug = standardise

    def typical(self, number: int) -> list[tuple[Sample, SceneObjects]]:
        """Give tiles of the hold-out with the most objects, each with those that count in it."""
        tiles: Dataset[Sample] | None = self.val_dataset
        assert isinstance(tiles, HeldOutTiles)
        counts = [-len(tiles.within(n)) for n in range(len(tiles))]
        best = np.argsort(counts, kind='stable')[:number].tolist()
        return [(tiles[n], tiles.within(n)) for n in best]

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint should know to become a bundle, as plain values."""
        return {DATA_CARD: self.card()}

    def card(self) -> dict[str, Any]:
        """Give what the bundle of a model says of its data, as plain values."""
        grids = self.images.grids
        finest, coarsest = resolutions_of(grids)
        extent, bands = (
            extent_of(grids),
            bands_of(self.images, self.values, self.described, self.seen),
        )
        return {
            'description': self.describe(),
            'bands': [dataclasses.asdict(band) for band in bands],
            'classes': [entry._asdict() for entry in self.classes],
            'tile_size': self.patch_size,
            'halo': self.halo,
            'resolution_minimum': finest,
            'resolution_maximum': coarsest,
            'extent': None if extent is None else list(extent),
            'training': {
                'images': [Path(scene.images[0].path).name for scene in self.images.scenes],
                'training_objects': self.learned.tolist(),
            },
        }

    def describe(self) -> str:
        """Say in a sentence what a model of it was trained for."""
        names = ', '.join(entry.name for entry in self.classes)
        return (
            f'Objects ({names}) from {len(self.described)} bands, trained on '
            f'{self.learned.sum()} objects.'
        )


def _count(objects: Sequence[SceneObjects], classes: int) -> NDArray[np.int64]:
    total = np.zeros(classes, np.int64)
    for own in objects:
        total += np.bincount(own.labels, minlength=classes)
    return total


def _join(samples: Sequence[Sample]) -> dict[str, Any]:
    """Stack tensors, and list what belongs to objects."""
    return {
        key: [sample[key] for sample in samples]
        if key in _LISTS
        else torch.stack([sample[key] for sample in samples])
        for key in samples[0]
    }
