"""The Earth cut into S2 cells, large where there are few points and small where there are many.

A cell of S2 is one of the six faces of a cube around the Earth, or a quarter of a larger cell; its
identifier, a 64-bit number, begins as that of the larger one does. See https://s2geometry.io.

Weyand, T., Kostrikov, I., & Philbin, J. (2016). PlaNet - photo geolocation with convolutional
neural networks. ECCV. https://arxiv.org/abs/1602.05314
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from s2cell import s2cell
from shapely.affinity import translate

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.staging import staged

#: Mean radius of the Earth in kilometres (IUGG).
EARTH_RADIUS = 6371.0088

#: Raised whenever an older version could misread a file of cells.
FORMAT = 1

#: Level of the smallest cells, about a centimetre wide; the faces of the cube have level 0.
_DEEPEST = 30
#: Parts of an edge of a face in outlines; edges of smaller cells have fewer.
_PARTS = 64
#: Decimals of degrees in files: a tenth of a metre.
_DECIMALS = 6
#: Decimals of degrees of vertices: a tenth of a millimetre.
_EXACT = 9
#: Lowest probability that is multiplied.
_IMPOSSIBLE = 1e-30
#: Degrees that bring longitudes into the range of a map.
_TURNS = (-360, 0, 360)


class PartitionContent(TypedDict):
    """A partition as plain values, one for each cell: tokens of S2, points in it, their middle."""

    tokens: list[str]
    counts: list[int]
    places: list[list[float]]


class CellContent(TypedDict):
    """Partitions from coarse to fine as plain values; ``cells`` is ``S2``."""

    format: int
    cells: str
    partitions: list[PartitionContent]


class Outline(NamedTuple):
    """The outline of a cell.

    Attributes:
        shape: On a map of longitudes and latitudes, cut at the antimeridian.
        vertices: On the unit sphere (n, 3).
    """

    shape: shapely.MultiPolygon
    vertices: NDArray[np.float64]


def check_places(places: ArrayLike, argument: str = 'points') -> NDArray[np.float64]:
    """See that places are ones on the Earth.

    Args:
        places: Longitudes and latitudes (n, 2) in degrees.
        argument: The argument they came from, for messages.

    Returns:
        The same in double precision.

    Raises:
        BadInput: If there is none, or one is no number or out of range.
    """
    given = np.asarray(places, np.float64)
    if not given.size:
        raise BadInput(f'{argument}: there are none.', 'Give at least one place.')
    # written so that NaN is wrong as well
    wrong = np.flatnonzero(~(np.abs(given) <= (180, 90)).all(axis=-1))
    if len(wrong):
        longitude, latitude = given[wrong[0]]
        swapped = (np.abs(given[:, ::-1]) <= (180, 90)).all()
        raise BadInput(
            f'{argument}: {len(wrong)} of {len(given)} places are out of range, the first at '
            f'longitude {longitude:g}, latitude {latitude:g}.',
            'Longitude and latitude seem to be swapped.'
            if swapped
            else 'Give degrees (WGS 84): longitudes from -180 to 180, latitudes from -90 to 90.',
        )
    return given


def within_180(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring the longitudes of places (n, 2), which may go from 0 to 360, to -180 to 180."""
    turned = places.copy()
    turned[:, 0] = (places[:, 0] + 180) % 360 - 180
    return turned


def unit_vectors(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the points (..., 3) of the unit sphere at longitudes and latitudes (..., 2)."""
    longitude, latitude = np.moveaxis(np.radians(places), -1, 0)
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], axis=-1)


def degrees_of(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give longitudes and latitudes (..., 2) of vectors (..., 3) of any length."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=-1))


def cells_at(places: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Give the smallest cells (n,) that longitudes and latitudes (n, 2) lie in."""
    return np.array(
        [s2cell.lat_lon_to_cell_id(latitude, longitude) for longitude, latitude in places.tolist()],
        np.uint64,
    )


def cells_around(cells: NDArray[np.uint64], level: int) -> NDArray[np.uint64]:
    """Give the cells (n,) of a level, at most their own, that cells lie in."""
    lowest = np.uint64(1 << 2 * (_DEEPEST - level))
    return cells & (~lowest + np.uint64(1)) | lowest


def outline(cell: int) -> Outline:
    """Draw a cell.

    Args:
        cell: Its identifier.

    Returns:
        The outline; its edges, parts of great circles, are bent by vertices on them.
    """
    face, *near = s2cell.s2_cell_id_to_face_ij(cell)
    level = s2cell.cell_id_to_level(cell)
    size = 1 << (_DEEPEST - level)
    # along an edge from 0 to 1, without the end, which begins the next one
    along = np.linspace(0, 1, max(1, _PARTS >> level), endpoint=False)
    there, back, low, high = along, 1 - along, np.zeros_like(along), np.ones_like(along)
    square = np.stack([np.r_[there, high, back, low], np.r_[low, there, high, back]])
    corner = np.array([place & -size for place in near])[:, None]
    vertices = _on_sphere(face, *((corner + square * size) / (1 << _DEEPEST)))
    return Outline(_on_map(vertices), vertices)


def _on_sphere(face: int, s: NDArray[Any], t: NDArray[Any]) -> NDArray[np.float64]:
    """Give unit vectors (n, 3) of places (0 to 1) on a face of the cube."""
    # S2's quadratic projection, which makes cells of about the same area
    u, v = (np.where(part >= 0.5, 4 * part**2 - 1, 1 - 4 * (1 - part) ** 2) / 3 for part in (s, t))
    one = np.ones_like(u)
    axes = [
        (one, u, v), (-u, one, v), (-u, -v, one), (-one, -v, -u), (v, -one, -u), (v, u, -one),
    ][face]  # fmt: skip
    vectors = np.stack(axes, axis=-1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _on_map(vertices: NDArray[np.float64]) -> shapely.MultiPolygon:
    """Draw a ring of vertices (n, 3) in degrees, cut at the antimeridian."""
    polar = np.flatnonzero(~vertices[:, :2].any(axis=1))
    if len(polar):
        # a pole has every longitude: draw it from that of the next vertex to that of the last
        vertices = np.roll(vertices, -polar[0], axis=0)
    longitude, latitude = degrees_of(vertices).T
    if len(polar):
        longitude = np.r_[longitude[1], longitude[1:], longitude[-1]]
        latitude = np.r_[latitude, latitude[0]]
    longitude = np.unwrap(np.r_[longitude, longitude[0]], period=360)
    latitude = np.r_[latitude, latitude[0]]
    if not len(polar) and abs(longitude[-1] - longitude[0]) > 180:
        # the ring goes around a pole
        pole = np.copysign(90, latitude.mean())
        longitude = np.r_[longitude, longitude[[-1, 0]]]
        latitude = np.r_[latitude, pole, pole]
    # edges along the antimeridian lie on it exactly, or cutting there goes wrong
    ring = shapely.Polygon(np.column_stack([longitude, latitude]).round(_EXACT))
    if np.abs(longitude).max() <= 180:
        return shapely.MultiPolygon([ring])
    world = shapely.box(-180, -90, 180, 90)
    turned = [translate(ring, turn) for turn in _TURNS]
    cut = shapely.get_parts(shapely.intersection(turned, world))
    # of a ring that ends at the antimeridian there is a line on its other side
    areas = shapely.union_all([part for part in cut if part.geom_type == 'Polygon'])
    return shapely.MultiPolygon([*shapely.get_parts(areas)])


class _Points(NamedTuple):
    """Points and the smallest cells that they lie in, which take the most time to find.

    Attributes:
        places: Longitudes and latitudes (n, 2) in degrees.
        cells: Identifiers (n,).
    """

    places: NDArray[np.float64]
    cells: NDArray[np.uint64]

    @classmethod
    def of(cls, points: ArrayLike) -> '_Points':
        """Check points, and find their cells."""
        places = check_places(points)
        return cls(places, cells_at(places))


@dataclass(frozen=True, eq=False)
class CellPartition:
    """Cells that do not overlap, each with the points that were there when it was made.

    Args:
        cells: Identifiers (k,), in ascending order.
        counts: How many points there were in each (k,).
        places: Longitude and latitude of the mean of these points (k, 2).
    """

    cells: NDArray[np.uint64]
    counts: NDArray[np.int64]
    places: NDArray[np.float64]

    @classmethod
    def build(
        cls, points: ArrayLike, maximum: int, minimum: int = 1, deepest: int = _DEEPEST
    ) -> Self:
        """Cut the Earth so that no cell has too many points.

        Beginning with the faces of the cube, a cell with more than ``maximum`` points is cut into
        its four quarters, and so on. Cells with less than ``minimum`` are left out: the partition
        has holes.

        Args:
            points: Longitudes and latitudes (n, 2) in degrees.
            maximum: Points that a cell may have (t1 of the paper, 10,000 there).
            minimum: Points that a cell must have (t2 of the paper, 50 there).
            deepest: Level of cells, 0 to 30, that are not cut any more however many points they
                have; those of level 10 are about 10 km wide, and half as wide with each level.

        Raises:
            BadInput: If there are no points, or too few for a single cell, or one is out of range.
            BadParameter: If a number is out of range.
        """
        return cls.around_points(_Points.of(points), maximum, minimum, deepest)

    @classmethod
    def around_points(cls, points: '_Points', maximum: int, minimum: int, deepest: int) -> Self:
        """Do as :meth:`build`, with points whose smallest cells are known already."""
        _check_limits(maximum, minimum, deepest)
        cells = _cut(points.cells, maximum, minimum, deepest)
        if not len(cells):
            raise BadInput(
                f'points: there are {len(points.cells)}, of which no cell has {minimum} or more.',
                'Give more points, or a lower minimum.',
            )
        bare = cls(cells, np.zeros(len(cells), np.int64), np.zeros((len(cells), 2)))
        owners = bare.owners(points.cells)
        counts = np.bincount(owners[owners >= 0], minlength=len(cells))
        sums = np.zeros((len(cells), 3))
        np.add.at(sums, owners[owners >= 0], unit_vectors(points.places[owners >= 0]))
        return cls(cells, counts, degrees_of(sums).round(_DECIMALS))

    def __len__(self) -> int:
        return len(self.cells)

    def select(self, numbers: NDArray[np.int64]) -> 'CellPartition':
        """Take some of the cells, in another order if need be; points are not found in those."""
        return CellPartition(self.cells[numbers], self.counts[numbers], self.places[numbers])

    @property
    def tokens(self) -> list[str]:
        """The identifiers in short, as S2 writes them."""
        return [s2cell.cell_id_to_token(cell) for cell in self.cells.tolist()]

    @property
    def levels(self) -> list[int]:
        """The level of each cell."""
        return [s2cell.cell_id_to_level(cell) for cell in self.cells.tolist()]

    @cached_property
    def _ends(self) -> NDArray[np.uint64]:
        """First and last of the smallest cells in each (2, k)."""
        lowest = self.cells & (~self.cells + np.uint64(1))
        reach = lowest - np.uint64(1)
        return np.stack([self.cells - reach, self.cells + reach])

    def find(self, points: ArrayLike) -> NDArray[np.int64]:
        """Tell which cell points lie in.

        Args:
            points: Longitudes and latitudes (n, 2) in degrees.

        Returns:
            Numbers of cells (n,), -1 in the holes.

        Raises:
            BadInput: If there are no points, or one is out of range.
        """
        return self.owners(cells_at(check_places(points)))

    def owners(self, cells: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Tell which of the cells has smaller ones (n,) within it; -1 if none has."""
        first, last = self._ends
        numbers = np.searchsorted(last, cells)
        inside = numbers < len(self.cells)
        inside[inside] = first[numbers[inside]] <= cells[inside]
        return np.where(inside, numbers, -1)

    def outlines(self) -> list[shapely.MultiPolygon]:
        """Draw the cells on a map of longitudes and latitudes."""
        return [drawn.shape for drawn in self._outlines]

    @cached_property
    def _outlines(self) -> list[Outline]:
        return [outline(cell) for cell in self.cells.tolist()]

    def radii(self) -> NDArray[np.float64]:
        """Give how far the farthest corner of each cell is from its place, in kilometres (k,)."""
        chords = [
            np.linalg.norm(drawn.vertices - middle, axis=1).max()
            for drawn, middle in zip(self._outlines, unit_vectors(self.places), strict=True)
        ]
        return 2 * EARTH_RADIUS * np.arcsin(np.minimum(np.array(chords) / 2, 1))


def _check_limits(maximum: int, minimum: int, deepest: int) -> None:
    if not 1 <= minimum <= maximum:
        raise BadParameter(
            f'minimum is {minimum} and maximum {maximum}; a cell must be allowed to have from '
            'minimum to maximum points, and at least 1.'
        )
    if not 0 <= deepest <= _DEEPEST:
        raise BadParameter(f'deepest is {deepest}; S2 has levels 0 to {_DEEPEST}.')


def _cut(
    points: NDArray[np.uint64], maximum: int, minimum: int, deepest: int
) -> NDArray[np.uint64]:
    """Cut all cells of a level that have too many points, level by level."""
    done = []
    for level in range(deepest + 1):
        cells, owners, counts = np.unique(
            cells_around(points, level), return_inverse=True, return_counts=True
        )
        whole = (counts <= maximum) | (level == deepest)
        done.append(cells[whole & (counts >= minimum)])
        points = points[~whole[owners]]
    return np.sort(np.concatenate(done))


@dataclass(frozen=True, eq=False)
class CellHierarchy:
    """Partitions from coarse to fine; each cell lies within one of every coarser partition.

    Args:
        partitions: One or more.

    Raises:
        BadParameter: If there is none, or a cell lies in no coarser one.
    """

    partitions: tuple[CellPartition, ...]

    def __post_init__(self) -> None:
        if not self.partitions:
            raise BadParameter('partitions: there is none.', 'Give at least one.')
        for number, (coarse, fine) in enumerate(pairwise(self.partitions), 1):
            outside = np.flatnonzero(coarse.owners(fine.cells) < 0)
            if len(outside):
                raise BadParameter(
                    f'partitions: cell {fine.tokens[outside[0]]} of partition {number + 1} lies in '
                    f'none of partition {number}.',
                    'Give them from coarse to fine, made of the same points.',
                )

    @classmethod
    def build(
        cls, points: ArrayLike, maximum: Sequence[int], minimum: int = 1, deepest: int = _DEEPEST
    ) -> Self:
        """Make partitions of the same points.

        Args:
            points: Longitudes and latitudes (n, 2) in degrees.
            maximum: Points that a cell of each partition may have, in descending order.
            minimum: Points that a cell must have.
            deepest: Level of cells that are not cut any more.

        Raises:
            BadInput: If there are no points, or too few for a single cell, or one is out of range.
            BadParameter: If a number is out of range, or ``maximum`` is not in descending order.
        """
        if not maximum or any(first <= second for first, second in pairwise(maximum)):
            raise BadParameter(
                f'maximum is {list(maximum)}; give one number or more, in descending order.'
            )
        known = _Points.of(points)
        return cls(
            tuple(CellPartition.around_points(known, most, minimum, deepest) for most in maximum)
        )

    @property
    def finest(self) -> CellPartition:
        """The last partition."""
        return self.partitions[-1]

    @property
    def sizes(self) -> list[int]:
        """How many cells each partition has."""
        return [len(partition) for partition in self.partitions]

    @cached_property
    def around(self) -> tuple[NDArray[np.int64], ...]:
        """For each coarser partition the number of its cell that has each finest one (k,)."""
        return tuple(coarse.owners(self.finest.cells) for coarse in self.partitions[:-1])

    def find(self, points: ArrayLike) -> NDArray[np.int64]:
        """Tell which cell of each partition points (n, 2) lie in: (n, p), -1 in the holes."""
        leaves = cells_at(check_places(points))
        return np.stack([partition.owners(leaves) for partition in self.partitions], axis=1)

    def combine(self, scores: Any) -> Any:
        """Weigh the finest cells by the coarser ones that they lie in.

        Müller-Budack, E., Pustu-Iren, K., & Ewerth, R. (2018). Geolocation estimation of photos
        using a hierarchical model and scene classification. ECCV.

        Args:
            scores: Probabilities of the cells of all partitions, one partition after the other
                (n, sum of ``sizes``), as an array or a tensor in double precision.

        Returns:
            Probabilities of the finest cells (n, k): the product over all partitions, scaled to a
            sum of 1.
        """
        # a network may be so sure of cells that do not lie in each other that nothing is left
        scores = scores.clip(min=_IMPOSSIBLE)
        start, joint = 0, scores[:, -len(self.finest) :]
        for size, owners in zip(self.sizes, self.around, strict=False):
            joint = joint * scores[:, start : start + size][:, owners]
            start += size
        return joint / joint.sum(1)[:, None]

    def as_dict(self) -> CellContent:
        """Give what :meth:`from_dict` reads, as plain values."""
        partitions: list[PartitionContent] = [
            {
                'tokens': partition.tokens,
                'counts': partition.counts.tolist(),
                'places': partition.places.tolist(),
            }
            for partition in self.partitions
        ]
        return {'format': FORMAT, 'cells': 'S2', 'partitions': partitions}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], argument: str = 'cells') -> Self:
        """Read what :meth:`as_dict` gave.

        Args:
            content: Plain values.
            argument: Where they came from, for messages.

        Raises:
            BadInput: If they are something else.
        """
        try:
            if content['format'] != FORMAT or content['cells'] != 'S2':
                raise ValueError(f'format {content["format"]} of {content["cells"]} cells')
            return cls(tuple(map(_read_partition, content['partitions'])))
        except (
            KeyError,
            TypeError,
            ValueError,
            s2cell.InvalidToken,
            BadInput,
            BadParameter,
        ) as error:
            reason = f'{error} is missing' if isinstance(error, KeyError) else error
            raise BadInput(
                f'{argument}: no cells of this package ({reason}).',
                'Make them with build_cells, or CellHierarchy.build(points, ...).save(path).',
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file.

        Raises:
            BadParameter: If it cannot be written there.
            NoSpace: If the disk is full.
        """
        with staged(path) as part:
            part.write_text(json.dumps(self.as_dict()) + '\n', encoding='utf-8')

    @classmethod
    def load(cls, path: str | os.PathLike[str], argument: str = 'cells') -> Self:
        """Read a JSON file of :meth:`save`.

        Raises:
            BadInput: If there is none, or it is something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise BadInput(
                f'{argument}: {path} cannot be read ({error}).', 'Choose a JSON file of cells.'
            ) from error
        return cls.from_dict(content, f'{argument}: {path}')


def _read_partition(content: Mapping[str, Any]) -> CellPartition:
    cells = np.array([s2cell.token_to_cell_id(token) for token in content['tokens']], np.uint64)
    counts = np.array(content['counts'], np.int64)
    places = check_places(content['places'], 'places')
    if not len(cells) == len(counts) == len(places):
        raise ValueError(f'{len(cells)} tokens, {len(counts)} counts, {len(places)} places')
    partition = CellPartition(cells, counts, places)
    first, last = partition._ends
    if (first[1:] <= last[:-1]).any():
        raise ValueError('cells overlap, or are not in order')
    return partition
