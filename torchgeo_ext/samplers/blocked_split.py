"""A hold-out of whole blocks of land, so that validation is not asked of next-door pixels.

Neighbouring pixels are nearly copies of each other; a random split of pixels or patches therefore
tells how well a model remembers, not how well it maps. Whole blocks are held out instead, the same
blocks for every raster of a place, with a margin around them that is used for nothing.

See Roberts et al. (2017), Cross-validation strategies for data with temporal, spatial,
hierarchical, or phylogenetic structure, https://doi.org/10.1111/ecog.02881.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from torchgeo_ext.inference.grid import Grid

#: What a pixel is used for.
UNUSED, TRAINING, VALIDATION, MARGIN = range(4)

_STRIDE = 2**32  # a block's row and column in one integer


@dataclass(frozen=True)
class BlockLattice:
    """Square blocks laid over the plane of one reference system.

    Args:
        crs: Reference system, None if the rasters have none.
        transform: From block coordinates (column, row) to map coordinates.
    """

    crs: CRS | None
    transform: Affine

    @classmethod
    def over(cls, grid: Grid, size: int) -> 'BlockLattice':
        """Lay blocks of ``size`` x ``size`` pixels of a grid over the plane, from its corner on."""
        return cls(grid.crs, grid.transform @ Affine.scale(size))

    def coordinates(
        self, grid: Grid, window: Window
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give block coordinates (column, row) of the pixel centres of a window of any grid."""
        columns = np.arange(window.width)[None, :] + window.col_off + 0.5
        rows = np.arange(window.height)[:, None] + window.row_off + 0.5
        if self.crs is None or grid.crs is None or self.crs == grid.crs:
            return _apply(~self.transform @ grid.transform, columns, rows)
        x, y = np.broadcast_arrays(*_apply(grid.transform, columns, rows))
        x, y = _transformer(grid.crs.to_wkt(), self.crs.to_wkt()).transform(x, y)
        return _apply(~self.transform, x, y)

    def keys(self, grid: Grid, window: Window) -> NDArray[np.int64]:
        """Give the block each pixel of a window lies in, as one integer."""
        return block_key(*self.coordinates(grid, window))


def block_key(column: Any, row: Any) -> NDArray[np.int64]:
    """Number the blocks that block coordinates lie in."""
    keys: NDArray[np.int64] = np.floor(row).astype(np.int64) * _STRIDE + np.floor(column).astype(
        np.int64
    )
    return keys


def coarser_key(key: int) -> int:
    """Give the key of the block, twice as wide, that a block is part of."""
    # columns are 32-bit numbers that may be negative
    row, column = divmod(key + _STRIDE // 2, _STRIDE)
    return (row // 2) * _STRIDE + (column - _STRIDE // 2) // 2


def _apply(transform: Affine, x: Any, y: Any) -> tuple[Any, Any]:
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


@functools.lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


@dataclass(frozen=True, eq=False)
class BlockedSplit:
    """Blocks to learn from and blocks to be judged by.

    Args:
        lattice: Where the blocks are.
        training: Keys of the training blocks, sorted.
        validation: Keys of the validation blocks, sorted.
        margin: Width of the strip around validation blocks that is not learned from, as a
            fraction of a block (0 to 1).
    """

    lattice: BlockLattice
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    margin: float = 0.0

    @classmethod
    def stratified(
        cls,
        lattice: BlockLattice,
        histograms: dict[int, NDArray[np.int64]],
        *,
        fraction: float = 0.2,
        margin: float = 0.0,
        seed: int = 0,
    ) -> 'BlockedSplit':
        """Choose validation blocks so that every class has about its share in them.

        Args:
            lattice: Where the blocks are.
            histograms: Labelled pixels per class (k numbers) of each block that has any.
            fraction: Share of each class that shall be held out.
            margin: See the class.
            seed: Another seed, another choice.

        Raises:
            ValueError: If there are fewer than two blocks.
        """
        keys = np.array(sorted(histograms), dtype=np.int64)
        held_out = choose_blocks(np.array([histograms[k] for k in keys]), fraction, seed)
        return cls(lattice, keys[~held_out], keys[held_out], margin)

    def roles(self, grid: Grid, window: Window) -> NDArray[np.uint8]:
        """Say of each pixel of a window what it is used for.

        Returns:
            (h, w): ``UNUSED``, ``TRAINING``, ``VALIDATION`` or ``MARGIN``.
        """
        column, row = self.lattice.coordinates(grid, window)
        keys = block_key(column, row)
        present = np.unique(keys)
        roles = np.full(keys.shape, UNUSED, dtype=np.uint8)
        roles[np.isin(keys, np.intersect1d(present, self.training))] = TRAINING
        roles[np.isin(keys, np.intersect1d(present, self.validation))] = VALIDATION
        for dx, dy in np.ndindex(3, 3) if self.margin else ():
            beside = block_key(column + (dx - 1) * self.margin, row + (dy - 1) * self.margin)
            near = np.isin(beside, self.validation)
            roles[near & (roles == TRAINING)] = MARGIN
        return roles


def choose_blocks(histograms: NDArray[Any], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Choose blocks that together hold about ``fraction`` of each class.

    Starts from a random choice and moves the one block that helps most until none helps. A class
    that lies in two or more blocks gets at least one on either side where that is possible.

    Args:
        histograms: (n, k) pixels per block and class.
        fraction: Share wanted, 0 to 1.
        seed: For the random start.

    Returns:
        (n,) True where the block is held out; some are and some are not.

    Raises:
        ValueError: If there are fewer than two blocks.
    """
    number = len(histograms)
    if number < 2:
        raise ValueError('a split needs at least two blocks')
    counts = histograms[:, histograms.sum(0) > 0]
    shares = counts / counts.sum(0)
    # all classes together count as one more class: a hold-out of the right size
    shares = np.column_stack([shares, counts.sum(1) / counts.sum()])
    splittable = (shares > 0).sum(0) >= 2
    chosen = np.random.default_rng(seed).random(number) < fraction
    cost = _cost(shares[chosen].sum(0)[None], fraction, splittable)[0]
    while True:
        sign = np.where(chosen, -1.0, 1.0)[:, None]
        costs = _cost(shares[chosen].sum(0) + sign * shares, fraction, splittable)
        best = int(costs.argmin())
        if costs[best] >= cost - 1e-9:
            break
        chosen[best] ^= True
        cost = costs[best]
    return _both_sides(chosen, shares[:, -1])


def _cost(held_out: NDArray[Any], fraction: float, splittable: NDArray[Any]) -> NDArray[Any]:
    """Rate choices (m, k): distance from the wanted shares, and classes missing on one side."""
    missing = (held_out < 1e-9) | (held_out > 1 - 1e-9)
    scale = max(fraction, 1 - fraction)
    costs: NDArray[Any] = (((held_out - fraction) / scale) ** 2).sum(1)
    return costs + 2.0 * (missing & splittable).sum(1)


def _both_sides(chosen: NDArray[np.bool_], sizes: NDArray[Any]) -> NDArray[np.bool_]:
    if not chosen.any():
        chosen[sizes.argmin()] = True
    elif chosen.all():
        chosen[sizes.argmax()] = False
    return chosen
