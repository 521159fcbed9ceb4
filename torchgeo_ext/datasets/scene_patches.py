"""Squares of images with the class of what they show, to learn scene classification from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
import torch
import torch.nn.functional as F
from affine import Affine
from numpy.typing import NDArray
from torch import Tensor
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._classes import IGNORE, LabelClass, make_classes
from torchgeo_ext.datasets._features import Features, class_codes, project, read_features
from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.datasets._mosaic import Mosaic
from torchgeo_ext.datasets._pair_files import SUFFIXES
from torchgeo_ext.datasets._scene_dataset import CACHE
from torchgeo_ext.datasets.tiled_raster import TiledRaster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid, transform_points
from torchgeo_ext.progress import Progress, silent

#: Parts the names of several classes in one text, as classify_tiles writes them.
_COMMA = ','
#: Names of the files of images end like this.
_FILES = {*SUFFIXES, '.jp2', '.vrt', '.img'}
#: Side of tiles in pixels, where nothing else tells it.
_USUAL = 64


@dataclass(frozen=True)
class Patch:
    """A square of an image.

    Args:
        scene: Number of the image.
        grid: Its pixels.
        classes: Which classes it shows (k,).
    """

    scene: int
    grid: Grid
    classes: NDArray[np.bool_]


def images_by_class(root: AnyPath) -> dict[str, list[str]]:
    """List the images in a folder that holds a folder for each class.

    Args:
        root: The folder.

    Returns:
        Paths by name of the class.

    Raises:
        BadInput: If there are fewer than two folders with images.
    """
    files = {
        folder.name: [
            str(file) for file in sorted(folder.rglob('*')) if file.suffix.lower() in _FILES
        ]
        for folder in sorted(Path(root).iterdir() if Path(root).is_dir() else ())
        if folder.is_dir()
    }
    known = {name: found for name, found in files.items() if found}
    if len(known) < 2:
        raise BadInput(
            f'folder: {root} has {len(known)} folders with images, but needs one for each class, '
            'and at least two classes.',
            'Sort the images into folders named like their classes.',
        )
    return known


class ScenePatches(NonGeoDataset):
    """Squares of one's own images, each with its class or classes.

    They are the tiles of labelled rasters (:meth:`of_tiles`), what is seen around points or
    polygons (:meth:`of_features`), or whole files in a folder for each class (:meth:`of_folders`).

    A sample has ``image`` float32 (c, size, size), physical values, 0 where there is no
    measurement; ``mask_valid`` bool (size, size); ``label``, the number of the class, or int64
    (k,), 1 for each class it shows, if there may be several; and, with a reference system,
    ``point``, longitude and latitude of the middle in degrees.

    Attributes:
        images: The rasters.
        patches: The squares.
        classes: Value, name and colour of each class.

    Args:
        images: The rasters.
        patches: The squares; at least half of each should have data.
        classes: The classes.
        size: Height and width in pixels that squares are given in; others are resampled.
        multilabel: Whether a square may show several classes.

    Raises:
        BadInput: If there is no square.
    """

    def __init__(
        self,
        images: TiledRaster,
        patches: Sequence[Patch],
        classes: Sequence[LabelClass],
        size: int,
        *,
        multilabel: bool = False,
    ) -> None:
        if not patches:
            raise BadInput(
                'labels: there is no example: no class covers enough of a tile, or less than half '
                'of each square has data.',
                'Check that labels and images are of the same place, the tile size and the share.',
            )
        self.images, self.patches, self.classes = images, tuple(patches), tuple(classes)
        self.size, self.multilabel = size, multilabel
        bytes_needed = len(patches) * size**2 * (4 * len(images.bands) + 1)
        self._kept: dict[int, tuple[Tensor, Tensor]] | None = {} if bytes_needed <= CACHE else None

    @classmethod
    def of_tiles(
        cls,
        images: TiledRaster,
        size: int = 0,
        *,
        share: float = 0.5,
        multilabel: bool = False,
        progress: Progress = silent,
    ) -> Self:
        """Cut labelled rasters into tiles, and leave out those that do not show a class clearly.

        Args:
            images: With labels.
            size: Side of the tiles in pixels; 0 takes 64.
            share: Share of a tile that its class must cover. Of several classes, all that cover so
                much count, in tiles of which at least half is labelled.
            multilabel: Whether a tile may show several classes.
            progress: Told how far it is.
        """
        size = size or _USUAL
        patches = []
        for number, grid in enumerate(images.grids):
            for window in grid.windows(size):
                progress(
                    (number + window.row_off / grid.height) / len(images.grids), 'looking at tiles'
                )
                pixels = images.pixels(number, window)
                if window.width < size or window.height < size or pixels.valid.mean() < 0.5:
                    continue
                labelled = pixels.mask[pixels.mask != IGNORE]
                counts = np.bincount(labelled, minlength=len(images.classes))
                found = counts >= share * size**2
                if multilabel:
                    clear = len(labelled) >= size**2 / 2
                else:
                    clear, found = bool(found.any()), found & (counts == counts.max())
                if clear:
                    patches.append(Patch(number, grid.part(window), found))
        return cls(images, patches, images.classes, size, multilabel=multilabel)

    @classmethod
    def of_features(
        cls,
        images: TiledRaster,
        path: str,
        class_field: str,
        size: int = 0,
        *,
        around: bool = True,
        ignore_value: int | str | None = None,
        multilabel: bool = False,
        progress: Progress = silent,
    ) -> Self:
        """Lay a square around each point or polygon, in each image that shows it.

        Args:
            images: The rasters.
            path: Layer of points or polygons.
            class_field: Its field with the class, text or whole numbers; of several classes text,
                parted by commas.
            size: Side of the squares in pixels; 0 takes 64.
            around: Whether the square of a polygon is the smallest one that holds it, resampled to
                ``size``; otherwise all have that many pixels of the image.
            ignore_value: Value of the field that means "not known".
            multilabel: Whether a square may show several classes.
            progress: Told how far it is.
        """
        size = size or _USUAL
        drawn = read_features(path, class_field, grids=images.grids, any_geometry=True)
        keep, members, legend = _members(drawn, class_field, ignore_value, multilabel)
        shapes = drawn.frame.geometry[keep]
        patches = []
        for number, grid in enumerate(images.grids):
            progress(number / len(images.grids), 'looking at examples')
            middle = (grid.bounds.left + grid.bounds.right) / 2
            there = project(shapes, grid.crs, middle)
            for place, classes in zip(_squares(there, grid, size, around), members, strict=True):
                if place is None:
                    continue
                patch = Patch(number, place, classes)
                if _look(images, patch)[1].mean() >= 0.5:
                    patches.append(patch)
        return cls(images, patches, legend, size, multilabel=multilabel)

    @classmethod
    def of_folders(
        cls,
        root: AnyPath,
        size: int = 0,
        *,
        bands: Sequence[int | str] | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Take the files of a folder for each class, as EuroSAT and others are published.

        Args:
            root: Folder of the folders, whose names are those of the classes.
            size: Side in pixels that the squares in the middle of images are resampled to; 0 takes
                that of the first image.
            bands: Numbers or names of the bands to use; all but alpha if not given.
            progress: Told how far the look at headers is.

        Raises:
            BadInput: If there are fewer than two folders with images.
        """
        files = images_by_class(root)
        names = [*files]
        paths: Paths = [file for name in names for file in files[name]]
        images = TiledRaster(paths, bands=bands, progress=progress)
        class_of = {file: names.index(name) for name in names for file in files[name]}
        one_of = np.eye(len(names), dtype=bool)
        places = [_middle_square(grid) for grid in images.grids]
        patches = [
            Patch(number, place, one_of[class_of[scene.images[0].path]])
            for number, (scene, place) in enumerate(zip(images.scenes, places, strict=True))
        ]
        legend = make_classes(range(1, len(names) + 1), dict(enumerate(names, 1)))
        return cls(images, patches, legend, size or places[0].width)

    @property
    def members(self) -> NDArray[np.bool_]:
        """Which classes each square shows (n, k)."""
        return np.array([patch.classes for patch in self.patches])

    def __len__(self) -> int:
        """Count the squares."""
        return len(self.patches)

    def __getitem__(self, index: int) -> Sample:
        """Read a sample, see above."""
        if self._kept is None:
            image, valid = self._read(index)
        else:
            if index not in self._kept:
                self._kept[index] = self._read(index)
            image, valid = self._kept[index]
        member = torch.from_numpy(self.patches[index].classes).long()
        label = member if self.multilabel else member.argmax()
        sample = {'image': image.clone(), 'mask_valid': valid.clone(), 'label': label}
        place = self.patches[index].grid.middle('images')
        if place is not None:
            sample['point'] = torch.tensor(place, dtype=torch.float64)
        return sample

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        image, valid = map(torch.from_numpy, _look(self.images, self.patches[index]))
        image = image.where(valid, torch.zeros(()))
        if image.shape[-1] != self.size:
            size = self.size, self.size
            image = F.interpolate(image[None], size, mode='bilinear', antialias=True)[0]
            valid = F.interpolate(valid[None, None].float(), size, mode='area')[0, 0] > 0.5
        return image, valid


def _members(
    drawn: Features, field: str, ignore_value: int | str | None, multilabel: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[LabelClass, ...]]:
    """Tell which features count, the classes (n, k) of these, and what there is."""
    if not multilabel:
        keep, values, names = class_codes(drawn, field, ignore_value)
        legend = make_classes(np.unique(values).tolist(), names)
        return keep, values[:, None] == [entry.value for entry in legend], legend
    column = drawn.frame[field]
    if column.dtype.kind not in 'OTU' and str(column.dtype) not in ('str', 'string'):
        raise BadParameter(
            f'class_field: {field} of {drawn.path} is of type {column.dtype}, but several classes '
            'at once are told by text.',
            'Choose a field with names of classes, parted by commas.',
        )
    known = column.notna() & (column.astype(str) != str(ignore_value))
    words = [
        {word.strip() for word in text.split(_COMMA)} - {''} for text in column[known].astype(str)
    ]
    named = sorted(set[str]().union(*words), key=str.casefold)
    legend = make_classes(range(1, len(named) + 1), dict(enumerate(named, 1)))
    return known.to_numpy(), np.array([[name in own for name in named] for own in words]), legend


def _squares(shapes: NDArray[Any], grid: Grid, size: int, around: bool) -> Iterator[Grid | None]:
    """Lay a square around each shape along the pixels of an image; None if it lies elsewhere."""
    placed = shapely.transform(
        shapes, lambda xy: np.column_stack(transform_points(~grid.transform, *xy.T))
    )
    for left, top, right, bottom in np.atleast_2d(shapely.bounds(placed)).tolist():
        x, y = (left + right) / 2, (top + bottom) / 2
        if not (0 <= x <= grid.width and 0 <= y <= grid.height):
            yield None
            continue
        widest = max(np.ceil(right) - np.floor(left), np.ceil(bottom) - np.floor(top))
        # a point has no size of its own
        side = size if not around or (left, top) == (right, bottom) else max(1.0, float(widest))
        corner = Affine.translation(round(x - side / 2), round(y - side / 2))
        yield Grid(grid.crs, grid.transform @ corner @ Affine.scale(side / size), size, size)


def _look(images: TiledRaster, patch: Patch) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read physical values (c, h, w) of a square and which are measured (h, w)."""
    found = Mosaic(images.scenes[patch.scene].dates[0], patch.grid, len(images.bands))
    return found.read(patch.grid.window)


def _middle_square(grid: Grid) -> Grid:
    """Give the largest square in the middle of an image."""
    side = min(grid.shape)
    corner = Affine.translation((grid.width - side) // 2, (grid.height - side) // 2)
    return Grid(grid.crs, grid.transform @ corner, side, side)
