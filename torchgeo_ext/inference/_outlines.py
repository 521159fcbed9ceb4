"""Outlines of equal-valued regions, found while rows of a raster stream by.

A region is a set of equal pixels connected through their sides. Its outline is determined by its
corners: sorted along each pixel row they pair up to the horizontal edges, sorted along each column
to the vertical ones. So only corners are kept of the regions still open at the lower border of the
rows seen so far; a region is linked to rings once, when it is complete. Cutting the raster into
bands therefore changes nothing in the result: no seam is ever drawn and none has to be dissolved.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, depth_first_order

Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

#: A region with more corners than this has them set aside, where the next rows do not touch them.
_MANY = 4096
#: How the edges at a corner run: to the east (else west), to the south (else north), and whether
#: the outline, with the region on its right, leaves the corner along the horizontal one.
_EAST, _SOUTH, _LEAVES_HORIZONTALLY = np.uint8(1), np.uint8(2), np.uint8(4)


@dataclass(frozen=True)
class Outlines:
    """Polygons of complete regions in pixel coordinates, as ragged arrays.

    Args:
        values: Value of each polygon (n,).
        vertices: Column and row (v, 2) of the vertices of all rings; rings are closed.
        rings: Where each ring begins in ``vertices``, and their end (r + 1,).
        polygons: Where each polygon begins in ``rings``, and their end (n + 1,). The first ring
            of a polygon is its exterior, the others are holes.
    """

    values: Ints
    vertices: Ints
    rings: Ints
    polygons: Ints

    def __len__(self) -> int:
        return len(self.values)

    def select(self, keep: Bools) -> Self:
        """Keep some of the polygons.

        Args:
            keep: Whether to keep each polygon (n,).

        Returns:
            Those polygons, in the same order.
        """
        if keep.all():
            return self
        rings_of = np.diff(self.polygons)
        vertices_of = np.diff(self.rings)
        keep_ring = np.repeat(keep, rings_of)
        return type(self)(
            self.values[keep],
            self.vertices[np.repeat(keep_ring, vertices_of)],
            _starts(vertices_of[keep_ring]),
            _starts(rings_of[keep]),
        )


@dataclass(frozen=True)
class _Corners:
    """Corners of outlines: position, :data:`_EAST` and so on, and the region they belong to."""

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    kind: NDArray[np.uint8]
    region: NDArray[np.int32]

    def __getitem__(self, which: Bools | Ints) -> Self:
        return type(self)(self.x[which], self.y[which], self.kind[which], self.region[which])

    def __len__(self) -> int:
        return len(self.x)

    def renumber(self, numbers: NDArray[np.int32]) -> Self:
        """Give the same corners with other numbers of their regions."""
        return type(self)(self.x, self.y, self.kind, numbers[self.region])

    def of(self, region: int) -> Self:
        """Give the same corners as those of one region."""
        return type(self)(self.x, self.y, self.kind, np.full(len(self), region, np.int32))

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        return cls(
            np.concatenate([part.x for part in parts]),
            np.concatenate([part.y for part in parts]),
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.region for part in parts]),
        )

    @classmethod
    def none(cls) -> Self:
        nothing = np.empty(0, np.int32)
        return cls(nothing, nothing, nothing.astype(np.uint8), nothing)


class OutlineTracer:
    """Finds the outlines of regions in rows that arrive from top to bottom.

    Memory is that of the rows of one :meth:`push` plus 13 bytes for each corner of the regions
    that are still open, and about 100 bytes for each corner of the regions completed by a push.

    Args:
        width: Columns of the raster.
        background: The value that belongs to no region.
        dtype: Integer type of the rows.
    """

    def __init__(self, width: int, background: int, dtype: np.dtype) -> None:
        self._background = background
        self._row = 0
        # the last row seen with one pixel of background on either side, and, for each of its
        # runs of equal pixels, the number of the open region it belongs to (-1: background)
        self._last = np.full((1, width + 2), background, dtype)
        self._open_of_run = np.full(1, -1, np.int32)
        self._open = _Corners.none()
        # more corners of open regions, by the number of the region
        self._set_aside: dict[int, list[_Corners]] = {}

    def push(self, rows: Ints) -> Outlines:
        """Take the next rows and give the regions they complete.

        Args:
            rows: Values (h, width).

        Returns:
            The outlines of all regions that do not reach the last of these rows.
        """
        sides = np.pad(rows, ((0, 0), (1, 1)), constant_values=self._background)
        pixels = np.concatenate((self._last, sides))
        runs = _Runs.of(pixels, self._background)
        region_of_run, region_of_open = self._connect(runs)
        values = np.empty(int(region_of_run.max()) + 1, pixels.dtype)
        values[region_of_run] = runs.values
        corners = _Corners.join(
            [self._open.renumber(region_of_open), _corners(runs, region_of_run, self._row)]
        )
        set_aside: dict[int, list[_Corners]] = {}
        for open_region, parts in self._set_aside.items():
            set_aside.setdefault(int(region_of_open[open_region]), []).extend(parts)
        self._row += len(rows)

        last = slice(runs.of_pixel[-1, 0], None)
        inside = runs.values[last] != self._background
        open_regions = np.unique(region_of_run[last][inside])
        number = np.full(len(values), -1, np.int32)
        number[open_regions] = np.arange(len(open_regions), dtype=np.int32)
        self._last = pixels[-1:].copy()
        self._open_of_run = number[region_of_run[last]]
        return _link(self._keep_open(corners, set_aside, number), values)

    def finish(self) -> Outlines:
        """Give the regions that touch the lower border of the raster."""
        width = self._last.shape[1] - 2
        return self.push(np.full((1, width), self._background, self._last.dtype))

    def _connect(self, runs: '_Runs') -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Number the regions; give that of each run and of each region open so far."""
        total = len(runs.values)
        of_run = self._open_of_run
        continued = np.flatnonzero(of_run >= 0)
        upper, lower = runs.touching()
        tails = np.concatenate((upper, continued))
        heads = np.concatenate((lower, total + of_run[continued]))
        nodes = total + int(of_run.max()) + 1
        links = coo_array((np.ones(len(tails), np.int8), (tails, heads)), shape=(nodes, nodes))
        _, region = connected_components(links.tocsr(), directed=False)
        return region[:total], region[total:]

    def _keep_open(
        self, corners: _Corners, set_aside: dict[int, list[_Corners]], number: NDArray[np.int32]
    ) -> _Corners:
        """Keep the corners of open regions, which have a number, and give those of the others."""
        complete = [corners[number[corners.region] < 0]]
        self._set_aside = {}
        while set_aside:
            region, parts = set_aside.popitem()
            if number[region] < 0:
                complete += [part.of(region) for part in parts]
            else:
                self._set_aside[int(number[region])] = parts
        still_open = corners[number[corners.region] >= 0].renumber(number)
        many = np.bincount(still_open.region, minlength=1) > _MANY
        self._open = still_open[~many[still_open.region]]
        for region in np.flatnonzero(many).tolist():
            part = still_open[still_open.region == region]
            self._set_aside.setdefault(region, []).append(part)
        return _Corners.join(complete)


@dataclass(frozen=True)
class _Runs:
    """Rows of pixels as runs of equal values.

    Args:
        pixels: Values (h, w).
        of_pixel: Number of the run of each pixel (h, w).
        values: Value of each run.
        equal_left: Whether a pixel equals its left neighbour (h, w - 1).
        equal_above: Whether a pixel equals the one above (h - 1, w).
        background: The value that belongs to no region.
    """

    pixels: Ints
    of_pixel: NDArray[np.int32]
    values: Ints
    equal_left: Bools
    equal_above: Bools
    background: int

    @classmethod
    def of(cls, pixels: Ints, background: int) -> Self:
        equal_left = pixels[:, 1:] == pixels[:, :-1]
        starts = np.ones(pixels.shape, bool)
        np.logical_not(equal_left, out=starts[:, 1:])
        numbers = np.cumsum(starts.ravel(), dtype=np.int32).reshape(pixels.shape)
        numbers -= 1
        equal_above = pixels[1:] == pixels[:-1]
        return cls(pixels, numbers, pixels[starts], equal_left, equal_above, background)

    def touching(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the pairs of runs of one region that lie one above the other."""
        # two runs begin to overlap where the later of them starts, so each pair is met once
        start = np.ones(self.equal_above.shape, bool)
        start[:, 1:] = ~(self.equal_left[1:] & self.equal_left[:-1])
        start &= self.equal_above
        start &= self.pixels[1:] != self.background
        return self.of_pixel[:-1][start], self.of_pixel[1:][start]


def _corners(runs: _Runs, region_of_run: NDArray[np.int32], first_row: int) -> _Corners:
    """Find the corners at all points between two rows of pixels."""
    top, bottom = runs.equal_left[:-1], runs.equal_left[1:]
    left, right = runs.equal_above[:, :-1], runs.equal_above[:, 1:]
    # nothing turns where the four pixels are equal or an edge passes straight through
    straight = (top & bottom & (left == right)) | (left & right & (top == bottom))
    y, x = np.nonzero(~straight)
    top, bottom, left, right = (equal[y, x] for equal in (top, bottom, left, right))

    # the pixels around the point: where they are, whether each equals the one beside and the one
    # above or below it, and the same of the pixel across
    around = (
        (0, 0, top, left, bottom, right),
        (0, 1, top, right, bottom, left),
        (1, 0, bottom, left, top, right),
        (1, 1, bottom, right, top, left),
    )
    parts = []
    for south, east, beside, beyond, far_beside, far_beyond in around:
        # a pixel alone turns a convex corner around itself, the other three a concave one
        convex = ~beside & ~beyond
        concave = ~beside & far_beside & far_beyond
        kind = east * _EAST | south * _SOUTH
        leaves = (east == south) * _LEAVES_HORIZONTALLY
        for where, pixel, turn in (
            (convex, (south, east), kind | leaves),
            (concave, (1 - south, 1 - east), kind | (leaves ^ _LEAVES_HORIZONTALLY)),
        ):
            run = runs.of_pixel[y[where] + pixel[0], x[where] + pixel[1]]
            inside = runs.values[run] != runs.background
            parts.append(
                _Corners(
                    x[where][inside].astype(np.int32),
                    (y[where][inside] + first_row).astype(np.int32),
                    np.full(np.count_nonzero(inside), turn, np.uint8),
                    region_of_run[run[inside]],
                )
            )
    return _Corners.join(parts)


def _link(corners: _Corners, values: Ints) -> Outlines:
    """Link the corners of complete regions to rings."""
    if not len(corners):
        nothing = np.zeros(1, np.int64)
        return Outlines(values[:0], np.empty((0, 2), np.int32), nothing, nothing)
    corners = _sorted_by_row(corners)
    path, ring = _ring_order(_next_corner(corners))
    region = corners.region[path]
    ring_starts = np.flatnonzero(np.diff(ring, prepend=-1))
    rings = _starts(np.diff(ring_starts, append=len(path)) + 1)
    # repeat the first corner of each ring at its end
    source = np.insert(path, ring_starts[1:], path[ring_starts[:-1]])
    source = np.append(source, path[ring_starts[-1]])
    vertices = np.column_stack((corners.x[source], corners.y[source]))
    region_of_ring = region[ring_starts]
    firsts = np.flatnonzero(np.diff(region_of_ring, prepend=-1))
    polygons = np.append(firsts, len(region_of_ring))
    return Outlines(values[region_of_ring[firsts]], vertices, rings, polygons)


def _sorted_by_row(corners: _Corners) -> _Corners:
    """Sort by region, row and column, and untangle the points where a region meets itself."""
    keys = _keys(corners.region, corners.y, corners.x, corners.kind & _EAST)
    order = np.argsort(keys)
    corners, keys = corners[order], keys[order]
    # Where a region touches itself diagonally there are two corners at one point. Each was
    # drawn around a pixel of the region, which would join two rings at that point; drawn around
    # the pixels outside they stay apart and the polygon is valid.
    twice = np.flatnonzero(keys[1:] >> 1 == keys[:-1] >> 1)
    corners.kind[twice] ^= _SOUTH
    corners.kind[twice + 1] ^= _SOUTH
    return corners


def _next_corner(corners: _Corners) -> NDArray[np.int32]:
    """Give the corner that follows each one on its ring, of corners sorted by row."""
    number = np.arange(len(corners), dtype=np.int32)
    south = (corners.kind & _SOUTH) // _SOUTH
    order = np.argsort(_keys(corners.region, corners.x, corners.y, south)).astype(np.int32)
    follower = np.empty_like(number)
    follower[order[0::2]] = order[1::2]
    follower[order[1::2]] = order[0::2]
    # along a row the partners are neighbours: 0 with 1, 2 with 3, ...
    return np.where(corners.kind & _LEAVES_HORIZONTALLY, number ^ 1, follower)


def _keys(region: Ints, line: Ints, position: Ints, side: Ints) -> NDArray[np.int64]:
    """Make one number that sorts by region, line, position and side."""
    # 63 bits are enough: regions completed by one push times the area of the raster
    keys = region.astype(np.int64)
    for part in (line, position):
        low = int(part.min())
        keys *= int(part.max()) - low + 1
        keys += part - low
    keys *= 2
    keys += side
    return keys


def _ring_order(follower: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Order corners along their rings, rings by their first corner.

    Args:
        follower: The corner after each one; a permutation of cycles.

    Returns:
        The corners in order and the number of the ring of each. As the uppermost corner of a
        region lies on its exterior, that comes before the holes.
    """
    total = len(follower)
    number = np.arange(total, dtype=np.int32)
    bounds = np.arange(total + 1, dtype=np.int32)
    ones = np.ones(total, np.int8)
    graph = csr_array((ones, follower, bounds), shape=(total, total))
    count, label = connected_components(graph, connection='strong')
    first = np.empty(count, np.int32)
    first[label[::-1]] = number[::-1]
    first.sort()
    # open every ring before its first corner and tie all to one path, which can be walked
    chain = follower.copy()
    before = np.empty(total, np.int32)
    before[follower] = number
    chain[before[first[:-1]]] = first[1:]
    end = before[first[-1]]
    bounds[end + 1 :] -= 1
    walk = csr_array((ones[1:], np.delete(chain, end), bounds), shape=(total, total))
    path = depth_first_order(walk, 0, return_predecessors=False)
    starts = np.zeros(total, bool)
    starts[first] = True
    return path, np.cumsum(starts[path], dtype=np.int32) - 1


def _starts(counts: Ints) -> NDArray[np.int64]:
    """Give where each group begins, and the end of the last."""
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
