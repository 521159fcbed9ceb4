"""Published images with objects in them: the base of their datasets.

Images may be far larger than memory: with a tile size only the window of a tile is read.

Axes: n objects, c channel, h height, w width. Places are x, y in pixels from the upper left corner
of the upper left pixel.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import shapely
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.colors import choose_colors
from torchgeo_ext.datasets._change_pairs import one_of
from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._object_figure import draw_objects
from torchgeo_ext.datasets._pair_files import opened
from torchgeo_ext.datasets._windows import tile_starts
from torchgeo_ext.errors import BadInput, BadParameter


@dataclass(frozen=True)
class ObjectImage:
    """An image and its objects.

    Attributes:
        path: The image.
        outlines: Polygons (n,).
        labels: Numbers of their classes, int64 (n,).
        relations: What is told of two objects, int64 (m, 3): the positions of both, and the number
            of the relation.
    """

    path: Path
    outlines: NDArray[Any]
    labels: NDArray[np.int64]
    relations: NDArray[np.int64]


class ObjectImages(NonGeoDataset):
    """Images with objects.

    Args:
        root: Folder with the unpacked data.
        split: One of ``splits``.
        transforms: Called with each sample.
        tile_size: Cut images into squares of so many pixels, each a sample of its own; the last
            ones of a row or column end with the image. Whole images if None.
        overlap: Pixels that neighbouring tiles share.
        visible: Share of its area, above 0 to 1, that an object must have in a tile to be in it.
        with_objects: Leave out tiles and images without objects.

    Raises:
        BadParameter: If there is no such split, or tile size, overlap and share cannot be.
        DatasetNotFoundError: If the data is not there.
        BadInput: If files lack their partner or cannot be understood.
    """

    #: Where the data is to be had, and what the folders look like.
    page: ClassVar[str]
    layout: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ('train', 'val', 'test')
    classes: tuple[str, ...]

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'train',
        transforms: Callable[[Sample], Sample] | None = None,
        *,
        tile_size: int | None = None,
        overlap: int = 0,
        visible: float = 0.5,
        with_objects: bool = False,
    ) -> None:
        if tile_size is not None and not 0 <= overlap < tile_size:
            raise BadParameter(
                f'tile_size is {tile_size} with an overlap of {overlap}; it must be positive, and '
                'larger than the overlap, which must not be negative.'
            )
        if not 0 < visible <= 1:
            raise BadParameter(f'visible is {visible}; it must be above 0 and at most 1.')
        self.root = Path(root).expanduser()
        self.split = one_of('split', split, self.splits)
        self.transforms = transforms
        self.tile_size = tile_size
        self.overlap = overlap
        self.visible = visible
        self.images = self._load_files(self._verify())
        if not self.images:
            raise PublishedNotFoundError(self)
        self.colors = tuple(choose_colors(self.classes))
        self.tiles = [
            (number, window)
            for number, window in self._cut()
            if not with_objects or len(self._inside(self.images[number], window)[0])
        ]
        if not self.tiles:
            raise BadParameter(f'with_objects: no image of the split {split} has objects.')

    def _verify(self) -> Any:
        """Find the data of the split; gives what :meth:`_load_files` needs."""
        raise NotImplementedError

    def _load_files(self, found: Any) -> list[ObjectImage]:
        """Find the images of the split with their objects, sorted by name or as listed."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Count the samples of the split."""
        return len(self.tiles)

    def __getitem__(self, index: int) -> Sample:
        """Read an image, or a tile of it, and its objects.

        Args:
            index: Number of the sample.

        Returns:
            ``image`` float32 (3, h, w) with values as stored, ``label`` int64 (n,), the classes,
            ``bbox_xyxy`` float32 (n, 4), the upright boxes of what is in the tile, ``objects``
            int64 (n,), their positions among the objects of the image, ``origin`` int64 (2,), x and
            y of the tile in the image, and what a dataset tells besides.

        Raises:
            BadInput: If the image has less than three bands.
        """
        number, window = self.tiles[index]
        image = self.images[number]
        places, parts = self._inside(image, window)
        boxes = shapely.bounds(parts).reshape(-1, 4).astype(np.float32)
        sample: Sample = {
            'image': _read(image.path, window),
            'label': torch.from_numpy(image.labels[places]),
            'bbox_xyxy': torch.from_numpy(boxes),
            'objects': torch.from_numpy(places),
            'origin': torch.tensor([int(window.col_off), int(window.row_off)]),
            **self._more(image, places, parts, window),
        }
        return sample if self.transforms is None else self.transforms(sample)

    def _more(
        self, image: ObjectImage, places: NDArray[np.int64], parts: NDArray[Any], window: Window
    ) -> dict[str, Any]:
        """Tell what there is besides boxes.

        Args:
            image: The image.
            places: Positions of the objects in the tile, among those of the image.
            parts: What is in the tile of their outlines, from its upper left corner.
            window: The tile.
        """
        return {}

    def _inside(self, image: ObjectImage, window: Window) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Give positions of the objects in a window, and the part of each that is in it."""
        near, parts = cut_out(image, window)
        area = shapely.area(shapely.make_valid(image.outlines[near]))
        seen = shapely.area(parts) >= self.visible * area
        return near[seen], parts[seen]

    def _cut(self) -> Iterator[tuple[int, Window]]:
        """Yield number and part of an image for each sample."""
        for number, image in enumerate(self.images):
            with opened(image.path) as dataset:
                height, width = dataset.height, dataset.width
            size = self.tile_size or max(height, width)
            tall, wide = min(size, height), min(size, width)
            step = size - self.overlap if self.tile_size else size
            starts = itertools.product(
                tile_starts(height, tall, step), tile_starts(width, wide, step)
            )
            for row, column in starts:
                yield number, Window(column, row, wide, tall)

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw an image with the outlines of its objects and, dashed, of predicted ones.

        Args:
            sample: A sample as this dataset gives it; ``prediction_bbox_xyxy`` and
                ``prediction_label`` are drawn too.
            show_titles: Write the names of the classes.
            suptitle: Title of the figure.
        """
        return draw_objects(
            sample, self.classes, self.colors, show_titles=show_titles, suptitle=suptitle
        )


def cut_out(image: ObjectImage, window: Window) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Give positions of the objects that reach into a window, and what is in it of their outlines.

    Places of the parts are from the upper left corner of the window. What has no area is left out.
    """
    x, y = window.col_off, window.row_off
    frame = shapely.box(x, y, x + window.width, y + window.height)
    near = np.flatnonzero(shapely.intersects(image.outlines, frame))
    # lines of outlines that were drawn by hand may cross
    parts = shapely.intersection(shapely.make_valid(image.outlines[near]), frame)
    there = shapely.area(parts) > 0
    return near[there], shapely.transform(parts[there], lambda points: points - (x, y))


def outlines_of(corners: NDArray[Any]) -> NDArray[Any]:
    """Make polygons (n,) of the corners (n, k, 2) of boxes."""
    return np.asarray(shapely.polygons(corners)) if len(corners) else np.empty(0, dtype=object)


def by_stem(folder: Path, suffixes: Sequence[str]) -> Mapping[str, Path]:
    """Files of a folder by their names without suffix, sorted."""
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in suffixes}


#: Of images without relations.
NO_RELATIONS: NDArray[np.int64] = np.empty((0, 3), dtype=np.int64)


def _read(path: Path, window: Window) -> torch.Tensor:
    """Read red, green and blue of a part of an image, and nothing else."""
    with opened(path) as dataset:
        if dataset.count < 3:
            raise BadInput(f'{path} has {dataset.count} bands instead of red, green and blue.')
        values = dataset.read((1, 2, 3), window=window)
    return torch.from_numpy(values.astype(np.float32))
