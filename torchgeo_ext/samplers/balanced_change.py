"""Random patches with and without change."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import Units

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.samplers._cells import CellChoice, CellSums, count_classes
from torchgeo_ext.samplers._place import footprint_grids
from torchgeo_ext.samplers._sampler import Size
from torchgeo_ext.samplers.cell_weights import class_cells
from torchgeo_ext.samplers.seeded_random import Places, SeededRandomSampler
from torchgeo_ext.samplers.weighted import quarter

#: Positions of the two kinds among the choices.
_CHANGE, _CALM = range(2)


class BalancedChangeSampler(SeededRandomSampler):
    """Draw so many patches with change and so many without.

    Change is rare: patches drawn evenly would hardly ever show any. Patches of the first kind
    contain change, and the more of it there is at a place, the more often that is drawn; those of
    the second kind lie where labels say that there is none, and contain none at all.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch.
        labels: Raster of change on any grid: 0 is none, every other value is change. By default
            the dataset's own ``pixels(scene, window).mask``, where class 0 is none.
        ratio: Share of patches with change, 0 to 1.
        cell: Height and width in pixels of the cells that are counted; a quarter of a patch if not
            given.
        units: Whether ``size`` is in pixels or in units of the dataset's reference system.
        cache: Folder to keep counts in until the raster changes; by default one in the user's
            cache.
        progress: Told how far the look through the labels is.
        **kwargs: Other arguments of :class:`SeededRandomSampler`.

    Raises:
        BadInput: If there is no change, or change everywhere.
        BadParameter: If ``ratio`` is out of range or the dataset has no labels.
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        labels: str | None = None,
        ratio: float = 0.5,
        cell: int | None = None,
        units: Units = Units.PIXELS,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
        **kwargs: Any,
    ) -> None:
        if not 0 <= ratio <= 1:
            raise BadParameter(f'ratio: {ratio} is not between 0 and 1.')
        cell = cell or quarter(size, units, dataset)
        super().__init__(dataset, size=size, cell=cell, units=units, cache=cache, **kwargs)
        values, counts = (
            _own_classes(dataset, cell, progress)
            if labels is None
            else class_cells(labels, footprint_grids(dataset), cell, None, cache, progress)
        )
        changed = [count[..., values > 0].sum(-1) for count in counts]
        calm = [
            np.where(change == 0, count[..., values == 0].sum(-1), 0)
            for change, count in zip(changed, counts, strict=True)
        ]
        self._sums = [
            CellSums(change, cell, grid)
            for change, grid in zip(changed, self.place.grids, strict=True)
        ]
        chosen = {
            position: self._kind(cells, kind)
            for position, (share, cells, kind) in enumerate(
                ((ratio, changed, 'change'), (1 - ratio, calm, 'no change'))
            )
            if share
        }
        either = next(iter(chosen.values()))
        self._choices = [
            (ratio, chosen.get(_CHANGE, either)),
            (1 - ratio, chosen.get(_CALM, either)),
        ]

    def _kind(self, cells: list[NDArray[Any]], kind: str) -> CellChoice:
        if not any((cell * here).any() for cell, here in zip(cells, self._open, strict=True)):
            raise BadInput(
                f'labels: no place has {kind}.',
                'Check the values: 0 is no change, and must not be the nodata value.',
            )
        return self._choice(cells)

    def _accepts(self, position: int, places: Places, *, inside: bool) -> NDArray[np.bool_]:
        accepted = super()._accepts(position, places, inside=inside)
        if position == _CALM:
            for scene in np.unique(places[:, 0]):
                here = places[:, 0] == scene
                sums = self._sums[scene].touched(places[here, 1], places[here, 2], self.size)
                accepted[here] &= sums == 0
        return accepted

    def _nothing(self, position: int, tried: int) -> BadInput:
        if position == _CALM:
            return BadInput(
                f'labels: {tried} places for patches of {self.size[0]} x {self.size[1]} pixels '
                'were tried, too few of which are without change.',
                'Choose a smaller size, or 1 for ratio.',
            )
        return super()._nothing(position, tried)


def _own_classes(
    dataset: GeoDataset, cell: int, progress: Progress
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Count the pixels without and with change that a dataset's own masks name."""
    read_pixels = getattr(dataset, 'pixels', None)
    if read_pixels is None:
        raise BadParameter(
            f'labels: {type(dataset).__name__} does not tell where change is.', 'Give labels.'
        )

    def read(scene: int, window: Window) -> NDArray[np.int64]:
        return np.minimum(read_pixels(scene, window).mask, 1)

    return count_classes(footprint_grids(dataset), cell, read, progress)
