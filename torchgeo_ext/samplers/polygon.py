"""Patches centred on features."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset
from torchgeo.samplers import Units

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers._cells import positive_cells
from torchgeo_ext.samplers._patches import Cut
from torchgeo_ext.samplers._place import features_to_pixels
from torchgeo_ext.samplers._sampler import PatchSampler, Seeded, Size, per_process
from torchgeo_ext.samplers._validity import Valid, Validity
from torchgeo_ext.samplers.cell_weights import read_features

#: Draws until a point lies inside of a polygon, and until a patch holds enough measurements.
_TRIES = 50


class PolygonSampler(PatchSampler):
    """Go over features in random order, with each in the middle of a patch or near it.

    A feature that is larger than a patch has another part of it in the middle each time. Patches
    stay inside of a raster that is large enough. A feature on several rasters is drawn from any of
    them.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch.
        features: Polygons, lines or points, any file GDAL reads.
        jitter: How far the middle of a patch is from the feature at most, as a part of a patch: at
            0.5 the feature may lie on the edge.
        length: Patches per epoch, over all processes; by default one per feature. All features are
            gone over before any comes again, but for those that no patch shows with enough
            measurements or weight.
        seed: Seed of the drawing; by default that of torch, so that ``seed_everything`` rules.
        weights: For each raster a (rows, columns) array of cells; patches that do not hold the
            whole of a cell with a positive weight are left out.
        cell: Height and width of a cell in pixels, needed with ``weights``.
        units: Whether ``size`` is in pixels or in units of the dataset's reference system.
        roi: Features outside of this region are left out.
        toi: Time to sample from: rasters of other times are left out.
        min_valid: Part of each patch, 0 to 1, that holds measurements at least.
        valid: What is valid: a mask raster (0 is not), or a function of a grid and a window of it
            that gives booleans (h, w). By default the dataset's own ``pixels``.
        cache: Folder to keep counts of a mask raster in; by default one in the user's cache.
        rank: Number of this process; by default that of ``torch.distributed``.
        world_size: Number of processes.

    Raises:
        BadInput: If no feature lies on a raster, or none is among enough measurements or weight.
        BadParameter: If ``jitter`` is out of range, ``weights`` do not fit the rasters, or ``roi``
            or ``toi`` leave nothing.
    """

    strategy = 'random'

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        features: str,
        jitter: float = 0.0,
        length: int | None = None,
        seed: int | None = None,
        weights: Sequence[NDArray[Any]] | None = None,
        cell: int = 1,
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
        if not 0 <= jitter <= 0.5:
            raise BadParameter(f'jitter: {jitter} is not between 0 and 0.5.')
        self.jitter = jitter
        self._seeded = Seeded(seed)
        self._shapes = self._find(features)
        self._numbers = np.array(sorted(self._shapes), np.int64)
        if not len(self._numbers):
            raise BadInput(
                f'features: none in {features} lies where patches are drawn.',
                'Choose features of the same place and check their reference system.',
            )
        self._validity = (
            Validity(self.place, self.size, min_valid, valid, dataset, cache) if min_valid else None
        )
        self._weighty = None if weights is None else positive_cells(weights, cell, self.place.grids)
        self.length = length or len(self._numbers)

    def __len__(self) -> int:
        """Number of patches in this process's share of an epoch."""
        return per_process(self.length, self.share[1])

    def cuts(self) -> Iterator[Cut]:
        """Yield the exact pixels of this process's share of an epoch."""
        rank, processes = self.share
        random = self._seeded.generator(self.epoch, processes)
        # all processes use up the same random numbers
        drawn = itertools.islice(self._draw(random), len(self) * processes)
        yield from itertools.islice(drawn, rank, None, processes)

    def _draw(self, random: np.random.Generator) -> Iterator[Cut]:
        """Draw patches without end, of all features before any comes again."""
        while True:
            found = False
            for number in random.permutation(self._numbers).tolist():
                tries = (self._cut(number, random) for _ in range(_TRIES))
                cut = next(filter(self._is_enough, tries), None)
                if cut is not None:
                    found = True
                    yield cut
            if not found:
                raise BadInput(
                    f'features: no patch of {self.size[0]} x {self.size[1]} pixels with one of '
                    f'them holds enough valid pixels, or a cell with a positive weight.',
                    'Choose a smaller size or min_valid.',
                )

    def _is_enough(self, cut: Cut) -> bool:
        """Tell whether a patch holds enough measurements, and a place that may be drawn."""
        top, left = np.array([cut.window.row_off]), np.array([cut.window.col_off])
        if self._weighty is not None:
            held = self._weighty[cut.scene].within(top, left, self.size)
            if not held[0]:
                return False
        return self._validity is None or bool(self._validity.enough(cut.scene, top, left)[0])

    def _find(self, features: str) -> dict[int, list[tuple[int, Any]]]:
        """Find the rasters of each feature and its shape on them in pixels."""
        frame = read_features(features, 'features')
        found: dict[int, list[tuple[int, Any]]] = {}
        for scene, (grid, region) in enumerate(
            zip(self.place.grids, self.place.regions, strict=True)
        ):
            if not region.width:
                continue
            limit = self.place.limits[scene] or shapely.box(
                region.col_off,
                region.row_off,
                region.col_off + region.width,
                region.row_off + region.height,
            )
            shapes = features_to_pixels(frame.geometry.to_numpy(), frame.crs, grid)
            parts = shapely.intersection(shapes, limit)
            for number in np.flatnonzero(~shapely.is_empty(parts)).tolist():
                found.setdefault(number, []).append((scene, parts[number]))
        return found

    def _cut(self, number: int, random: np.random.Generator) -> Cut:
        places = self._shapes[number]
        scene, shape = places[random.integers(len(places))]
        column, row = self._middle(shape, random)
        start = [
            self._start(middle, length, size, random)
            for middle, length, size in zip(
                (row, column), self.place.grids[scene].shape, self.size, strict=True
            )
        ]
        window = Window(start[1], start[0], self.size[1], self.size[0])
        return Cut(scene, window, window, number)

    def _middle(self, shape: Any, random: np.random.Generator) -> NDArray[np.float64]:
        """Give the middle of a small feature, or a random point of a large one."""
        left, top, right, bottom = shape.bounds
        if right - left <= self.size[1] and bottom - top <= self.size[0]:
            return np.array([(left + right) / 2, (top + bottom) / 2])
        points = np.column_stack(
            [random.uniform(left, right, _TRIES), random.uniform(top, bottom, _TRIES)]
        )
        hits = points[shapely.intersects_xy(shape, points)]
        if len(hits):
            chosen: NDArray[np.float64] = hits[0]
            return chosen
        # a line, or a polygon as narrow as one
        along = shapely.get_coordinates(shapely.segmentize(shape, min(self.size) / 2))
        point: NDArray[np.float64] = along[random.integers(len(along))]
        return point

    def _start(self, middle: float, length: int, size: int, random: np.random.Generator) -> int:
        shift = random.uniform(-self.jitter, self.jitter) * size
        start = round(middle - size / 2 + shift)
        return int(np.clip(start, min(0, length - size), max(0, length - size)))
