"""CloudTracks: tracks of ships in clouds."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._objects import NO_RELATIONS, ObjectImage, ObjectImages, by_stem, cut_out
from torchgeo_ext.datasets._pair_files import SUFFIXES
from torchgeo_ext.errors import BadInput

#: Points x, y of an outline.
type Ring = list[list[float]]


class CloudTracks(ObjectImages):
    """`CloudTracks <https://zenodo.org/records/10042922>`_.

    * 3,560 images of MODIS, RGB, with more than 12,000 tracks that ships leave in clouds; some
      images have none
    * an outline of each track

    The archive could not be read for this class, so that its folders and split are not known here.
    Images and outlines may have any folders: polygons as LabelMe writes them, a file for each image
    (no file: no track), or as COCO does, a single file. Lists ``{split}.txt`` of image names part
    them; the split ``all`` needs none.

    Licence: see its page. To be downloaded by hand.

    Chaudhry, M. A. et al. (2024). CloudTracks: a dataset for localizing ship tracks in satellite
    images of clouds. https://arxiv.org/abs/2401.14486

    A sample has what :class:`~torchgeo_ext.datasets._objects.ObjectImages` gives, ``mask`` int64
    (h, w), 1 on a track, and ``masks`` uint8 (n, h, w), one for each track, which may overlap.

    Args:
        root: Folder with the unpacked data.
        split: ``all``, or the name of a list: ``train``, ``val`` or ``test``.
        transforms: Called with each sample.
        images: Folder of the images, in ``root``.
        annotations: Folder of LabelMe's files, or COCO's file, in ``root``.
        **kwargs: See :class:`~torchgeo_ext.datasets._objects.ObjectImages`.
    """

    page: ClassVar[str] = 'https://zenodo.org/records/10042922'
    layout: ClassVar[str] = (
        'images/*, jsons/*.json or a file of COCO, and {split}.txt unless the split is all'
    )
    splits: ClassVar[tuple[str, ...]] = ('all', 'train', 'val', 'test')
    classes: tuple[str, ...] = ('ship track',)

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'all',
        transforms: Callable[[Sample], Sample] | None = None,
        *,
        images: str = 'images',
        annotations: str = 'jsons',
        **kwargs: Any,
    ) -> None:
        self.image_folder = images
        self.annotations = annotations
        super().__init__(root, split, transforms, **kwargs)

    def _verify(self) -> list[Path]:
        """Find the images of the split."""
        folder, listed = self.root / self.image_folder, self.root / f'{self.split}.txt'
        if not (folder.is_dir() and (self.root / self.annotations).exists()):
            raise PublishedNotFoundError(self)
        images = by_stem(folder, SUFFIXES)
        if self.split == 'all':
            return list(images.values())
        if not listed.is_file():
            raise PublishedNotFoundError(self)
        names = [
            Path(line.strip()).stem for line in listed.read_text().splitlines() if line.strip()
        ]
        for name in names:
            if name not in images:
                raise BadInput(f'{listed} names {name}, which is not in {folder}.')
        return [images[name] for name in names]

    def _load_files(self, found: list[Path]) -> list[ObjectImage]:
        place = self.root / self.annotations
        known = _read_coco(place) if place.is_file() else {}
        loaded = []
        for path in found:
            text = place / f'{path.stem}.json'
            rings = _read_labelme(text) if text.is_file() else known.get(path.stem, [])
            outlines = np.empty(len(rings), dtype=object)
            outlines[:] = [shapely.Polygon(ring) for ring in rings]
            labels = np.zeros(len(rings), dtype=np.int64)
            loaded.append(ObjectImage(path, outlines, labels, NO_RELATIONS))
        return loaded

    def _more(
        self, image: ObjectImage, places: NDArray[np.int64], parts: NDArray[Any], window: Window
    ) -> dict[str, Any]:
        size = window.height, window.width
        # what is too little of a track to count is still a track
        _, everything = cut_out(image, window)
        masks = [_burn([part], size) for part in parts]
        return {
            'mask': torch.from_numpy(_burn(list(everything), size).astype(np.int64)),
            'masks': torch.from_numpy(np.array(masks, dtype=np.uint8).reshape(-1, *size)),
        }


def _burn(parts: Sequence[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Make a mask of outlines: 1 where the middle of a pixel is inside of one."""
    return np.asarray(rasterize(parts, size, dtype='uint8') if parts else np.zeros(size, np.uint8))


def _read_labelme(path: Path) -> list[Ring]:
    """Read the outlines of an image from LabelMe's file."""
    shapes = json.loads(path.read_text(encoding='utf-8')).get('shapes', [])
    for number, shape in enumerate(shapes, 1):
        if shape.get('shape_type', 'polygon') != 'polygon' or len(shape['points']) < 3:
            raise BadInput(
                f'{path}: shape {number} is a {shape.get("shape_type")} of '
                f'{len(shape["points"])} points; only polygons are known.'
            )
    return [shape['points'] for shape in shapes]


def _read_coco(path: Path) -> Mapping[str, list[Ring]]:
    """Read the outlines of all images, by their names without suffix, from COCO's file."""
    content = json.loads(path.read_text(encoding='utf-8'))
    names = {image['id']: Path(image['file_name']).stem for image in content['images']}
    known: dict[str, list[Ring]] = {}
    for entry in content['annotations']:
        rings = entry['segmentation']
        if not isinstance(rings, list) or len(rings) != 1 or len(rings[0]) < 6:
            raise BadInput(f'{path}: annotation {entry["id"]} is not a single polygon.')
        points = np.reshape(rings[0], (-1, 2)).tolist()
        known.setdefault(names[entry['image_id']], []).append(points)
    return known
