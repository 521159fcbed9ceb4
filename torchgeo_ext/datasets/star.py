"""STAR: objects in rotated boxes, and what they have to do with each other, in huge images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._objects import ObjectImage, ObjectImages, outlines_of
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.hdf5 import open_hdf5

_BOXES = 'STAR-SGG-with-attri.h5'
_NAMES = 'STAR-SGG-dicts-with-attri.json'
_IMAGES = 'STAR_image_data_v1.json'

#: Positions of the images of each split in the list of images, as in the authors' code.
_SPLITS = Path(__file__).with_name('star.json')

#: Pixels per unit of stored places: these are for a canvas of 2000, which stands for 6000 pixels
#: whatever the size of the image.
_SCALE = 6000 / 2000


class STAR(ObjectImages):
    """`STAR <https://linlin-dev.github.io/project/STAR.html>`_.

    * 1,273 satellite and aerial images of 512 x 768 to 27,860 x 31,096 pixels, RGB, 0.15 to 1 m
    * more than 210,000 objects of 48 classes in rotated boxes
    * more than 400,000 relations of 58 kinds between them: who, what, with whom; also over long
      distances
    * the split of the authors' code (https://github.com/Zhuzi24/SGG-ToolKit): 771, 245 and 264
      images, and four unused. Eleven of its test images are for validation as well; here they are
      for test alone

    Images may lie in any folder in ``root``, under the names as published. An image is read in
    tiles, and of a PNG file only the rows down to the tile are decoded, a few at a time; copies as
    tiled TIFF files (of the same name) are faster. What objects have to do with each other in the
    whole image is in ``images``, without pixels.

    Needs the package h5py.

    Licence: see its page. To be downloaded by hand
    (https://huggingface.co/datasets/Zhuzi24/STAR).

    Li, Y. et al. (2025). STAR: a first-ever dataset and a large-scale benchmark for scene graph
    generation in large-size satellite imagery. IEEE TPAMI 47(3). https://arxiv.org/abs/2406.09410

    A sample has what :class:`~torchgeo_ext.datasets._objects.ObjectImages` gives, ``bbox`` float32
    (n, 8), the corners x, y of the rotated boxes, which may reach beyond the tile, and
    ``relations`` int64 (m, 3): the positions of two objects of the sample, and the number of what
    the first has to do with the second in ``predicates``.

    Args:
        *args: See :class:`~torchgeo_ext.datasets._objects.ObjectImages`.
        tile_size: Cut images into squares of so many pixels; whole images if None, which may take
            gigabytes each.
        **kwargs: See :class:`~torchgeo_ext.datasets._objects.ObjectImages`.

    Raises:
        MissingDependency: If h5py is not installed.
    """

    page: ClassVar[str] = 'https://huggingface.co/datasets/Zhuzi24/STAR'
    layout: ClassVar[str] = f'{_BOXES}, {_NAMES}, {_IMAGES} and images 0000.png and so on'
    #: Read from the files.
    classes: tuple[str, ...] = ()
    predicates: tuple[str, ...] = ()

    def __init__(self, *args: Any, tile_size: int | None = 1024, **kwargs: Any) -> None:
        super().__init__(*args, tile_size=tile_size, **kwargs)

    def _verify(self) -> Path:
        """Find the folder that holds the data."""
        if not all((self.root / name).is_file() for name in (_BOXES, _NAMES, _IMAGES)):
            raise PublishedNotFoundError(self)
        return self.root

    def _load_files(self, found: Path) -> list[ObjectImage]:
        names = json.loads((found / _NAMES).read_text(encoding='utf-8'))
        self.classes, self.predicates = (
            _in_order(names[key], found / _NAMES) for key in ('label_to_idx', 'predicate_to_idx')
        )
        listed = json.loads((found / _IMAGES).read_text(encoding='utf-8'))
        tables = _read_tables(found / _BOXES)
        if len(tables['img_to_first_box']) != len(listed):
            raise BadInput(
                f'{found / _BOXES} has {len(tables["img_to_first_box"])} images, '
                f'{found / _IMAGES} {len(listed)}.',
                'Download both anew.',
            )
        there = {
            path.stem: path
            for suffix in ('png', 'tif', 'tiff')
            for path in sorted(found.rglob(f'*.{suffix}'))
        }
        loaded = []
        for number in _numbers(self.split, len(listed)):
            name = f'{int(listed[number]["image_id"]):04}'
            if name not in there:
                raise BadInput(f'The image {name}.png is not in {found}.', 'Unpack it again.')
            size = listed[number]['width'], listed[number]['height']
            loaded.append(self._load_objects(there[name], number, tables, size))
        return loaded

    def _load_objects(
        self, path: Path, number: int, tables: Mapping[str, NDArray[Any]], size: tuple[int, int]
    ) -> ObjectImage:
        boxes, triplets = (_rows(tables, kind, number) for kind in ('box', 'rel'))
        corners = tables['segmentation_2000'][boxes].reshape(-1, 4, 2) * _SCALE
        middles = corners.mean(axis=1)
        if (middles < 0).any() or (middles > size).any():
            raise BadInput(
                f'{path} has {size[0]} x {size[1]} pixels; objects of {_BOXES} lie beyond.',
                'Check that images and boxes are of one version of STAR.',
            )
        relations = np.column_stack(
            [
                tables['relationships'][triplets] - boxes.start,
                tables['predicates'][triplets].reshape(-1) - 1,
            ]
        )
        # 0 is the background in the files
        labels = tables['labels'][boxes].reshape(-1) - 1
        return ObjectImage(path, outlines_of(corners), labels.astype(np.int64), relations)

    def _more(
        self, image: ObjectImage, places: NDArray[np.int64], parts: NDArray[Any], window: Window
    ) -> dict[str, Any]:
        # the last corner closes the outline
        corners = shapely.get_coordinates(image.outlines[places]).reshape(-1, 5, 2)[:, :4]
        corners = corners - (window.col_off, window.row_off)
        position = np.full(len(image.outlines), -1)
        position[places] = np.arange(len(places))
        pairs = position[image.relations[:, :2]]
        together = (pairs >= 0).all(axis=1)
        relations = np.column_stack([pairs[together], image.relations[together, 2]])
        return {
            'bbox': torch.from_numpy(corners.reshape(-1, 8).astype(np.float32)),
            'relations': torch.from_numpy(relations.astype(np.int64)),
        }


def _numbers(split: str, images: int) -> Sequence[int]:
    """Give the positions of the images of a split."""
    splits = json.loads(_SPLITS.read_text(encoding='utf-8'))
    taken = set(splits['test']) if split == 'val' else set()
    return [number for number in splits[split] if number < images and number not in taken]


def _in_order(numbers: Mapping[str, int], path: Path) -> tuple[str, ...]:
    """Sort names by their numbers, which count from 1; 0 is the background if it is there."""
    names = sorted((name for name in numbers if numbers[name] > 0), key=lambda name: numbers[name])
    if [numbers[name] for name in names] != list(range(1, len(names) + 1)):
        raise BadInput(f'{path} does not number its names from 1 on.', 'Download it anew.')
    return tuple(names)


def _rows(tables: Mapping[str, NDArray[Any]], kind: str, number: int) -> slice:
    """Give the rows of an image's boxes or relations; the last one counts. -1 means none."""
    first, last = (int(tables[f'img_to_{end}_{kind}'][number]) for end in ('first', 'last'))
    return slice(first, last + 1) if first >= 0 else slice(0, 0)


def _read_tables(path: Path) -> Mapping[str, NDArray[Any]]:
    kinds = ('labels', 'segmentation_2000', 'relationships', 'predicates')
    ends = [f'img_to_{end}_{kind}' for end in ('first', 'last') for kind in ('box', 'rel')]
    with open_hdf5(path) as file:
        return {name: file[name][:] for name in (*kinds, *ends)}
