"""Random patches of places that matter more."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import Units

from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.samplers._place import footprint_grids
from torchgeo_ext.samplers._sampler import Size, pixels
from torchgeo_ext.samplers.cell_weights import CellWeights, FunctionWeight, WeightFunction
from torchgeo_ext.samplers.seeded_random import SeededRandomSampler


class WeightedSampler(SeededRandomSampler):
    """Draw patches as often as their places deserve.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch.
        weight: Where weights come from: :class:`ClassBalance`, :class:`FeatureDensity`,
            :class:`RasterWeight`, or a function of a grid and a window of it that gives the weights
            of its pixels, (h, w). They are computed by going through the rasters once.
        weights: For each raster a (rows, columns) array that the weights of its cells are
            multiplied with.
        cell: Height and width in pixels of the cells that share a weight; a quarter of a patch if
            not given.
        units: Whether ``size`` is in pixels or in units of the dataset's reference system.
        cache: Folder to keep weights in until their files change; by default one in the user's
            cache.
        progress: Told how far the look through the rasters is.
        **kwargs: Other arguments of :class:`SeededRandomSampler`.

    Raises:
        BadInput: If a file cannot be used.
        BadParameter: If no place has a positive weight, or as :class:`SeededRandomSampler`.
    """

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        weight: CellWeights | WeightFunction,
        weights: Sequence[NDArray[Any]] | None = None,
        cell: int | None = None,
        units: Units = Units.PIXELS,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress = silent,
        **kwargs: Any,
    ) -> None:
        cell = cell or quarter(size, units, dataset)
        source = weight if isinstance(weight, CellWeights) else FunctionWeight(weight)
        found = source.weigh(footprint_grids(dataset), cell, cache, progress)
        if weights is not None:
            found = [own * np.asarray(more) for own, more in zip(found, weights, strict=True)]
        super().__init__(
            dataset, size=size, weights=found, cell=cell, units=units, cache=cache, **kwargs
        )


def quarter(size: Size, units: Units, dataset: GeoDataset) -> int:
    """Give a quarter of a patch in pixels."""
    return max(1, min(pixels(size, units, dataset.res)) // 4)
