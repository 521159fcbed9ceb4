"""Published images with maps of classes: the base of their datasets.

Images may be large: of a tile no more is read than its window.

Axes: c channel, h height, w width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._change_pairs import by_stem, one_of
from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._pair_figure import Color, draw_pair
from torchgeo_ext.datasets._pair_files import image_size, read_pixels
from torchgeo_ext.datasets._rgb import rgb_places
from torchgeo_ext.errors import BadInput, BadParameter

#: Files of an image by what they show; there are at least ``image`` and ``map``.
type Files = Mapping[str, Path]

#: ImageNet's figures for values from 0 to 255.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class MapImages(NonGeoDataset):
    """Images with a map of classes.

    Args:
        root: Folder with the data.
        split: One of ``splits``.
        bands: Names of the bands to give, in this order; all if not given.
        transforms: Called with each sample.
        tile_size: Cut images into squares of so many pixels, each a sample of its own; what is left
            over at the right and the lower edge makes smaller ones. Whole images if None.

    Raises:
        BadParameter: If there is no such split or band, or the tile size is not positive.
        DatasetNotFoundError: If the data is not there.
        BadInput: If files lack their partner.
    """

    #: Where the data is to be had, and what the folders look like.
    page: ClassVar[str]
    layout: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ('train', 'val', 'test')
    all_bands: tuple[str, ...] = ('red', 'green', 'blue')
    rgb_bands: tuple[str, ...] = ('red', 'green', 'blue')
    classes: tuple[str, ...]
    #: One for each class.
    colors: tuple[Color, ...]
    #: Mean and standard deviation in the order of ``all_bands``.
    mean: ClassVar[tuple[float, ...]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, ...]] = IMAGENET_STD

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'train',
        bands: Sequence[str] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        *,
        tile_size: int | None = None,
    ) -> None:
        if tile_size is not None and tile_size < 1:
            raise BadParameter(f'tile_size is {tile_size}; it must be positive.')
        self.root = Path(root).expanduser()
        self.split = one_of('split', split, self.splits)
        self.bands = self.choose(bands)
        self.transforms = transforms
        self.images = list(self._find())
        if not self.images:
            raise PublishedNotFoundError(self)
        self.tiles = list(self._cut(tile_size))

    @classmethod
    def choose(cls, bands: Sequence[str] | None) -> tuple[str, ...]:
        """Give the names of the bands asked for, or of all.

        Args:
            bands: Names.

        Raises:
            BadParameter: If there is no such band.
        """
        return tuple(one_of('bands', band, cls.all_bands) for band in bands or cls.all_bands)

    def _find(self) -> Iterator[Files]:
        """Find the files of each image of the split."""
        raise NotImplementedError

    def size(self, number: int) -> tuple[int, int]:
        """Give height and width of an image of the split."""
        return image_size(self.images[number]['image'])

    def _cut(self, size: int | None) -> Iterator[tuple[int, Window]]:
        """Yield number and part of an image for each sample."""
        for number in range(len(self.images)):
            height, width = self.size(number)
            for row in range(0, height, size or height):
                for column in range(0, width, size or width):
                    end_row, end = (
                        min(first + (size or length), length)
                        for first, length in ((row, height), (column, width))
                    )
                    yield number, Window(column, row, end - column, end_row - row)

    def __len__(self) -> int:
        """Count the samples of the split."""
        return len(self.tiles)

    def __getitem__(self, index: int) -> Sample:
        """Read an image, or a tile of it, and its map.

        Args:
            index: Number of the sample.

        Returns:
            ``image`` float32 (c, h, w) with values as stored and ``mask`` int64 (h, w), -1 = no
            label.

        Raises:
            BadInput: If the map differs in size or has unknown values, or bands are missing.
        """
        return self.read(*self.tiles[index])

    def read(self, number: int, window: Window) -> Sample:
        """Read a part of an image and of its map, as :meth:`__getitem__`.

        Args:
            number: Number of the image in the split.
            window: The part.
        """
        files = self.images[number]
        image, mask = self._load_image(files, window), self._load_map(files, window)
        if image.shape[-2:] != mask.shape:
            raise BadInput(
                f'{files["map"]} has {mask.shape[0]} x {mask.shape[1]} pixels where '
                f'{files["image"]} has {image.shape[-2]} x {image.shape[-1]}.',
                'Maps must have the size of the images.',
            )
        sample: Sample = {'image': torch.from_numpy(image), 'mask': torch.from_numpy(mask)}
        sample |= self._further()
        return sample if self.transforms is None else self.transforms(sample)

    def _load_image(self, files: Files, window: Window) -> NDArray[np.float32]:
        """Read the bands (c, h, w)."""
        values = read_pixels(files['image'], window, 'RGB')
        places = [self.all_bands.index(band) for band in self.bands]
        if max(places) >= len(values):
            raise BadInput(
                f'{files["image"]} has {len(values)} bands instead of {len(self.all_bands)}.'
            )
        return values[places].astype(np.float32)

    def _load_map(self, files: Files, window: Window) -> NDArray[np.int64]:
        """Read the classes (h, w)."""
        raise NotImplementedError

    def _further(self) -> Sample:
        """Give what else samples tell."""
        return {}

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw an image, its map and, if there is one, the ``prediction`` (h, w).

        Args:
            sample: A sample as this dataset gives it.
            show_titles: Write what is what above.
            suptitle: Title of the figure.

        Raises:
            RGBBandsMissingError: If red, green or blue is not among the bands.
        """
        rgb = rgb_places(self.bands, self.rgb_bands)
        # a series is shown by its first image
        shown: dict[str, Any] = {'image': sample['image'].reshape(-1, *sample['image'].shape[-3:])}
        shown['image'] = shown['image'][:1]
        shown |= {key: sample[key][None] for key in ('mask', 'prediction') if key in sample}
        return draw_pair(
            shown, rgb, self.colors, show_titles=show_titles, suptitle=suptitle, names=('image',)
        )


def partners(images: Path, maps: Path) -> Iterator[Files]:
    """Find the images of a folder and the maps of the same names in another.

    Args:
        images: Folder of the images.
        maps: Folder of their maps.

    Raises:
        BadInput: If an image has no map.
    """
    known = by_stem(maps)
    for name, image in sorted(by_stem(images).items()):
        if name not in known:
            raise BadInput(f'{image} has no partner {maps / name}.*.', 'Unpack the dataset again.')
        yield {'image': image, 'map': known[name]}
