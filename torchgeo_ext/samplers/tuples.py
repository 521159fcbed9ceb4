"""Pairs and triplets of patches that belong together, or do not, in space and time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch.utils.data import Dataset
from torchgeo.datasets import GeoDataset
from torchgeo.datasets.utils import Sample
from torchgeo.samplers import SpatioTemporalSampler, TemporalSampler, Units

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.samplers._patches import Cut, Location
from torchgeo_ext.samplers._sampler import Size
from torchgeo_ext.samplers.dates import Dates
from torchgeo_ext.samplers.seeded_random import Places, SeededRandomSampler

#: Draws until a partner satisfies all conditions, and distant places drawn at once.
_TRIES, _AT_ONCE = 50, 8


class TupleSampler(SeededRandomSampler):
    """Base of samplers that yield several patches at a time.

    ``cuts`` yields the patches one after the other, so that plots and coverage show all of them.
    ``length`` counts tuples. A dataset that is to read them goes into a :class:`TupleDataset`.
    """

    #: Patches in a tuple.
    number: int

    def __iter__(self) -> Iterator[tuple[Location, ...]]:  # type: ignore[override]  # several at a time
        """Yield this process's share of an epoch."""
        patches = (self.place.patch(cut) for cut in self.cuts())
        return zip(*[patches] * self.number, strict=True)

    def __matmul__(self, other: TemporalSampler) -> SpatioTemporalSampler:
        """Refuse: dates are chosen tuple by tuple.

        Raises:
            BadParameter: Always.
        """
        raise BadParameter(
            f'{type(self).__name__} chooses dates itself.', 'Use dates, and toi, instead of @.'
        )


class PairSampler(TupleSampler):
    """Draw pairs that look alike because they are near each other, in space or in time.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch.
        near: How far the partner is from its anchor at most, both across and down; 0 is the same
            place.
        dates: Chooses the dates of the two, as :func:`two_dates`, :class:`TwoSeasons` and
            :class:`TwoPhases` do; the dates of a place are those in ``dataset.index`` there. By
            default dates are left alone: both patches are of the same raster.
        units: Whether ``size`` and ``near`` are in pixels or in units of the dataset's reference
            system.
        **kwargs: Other arguments of :class:`SeededRandomSampler`.

    Raises:
        BadParameter: If ``near`` is negative, or as :class:`SeededRandomSampler`.
    """

    number = 2

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        near: float = 0.0,
        dates: Dates | None = None,
        units: Units = Units.PIXELS,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, size=size, units=units, **kwargs)
        if near < 0:
            raise BadParameter(f'near: {near} is negative.')
        self.near = near / dataset.res[0] if units == Units.CRS else near
        self.dates = dates
        self._row_by_row = self.place.exact and len(dataset.index) == len(self.place.grids)
        self._outlines = np.asarray(self.place.index.geometry)
        self._tree = shapely.STRtree(self._outlines)
        self._numbers = np.flatnonzero(dataset.index.index.isin(self.place.index.index))

    def cuts(self) -> Iterator[Cut]:
        """Yield anchors, each followed by its partner."""
        rank, processes = self.share
        random = self._seeded.generator(self.epoch, processes)
        anchors = self._draw(len(self) * processes, random)
        for position, anchor in enumerate(anchors):
            # all processes use up the same random numbers
            pair = self._pair(anchor, random)
            if position % processes == rank:
                yield from pair

    def _pair(self, anchor: NDArray[np.int64], random: np.random.Generator) -> tuple[Cut, ...]:
        beside = self._beside(anchor, random)
        if self.dates is None:
            return self._cut(anchor), self._cut(beside)
        first, second = self._choose_dates(anchor, beside, random)
        return self._at(anchor, first), self._at(beside, second)

    def _beside(self, anchor: NDArray[np.int64], random: np.random.Generator) -> Places:
        """Draw a place near an anchor that satisfies all conditions; at worst the anchor's own."""
        reach = int(self.near)
        if not reach:
            return anchor
        region = self.place.regions[anchor[0]]
        places = np.repeat(anchor[None], _TRIES, axis=0)
        for axis, (start, length) in enumerate(
            ((region.row_off, region.height), (region.col_off, region.width)), 1
        ):
            shifted = anchor[axis] + random.integers(-reach, reach + 1, _TRIES)
            slack = length - self.size[axis - 1]
            places[:, axis] = np.clip(shifted, start + min(0, slack), start + max(0, slack))
        # away from the anchor first, as far as there is room
        moved = (places[:, 1:3] != anchor[1:3]).any(1)
        good = np.flatnonzero(self._accepts(0, places, inside=True) & moved)
        return places[good[0]] if len(good) else anchor

    def _choose_dates(
        self, anchor: NDArray[np.int64], beside: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[int, int]:
        """Choose two rows of the index that hold both places."""
        assert self.dates is not None
        middle, rows = self._rows(anchor)
        if self._row_by_row and (self._bounded or self._validity is not None):
            good = [self._satisfied(anchor, row) and self._satisfied(beside, row) for row in rows]
            rows = rows[good]
        if not len(rows):
            # an outline may miss a place on its edge once it is projected
            own = int(np.atleast_1d(self._tree.nearest(middle))[0])
            return own, own
        first, second = self.dates(list(self.place.index.index[rows]), middle, random)
        return int(rows[first]), int(rows[second])

    def _rows(self, place: NDArray[np.int64]) -> tuple[shapely.Point, NDArray[np.int64]]:
        """Give the middle of a place and the rows of the index there, in order of time."""
        scene, *start, _ = place.tolist()
        edges = [
            (max(0, first), min(first + length, end))
            for first, length, end in zip(
                start, self.size, self.place.grids[scene].shape, strict=True
            )
        ]
        row, column = (np.array([np.mean(edge)]) for edge in edges)
        middle = shapely.Point(self.place.centres(place[:1], row, column)[0])
        rows = self._tree.query(middle, predicate='intersects')
        times = self.place.index.index[rows]
        order = np.lexsort([times.right, times.left])
        return middle, rows[order][~times[order].duplicated()]

    def _satisfied(self, place: NDArray[np.int64], row: int) -> bool:
        """Tell whether a place satisfies all conditions on the raster of a row of the index."""
        cut = self._at(place, row)
        there = np.array([[cut.scene, cut.window.row_off, cut.window.col_off, cut.tile_id]])
        return bool(self._accepts(0, there, inside=self._bounded)[0])

    def _at(self, place: NDArray[np.int64], row: int) -> Cut:
        """Cut a place out of the rasters of one row of the index."""
        cut = self._cut(place)
        if not self._row_by_row:
            time = self.place.index.index[row]
            return cut._replace(time=slice(time.left, time.right))
        scene = int(self._numbers[row])
        window = self._same_place(cut, scene)
        return cut._replace(scene=scene, window=window, core=window)

    def _same_place(self, cut: Cut, scene: int) -> Window:
        """Find the pixels of another raster whose middle is that of a cut."""
        if scene == cut.scene:
            return cut.window
        x, y = self.place.slices(cut.scene, cut.window)
        here = shapely.Point((x.start + x.stop) / 2, (y.start + y.stop) / 2)
        column, row = self.place.on(scene, here)
        return Window(
            round(column - self.size[1] / 2), round(row - self.size[0] / 2), *self.size[::-1]
        )


class TripletSampler(PairSampler):
    """Draw triplets: an anchor, a neighbour, and a patch from far away.

    Places near each other tend to look alike, distant ones do not: Jean et al. (2019), Tile2Vec,
    https://arxiv.org/abs/1805.02855.

    Args:
        dataset: Dataset to sample from, raster by raster if it has ``grids``.
        size: Height and width of a patch.
        near: How far the neighbour is from its anchor at most, both across and down.
        far: How far the third is from the anchor at least, from middle to middle.
        dates: As in :class:`PairSampler`; the third patch has a date of its own place.
        units: Whether ``size``, ``near`` and ``far`` are in pixels or in units of the dataset's
            reference system.
        **kwargs: Other arguments of :class:`SeededRandomSampler`.

    Raises:
        BadParameter: If ``far`` is not larger than ``near``, or no place is so far away.
    """

    number = 3

    def __init__(
        self,
        dataset: GeoDataset,
        *,
        size: Size,
        near: float,
        far: float,
        dates: Dates | None = None,
        units: Units = Units.PIXELS,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, size=size, near=near, dates=dates, units=units, **kwargs)
        if far <= near:
            raise BadParameter(f'far: {far} is not larger than near, {near}.')
        self.far = far
        self._far = far if units == Units.CRS else far * dataset.res[0]

    def _pair(self, anchor: NDArray[np.int64], random: np.random.Generator) -> tuple[Cut, ...]:
        pair = super()._pair(anchor, random)
        distant = self._distant(anchor, random)
        if self.dates is None:
            return *pair, self._cut(distant)
        return *pair, self._at(distant, self._choose_dates(distant, distant, random)[0])

    def _distant(self, anchor: NDArray[np.int64], random: np.random.Generator) -> Places:
        for _ in range(_TRIES):
            places = self._draw_from(0, _AT_ONCE, random)
            both = np.concatenate([anchor[None], places])
            middles = self.place.centres(
                both[:, 0], both[:, 1] + self.size[0] / 2, both[:, 2] + self.size[1] / 2
            )
            apart = np.hypot(*self.place.difference(middles[0], middles[1:]).T)
            good = np.flatnonzero(apart >= self._far)
            if len(good):
                return places[good[0]]
        raise BadParameter(
            f'far: {self.far} is farther than any place found from the one at raster '
            f'{anchor[0]}, row {anchor[1]}, column {anchor[2]}.',
            'Choose a smaller distance.',
        )


class TupleDataset(Dataset[Sample]):
    """Reads the tuples of a :class:`PairSampler` or :class:`TripletSampler`.

    Args:
        dataset: Reads single patches.
    """

    def __init__(self, dataset: GeoDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, patches: tuple[Any, ...]) -> Sample:
        """Read a tuple.

        Returns:
            Each tensor of the samples with a new first axis for the 2 or 3 patches, such as
            ``image`` (2, c, h, w); other values as lists.
        """
        samples = [self.dataset[patch] for patch in patches]
        return {
            key: torch.stack(values) if isinstance(values[0], torch.Tensor) else values
            for key in samples[0]
            if (values := [sample[key] for sample in samples])
        }

    def __len__(self) -> int:
        """Number of rasters or files, as that of the dataset."""
        return len(self.dataset)
