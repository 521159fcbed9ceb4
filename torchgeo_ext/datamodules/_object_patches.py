"""Objects of a vector layer on rasters, cut into patches to learn from and tiles to be judged by.

Axes: n objects, c channels, h height, w width. Places are x, y in pixels of a raster.
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window
from torch.utils.data import Dataset
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._classes import LabelClass, make_classes
from torchgeo_ext.datasets._features import class_codes, project, read_features
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid, transform_points
from torchgeo_ext.layers.rotated_boxes import box_corners, boxes_around
from torchgeo_ext.samplers._place import differ, transformer
from torchgeo_ext.samplers._roles import MARGIN, TRAINING, VALIDATION, Roles
from torchgeo_ext.samplers.blocked_split import BlockLattice, Histograms, block_key

log = logging.getLogger(__name__)

#: Share of its area that an object must have in a patch to be learned from it.
_VISIBLE = 0.5
#: Width and height that an object must have in a patch, in pixels.
_THIN = 0.1
#: Share of training patches that may lie anywhere, objects or not.
_ANYWHERE = 0.1
#: Part of a patch, at each side, that the middle of its object keeps away from.
_RIM = 0.1
#: What all polygons are called where there is no field with classes.
_NAMELESS = 'object'


@dataclass(frozen=True)
class SceneObjects:
    """The objects on a raster.

    Attributes:
        outlines: Polygons (n,) in its pixels.
        labels: Positions of their classes (n,).
    """

    outlines: NDArray[Any]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def middles(self) -> NDArray[np.float64]:
        """Centre of gravity of each object (n, 2)."""
        places: NDArray[np.float64] = shapely.get_coordinates(shapely.centroid(self.outlines))
        return places

    def select(self, keep: NDArray[np.bool_]) -> 'SceneObjects':
        """Keep some of them."""
        return SceneObjects(self.outlines[keep], self.labels[keep])

    def roles(self, roles: Roles, grid: Grid) -> NDArray[np.uint8]:
        """Tell what the place of each object (n,) is used for."""
        if not len(self):
            return np.zeros(0, np.uint8)
        pixels = np.floor(self.middles).astype(int)
        return np.array([roles.roles(grid, Window(x, y, 1, 1)).item() for x, y in pixels], np.uint8)


def read_objects(
    path: str, images: SceneDataset, class_field: str | None, ignore_value: int | str | None
) -> tuple[list[SceneObjects], tuple[LabelClass, ...]]:
    """Read polygons and put them onto rasters.

    Args:
        path: The layer: a file, or ``path|layername=name``.
        images: The rasters.
        class_field: Field with the class, text or whole numbers; without one all are of one class.
        ignore_value: Class of polygons that are no objects.

    Returns:
        The objects with their middle on each raster, and the classes of all.

    Raises:
        BadInput: If the layer has no polygons, or none that lies on a raster.
        BadParameter: If the field does not exist.
    """
    features = read_features(path, class_field, grids=images.grids)
    values, names = np.ones(len(features), np.int64), {1: _NAMELESS}
    if class_field is not None:
        keep, values, names = class_codes(features, class_field, ignore_value)
        features = features.select(keep)
    known, labels = np.unique(values, return_inverse=True)
    found, there = [], np.zeros(len(features), bool)
    for grid in images.grids:
        near = (grid.bounds.left + grid.bounds.right) / 2
        shapes = project(features.frame.geometry, grid.crs, near)
        objects = SceneObjects(shapely.make_valid(_in_pixels(shapes, grid)), labels)
        x, y = objects.middles.T if len(objects) else np.empty((2, 0))
        inside = (x >= 0) & (y >= 0) & (x < grid.width) & (y < grid.height)
        there |= inside
        found.append(objects.select(inside))
    if not there.any():
        raise BadInput(
            f'labels: none of the {features.number} polygons of {path} lies on an image.',
            'Choose labels of the same place and check all reference systems.',
        )
    if (outside := features.number - int(there.sum())) and ignore_value is None:
        log.warning(
            '%d of %d polygons of labels lie outside of all images and are left out.',
            outside,
            features.number,
        )
    return found, make_classes(known.tolist(), names)


def _in_pixels(shapes: NDArray[Any], grid: Grid) -> NDArray[Any]:
    return np.asarray(
        shapely.transform(
            shapes, lambda points: np.column_stack(transform_points(~grid.transform, *points.T))
        ),
        dtype=object,
    )


def longest_sides(objects: SceneObjects) -> NDArray[np.float64]:
    """Give width or height of each object (n,) in pixels, whichever is larger."""
    bounds = shapely.bounds(objects.outlines).reshape(-1, 4)
    sides: NDArray[np.float64] = (bounds[:, 2:] - bounds[:, :2]).max(axis=1, initial=0)
    return sides


def count_objects(
    objects: Sequence[SceneObjects], grids: Sequence[Grid], classes: int, lattice: BlockLattice
) -> Histograms:
    """Count the objects per class of each block that has any."""
    counts: dict[int, NDArray[np.int64]] = {}
    for own, grid in zip(objects, grids, strict=True):
        if not len(own):
            continue
        x, y = transform_points(grid.transform, *own.middles.T)
        if differ(grid.crs, lattice.crs):
            x, y = transformer(grid.crs, lattice.crs).transform(x, y)
        keys = block_key(*transform_points(~lattice.transform, x, y))
        for key, label in zip(keys.tolist(), own.labels.tolist(), strict=True):
            counts.setdefault(key, np.zeros(classes, np.int64))[label] += 1
    return counts


@dataclass(frozen=True)
class Turn:
    """One of eight ways to turn and flip a square.

    Args:
        across: Exchange left and right.
        down: Exchange top and bottom.
        swap: Exchange rows and columns afterwards.
    """

    across: bool = False
    down: bool = False
    swap: bool = False

    @classmethod
    def drawn(cls) -> 'Turn':
        """Choose one at random."""
        return cls(*(torch.rand(3) < 0.5).tolist())

    def pixels(self, array: NDArray[Any]) -> NDArray[Any]:
        """Turn (..., h, w)."""
        axes = tuple(axis for axis, flip in ((-1, self.across), (-2, self.down)) if flip)
        turned = np.flip(array, axes) if axes else array
        return np.ascontiguousarray(turned.swapaxes(-1, -2) if self.swap else turned)

    def outlines(self, outlines: NDArray[Any], size: int) -> NDArray[Any]:
        """Turn polygons in a square of ``size`` pixels."""
        flips = np.array([self.across, self.down])

        def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
            moved = np.where(flips, size - points, points)
            return moved[:, ::-1] if self.swap else moved

        return np.asarray(shapely.transform(outlines, move), dtype=object)


@dataclass(frozen=True)
class Cutter:
    """Cuts patches out of rasters with their objects.

    Args:
        images: The rasters.
        size: Height and width of patches in pixels.
        masks: Whether patches have a mask of each object.
    """

    images: SceneDataset
    size: int
    masks: bool

    def cut(
        self,
        scene: int,
        window: Window,
        objects: SceneObjects,
        hidden: NDArray[np.bool_],
        turn: Turn,
    ) -> Sample:
        """Cut a patch.

        Args:
            scene: Number of the raster.
            window: The patch; may reach beyond the raster.
            objects: Those it may show.
            hidden: Pixels (h, w) not to be seen.
            turn: How to turn it.

        Returns:
            ``image`` float32 (c, h, w), physical values; ``mask_valid`` (h, w); ``bbox_xyxy``
            float32 (n, 4) and ``bbox`` (n, 8), upright and rotated boxes; ``label`` int64 (n,),
            from 1; and, if wanted, ``mask`` uint8 (n, h, w).
        """
        pixels = self.images.pixels(scene, window)
        parts, whole, labels = self._seen(window, objects)
        parts, whole = (turn.outlines(shapes, self.size) for shapes in (parts, whole))
        corners = box_corners(boxes_around(whole)).reshape(-1, 8)
        upright = shapely.bounds(parts).reshape(-1, 4).astype(np.float32)
        sample: Sample = {
            'image': torch.from_numpy(turn.pixels(pixels.image[0])),
            'mask_valid': torch.from_numpy(turn.pixels(pixels.measured[0] & ~hidden)),
            'bbox_xyxy': torch.from_numpy(upright),
            'bbox': corners,
            'label': torch.from_numpy(labels + 1),
        }
        if self.masks:
            sample['mask'] = torch.from_numpy(self._burnt(parts))
        return sample

    def _seen(
        self, window: Window, objects: SceneObjects
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """Give what a window shows of objects: what is in it of each, and the whole of each."""
        x, y = window.col_off, window.row_off
        frame = shapely.box(x, y, x + self.size, y + self.size)
        near = objects.select(shapely.intersects(objects.outlines, frame))
        parts = shapely.intersection(near.outlines, frame)
        bounds = shapely.bounds(parts).reshape(-1, 4)
        seen = shapely.area(parts) >= _VISIBLE * shapely.area(near.outlines)
        seen &= (bounds[:, 2:] - bounds[:, :2] > _THIN).all(axis=1)
        parts, whole = (
            np.asarray(shapely.transform(shapes[seen], lambda points: points - (x, y)))
            for shapes in (parts, near.outlines)
        )
        return parts, whole, near.labels[seen]

    def _burnt(self, parts: NDArray[Any]) -> NDArray[np.uint8]:
        """Give the pixels of each object (n, h, w); all that thin ones touch."""
        masks = np.zeros((len(parts), self.size, self.size), np.uint8)
        for mask, shape in zip(masks, parts, strict=True):
            for touched in (False, True):
                rasterize([shape], out=mask, all_touched=touched)
                if mask.any():
                    break
        return masks


class TrainingPatches(Dataset[Sample]):
    """Patches drawn at random, most of them around an object.

    Pixels of land that is held out, and of the strip around it, are hidden.

    Args:
        cutter: Cuts patches.
        objects: The objects on each raster.
        roles: What land is used for.
        by_class: How much objects of each class deserve to be drawn (k,).
        length: Patches of an epoch.
        turn: Turn and flip patches at random.
    """

    def __init__(
        self,
        cutter: Cutter,
        objects: Sequence[SceneObjects],
        roles: Roles,
        by_class: NDArray[np.float64],
        length: int,
        turn: bool,
    ) -> None:
        self.cutter, self.roles, self.length, self.turn = cutter, roles, length, turn
        grids = cutter.images.grids
        self.objects = [
            own.select(own.roles(roles, grid) == TRAINING)
            for own, grid in zip(objects, grids, strict=True)
        ]
        self._scenes = np.repeat(np.arange(len(grids)), [len(own) for own in self.objects])
        self._middles = np.concatenate([own.middles for own in self.objects])
        labels = np.concatenate([own.labels for own in self.objects])
        self._weights = torch.from_numpy(by_class[labels])
        self._areas = torch.tensor([float(grid.width * grid.height) for grid in grids])

    def __len__(self) -> int:
        """Count the patches of an epoch."""
        return self.length

    def __getitem__(self, index: int) -> Sample:
        """Draw a patch, see :meth:`Cutter.cut`; the number plays no role."""
        scene, window = self._draw()
        roles = self.roles.roles(self.cutter.images.grids[scene], window)
        hidden = (roles == VALIDATION) | (roles == MARGIN)
        turn = Turn.drawn() if self.turn else Turn()
        return self.cutter.cut(scene, window, self.objects[scene], hidden, turn)

    def _draw(self) -> tuple[int, Window]:
        shares = torch.rand(2).numpy()
        size = self.cutter.size
        if torch.rand(1).item() < _ANYWHERE:
            scene = int(torch.multinomial(self._areas, 1))
            grid = self.cutter.images.grids[scene]
            corner = shares * [grid.width - size, grid.height - size]
        else:
            number = int(torch.multinomial(self._weights, 1))
            scene = int(self._scenes[number])
            grid = self.cutter.images.grids[scene]
            corner = self._middles[number] - size * (_RIM + (1 - 2 * _RIM) * shares)
        # smaller rasters are continued beyond their last row and column
        limits = np.maximum([grid.width - size, grid.height - size], 0)
        column, row = np.rint(corner).astype(int).clip(0, limits)
        return scene, Window(int(column), int(row), size, size)


@dataclass(frozen=True)
class _Tile:
    scene: int
    window: Window
    core: Window


class HeldOutTiles(Dataset[Sample]):
    """Tiles of the land held out, in which each of its objects counts once.

    A sample has also ``judged`` (h, w): where the middle of objects counts.

    Args:
        cutter: Cuts tiles.
        objects: The objects on each raster.
        roles: What land is used for.
    """

    def __init__(self, cutter: Cutter, objects: Sequence[SceneObjects], roles: Roles) -> None:
        self.cutter, self.roles = cutter, roles
        grids = cutter.images.grids
        self.objects = [
            own.select(own.roles(roles, grid) == VALIDATION)
            for own, grid in zip(objects, grids, strict=True)
        ]
        self.tiles = [
            tile
            for scene, grid in enumerate(grids)
            for tile in _tiles(scene, grid, cutter.size)
            if (roles.roles(grid, tile.core) == VALIDATION).any()
        ]

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self.tiles)

    def __getitem__(self, index: int) -> Sample:
        """Cut a tile, see :meth:`Cutter.cut`."""
        tile = self.tiles[index]
        core, window = tile.core, tile.window
        own = self.within(index)
        size = self.cutter.size
        sample = self.cutter.cut(
            tile.scene, window, own, np.zeros((size, size), dtype=bool), Turn()
        )
        judged = np.zeros((size, size), dtype=bool)
        rows, columns = _moved(core, window).toslices()
        judged[rows, columns] = (
            self.roles.roles(self.cutter.images.grids[tile.scene], core) == VALIDATION
        )
        sample['judged'] = torch.from_numpy(judged)
        return sample

    def within(self, index: int) -> SceneObjects:
        """Give the objects that count in a tile."""
        tile = self.tiles[index]
        objects, core = self.objects[tile.scene], tile.core
        if not len(objects):
            return objects
        x, y = np.floor(objects.middles).T
        inside = (x >= core.col_off) & (x < core.col_off + core.width)
        inside &= (y >= core.row_off) & (y < core.row_off + core.height)
        return objects.select(inside)


def _moved(window: Window, other: Window) -> Window:
    """Give a window seen from the corner of another one."""
    return Window(
        window.col_off - other.col_off, window.row_off - other.row_off, window.width, window.height
    )


def _tiles(scene: int, grid: Grid, size: int) -> list[_Tile]:
    """Lay tiles over a raster; each owns a part of it."""
    tiling = grid.tiles(size, size // 4)
    found = []
    for row, column in itertools.product(range(len(tiling.y.starts)), range(len(tiling.x.starts))):
        (top, bottom), (left, right) = tiling.y.owned[row], tiling.x.owned[column]
        window = Window(tiling.x.starts[column], tiling.y.starts[row], size, size)
        found.append(_Tile(scene, window, Window(left, top, right - left, bottom - top)))
    return found
