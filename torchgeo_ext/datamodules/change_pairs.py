"""Data module for the published change datasets."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import kornia.augmentation as K
import torch
from torch import nn
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datasets import collate_samples
from torchgeo_ext.datasets._change_pairs import ChangePairs
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import Standardise
from torchgeo_ext.transforms._base import Drawn, Images

#: A row for each date, or one for all, with a number for each band.
type Rows = Sequence[Sequence[float]]


class ChangePairDataModule(NonGeoDataModule):
    """Training, validation and test pairs of a published change dataset.

    Training pairs are cropped, flipped and turned at random, both dates and all masks alike, and
    standardised with the figures that were published for the dataset. The others are given whole,
    as they were when scores were published, or as the dataset's ``tile_size`` cuts them.

    In YAML::

        data:
          class_path: ChangePairDataModule
          init_args:
            dataset: torchgeo_ext.datasets.CLCD
            root: data/clcd
          dict_kwargs: {tile_size: 256}

    Args:
        dataset: Class of the dataset.
        root: Folder with the data.
        batch_size: Pairs per step.
        patch_size: Height and width of training crops in pixels; smaller images are filled up with
            pixels without label. Whole images if None.
        num_workers: Processes that read pairs.
        bands: Names of the bands to give; all if not given.
        mean: Mean of each band, a row for each date or one for both; as published if not given.
        std: Standard deviation, likewise.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training pairs at random.
        val_split: Split that decides which epoch is the best; some systems take ``test``.
        test_split: Split that is tested and predicted; ``val`` for datasets without a test split.
        download: Fetch the data if it is not there.
        checksum: Compare the SHA-256 of what was fetched, if one is known.
        **kwargs: Further arguments of the dataset, such as ``tile_size``.

    Raises:
        BadParameter: If the dataset lacks a split, or figures do not fit its bands.
    """

    def __init__(
        self,
        dataset: type[ChangePairs],
        root: str = 'data',
        batch_size: int = 8,
        patch_size: int | None = 256,
        num_workers: int = 0,
        *,
        bands: Sequence[str] | None = None,
        mean: Rows | None = None,
        std: Rows | None = None,
        transforms: list[nn.Module] | None = None,
        turn: bool = True,
        val_split: str = 'val',
        test_split: str = 'test',
        download: bool = False,
        checksum: bool = True,
        **kwargs: Any,
    ) -> None:
        options = {'root': root, 'bands': bands, 'download': download, 'checksum': checksum}
        super().__init__(dataset, batch_size, num_workers, **options, **kwargs)
        self.val_split = _known('val_split', val_split, dataset)
        self.test_split = _known('test_split', test_split, dataset)
        self.collate_fn = _stack
        chosen = tuple(bands or dataset.all_bands)
        means = _rows('mean', mean or _columns(dataset.mean, dataset, chosen), len(chosen))
        stds = _rows('std', std or _columns(dataset.std, dataset, chosen), len(chosen))
        # tasks undo it in figures, where the dates share a row
        self.mean, self.std = torch.tensor(means).mean(0), torch.tensor(stds).mean(0)
        standardise = StandardiseDates([*means[0], *means[1]], [*stds[0], *stds[1]], fill=0.0)
        crop = K.RandomCrop((patch_size, patch_size), pad_if_needed=True) if patch_size else None
        first = [crop] if crop else []
        self.aug = standardise
        self.train_aug = augmentation([*first, *(transforms or [])], standardise, turn=turn)

    def setup(self, stage: str) -> None:
        """Open the splits that a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        if stage == 'fit':
            self.train_dataset = self._open('train')
        if stage in ('fit', 'validate'):
            self.val_dataset = self._open(self.val_split)
        if stage == 'test':
            self.test_dataset = self._open(self.test_split)
        if stage == 'predict':
            self.predict_dataset = self._open(self.test_split)

    def _open(self, split: str) -> ChangePairs:
        dataset = self.dataset_class(split=split, **self.kwargs)  # type: ignore[call-arg]
        assert isinstance(dataset, ChangePairs)
        return dataset


class StandardiseDates(Standardise):
    """Subtract a mean and divide by a standard deviation, per date and band.

    Args:
        mean: Mean of each band of the first date, then of the next, or of each band of any date.
        std: Standard deviation, likewise; not 0.
    """

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Standardise the pixels."""
        pixels = images.pixels
        channels = pixels.shape[-3]
        mean, std = (
            pixels.new_tensor(values).reshape(-1, channels, 1, 1)
            for values in (self.mean, self.std)
        )
        # the dates of a pair follow each other
        repeats = (len(pixels) // len(mean), 1, 1, 1)
        return dataclasses.replace(
            images, pixels=(pixels - mean.repeat(repeats)) / std.repeat(repeats)
        )


def _stack(samples: Sequence[Sample]) -> dict[str, Any]:
    """Join pairs of one size."""
    batch = collate_samples(samples)
    if isinstance(batch['image'], list):
        sizes = {f'{image.shape[-2]} x {image.shape[-1]}' for image in batch['image']}
        raise BadInput(
            f'The images of a batch have different sizes: {", ".join(sorted(sizes))}.',
            'Set tile_size, or a batch_size of 1.',
        )
    return batch


def _known(argument: str, split: str, dataset: type[ChangePairs]) -> str:
    if split not in dataset.splits:
        raise BadParameter(
            f'{argument}: {split!r} is not one of {", ".join(dataset.splits)}, the splits of '
            f'{dataset.__name__}.'
        )
    return split


def _columns(rows: Rows, dataset: type[ChangePairs], bands: Sequence[str]) -> Rows:
    """Give the figures of the chosen bands."""
    unknown = [band for band in bands if band not in dataset.all_bands]
    if unknown:
        raise BadParameter(f'bands: {unknown[0]!r} is not one of {", ".join(dataset.all_bands)}.')
    return [[row[dataset.all_bands.index(band)] for band in bands] for row in rows]


def _rows(argument: str, rows: Rows, bands: int) -> list[list[float]]:
    """Give a row for each date."""
    if len(rows) not in (1, 2) or any(len(row) != bands for row in rows):
        raise BadParameter(
            f'{argument} is {rows}; it must have one row, or one for each date, with {bands} '
            'numbers.'
        )
    return [list(rows[0]), list(rows[-1])]
