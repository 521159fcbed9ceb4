"""Random patches that are the same in every run."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import Units

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers._cells import CellChoice, check_cells
from torchgeo_ext.samplers._patches import Cut
from torchgeo_ext.samplers._sampler import PatchSampler, Seeded, Size, per_process
from torchgeo_ext.samplers._validity import Valid, Validity

#: Drawn places, (n, 4): raster, first row, first column, number of the cell.
Places = NDArray[np.int64]

#: Rounds of drawing until there have to be enough places that satisfy all conditions, and the
#: fewest and most draws of a round (besides eight for each place wanted).
_ROUNDS, _FEWEST, _MOST = 100, 8, 256


class SeededRandomSampler(PatchSampler):
    """Draw patches at random, reproducibly, up to the outermost pixel.

    Unlike TorchGeo's ``RandomPatchSampler``, it follows the seed, reaches the rim of a raster, and
    yields its full length on rasters smaller than a patch (the patch then reaches beyond them).
    Places can be made more or less likely, or left out, by a weight per cell.

    All processes draw the same list and each takes its own part, so that they share no draw.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch; the same number of pixels on every raster.
        length: Patches per epoch, over all processes (each yields an equal share, rounded up); by
            default about as many as cover the rasters once.
        seed: Seed of the drawing; by default that of torch, so that ``seed_everything`` rules.
            Several processes need ``seed`` or ``seed_everything``.
        weights: For each raster a (rows, columns) array: how likely each of its cells is. A patch
            always contains the whole of the cell it was drawn for, as far as that lies in ``roi``.
            By default a cell is as likely as it is large. Samplers that go by something else draw
            among the cells that have a weight.
        cell: Height and width of a cell in pixels, at most those of a patch; by default half a
            patch.
        units: Whether ``size`` is in pixels or in units of the dataset's reference system.
        roi: Region in the dataset's reference system that patches have to lie in.
        toi: Time to sample from: rasters of other times are left out.
        min_valid: Part of each patch, 0 to 1, that holds measurements at least.
        valid: What is valid: a mask raster (0 is not), or a function of a grid and a window of it
            that gives booleans (h, w). By default the dataset's own ``pixels``.
        cache: Folder to keep counts of cells in; by default one in the user's cache.
        rank: Number of this process; by default that of ``torch.distributed``.
        world_size: Number of processes.

    Raises:
        BadParameter: If no cell has a positive weight, a cell is larger than a patch, ``roi`` is
            too small for a patch or ``roi`` or ``toi`` leave nothing.
    """

    strategy = 'random'

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        length: int | None = None,
        seed: int | None = None,
        weights: Sequence[NDArray[Any]] | None = None,
        cell: int | None = None,
        units: Units = Units.PIXELS,
        roi: Any | None = None,
        toi: pd.Interval | None = None,
        min_valid: float = 0.0,
        valid: Valid | None = None,
        cache: str | os.PathLike[str] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(
            dataset, size=size, units=units, roi=roi, toi=toi, rank=rank, world_size=world_size
        )
        self.cell = cell or max(1, min(self.size) // 2)
        if self.cell > min(self.size):
            raise BadParameter(f'cell: {self.cell} is larger than a patch of {self.size} pixels.')
        self._bounded = roi is not None
        self._open = self._open_cells()
        area = sum(int(cells.sum()) for cells in self._open)
        self._choices = [(1.0, self._choice(weights))]
        if weights is not None:
            # for samplers that choose by something else among what may be drawn
            self._open = [
                np.where(np.asarray(array) > 0, here, 0)
                for array, here in zip(weights, self._open, strict=True)
            ]
        self._seeded = Seeded(seed)
        self._validity = (
            Validity(self.place, self.size, min_valid, valid, dataset, cache) if min_valid else None
        )
        self.length = length or max(1, round(area / (self.size[0] * self.size[1])))

    def __len__(self) -> int:
        """Number of patches in this process's share of an epoch."""
        return per_process(self.length, self.share[1])

    def cuts(self) -> Iterator[Cut]:
        """Yield the exact pixels of this process's share of an epoch."""
        rank, processes = self.share
        random = self._seeded.generator(self.epoch, processes)
        for place in self._draw(len(self) * processes, random)[rank::processes]:
            yield self._cut(place)

    def _cut(self, place: NDArray[np.int64]) -> Cut:
        scene, top, left, number = place.tolist()
        window = Window(left, top, self.size[1], self.size[0])
        return Cut(scene, window, window, number)

    def _draw(self, number: int, random: np.random.Generator) -> Places:
        """Draw the places of an epoch: from each choice its share, in random order."""
        shares = np.cumsum([0, *(share for share, _ in self._choices)])
        # a random start makes shares right on average where they are no whole numbers
        steps = np.floor(shares / shares[-1] * number + random.random())
        drawn = [
            self._draw_from(position, int(count), random)
            for position, count in enumerate(np.diff(steps))
        ]
        return random.permutation(np.concatenate(drawn))

    def _draw_from(self, position: int, number: int, random: np.random.Generator) -> Places:
        """Draw from one choice until there are enough places that satisfy all conditions."""
        choice = self._choices[position][1]
        found, tried, parts = 0, 0, []
        for turn in range(_ROUNDS):
            if found >= number:
                break
            rate = max(found, 1) / max(tried, 1)
            batch = min(max(int((number - found) / rate), _FEWEST), max(8 * number, _MOST))
            places = self._positions(choice.draw(batch, random), random)
            # a footprint too narrow for a patch must not mean that there are none
            inside = self._bounded or turn < _ROUNDS // 2
            good = places[self._accepts(position, places, inside=inside)]
            tried, found = tried + len(places), found + len(good)
            parts.append(good)
        if found < number:
            raise self._nothing(position, tried)
        return np.concatenate([np.empty((0, 4), np.int64), *parts])[:number]

    def _positions(self, cells: NDArray[np.int64], random: np.random.Generator) -> Places:
        """Choose where patches begin so that they contain their cell and stay in the region."""
        scenes, number = cells[:, 0], cells[:, 3]
        regions = np.array([region.flatten() for region in self.place.regions], dtype=np.int64)
        regions = regions.reshape(-1, 4)[scenes]
        starts = [
            self._starts(
                cells[:, axis + 1],
                regions[:, 1 - axis],
                regions[:, 1 - axis] + regions[:, 3 - axis],
                self.size[axis],
                random,
            )
            for axis in (0, 1)
        ]
        return np.column_stack([scenes, *starts, number])

    def _starts(
        self,
        cell: NDArray[np.int64],
        start: NDArray[np.int64],
        stop: NDArray[np.int64],
        size: int,
        random: np.random.Generator,
    ) -> NDArray[np.int64]:
        first = np.maximum(cell * self.cell, start)
        last = np.minimum((cell + 1) * self.cell, stop)
        low = np.maximum(last - size, np.minimum(start, stop - size))
        high = np.minimum(first, np.maximum(start, stop - size))
        return random.integers(low, high + 1)

    def _accepts(self, position: int, places: Places, *, inside: bool) -> NDArray[np.bool_]:
        """Tell which places of a choice satisfy all conditions."""
        accepted = np.ones(len(places), bool)
        for scene in np.unique(places[:, 0]):
            here = np.flatnonzero(places[:, 0] == scene)
            good = np.ones(len(here), bool)
            if inside:
                good = self.place.inside(scene, places[here, 1], places[here, 2], self.size)
            if self._validity is not None:
                left = here[good]
                good[good] = self._validity.enough(scene, places[left, 1], places[left, 2])
            accepted[here] = good
        return accepted

    def _nothing(self, position: int, tried: int) -> BadInput:
        return BadInput(
            f'{tried} places for patches of {self.size[0]} x {self.size[1]} pixels were tried, too '
            f'few of which '
            + ('lie in roi' if self._validity is None else 'hold enough valid pixels')
            + '.',
            'Choose a smaller size'
            + (' or min_valid.' if self._validity is not None else ' or a larger roi.'),
        )

    def _open_cells(self) -> list[NDArray[np.int64]]:
        """Count the pixels of each cell that may be drawn; none where no patch fits."""
        cells = []
        for scene, (grid, region) in enumerate(
            zip(self.place.grids, self.place.regions, strict=True)
        ):
            fits = not self._bounded or (
                region.height >= min(self.size[0], grid.height)
                and region.width >= min(self.size[1], grid.width)
            )
            here = self.place.open_cells(scene, self.cell)
            cells.append(here if fits else np.zeros_like(here))
        if not any(here.any() for here in cells):
            raise BadParameter(
                f'roi: it is too small for a patch of {self.size[0]} x {self.size[1]} pixels.',
                'Choose a smaller size or a larger roi.',
            )
        return cells

    def _choice(self, weights: Sequence[NDArray[Any]] | None) -> CellChoice:
        """Make a choice among the cells that may be drawn.

        Raises:
            BadParameter: If weights do not fit the rasters or leave nothing.
        """
        if weights is None:
            return CellChoice(self._open)
        check_cells(weights, self.cell, self.place.grids)
        if any(not np.isfinite(array).all() or np.min(array) < 0 for array in weights):
            raise BadParameter('weights: some are negative or no numbers.')
        choice = CellChoice(
            [np.where(here > 0, array, 0) for array, here in zip(weights, self._open, strict=True)]
        )
        if choice.total <= 0:
            raise BadParameter('weights: no cell has a positive weight.')
        return choice
