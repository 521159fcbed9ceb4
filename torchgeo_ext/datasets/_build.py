"""Opens rasters and labels, sees that they fit each other, and makes scenes of them."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchgeo.datasets.utils import Path

from torchgeo_ext.datasets._labels import open_labels
from torchgeo_ext.datasets._scene import Scene, acquisition, period
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, choose_bands, open_raster
from torchgeo_ext.progress import Progress

log = logging.getLogger(__name__)

#: Rasters of up to this many bytes (as float32) are kept in memory.
CACHE = 2**30


def paths_of(paths: Path | Sequence[Path]) -> list[str]:
    """Make a list of one path or many."""
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]


def labelled_scenes(
    groups: Sequence[tuple[str, ...]],
    labels: str,
    *,
    arguments: tuple[str, ...],
    bands: Sequence[int] | None,
    class_field: str | None,
    ignore_value: int | None,
    resampling: str = 'bilinear',
    progress: Progress,
) -> tuple[list[Scene], tuple[str, ...]]:
    """Make a scene of each group of rasters, one raster per date.

    Args:
        groups: The rasters of each place, in time order.
        labels: The label layer.
        arguments: The arguments the rasters came from, one per date.
        bands: Band numbers, the same for all.
        class_field: See the datasets.
        ignore_value: See the datasets.
        resampling: How later rasters are brought onto the grid of the first.
        progress: Told how far the look for classes is.

    Returns:
        The scenes and the names of the bands.

    Raises:
        BadInput: If they do not fit each other.
    """
    rasters = [
        [
            _Raster(path, argument, bands, resampling)
            for path, argument in zip(group, arguments, strict=True)
        ]
        for group in groups
    ]
    _check_bands([raster for group in rasters for raster in group])
    for group in rasters:
        _check_overlap(group)
    grids = [group[0].grid for group in rasters]
    found = open_labels(
        labels,
        grids,
        class_field=class_field,
        ignore_value=ignore_value,
        change=len(arguments) == 2,
        progress=progress,
    )
    scenes = [
        Scene(
            group[0].grid,
            tuple(raster.source for raster in group),
            np.stack([raster.scales for raster in group]),
            np.stack([raster.offsets for raster in group]),
            found,
            period([raster.day for raster in group]),
        )
        for group in rasters
    ]
    return scenes, rasters[0][0].names


class _Raster:
    """What has to be known of a raster before reading it."""

    def __init__(
        self, path: str, argument: str, bands: Sequence[int] | None, resampling: str
    ) -> None:
        source = RasterSource(
            path, bands=tuple(bands) if bands else None, resampling=resampling, argument=argument
        )
        with open_raster(path, argument) as dataset:
            self.grid = Grid.of(dataset, argument)
            numbers = choose_bands(dataset, source)
            self.names = tuple(dataset.descriptions[n - 1] or f'band {n}' for n in numbers)
            self.scales = _column([dataset.scales[n - 1] for n in numbers])
            self.offsets = _column([dataset.offsets[n - 1] for n in numbers])
            self.day = acquisition(path, dataset.tags())
        self.path, self.argument, self.source = path, argument, source


def _column(values: Sequence[float]) -> NDArray[Any]:
    return np.array(values, dtype=np.float32)[:, None, None]


def _check_bands(rasters: Sequence[_Raster]) -> None:
    first = rasters[0]
    for raster in rasters[1:]:
        if len(raster.names) != len(first.names):
            raise BadInput(
                f'{raster.argument}: {raster.path} has {len(raster.names)} bands, but '
                f'{first.path} has {len(first.names)}.',
                'Use images of the same bands, or choose those that all have with bands.',
            )
        if raster.names != first.names:
            log.warning(
                'The bands of %s (%s) have other names than those of %s (%s); they are taken in '
                'this order.',
                raster.path,
                ', '.join(raster.names),
                first.path,
                ', '.join(first.names),
            )


def _check_overlap(group: Sequence[_Raster]) -> None:
    before = group[0]
    for after in group[1:]:
        if (before.grid.crs is None) != (after.grid.crs is None):
            bare, other = (before, after) if before.grid.crs is None else (after, before)
            raise BadInput(
                f'{bare.argument}: {bare.path} has no coordinate reference system, but '
                f'{other.path} has.',
                'Assign the right one (in QGIS: Raster > Projections > Assign projection).',
            )
        if not after.grid.overlaps(before.grid):
            raise BadInput(
                f'{before.argument} ({before.path}) and {after.argument} ({after.path}) do not '
                'overlap.',
                'Pair images of the same place, in the same order.',
            )
