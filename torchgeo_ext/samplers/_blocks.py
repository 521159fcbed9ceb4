"""Square blocks of land, the same for rasters of any grid, and what they are used for."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window
from scipy.spatial import cKDTree

from torchgeo_ext.inference.grid import Grid, transform_points
from torchgeo_ext.samplers._place import differ, transformer
from torchgeo_ext.samplers._roles import MARGIN, TRAINING, UNUSED, VALIDATION, Roles

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

    def coarser(self) -> 'BlockLattice':
        """Give blocks twice as wide; :func:`coarser_key` leads to them."""
        return BlockLattice(self.crs, self.transform @ Affine.scale(2))

    def coordinates(
        self, grid: Grid, window: Window
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give block coordinates (column, row) of the pixel centres of a window of any grid."""
        columns = np.arange(window.width)[None, :] + window.col_off + 0.5
        rows = np.arange(window.height)[:, None] + window.row_off + 0.5
        if not differ(self.crs, grid.crs):
            return transform_points(~self.transform @ grid.transform, columns, rows)
        x, y = np.broadcast_arrays(*transform_points(grid.transform, columns, rows))
        x, y = transformer(grid.crs, self.crs).transform(x, y)
        return transform_points(~self.transform, x, y)

    def keys(self, grid: Grid, window: Window) -> NDArray[np.int64]:
        """Give the block each pixel of a window lies in, as one integer."""
        return block_key(*self.coordinates(grid, window))


def block_key(column: Any, row: Any) -> NDArray[np.int64]:
    """Number the blocks that block coordinates lie in."""
    keys: NDArray[np.int64] = np.floor(row).astype(np.int64) * _STRIDE + np.floor(column).astype(
        np.int64
    )
    return keys


def block_of(key: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give column and row of blocks."""
    # columns are 32-bit numbers that may be negative
    row, column = np.divmod(key + _STRIDE // 2, _STRIDE)
    return column - _STRIDE // 2, row


def coarser_key(key: int) -> int:
    """Give the key of the block, twice as wide, that a block is part of."""
    row, column = divmod(key + _STRIDE // 2, _STRIDE)
    return (row // 2) * _STRIDE + (column - _STRIDE // 2) // 2


def _among(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which of few keys are among many sorted ones; for patches np.isin is slow."""
    if not len(wanted):
        return np.zeros(keys.shape, bool)
    found: NDArray[np.bool_] = wanted[np.searchsorted(wanted, keys) % len(wanted)] == keys
    return found


@dataclass(frozen=True, eq=False)
class BlockRoles(Roles):
    """Blocks to learn from and blocks to be judged by.

    Args:
        lattice: Where the blocks are.
        training: Keys of the training blocks, sorted.
        validation: Keys of the validation blocks, sorted.
        margin: Width of the strip around validation blocks that is not learned from, in blocks.
        side: Metres on the ground that a block is wide at least.
    """

    lattice: BlockLattice
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    margin: float = 0.0
    side: float = 1.0

    @property
    def buffer(self) -> float:  # type: ignore[override]  # follows from the margin
        """Metres around validation blocks that are not learned from."""
        return self.margin * self.side

    @property
    def crs(self) -> CRS | None:
        """Reference system of the blocks."""
        return self.lattice.crs

    def roles(self, grid: Grid, window: Window) -> NDArray[np.uint8]:
        """Say of each pixel of a window what it is used for, by its centre.

        Returns:
            (h, w): ``UNUSED``, ``TRAINING``, ``VALIDATION`` or ``MARGIN``.
        """
        column, row = self.lattice.coordinates(grid, window)
        # blocks are few: look each up once, not every pixel
        first, first_row = (np.floor(place.min() - self.margin) for place in (column, row))
        columns = np.arange(first, column.max() + self.margin + 1)
        rows = np.arange(first_row, row.max() + self.margin + 1)
        keys = block_key(columns[None, :], rows[:, None])
        held_out, learned = _among(keys, self.validation), _among(keys, self.training)
        right, down = (
            [np.floor(place + step - start).astype(np.intp) for step in self._steps]
            for place, start in ((column, first), (row, first_row))
        )
        middle = len(self._steps) // 2
        here = down[middle], right[middle]
        near = np.logical_or.reduce([held_out[y, x] for y in down for x in right])
        roles = np.where(learned[here], np.where(near, MARGIN, TRAINING), UNUSED)
        return np.where(held_out[here], VALIDATION, roles).astype(np.uint8)

    @functools.cached_property
    def _steps(self) -> NDArray[np.float64]:
        # no block fits between points that are at most a block apart; the middle one is 0
        return np.linspace(-self.margin, self.margin, 2 * int(np.ceil(self.margin)) + 1)

    def distances(self, grid: Grid, window: Window) -> NDArray[np.float64]:
        """Measure how far each pixel centre is from the nearest validation block.

        The larger of the distances across and down, which is less than the true one; negative
        inside.
        """
        points = np.stack(np.broadcast_arrays(*self.lattice.coordinates(grid, window)), axis=-1)
        if not len(self.validation):
            return np.full(points.shape[:-1], np.inf)
        to_centre, _ = self._tree.query(points, p=np.inf)
        distances: NDArray[np.float64] = (to_centre - 0.5) * self.side
        return distances

    @functools.cached_property
    def _tree(self) -> Any:
        return cKDTree(np.column_stack(block_of(self.validation)) + 0.5)

    def to_dict(self) -> dict[str, Any]:
        """Give what JSON can hold."""
        return {
            'crs': self.lattice.crs.to_wkt() if self.lattice.crs else None,
            'transform': list(self.lattice.transform[:6]),
            'training': self.training.tolist(),
            'validation': self.validation.tolist(),
            'margin': self.margin,
            'side': self.side,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Take what :meth:`to_dict` gave."""
        crs = CRS.from_wkt(stored['crs']) if stored['crs'] else None
        return cls(
            BlockLattice(crs, Affine(*stored['transform'])),
            np.array(stored['training'], np.int64),
            np.array(stored['validation'], np.int64),
            stored['margin'],
            stored['side'],
        )
