"""Looks through labelled rasters window by window: where classes are, how bright the bands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.statistics import BandStatistics, Moments
from torchgeo_ext.progress import Progress
from torchgeo_ext.samplers import BlockLattice
from torchgeo_ext.samplers._roles import UNUSED

#: Height and width of the windows read, about; a multiple of the cell size is taken.
_CHUNK = 1024


class BandValues(NamedTuple):
    """What the physical values of bands are like, each (c,)."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]

    @classmethod
    def of_file(cls, path: str, dataset: SceneDataset) -> 'BandValues':
        """Take statistics from a file of ``torchgeo-ext compute-statistics``.

        Raises:
            BadInput: If the file is none or its bands are not those of the dataset.
        """
        known = BandStatistics.load(path).bands
        by_name = {band.name: band for band in known}
        if all(name in by_name for name in dataset.bands):
            known = tuple(by_name[name] for name in dataset.bands)
        if len(known) != len(dataset.bands):
            raise BadInput(
                f'statistics: {path} has the bands {", ".join(by_name)}, but the images have '
                f'{", ".join(dataset.bands)}.',
                'Compute the statistics of these images, or leave them out.',
            )
        image = dataset.scenes[0].images[0]
        scale, offset = (np.ravel(v).astype(np.float64) for v in (image.scale, image.offset))
        mean, std, low, high = np.array(
            [(band.mean, band.std, band.minimum, band.maximum) for band in known]
        ).T
        ends = np.sort([low * scale + offset, high * scale + offset], axis=0)
        spread = std * np.abs(scale)
        return cls(mean * scale + offset, np.where(spread > 0, spread, 1.0), ends[0], ends[1])


@dataclass(frozen=True)
class Survey:
    """What training needs to know of the rasters.

    Args:
        values: Of the valid pixels that are learned from, or those of a file.
        cells: By role, for each raster the labelled pixels (rows, columns, k) of its cells.
        free: For each raster the pixels (rows, columns) of its cells without label but measured,
            on land that is not kept for anything.
        cell: Height and width of a cell in pixels.
    """

    values: BandValues
    cells: Mapping[int, list[NDArray[np.int64]]]
    free: list[NDArray[np.int64]]
    cell: int

    def counts(self, role: int) -> NDArray[np.int64]:
        """Count the labelled pixels per class of a role."""
        total: NDArray[np.int64] = sum(array.sum((0, 1)) for array in self.cells[role])  # type: ignore[assignment]  # starts with 0
        return total


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


def survey(
    dataset: SceneDataset,
    roles_of: Callable[[Grid, Window], NDArray[np.uint8]],
    roles: Sequence[int],
    cell: int,
    progress: Progress,
) -> Survey:
    """Gather band statistics and the places of labels.

    Args:
        dataset: The rasters.
        roles_of: Says of each pixel of a window (h, w) what it is used for.
        roles: The roles to count; statistics are those of the first.
        cell: Height and width in pixels of the cells that labels are counted in.
        progress: Told how far it is.
    """
    shapes = [(-(-grid.height // cell), -(-grid.width // cell)) for grid in dataset.grids]
    number = len(dataset.classes)
    moments = Moments(len(dataset.bands))
    found = {
        role: [np.zeros((*shape, number), dtype=np.int64) for shape in shapes] for role in roles
    }
    free = [np.zeros((*shape, 1), dtype=np.int64) for shape in shapes]
    for scene, window, share in _windows(dataset, -(-_CHUNK // cell) * cell):
        progress(share, 'computing statistics')
        pixels = dataset.pixels(scene, window)
        used = roles_of(dataset.grids[scene], window)
        for date, measured in zip(pixels.image, pixels.measured, strict=True):
            moments.add(date[:, measured & (used == roles[0])])
        for role, cells in found.items():
            _count_cells(cells[scene], np.where(used == role, pixels.mask, -1), window, cell)
        unlabelled = pixels.valid & (pixels.mask < 0) & ((used == UNUSED) | (used == roles[0]))
        _count_cells(free[scene], np.where(unlabelled, 0, -1), window, cell)
    values = BandValues(moments.mean, moments.std, moments.minimum, moments.maximum)
    return Survey(values, found, [cells[..., 0] for cells in free], cell)


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
