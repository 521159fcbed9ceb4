"""Orders the pixels of thin lines to paths that end where lines end or meet."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]

#: Steps (row, column) to half of the neighbours of a pixel; the others take the same ones back.
_STRAIGHT = ((0, 1), (1, 0))
_DIAGONAL = ((1, 1), (1, -1))
#: Steps of a path between two places where lines meet that are one place.
_SAME = 2


class LineGraph:
    """Pixels of thin lines, each joined with its neighbours.

    Pixels that touch at a corner are joined unless a third one joins them, so that bends are no
    places where lines meet.

    Args:
        rows: (n,) row of each pixel, sorted.
        columns: (n,) column of each pixel, sorted within each row.
    """

    def __init__(self, rows: Ints, columns: Ints) -> None:
        self.number = len(rows)
        self._stride = int(columns.max(initial=0)) + 3
        self._keys = rows * self._stride + columns + 1
        pairs = [self._pairs(row, column) for row, column in (*_STRAIGHT, *_DIAGONAL)]
        one, other = np.concatenate(pairs, axis=1)
        both = np.concatenate([one, other]), np.concatenate([other, one])
        self.joined = coo_array(
            (np.ones(len(both[0]), np.int8), both), shape=(self.number, self.number)
        ).tocsr()

    def _find(self, keys: Ints) -> Ints:
        """Give the pixels of some keys, -1 where there is none."""
        if not len(self._keys):
            return np.full(keys.shape, -1)
        place = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where(self._keys[place] == keys, place, -1)

    def _pairs(self, row: int, column: int) -> Ints:
        """Give pixels and those a step away from them, (2, m)."""
        there = self._find(self._keys + row * self._stride + column)
        near = there >= 0
        if row and column:  # over a corner
            near &= self._find(self._keys + row * self._stride) < 0
            near &= self._find(self._keys + column) < 0
        return np.stack([np.flatnonzero(near), there[near]])

    def paths(self) -> list[Ints]:
        """Give the pixels of each path, from end to end; those of a ring begin and end alike."""
        starts, ends = self.joined.indptr.tolist(), self.joined.indices.tolist()
        degrees = np.diff(self.joined.indptr)
        nodes = set(np.flatnonzero((degrees > 0) & (degrees != 2)).tolist())
        seen: set[int] = set()
        found = []
        for node in sorted(nodes):
            for step in ends[starts[node] : starts[node + 1]]:
                if step in seen or (step in nodes and step < node):
                    continue
                path = _walk(node, step, nodes, starts, ends)
                seen.update(path[1:-1])
                found.append(np.array(path))
        for pixel in np.flatnonzero(degrees == 2).tolist():
            if pixel not in seen:
                path = _walk(pixel, ends[starts[pixel]], {pixel}, starts, ends)
                seen.update(path)
                found.append(np.array(path))
        return found


def _walk(node: int, step: int, nodes: set[int], starts: list[int], ends: list[int]) -> list[int]:
    """Go on from a pixel to its neighbour, and on, until there is a node."""
    path = [node, step]
    while path[-1] not in nodes:
        here, before = path[-1], path[-2]
        one, other = ends[starts[here] : starts[here] + 2]
        path.append(other if one == before else one)
    return path


def tidy(paths: list[Ints], widths: NDArray[np.float64]) -> list[Ints]:
    """Make few of many paths: no spurs, and one path where only two are left to meet.

    Thinning leaves short spurs at dents of an outline. One that is no longer than the line is wide
    where it begins is left out. Places where lines meet that are next to each other become one.

    Args:
        paths: The pixels of each path, from end to end.
        widths: Width of the line at each pixel, in pixels.
    """
    return _joined(_without_spurs(_contracted(paths), widths))


def _contracted(paths: list[Ints]) -> list[Ints]:
    """Make one of places where lines meet that lie next to each other."""
    count = _ends_at(paths)
    short = [
        path
        for path in paths
        if len(path) <= _SAME + 1 and path[0] != path[-1] and min(count[p] for p in _ends(path)) > 1
    ]
    if not short:
        return paths
    nodes = sorted({end for path in short for end in _ends(path)})
    place = {node: number for number, node in enumerate(nodes)}
    one, other = np.array([[place[end] for end in _ends(path)] for path in short]).T
    links = coo_array((np.ones(len(one)), (one, other)), shape=(len(nodes), len(nodes)))
    _, group = connected_components(links, directed=False)
    first: dict[int, int] = {}
    for node, number in zip(nodes, group.tolist(), strict=True):
        first.setdefault(number, node)
    moved = {
        node: first[number]
        for node, number in zip(nodes, group.tolist(), strict=True)
        if first[number] != node
    }
    dropped = {id(path) for path in short}
    return [_moved(path, moved) for path in paths if id(path) not in dropped]


def _moved(path: Ints, moved: dict[int, int]) -> Ints:
    """Let a path begin and end at other places, too."""
    start, end = _ends(path)
    before = [moved[start]] if start in moved else []
    after = [moved[end]] if end in moved else []
    return np.concatenate([np.array(before, np.int64), path, np.array(after, np.int64)])


def _without_spurs(paths: list[Ints], widths: NDArray[np.float64]) -> list[Ints]:
    count = _ends_at(paths)

    def is_spur(path: Ints) -> bool:
        start, end = _ends(path)
        if count[start] > count[end]:
            start, end = end, start
        return count[start] == 1 and count[end] > 2 and len(path) - 1 <= widths[end]

    return [path for path in paths if not is_spur(path)]


def _joined(paths: list[Ints]) -> list[Ints]:
    """Join the two paths that meet where no third one does."""
    here: defaultdict[int, list[int]] = defaultdict(list)
    for number, path in enumerate(paths):
        for end in _ends(path):
            here[end].append(number)
    alive = dict(enumerate(paths))
    for node, numbers in here.items():
        if len(numbers) != 2 or numbers[0] == numbers[1]:
            continue
        first, second = (alive[number] for number in numbers)
        first = first if first[-1] == node else first[::-1]
        second = second if second[0] == node else second[::-1]
        alive[numbers[0]] = np.concatenate([first, second[1:]])
        del alive[numbers[1]]
        far = int(second[-1])
        here[far] = [numbers[0] if n == numbers[1] else n for n in here[far]]
    return list(alive.values())


def _ends_at(paths: list[Ints]) -> defaultdict[int, int]:
    count: defaultdict[int, int] = defaultdict(int)
    for path in paths:
        for end in _ends(path):
            count[end] += 1
    return count


def _ends(path: Ints) -> tuple[int, int]:
    return int(path[0]), int(path[-1])


def networks(paths: list[Ints]) -> Iterator[list[int]]:
    """Yield the numbers of the paths that hang together."""
    if not paths:
        return
    ends = np.array([_ends(path) for path in paths])
    nodes, place = np.unique(ends, return_inverse=True)
    one, other = place.reshape(-1, 2).T
    links = coo_array((np.ones(len(one)), (one, other)), shape=(len(nodes), len(nodes)))
    _, group = connected_components(links, directed=False)
    of_path = group[one]
    for number in np.unique(of_path):
        yield np.flatnonzero(of_path == number).tolist()
