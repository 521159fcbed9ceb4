"""Random patches, so many of each stratum."""

import os
from collections.abc import Mapping
from typing import Any

from torchgeo.datasets import GeoDataset
from torchgeo.samplers import Units

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.samplers._place import footprint_grids
from torchgeo_ext.samplers._sampler import Size
from torchgeo_ext.samplers.cell_weights import class_cells
from torchgeo_ext.samplers.seeded_random import SeededRandomSampler
from torchgeo_ext.samplers.weighted import quarter


class StratifiedSampler(SeededRandomSampler):
    """Draw the same number of patches for each value of a categorical raster, or chosen shares.

    Land cover, climate zones, administrative units: every epoch has its share of each, exact to one
    patch. A patch drawn for a stratum contains at least one pixel of it, and the more of it there
    is at a place, the more often that is drawn. (``WeightedSampler(weight=ClassBalance(...))``
    gives the same shares on average, without the exact numbers.)

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch.
        strata: Raster of whole numbers on any grid; negative ones and nodata are no stratum.
        shares: Share of each stratum; those that are not named get none. Equal if not given.
        cell: Height and width in pixels of the cells that are counted; a quarter of a patch if not
            given.
        units: Whether ``size`` is in pixels or in units of the dataset's reference system.
        cache: Folder to keep counts in until the raster changes; by default one in the user's
            cache.
        progress: Told how far the look through the raster is.
        **kwargs: Other arguments of :class:`SeededRandomSampler`.

    Attributes:
        strata: The values drawn, with their shares (sum 1).

    Raises:
        BadInput: If the raster cannot be used.
        BadParameter: If a share is negative or its stratum not there.
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        strata: str,
        shares: Mapping[int, float] | None = None,
        cell: int | None = None,
        units: Units = Units.PIXELS,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
        **kwargs: Any,
    ) -> None:
        cell = cell or quarter(size, units, dataset)
        super().__init__(dataset, size=size, cell=cell, units=units, cache=cache, **kwargs)
        values, counts = class_cells(
            strata, footprint_grids(dataset), cell, cache=cache, progress=progress
        )
        inside = {
            value: [count[..., position] for count in counts]
            for position, value in enumerate(values.tolist())
            if any(
                count[..., position][here > 0].any()
                for count, here in zip(counts, self._open, strict=True)
            )
        }
        wanted = dict(shares) if shares is not None else dict.fromkeys(inside, 1.0)
        for value, share in wanted.items():
            if value not in inside:
                raise BadParameter(
                    f'shares: {value} is not among the strata, {sorted(inside)}.',
                    'Name strata that occur where patches are drawn.',
                )
            if share < 0:
                raise BadParameter(f'shares: {share} of {value} is negative.')
        total = sum(wanted.values())
        if total <= 0:
            raise BadParameter(f'shares: {wanted} leave nothing to draw.')
        self.strata = {value: share / total for value, share in wanted.items() if share}
        self._choices = [
            (share, self._choice(inside[value])) for value, share in self.strata.items()
        ]
