"""Deals out examples of scenes: to learn from, to be judged by."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from torchgeo_ext.datasets import ScenePatches
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers import BlockedSplit, BlockLattice
from torchgeo_ext.samplers._metric import metric_crs
from torchgeo_ext.samplers._place import differ, transformer
from torchgeo_ext.samplers._roles import MARGIN, TRAINING, VALIDATION
from torchgeo_ext.samplers.blocked_split import Histograms, choose_folds

#: Blocks of land that leave each fold some of different places.
_WANTED, _WANTED_PER_FOLD = 24, 4
#: Sides of blocks in sides of an example; the widest that leaves enough blocks is taken.
_SIDES = (64, 32, 16, 8, 4, 2)
#: Rasters looked at to choose a plane for all.
_MOST_GRIDS = 100
#: Part of its side that an example gives way to a neighbour, for rounding.
_TOUCH = 0.01


def deal(examples: ScenePatches, split: BlockedSplit, seed: int) -> NDArray[np.uint8]:
    """Decide what each example is used for.

    An example lies in the block that its middle lies in. None is learned from that shares ground
    with one of the hold-out, in whatever image. Examples without a place on the ground, each of
    its own file, are dealt out one by one.

    Args:
        examples: The examples.
        split: How land is split.
        seed: Another seed, another hold-out of files that lie nowhere.

    Returns:
        (n,) ``TRAINING``, ``VALIDATION`` or, between both, ``MARGIN``.

    Raises:
        BadInput: If there are fewer examples, or blocks with some, than folds.
    """
    members = examples.members.astype(np.int64)
    # those that show no class are one more
    counts = np.column_stack([members, 1 - members.max(1)])
    grids = [patch.grid for patch in examples.patches]
    scenes = {patch.scene for patch in examples.patches}
    if len(scenes) == len(grids) and any(grid.crs is None for grid in grids):
        if len(grids) < split.folds:
            raise BadInput(
                f'labels: {len(grids)} examples are fewer than {split.folds} folds.',
                'Give more examples, or ask for fewer folds.',
            )
        held_out = choose_folds(counts, split.folds, seed) == split.fold
        return np.where(held_out, VALIDATION, TRAINING).astype(np.uint8)
    return _deal_land(examples.images.grids, grids, counts, split)


def _deal_land(
    rasters: Sequence[Grid], grids: Sequence[Grid], counts: NDArray[np.int64], split: BlockedSplit
) -> NDArray[np.uint8]:
    # a few tell where all of them are
    shown = rasters[:: math.ceil(len(rasters) / _MOST_GRIDS)]
    outlines = _outlines(grids, metric_crs(shown))
    if split.block_size is None and split.regions is None:
        split = dataclasses.replace(split, block_size=_block_size(outlines, split.folds))

    def count(lattice: BlockLattice) -> Histograms:
        found: dict[int, NDArray[np.int64]] = {}
        for grid, own in zip(grids, counts, strict=True):
            key = int(lattice.keys(grid, _middle(grid)).item())
            found[key] = found.get(key, 0) + own
        return found

    land = split.resolve(shown, count)
    roles = np.array([land.roles(grid, _middle(grid)).item() for grid in grids], np.uint8)
    held_out = roles == VALIDATION
    near, _ = shapely.STRtree(outlines[held_out]).query(outlines, predicate='intersects').tolist()
    roles[np.setdiff1d(near, np.flatnonzero(held_out)).astype(np.intp)] = MARGIN
    return roles


def _middle(grid: Grid) -> Window:
    return Window(grid.width // 2, grid.height // 2, 1, 1)


def _outlines(grids: Sequence[Grid], crs: CRS | None) -> NDArray[np.object_]:
    """Outline grids in a plane, a little inside of what they cover."""
    rings = np.empty((len(grids), 4, 2))
    for ring, grid in zip(rings, grids, strict=True):
        first, last = _TOUCH, 1 - _TOUCH
        corners = np.array([(first, first), (last, first), (last, last), (first, last)])
        x, y = grid.transform @ tuple((corners * (grid.width, grid.height)).T)
        if differ(grid.crs, crs):
            x, y = transformer(grid.crs, crs).transform(x, y)
        ring[:, 0], ring[:, 1] = x, y
    outlines: NDArray[np.object_] = shapely.polygons(rings)
    return outlines


def _block_size(outlines: NDArray[np.object_], folds: int) -> float:
    """Choose how wide blocks are, in units of the plane."""
    side = float(np.median(np.sqrt(shapely.area(outlines)))) / (1 - 2 * _TOUCH)
    places = shapely.get_coordinates(shapely.centroid(outlines))
    places -= places.min(axis=0)
    for sides in _SIDES:
        number = len(np.unique(places // (sides * side), axis=0))
        if number >= max(_WANTED, _WANTED_PER_FOLD * folds):
            break
    if number < folds:
        raise BadInput(
            f'labels: the {len(outlines)} examples lie in {number} blocks of {sides * side:g} m, '
            f'fewer than {folds} folds.',
            'Give examples of more places, make tiles smaller, or ask for fewer folds.',
        )
    return sides * side
