"""Looks through labelled rasters window by window: where classes are, how bright the bands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.progress import Progress
from torchgeo_ext.samplers.blocked_split import TRAINING, VALIDATION, BlockedSplit, BlockLattice

#: Height and width of the windows read, about; a multiple of the cell size is taken.
_CHUNK = 1024


class Moments:
    """Mean, standard deviation, minimum and maximum of each band, exact in one pass.

    Chunks are combined as in Chan, Golub & LeVeque (1983), Algorithms for computing the sample
    variance, https://doi.org/10.1080/00031305.1983.10483115, all in float64.

    Args:
        bands: Number of bands.
    """

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.mean = np.zeros(bands)
        self._squares = np.zeros(bands)
        self.minimum = np.full(bands, np.inf)
        self.maximum = np.full(bands, -np.inf)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in pixels, (c, n)."""
        number = values.shape[1]
        if number == 0:
            return
        exact = values.astype(np.float64)
        mean = exact.mean(1)
        squares = ((exact - mean[:, None]) ** 2).sum(1)
        total = self.count + number
        difference = mean - self.mean
        self._squares += squares + difference**2 * self.count * number / total
        self.mean = self.mean + difference * number / total
        self.count = total
        self.minimum = np.minimum(self.minimum, exact.min(1))
        self.maximum = np.maximum(self.maximum, exact.max(1))

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of the population; 1 for a constant band, which then becomes 0."""
        deviation = np.sqrt(self._squares / max(self.count, 1))
        return np.where(deviation > 0, deviation, 1.0)


@dataclass(frozen=True)
class Survey:
    """What training needs to know of the rasters.

    Args:
        moments: Of the valid pixels in training blocks.
        training: For each raster the labelled training pixels (rows, columns, k) of its cells.
        validation: The same for validation.
        cell: Height and width of a cell in pixels.
    """

    moments: Moments
    training: list[NDArray[np.int64]]
    validation: list[NDArray[np.int64]]
    cell: int

    @property
    def training_counts(self) -> NDArray[np.int64]:
        """Labelled training pixels per class."""
        return _per_class(self.training)

    @property
    def validation_counts(self) -> NDArray[np.int64]:
        """Labelled validation pixels per class."""
        return _per_class(self.validation)


def _per_class(cells: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = sum(array.sum((0, 1)) for array in cells)  # type: ignore[assignment]  # starts with 0
    return counts


def block_histograms(
    dataset: SceneDataset, lattice: BlockLattice, progress: Progress
) -> dict[int, NDArray[np.int64]]:
    """Count the labelled pixels per class (k numbers) of each block that has any."""
    number = len(dataset.classes)
    histograms: dict[int, NDArray[np.int64]] = {}
    for scene, window, share in _windows(dataset, _CHUNK):
        progress(share, 'counting labels')
        mask = dataset.pixels(scene, window).mask
        labelled = mask >= 0
        keys, block = np.unique(
            lattice.keys(dataset.grids[scene], window)[labelled], return_inverse=True
        )
        counts = np.bincount(block * number + mask[labelled], minlength=len(keys) * number)
        for key, histogram in zip(keys.tolist(), counts.reshape(-1, number), strict=True):
            histograms[key] = histograms.get(key, 0) + histogram
    return histograms


def survey(dataset: SceneDataset, split: BlockedSplit, cell: int, progress: Progress) -> Survey:
    """Gather band statistics and the places of labels, for training and validation blocks.

    Args:
        dataset: The rasters.
        split: What each block is used for.
        cell: Height and width in pixels of the cells that labels are counted in.
        progress: Told how far it is.
    """
    shapes = [(-(-grid.height // cell), -(-grid.width // cell)) for grid in dataset.grids]
    number = len(dataset.classes)
    moments = Moments(len(dataset.bands))
    found = {
        role: [np.zeros((*shape, number), dtype=np.int64) for shape in shapes]
        for role in (TRAINING, VALIDATION)
    }
    for scene, window, share in _windows(dataset, -(-_CHUNK // cell) * cell):
        progress(share, 'computing statistics')
        pixels = dataset.pixels(scene, window)
        roles = split.roles(dataset.grids[scene], window)
        for date in pixels.image:
            moments.add(date[:, pixels.valid & (roles == TRAINING)])
        for role, cells in found.items():
            _count_cells(cells[scene], np.where(roles == role, pixels.mask, -1), window, cell)
    return Survey(moments, found[TRAINING], found[VALIDATION], cell)


def _count_cells(
    cells: NDArray[np.int64], mask: NDArray[np.int64], window: Window, cell: int
) -> None:
    row, column = np.nonzero(mask >= 0)
    place = (row + window.row_off) // cell, (column + window.col_off) // cell
    np.add.at(cells, (*place, mask[row, column]), 1)


def _windows(dataset: SceneDataset, size: int) -> Iterator[tuple[int, Window, float]]:
    """Yield scene, window and the share of the work done before it."""
    total = sum(grid.height * grid.width for grid in dataset.grids)
    done = 0
    for scene, grid in enumerate(dataset.grids):
        for window in grid.windows(size):
            yield scene, window, done / total
            done += window.height * window.width
