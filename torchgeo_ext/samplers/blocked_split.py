"""A hold-out of whole blocks of land, so that validation is not asked of next-door pixels.

Neighbouring pixels are nearly copies of each other; a random split of pixels or patches therefore
tells how well a model remembers, not how well it maps. Whole blocks or regions are held out
instead, the same ones for every raster of a place, with a margin around them that is used for
nothing.

See Roberts et al. (2017), Cross-validation strategies for data with temporal, spatial,
hierarchical, or phylogenetic structure, https://doi.org/10.1111/ecog.02881.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import geopandas
import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers._blocks import BlockLattice, BlockRoles, block_key, coarser_key
from torchgeo_ext.samplers._folds import choose_folds
from torchgeo_ext.samplers._metric import metric_crs, stretch
from torchgeo_ext.samplers._place import transformer
from torchgeo_ext.samplers._regions import RegionRoles
from torchgeo_ext.samplers._roles import MARGIN, TRAINING, UNUSED, VALIDATION, Roles
from torchgeo_ext.samplers.cell_weights import read_features

__all__ = (
    'MARGIN',
    'TRAINING',
    'UNUSED',
    'VALIDATION',
    'BlockLattice',
    'BlockRoles',
    'BlockedSplit',
    'block_key',
    'choose_folds',
    'coarser_key',
)

#: Blocks that are chosen automatically are as large as leaves this many with labels, or this many
#: per fold, within these limits in pixels of the first raster.
_WANTED, _WANTED_PER_FOLD, _SMALLEST, _LARGEST = 24, 4, 16, 512
#: Blocks that are counted one by one; rasters with more begin with larger blocks.
_MOST = 20_000
#: Width of the margin as a part of a block, where no buffer is given.
_MARGIN = 1 / 8
#: Height and width of what is looked at at once.
_CHUNK = 1024

Histograms = Mapping[int, NDArray[np.int64]]


@dataclass(frozen=True)
class BlockedSplit:
    """How to split land into a part to learn from and a part to be judged by.

    Without ``regions``, square blocks are dealt out to folds, so that each fold has its share of
    every class, and one fold is held out. With ``regions``, one of them is held out.

    Args:
        folds: Number of folds.
        fold: The fold held out, from 0; with ``regions``, the position of the region held out
            among their sorted names, if ``region`` does not name it.
        block_size: Height and width of a block in metres; by default blocks are as large as leaves
            some for every fold.
        buffer: Metres around what is held out that are not learned from; by default an eighth of a
            block, and nothing around regions.
        stratify: Give each fold its share of every class, not only of blocks.
        regions: Polygons (any file GDAL reads).
        region_field: Field with the names of the regions.
        region: Name of the region held out.
        seed: Another seed, other folds.

    Raises:
        BadParameter: If the values do not fit each other.
    """

    folds: int = 5
    fold: int = 0
    block_size: float | None = None
    buffer: float | None = None
    stratify: bool = True
    regions: str | None = None
    region_field: str | None = None
    region: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise BadParameter(f'folds: {self.folds} is less than two.')
        if self.fold < 0 or (self.regions is None and self.fold >= self.folds):
            raise BadParameter(f'fold: {self.fold} is not between 0 and {self.folds - 1}.')
        if self.block_size is not None and self.block_size <= 0:
            raise BadParameter(f'block_size: {self.block_size} is not a positive length in metres.')
        if self.buffer is not None and self.buffer < 0:
            raise BadParameter(f'buffer: {self.buffer} is a negative length in metres.')
        if (self.regions is None) != (self.region_field is None):
            raise BadParameter(
                f'regions: {self.regions} and region_field: {self.region_field} go together.'
            )
        if self.region is not None and self.regions is None:
            raise BadParameter(f'region: {self.region} needs regions.')

    def resolve(
        self, grids: Sequence[Grid], count: Callable[[BlockLattice], Histograms] | None = None
    ) -> Roles:
        """Decide what each place is used for.

        Args:
            grids: The rasters.
            count: Counts the labelled pixels per class (k numbers) of each block that has any;
                called at most once. By default all pixels count, as one class. Not needed with
                ``regions``.

        Raises:
            BadParameter: If there are fewer blocks than folds, or no such region.
            BadInput: If no pixel is labelled, or the regions cannot be read.
        """
        if self.regions is not None:
            return self._hold_out_region(grids)
        plane = metric_crs(grids)
        widest = stretch(plane, grids)
        lattice, histograms = self._blocks(grids, plane, count)
        if len(histograms) < self.folds:
            raise self._too_few(len(histograms), lattice)
        keys = np.array(sorted(histograms), dtype=np.int64)
        counts = np.array([histograms[key] for key in keys.tolist()])
        if not self.stratify:
            counts = np.ones((len(keys), 1), np.int64)
        held_out = choose_folds(counts, self.folds, self.seed) == self.fold
        side = lattice.transform.a / widest
        margin = _MARGIN if self.buffer is None else self.buffer / side
        return BlockRoles(lattice, keys[~held_out], keys[held_out], margin, side)

    def _blocks(
        self,
        grids: Sequence[Grid],
        plane: CRS | None,
        count: Callable[[BlockLattice], Histograms] | None,
    ) -> tuple[BlockLattice, Histograms]:
        """Lay out blocks, as large as they were wished or as is good, and count their labels."""
        pixel, corner = _pixel(grids[0], plane)
        if self.block_size is not None and self.block_size < pixel:
            raise BadParameter(
                f'block_size: {self.block_size} m is less than a pixel of {pixel:g} m.',
                'Give it in metres.',
            )
        size = _SMALLEST
        area = sum(grid.height * grid.width for grid in grids)
        while area / size**2 > _MOST:
            size *= 2
        side = pixel * size if self.block_size is None else self.block_size
        lattice = BlockLattice(plane, Affine.translation(*corner) @ Affine.scale(side, -side))
        histograms = _pixels_per_block(grids, lattice) if count is None else count(lattice)
        if not histograms:
            raise BadInput(
                'labels: no pixel has both a label and a measurement.',
                'Check the nodata values of images and labels, and ignore_value.',
            )
        wanted = max(_WANTED, _WANTED_PER_FOLD * self.folds)
        while self.block_size is None and size < _LARGEST:
            coarser = _coarsen(histograms)
            if len(coarser) < wanted:
                break
            lattice, histograms, size = lattice.coarser(), coarser, size * 2
        return lattice, histograms

    def _too_few(self, number: int, lattice: BlockLattice) -> BadParameter | BadInput:
        found = (
            f'all labels lie in {number} block{"s" if number > 1 else ""} of '
            f'{lattice.transform.a:g} m, fewer than {self.folds} folds'
        )
        if self.block_size is None:
            return BadInput(f'labels: {found}.', 'Label more places, or ask for fewer folds.')
        return BadParameter(
            f'block_size: {found}.', 'Choose smaller blocks or fewer folds, or leave it out.'
        )

    def _hold_out_region(self, grids: Sequence[Grid]) -> RegionRoles:
        frame = _read_regions(str(self.regions), str(self.region_field))
        plane = metric_crs(grids)
        if plane is not None:
            frame = frame.to_crs(pyproj.CRS.from_user_input(plane))
        merged = frame.dissolve(str(self.region_field)).geometry
        names = sorted(merged.index)
        if len(names) < 2:
            raise BadInput(
                f'regions: {self.regions} has only one region, {names}.',
                'Give at least one to learn from and one to be judged by.',
            )
        if self.region is None and self.fold >= len(names):
            raise BadParameter(f'fold: {self.fold} is not between 0 and {len(names) - 1}.')
        name = self.region or names[self.fold]
        if name not in names:
            raise BadParameter(f'region: {name} is none of {", ".join(names)}.')
        others = merged.drop(name).union_all()
        return RegionRoles(plane, merged[name], others, self.buffer or 0.0, stretch(plane, grids))


def _read_regions(path: str, field: str) -> geopandas.GeoDataFrame:
    frame = read_features(path, 'regions')
    if field not in frame.columns:
        raise BadParameter(
            f'region_field: {path} has no field {field!r}, but '
            f'{", ".join(map(str, frame.columns))}.'
        )
    frame = frame[frame[field].notna()]
    return frame.assign(**{field: frame[field].astype(str)})


def _pixel(grid: Grid, plane: CRS | None) -> tuple[float, tuple[float, float]]:
    """Give the width of a pixel and the upper left corner of a raster in a plane."""
    bounds = grid.bounds
    if plane is None or grid.crs == plane:
        return grid.resolution[0], (bounds.left, bounds.top)
    x, y = transformer(grid.crs, plane).transform(
        (bounds.left, bounds.right, bounds.left), (bounds.top, bounds.top, bounds.bottom)
    )
    # a pixel of a raster in degrees is no square: take one of the same area
    sides = np.hypot(np.subtract(x[1:], x[0]), np.subtract(y[1:], y[0]))
    return float(np.sqrt(sides.prod() / (grid.width * grid.height))), (x[0], y[0])


def _pixels_per_block(grids: Sequence[Grid], lattice: BlockLattice) -> Histograms:
    counts: dict[int, NDArray[np.int64]] = {}
    for grid in grids:
        for window in grid.windows(_CHUNK):
            keys, pixels = np.unique(lattice.keys(grid, window), return_counts=True)
            for key, number in zip(keys.tolist(), pixels, strict=True):
                counts[key] = counts.get(key, 0) + np.array([number])
    return counts


def _coarsen(histograms: Histograms) -> dict[int, NDArray[np.int64]]:
    """Join blocks two by two in both directions."""
    joined: dict[int, NDArray[np.int64]] = {}
    for key, histogram in histograms.items():
        parent = coarser_key(key)
        joined[parent] = joined.get(parent, 0) + histogram
    return joined
