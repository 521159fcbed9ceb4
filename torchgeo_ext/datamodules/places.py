"""Data module for learning where images of one's own were taken."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchgeo.datamodules import NonGeoDataModule

from torchgeo_ext.bundles import Band
from torchgeo_ext.bundles.bands import raster_bands
from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datamodules._places import split_by_blocks
from torchgeo_ext.datasets import PlacedImages
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.area import pixel_area
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.statistics import Moments
from torchgeo_ext.transforms import Standardise

#: Images that mean and standard deviation are taken of, and that pixel sizes are.
_MEASURED, _OPENED = 1000, 100


class PlaceDataModule(NonGeoDataModule):
    """Images with their places, split by blocks of land.

    Images of one place are nearly copies of each other, so a random split tells how well a model
    remembers. Here whole blocks of the globe are held out, with a margin around them that is used
    for nothing.

    Values are standardised by figures of the images to learn from. Training images are cut at
    random, flipped and turned.

    In YAML::

        data:
          class_path: PlaceDataModule
          init_args: {root: patches, size: 224}
          dict_kwargs: {table: patches.csv}

    Args:
        root: Folder of the images.
        batch_size: Samples per step.
        num_workers: Processes that read images.
        size: Height and width of samples in pixels.
        share: Which part of the places chooses the best epoch, about.
        test_share: Which other part is seen by ``test`` alone; if 0, ``test`` sees the first one.
        block_size: Side of the blocks in metres: the root of their area.
        buffer: Metres from places held out within which others are left out; an eighth of a block
            if not given.
        seed: Another seed, other blocks.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training images at random.
        **kwargs: Further arguments of :class:`~torchgeo_ext.datasets.PlacedImages`, such as
            ``table``, ``bands`` and ``album_field``.

    Attributes:
        training_points: Longitudes and latitudes (n, 2) of what is learned from.

    Raises:
        BadParameter: If the values do not fit each other.
    """

    dataset: PlacedImages | None

    def __init__(
        self,
        root: str = 'data',
        batch_size: int = 32,
        num_workers: int = 0,
        *,
        size: int = 256,
        share: float = 0.1,
        test_share: float = 0.0,
        block_size: float = 100_000.0,
        buffer: float | None = None,
        seed: int = 0,
        transforms: Sequence[nn.Module] = (),
        turn: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(PlacedImages, batch_size, num_workers, root=root, size=size, **kwargs)
        if not 0 < share <= 0.5 or not 0 <= test_share <= 0.5:
            raise BadParameter(
                f'share is {share} and test_share {test_share}; both must be at most 0.5, and '
                'share above 0.'
            )
        if block_size <= 0 or (buffer or 0) < 0:
            raise BadParameter(
                f'block_size is {block_size} and buffer {buffer}; give metres, above 0 for blocks '
                'and not negative for the buffer.'
            )
        self.share, self.test_share = share, test_share
        self.block_size, self.buffer, self.seed = block_size, buffer, seed
        self.transforms, self.turn = transforms, turn

    def setup(self, stage: str) -> None:
        """Read the places, split them and measure the bands; the same for each stage.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            BadInput: If nothing is left to learn from.
            BadParameter: If there are too few blocks.
        """
        places = PlacedImages(**self.kwargs)
        learned, held_out, tested = self.split(places)
        self.training_points = places.points[learned]
        training = places.select(learned, random_crop=True)
        self._moments = _measure(training)
        mean, std = self._moments.mean, self._moments.std
        # what has no value becomes 0 in the eyes of the network
        training.fill = places.fill = tuple(mean)
        self.mean, self.std = torch.tensor(mean).float(), torch.tensor(std).float()
        self.aug = Standardise(mean.tolist(), std.tolist())
        self.train_aug = augmentation(self.transforms, self.aug, turn=self.turn)
        self.train_dataset, self.val_dataset = training, places.select(held_out)
        self.test_dataset = places.select(tested) if self.test_share else self.val_dataset
        self.predict_dataset = self.test_dataset
        # a last batch that is not full is left out, but not the only one
        self.train_batch_size = min(self.batch_size, len(training))

    def split(self, places: PlacedImages) -> Sequence[NDArray[np.int64]]:
        """Decide what each place is for; to be replaced by those who know a better split.

        Args:
            places: All places.

        Returns:
            Numbers of those to learn from, to validate by and, with a ``test_share``, to test by.
        """
        points = places.points
        learned, tested = np.arange(len(points)), np.arange(0)
        if self.test_share:
            learned, tested = self._hold_out(points, self.test_share)
        kept, held_out = self._hold_out(points[learned], self.share)
        return [learned[kept], learned[held_out], tested]

    def _hold_out(
        self, points: NDArray[np.float64], share: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return split_by_blocks(points, share, self.block_size, self.buffer, self.seed)

    def state_dict(self) -> dict[str, Any]:
        """Give what a bundle tells of the data; it travels in the checkpoint."""
        if self.train_dataset is None:
            return {}
        return {DATA_CARD: self._card()}

    def _card(self) -> dict[str, Any]:
        training, held_out = self.train_dataset, self.val_dataset
        assert isinstance(training, PlacedImages)
        assert isinstance(held_out, PlacedImages)
        (west, south), (east, north) = self.training_points.min(0), self.training_points.max(0)
        finest, coarsest = _resolutions(training)
        number = len(training)
        return {
            'name': training.root.stem,
            'description': f'Where on Earth an image was taken, learned from {number} places.',
            'bands': [dataclasses.asdict(band) for band in self._bands(training)],
            'classes': [],
            'tile_size': training.size,
            'halo': 0,
            'resolution_minimum': finest,
            'resolution_maximum': coarsest,
            'extent': [float(west), float(south), float(east), float(north)],
            'training': {
                'training_places': number,
                'held_out_places': len(held_out),
                'block_size': self.block_size,
            },
        }

    def _bands(self, training: PlacedImages) -> list[Band]:
        with RasterSource(training.first_file, training.bands).open() as reader:
            numbers = reader.bands
        known = {band.index: band for band in raster_bands(training.first_file)}
        measured = self._moments
        return [
            Band(
                name=known[number].name or f'band {number}',
                center_wavelength=known[number].wavelength,
                nodata=known[number].nodata,
                mean=float(measured.mean[i]),
                std=float(measured.std[i]),
                minimum=float(measured.minimum[i]),
                maximum=float(measured.maximum[i]),
            )
            for i, number in enumerate(numbers)
        ]


def _sample(images: PlacedImages, most: int) -> list[str]:
    """Take some of the images, all over them."""
    return [place.files[0] for place in images.places[:: math.ceil(len(images) / most)]]


def _measure(images: PlacedImages) -> Moments:
    """Measure the bands of some images."""
    moments = None
    for file in _sample(images, _MEASURED):
        values, valid = images.pixels(file)
        moments = moments or Moments(len(values))
        moments.add(values[:, valid])
    if moments is None or moments.count == 0:
        raise BadInput('root: no image has a pixel with a value.', 'Check their nodata values.')
    return moments


def _resolutions(images: PlacedImages) -> tuple[float | None, float | None]:
    """Give the range of pixel sizes, in metres, that a model should do well with."""
    sizes = []
    for file in _sample(images, _OPENED):
        with RasterSource(file).open() as reader:
            if reader.grid.crs is not None:
                sizes.append(pixel_area(reader.grid) ** 0.5)
    return (0.75 * min(sizes), 1.5 * max(sizes)) if sizes else (None, None)
