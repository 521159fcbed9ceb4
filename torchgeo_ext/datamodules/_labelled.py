"""Joins labelled rasters, a spatial hold-out, samplers and augmentation for a Trainer."""

import functools
import logging
import math
from collections.abc import Callable
from typing import Any, Literal

import kornia.augmentation as K
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datamodules import GeoDataModule
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datamodules._survey import Survey, block_histograms, survey
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress, portion, silent
from torchgeo_ext.samplers import BlockedSplit, BlockLattice, SeededRandomSampler, TiledSampler
from torchgeo_ext.samplers.blocked_split import TRAINING, VALIDATION, coarser_key

log = logging.getLogger(__name__)

Balance = Literal['none', 'inverse', 'square_root']

#: Automatic blocks are as large as leaves this many of them with labels, within these limits.
_BLOCKS_WANTED, _SMALLEST_BLOCK, _LARGEST_BLOCK = 24, 16, 512
#: Blocks that are counted one by one; rasters with more begin with larger blocks.
_MOST_BLOCKS = 20_000
#: Width of the strip around validation blocks that is not learned from, as part of a block.
_MARGIN = 1 / 8
#: Steps of an epoch, whatever the size of the rasters.
_FEWEST_STEPS, _MOST_STEPS = 12, 400


class LabelledDataModule(GeoDataModule):
    """Training patches and validation tiles of a :class:`SceneDataset`.

    Whole blocks of land are held out for validation, the same ones in all rasters, chosen so that
    each class has its share in them. Training patches are drawn at random where there are training
    labels; they may show pixels of validation blocks but never their labels, nor those in a strip
    around them. Validation tiles count each labelled pixel of the validation blocks exactly once.
    Pixels are standardised with the mean and standard deviation of the training blocks.

    Args:
        dataset_class: The dataset to make.
        batch_size: Patches per step.
        patch_size: Height and width of patches and tiles in pixels.
        length: Training patches per epoch; by default enough to see each training label about
            twice, within limits. Rounded up to whole batches.
        num_workers: Processes that read patches; 0 is fastest when the rasters fit into memory.
        validation_fraction: Share of the labels to hold out.
        block_size: Height and width of blocks in pixels of the first raster; 0 chooses.
        balance: Draw patches with rare classes more often: not at all, so that all classes are
            drawn equally often, or half-way.
        augment: Flip and turn training patches at random.
        seed: Decides on blocks and patches.
        progress: Told how far the preparations are.
        **kwargs: Arguments of the dataset.

    Attributes:
        split: Which blocks are held out.
        survey: Band statistics and label counts.
        block_size: As chosen.
    """

    patch_size: int
    split: BlockedSplit
    survey: Survey

    def __init__(
        self,
        dataset_class: type[SceneDataset],
        *,
        batch_size: int = 8,
        patch_size: int = 64,
        length: int | None = None,
        num_workers: int = 0,
        validation_fraction: float = 0.2,
        block_size: int = 0,
        balance: Balance = 'none',
        augment: bool = True,
        seed: int = 0,
        progress: Progress = silent,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset_class, batch_size, patch_size, length, num_workers, **kwargs)
        self._labelled_class = dataset_class
        self.validation_fraction = validation_fraction
        self.block_size = block_size
        self.balance = balance
        self.augment = augment
        self.seed = seed
        self.progress = progress

    @functools.cached_property
    def labelled(self) -> SceneDataset:
        """The dataset with all its labels."""
        make: Callable[..., SceneDataset] = self._labelled_class
        dataset = make(progress=portion(self.progress, 0, 0.1), **self.kwargs)
        if dataset.fits_in_cache:
            dataset.keep(portion(self.progress, 0.1, 0.2))
        return dataset

    def setup(self, stage: str = 'fit') -> None:
        """Look through the rasters and set up what ``fit`` and ``validate`` need.

        Raises:
            BadInput: If there are too few labels to learn from and to be judged by.
            BadParameter: If blocks are so large that there is but one.
        """
        if self.train_dataset is not None:
            return
        self.split = self._choose_split(portion(self.progress, 0.2, 0.6))
        cell = max(1, self.patch_size // 4)
        self.survey = survey(self.labelled, self.split, cell, portion(self.progress, 0.6, 1))
        self._check_counts()
        self._set_statistics()
        self.train_dataset = self.labelled.only_where(
            functools.partial(_used_for, self.split, TRAINING)
        )
        self.val_dataset = self.labelled.only_where(
            functools.partial(_used_for, self.split, VALIDATION)
        )
        self.train_sampler = SeededRandomSampler(
            self.train_dataset,
            size=self.patch_size,
            length=self._epoch_length(),
            seed=self.seed,
            weights=[cells @ self._class_weights() for cells in self.survey.training],
            cell=cell,
        )
        self.val_sampler = TiledSampler(
            self.val_dataset,
            size=self.patch_size,
            overlap=self.patch_size // 4,
            weights=[cells.sum(-1) for cells in self.survey.validation],
            cell=cell,
        )

    def on_after_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """Standardise and, in training, augment a batch.

        The dates of pairs are flipped and turned as one image of twice the channels: kornia's own
        way for videos does not take their masks along.
        """
        image, mask = batch['image'], batch['mask']
        if image.ndim == 4:
            return super().on_after_batch_transfer(batch, dataloader_idx)
        dates = image.shape[1]
        flat = batch | {'image': rearrange(image, 'b t c h w -> b (t c) h w'), 'mask': mask[:, 0]}
        out = super().on_after_batch_transfer(flat, dataloader_idx)
        return out | {
            'image': rearrange(out['image'], 'b (t c) h w -> b t c h w', t=dates),
            'mask': out['mask'][:, None],
        }

    def standardise(self, image: torch.Tensor) -> torch.Tensor:
        """Standardise images (..., c, h, w) as batches are."""
        mean, std = (
            torch.as_tensor(values, dtype=torch.float32)[:, None, None]
            for values in (self.survey.moments.mean, self.survey.moments.std)
        )
        return (image - mean) / std

    def _choose_split(self, progress: Progress) -> BlockedSplit:
        dataset = self.labelled
        size = self.block_size or _first_block_size(dataset)
        lattice = BlockLattice.over(dataset.grids[0], size)
        histograms = block_histograms(dataset, lattice, progress)
        if not histograms:
            raise BadInput(
                'labels: no pixel has both a label and a measurement.',
                'Check the nodata values of images and labels, and ignore_value.',
            )
        while not self.block_size and size < _LARGEST_BLOCK:
            coarser = _coarsen(histograms)
            if len(coarser) < _BLOCKS_WANTED:
                break
            histograms, size = coarser, size * 2
        if len(histograms) < 2:
            raise _one_block(size, chosen=bool(self.block_size))
        self.block_size = size
        return BlockedSplit.stratified(
            BlockLattice.over(dataset.grids[0], size),
            histograms,
            fraction=self.validation_fraction,
            margin=_MARGIN,
            seed=self.seed,
        )

    def _check_counts(self) -> None:
        training, validation = self.survey.training_counts, self.survey.validation_counts
        if (training > 0).sum() < 2:
            raise BadInput(
                'labels: fewer than two classes are left to learn from after the hold-out of '
                f'blocks of {self.block_size} pixels.',
                'Label more places, or lower block_size.',
            )
        for entry, learned, judged in zip(self.labelled.classes, training, validation, strict=True):
            if not learned or not judged:
                log.warning(
                    'Class %s (%d) has %s.',
                    entry.name,
                    entry.value,
                    'no label to learn from' if not learned else 'no label in the hold-out',
                )

    def _set_statistics(self) -> None:
        moments, dates = self.survey.moments, len(self.labelled.scenes[0].sources)
        self.labelled.fill = moments.mean.astype(np.float32)
        self.mean = torch.tensor(np.tile(moments.mean, dates), dtype=torch.float32)
        self.std = torch.tensor(np.tile(moments.std, dates), dtype=torch.float32)
        standardise = K.Normalize(self.mean, self.std)
        turns = [
            K.RandomHorizontalFlip(),
            K.RandomVerticalFlip(),
            K.RandomRotation90((0, 3), p=1.0),
        ]
        self.aug = K.AugmentationSequential(standardise, data_keys=None, keepdim=True)
        self.train_aug = K.AugmentationSequential(
            standardise, *(turns if self.augment else ()), data_keys=None, keepdim=True
        )

    def _class_weights(self) -> NDArray[np.float64]:
        return class_weights(self.survey.training_counts, self.balance)

    def _epoch_length(self) -> int:
        twice = 2 * self.survey.training_counts.sum() / self.patch_size**2
        steps = min(max(math.ceil(twice / self.batch_size), _FEWEST_STEPS), _MOST_STEPS)
        wanted = self.length or steps * self.batch_size
        # a last, smaller batch would be dropped
        return math.ceil(wanted / self.batch_size) * self.batch_size


def class_weights(counts: NDArray[np.int64], balance: Balance) -> NDArray[np.float64]:
    """Weigh classes by how rare they are.

    Args:
        counts: (k,) pixels per class.
        balance: ``none`` gives 1, ``inverse`` 1 / n, ``square_root`` 1 / sqrt(n).

    Returns:
        (k,) weights with a mean of 1 over the classes that occur; 0 for the others.
    """
    present = counts > 0
    power = {'none': 0.0, 'square_root': -0.5, 'inverse': -1.0}[balance]
    weights = np.zeros(len(counts))
    weights[present] = counts[present].astype(np.float64) ** power
    scaled: NDArray[np.float64] = weights / weights[present].mean()
    return scaled


def _used_for(split: BlockedSplit, role: int, grid: Grid, window: Window) -> NDArray[np.bool_]:
    used: NDArray[np.bool_] = split.roles(grid, window) == role
    return used


def _first_block_size(dataset: SceneDataset) -> int:
    area = sum(grid.height * grid.width for grid in dataset.grids)
    size = _SMALLEST_BLOCK
    while area / size**2 > _MOST_BLOCKS:
        size *= 2
    return size


def _coarsen(histograms: dict[int, NDArray[np.int64]]) -> dict[int, NDArray[np.int64]]:
    """Join blocks two by two in both directions."""
    joined: dict[int, NDArray[np.int64]] = {}
    for key, histogram in histograms.items():
        parent = coarser_key(key)
        joined[parent] = joined.get(parent, 0) + histogram
    return joined


def _one_block(size: int, *, chosen: bool) -> BadInput | BadParameter:
    if chosen:
        return BadParameter(
            f'block_size is {size} pixels, so that all labels lie in one block and none can be '
            'held out.',
            'Choose a smaller block_size, or 0 to have one chosen.',
        )
    return BadInput(
        f'labels: all labelled pixels lie within {size} pixels, so that no block of land can be '
        'held out.',
        'Label more places.',
    )
