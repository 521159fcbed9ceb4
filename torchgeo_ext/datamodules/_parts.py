"""What labels are used for: to learn from, to choose the best epoch, to test."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datamodules._survey import block_histograms
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress
from torchgeo_ext.samplers import BlockedSplit, BlockLattice
from torchgeo_ext.samplers._roles import MARGIN, TRAINING, VALIDATION, Roles
from torchgeo_ext.samplers.blocked_split import Histograms

__all__ = ('MARGIN', 'TEST', 'TRAINING', 'VALIDATION', 'Parts', 'make_parts')

#: One more than the roles of a split.
TEST = 4


@dataclass(frozen=True)
class Parts:
    """Land to learn from, land to choose the best epoch by and, if wanted, land to test on.

    Args:
        split: Training and validation.
        test: Its validation land is for testing.
    """

    split: Roles
    test: Roles | None

    def roles(self, grid: Grid, window: Window) -> NDArray[np.uint8]:
        """Say of each pixel of a window (h, w) what it is used for."""
        roles = self.split.roles(grid, window)
        if self.test is not None:
            tested = self.test.roles(grid, window)
            roles[(tested == MARGIN) & (roles == TRAINING)] = MARGIN
            roles[tested == VALIDATION] = TEST
        return roles


def make_parts(
    dataset: SceneDataset, split: BlockedSplit, test_fold: int | None, progress: Progress
) -> Parts:
    """Deal out the labelled land.

    Args:
        dataset: With all labels.
        split: How to.
        test_fold: Another fold than that of the split, kept for testing.
        progress: Told how far the count of labels is.
    """
    counted: dict[BlockLattice, Histograms] = {}

    def count(lattice: BlockLattice) -> Histograms:
        if lattice not in counted:
            counted[lattice] = block_histograms(dataset, lattice, progress)
        return counted[lattice]

    main = split.resolve(dataset.grids, count)
    if test_fold is None:
        return Parts(main, None)
    return Parts(main, replace(split, fold=test_fold, region=None).resolve(dataset.grids, count))
