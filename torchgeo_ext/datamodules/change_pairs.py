"""Data module for the published change datasets."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import kornia.augmentation as K
import torch
from torch import nn
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Sample

from torchgeo_ext.bundles import Band, ModelClass
from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datamodules._hidden_labels import HiddenLabels
from torchgeo_ext.datamodules._varied_crop import VariedCrop
from torchgeo_ext.datasets import collate_samples
from torchgeo_ext.datasets._change_pairs import IMAGENET_MEAN, IMAGENET_STD, ChangePairs
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import Standardise
from torchgeo_ext.transforms._base import Drawn, Images

#: A row for each date, or one for all, with a number for each band.
type Rows = Sequence[Sequence[float]]

#: Names and colours of the classes of a bundle.
_CHANGE = {'no change': '#d9d9d9', 'change': '#e31a1c'}


class ChangePairDataModule(NonGeoDataModule):
    """Training, validation and test pairs of a published change dataset, ours or TorchGeo's.

    Training pairs are cropped, flipped and turned at random, both dates and all masks alike, and
    standardised with the figures that were published for the dataset (ImageNet's for those of
    TorchGeo). The others are given whole, as they were when scores were published, or as the
    ``tile_size`` of our datasets cuts them.

    Checkpoints tell bands and figures, so that they become bundles, if both dates share them: a
    bundle has no place for figures of each date.

    In YAML::

        data:
          class_path: ChangePairDataModule
          init_args:
            dataset: torchgeo_ext.datasets.CLCD
            root: data/clcd
          dict_kwargs: {tile_size: 256}

    Args:
        dataset: Class of the dataset: one of ours, or of TorchGeo's that gives ``image``
            (2, c, h, w) and ``mask``, such as ``LEVIRCD``.
        root: Folder with the data.
        batch_size: Pairs per step.
        patch_size: Height and width of training crops in pixels; smaller images are filled up with
            pixels without label. Whole images if None.
        max_class_ratio: Share of a training crop that one class may cover, 0 to 1. Crops are drawn
            up to ten times until it is kept; None takes the first.
        num_workers: Processes that read pairs.
        labelled: Share of the training pairs that keep their labels, above 0 to 1, always the same
            ones; the others have -1, for ``SemiSupervisedChangeDetection``.
        bands: Names of the bands to give, of our datasets; all if not given.
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
        BadParameter: If the dataset lacks a split, figures do not fit its bands, or ratio, share
            and patch size cannot be.
    """

    def __init__(
        self,
        dataset: type[NonGeoDataset],
        root: str = 'data',
        batch_size: int = 8,
        patch_size: int | None = 256,
        num_workers: int = 0,
        *,
        max_class_ratio: float | None = None,
        labelled: float = 1.0,
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
        if not 0 < labelled <= 1:
            raise BadParameter(f'labelled is {labelled}; it must be above 0 and at most 1.')
        options: dict[str, Any] = {'root': root, 'download': download, 'checksum': checksum}
        if issubclass(dataset, ChangePairs):
            options['bands'] = bands
        super().__init__(dataset, batch_size, num_workers, **options, **kwargs)
        self.val_split = _known('val_split', val_split, dataset)
        self.test_split = _known('test_split', test_split, dataset)
        self.labelled = labelled
        self.collate_fn = _stack
        self.bands, published = _published(dataset, bands)
        means = _rows('mean', mean or published[0], len(self.bands))
        stds = _rows('std', std or published[1], len(self.bands))
        self.same_figures = means[0] == means[1] and stds[0] == stds[1]
        # tasks undo it in figures, where the dates share a row
        self.mean, self.std = torch.tensor(means).mean(0), torch.tensor(stds).mean(0)
        standardise = StandardiseDates([*means[0], *means[1]], [*stds[0], *stds[1]], fill=0.0)
        first = _crop(patch_size, max_class_ratio)
        self.aug = standardise
        self.train_aug = augmentation([*first, *(transforms or [])], standardise, turn=turn)

    def setup(self, stage: str) -> None:
        """Open the splits that a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        if stage == 'fit':
            dataset = self._open('train')
            hides = self.labelled < 1
            self.train_dataset = HiddenLabels(dataset, self.labelled) if hides else dataset
        if stage in ('fit', 'validate'):
            self.val_dataset = self._open(self.val_split)
        if stage == 'test':
            self.test_dataset = self._open(self.test_split)
        if stage == 'predict':
            self.predict_dataset = self._open(self.test_split)

    def state_dict(self) -> dict[str, Any]:
        """Give what the bundle of a model says of its data, if it can say it."""
        if not self.same_figures:
            return {}
        bands = [
            dataclasses.asdict(Band(name, mean=float(mean), std=float(std)))
            for name, mean, std in zip(self.bands, self.mean, self.std, strict=True)
        ]
        classes = [
            dataclasses.asdict(ModelClass(number, name, color))
            for number, (name, color) in enumerate(_CHANGE.items())
        ]
        return {DATA_CARD: {'bands': bands, 'classes': classes}}

    def _open(self, split: str) -> NonGeoDataset:
        dataset = self.dataset_class(split=split, **self.kwargs)  # type: ignore[call-arg]
        assert isinstance(dataset, NonGeoDataset)
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


def _known(argument: str, split: str, dataset: type[NonGeoDataset]) -> str:
    # TorchGeo's datasets have their splits under several names
    names = ('splits', 'valid_split', 'metadata')
    splits = next((getattr(dataset, name) for name in names if hasattr(dataset, name)), (split,))
    if split not in splits:
        raise BadParameter(
            f'{argument}: {split!r} is not one of {", ".join(splits)}, the splits of '
            f'{dataset.__name__}.'
        )
    return split


def _published(
    dataset: type[NonGeoDataset], bands: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[Rows, Rows]]:
    """Give the names of the chosen bands and their published mean and standard deviation."""
    if not issubclass(dataset, ChangePairs):
        if bands:
            raise BadParameter(
                f'bands: {dataset.__name__} gives all its bands.', 'Leave bands out.'
            )
        return ChangePairs.all_bands, (IMAGENET_MEAN, IMAGENET_STD)
    chosen = tuple(bands or dataset.all_bands)
    unknown = [band for band in chosen if band not in dataset.all_bands]
    if unknown:
        raise BadParameter(f'bands: {unknown[0]!r} is not one of {", ".join(dataset.all_bands)}.')
    places = [dataset.all_bands.index(band) for band in chosen]
    mean, std = (
        [[row[place] for place in places] for row in rows] for rows in (dataset.mean, dataset.std)
    )
    return chosen, (mean, std)


def _crop(size: int | None, max_class_ratio: float | None) -> list[nn.Module]:
    """Make what cuts training pairs, if anything does."""
    if max_class_ratio is not None and not (size and 0 < max_class_ratio <= 1):
        raise BadParameter(
            f'max_class_ratio is {max_class_ratio} with a patch_size of {size}; it must be above 0 '
            'and at most 1, and needs a patch_size.'
        )
    if size is None:
        return []
    crop = K.RandomCrop((size, size), pad_if_needed=True)
    return [crop if max_class_ratio is None else VariedCrop(crop, max_class_ratio)]


def _rows(argument: str, rows: Rows, bands: int) -> list[list[float]]:
    """Give a row for each date."""
    if len(rows) not in (1, 2) or any(len(row) != bands for row in rows):
        raise BadParameter(
            f'{argument} is {rows}; it must have one row, or one for each date, with {bands} '
            'numbers.'
        )
    return [list(rows[0]), list(rows[-1])]
