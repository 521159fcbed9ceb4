"""Data module for the published images with maps of classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rasterio.windows import Window
from torch import nn
from torch.utils.data import Dataset
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datamodules._filled import stack_maps
from torchgeo_ext.datamodules._published_card import published_card
from torchgeo_ext.datamodules._standardised import StandardisedDataModule, published_figures
from torchgeo_ext.datasets._change_pairs import one_of
from torchgeo_ext.datasets._maps import MapImages
from torchgeo_ext.errors import BadParameter


class MapDataModule(StandardisedDataModule):
    """Training, validation and test images of a published dataset with maps, to segment.

    An epoch has parts of the training images, drawn at random, of which no more is read than they
    show; they are flipped and turned. The others are given whole or in tiles that do not overlap.
    Where an image is smaller, it is filled up on the right and below, with pixels without label.

    In YAML::

        data:
          class_path: MapDataModule
          init_args:
            dataset: torchgeo_ext.datasets.ISPRSVaihingen
            root: data/vaihingen
            patch_size: 256
            length: 10000
            tile_size: 256
            val_split: test

    Args:
        dataset: Class of the dataset, one of ours.
        root: Folder with the data.
        batch_size: Images per step.
        patch_size: Height and width of training crops in pixels; whole images if None.
        num_workers: Processes that read images.
        length: Training crops of an epoch; one of each image if None.
        tile_size: Height and width in pixels of the tiles that validation and test images are cut
            into; whole images if None.
        bands: Names of the bands to give; all if not given.
        mean: Mean of each band; as published if not given.
        std: Standard deviation of each band; as published if not given.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training images at random.
        val_split: Split that decides which epoch is the best; some systems take ``test``.
        test_split: Split that is tested and predicted.
        evaluation: Further arguments of the dataset for validation and test images alone, such as
            ``eroded``.
        **kwargs: Further arguments of the dataset, such as ``roads``.

    Raises:
        BadParameter: If the dataset lacks a split or a band, figures do not fit the bands, or sizes
            are not positive.
    """

    def __init__(
        self,
        dataset: type[MapImages],
        root: str = 'data',
        batch_size: int = 8,
        patch_size: int | None = 256,
        num_workers: int = 0,
        *,
        length: int | None = None,
        tile_size: int | None = None,
        bands: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        transforms: Sequence[nn.Module] = (),
        turn: bool = True,
        val_split: str = 'val',
        test_split: str = 'test',
        evaluation: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        for name, value in (('patch_size', patch_size), ('length', length)):
            if value is not None and value < 1:
                raise BadParameter(f'{name} is {value}; it must be positive.')
        self.bands = dataset.choose(bands)
        published_mean, published_std = published_figures(dataset, self.bands)
        figures = {'mean': mean or published_mean, 'std': std or published_std}
        for name, values in figures.items():
            if len(values) != len(self.bands):
                raise BadParameter(
                    f'{name} is {list(values)}; it must have a number for each of '
                    f'{", ".join(self.bands)}.'
                )
        super().__init__(
            dataset,
            batch_size,
            num_workers,
            **figures,
            transforms=transforms,
            turn=turn,
            root=root,
            bands=bands,
            **kwargs,
        )
        self.patch_size, self.length = patch_size, length
        self.evaluation = {'tile_size': tile_size, **(evaluation or {})}
        self.val_split = one_of('val_split', val_split, dataset.splits)
        self.test_split = one_of('test_split', test_split, dataset.splits)
        self.collate_fn = stack_maps

    def setup(self, stage: str) -> None:
        """Open the splits that a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        if stage == 'fit':
            self.train_dataset = RandomParts(self._open('train'), self.patch_size, self.length)
        if stage in ('fit', 'validate'):
            self.val_dataset = self._open(self.val_split, **self.evaluation)
        if stage == 'test':
            self.test_dataset = self._open(self.test_split, **self.evaluation)
        if stage == 'predict':
            self.predict_dataset = self._open(self.test_split, **self.evaluation)

    def state_dict(self) -> dict[str, Any]:
        """Give what the bundle of a model says of its data."""
        return published_card(self.val_dataset or self.test_dataset, self.mean, self.std)

    def _open(self, split: str, **options: Any) -> MapImages:
        dataset = self.dataset_class(split=split, **self.kwargs, **options)  # type: ignore[call-arg]
        assert isinstance(dataset, MapImages)
        return dataset


class RandomParts(Dataset[Sample]):
    """Parts of images at random places, anew each time one is asked for.

    Args:
        images: The images.
        size: Height and width of a part in pixels; all of an image where it is smaller or None.
        length: How many parts there are; as many as images if None, a part of each.
    """

    def __init__(self, images: MapImages, size: int | None, length: int | None) -> None:
        self.images, self.side, self.length = images, size, length

    def __len__(self) -> int:
        """Count the parts."""
        return self.length or len(self.images.images)

    def __getitem__(self, index: int) -> Sample:
        """Read a part."""
        count = len(self.images.images)
        number = index if self.length is None else int(torch.randint(count, ()))
        height, width = (
            (length, min(self.side or length, length)) for length in self.images.size(number)
        )
        row, column = (int(torch.randint(side - part + 1, ())) for side, part in (height, width))
        return self.images.read(number, Window(column, row, width[1], height[1]))
