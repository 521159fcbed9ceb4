"""How alike places are to some references, and the places most alike.

Axes: n places, m references, d numbers of a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from torchgeo_ext.cells import unit_vectors
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.globe import RADIUS, NearestPlace
from torchgeo_ext.operations._location import Vectors
from torchgeo_ext.operations._location_parameters import Combine

#: Similarities held at once.
_SIMILARITIES = 2**22
#: Places that are looked at together in choosing the best.
_CHUNK = 4096


class Likeness:
    """Cosine similarity to references, -1 to 1.

    Args:
        vectors: Vectors of the references (m, d).
        places: Longitude and latitude of these (m, 2).
        combine: What several references mean.
        exclusion: Metres around each reference in which nothing is alike.
    """

    def __init__(
        self, vectors: Vectors, places: NDArray[np.float64], combine: Combine, exclusion: float
    ) -> None:
        directions = _normalised(vectors)
        # the cosine with a mean of directions is the mean of the cosines
        self._references = directions.mean(0, keepdims=True) if combine == 'mean' else directions
        self._distance = NearestPlace(places)
        self._exclusion = exclusion

    def __call__(
        self, vectors: Vectors, places: NDArray[np.float64]
    ) -> tuple[Vectors, NDArray[np.float64]]:
        """Compare places.

        Args:
            vectors: Their vectors (n, d).
            places: Longitude and latitude (n, 2).

        Returns:
            Similarity (n,), NaN where there is no vector or a reference is too near, and metres to
            the nearest reference (n,).
        """
        similarity = np.empty(len(vectors), np.float32)
        step = max(1, _SIMILARITIES // len(self._references))
        for start in range(0, len(vectors), step):
            part = slice(start, start + step)
            similarity[part] = (_normalised(vectors[part]) @ self._references.T).max(axis=1)
        distance = self._distance(places)
        if self._exclusion > 0:
            similarity[distance < self._exclusion] = np.nan
        return similarity, distance

    def check(self, found: 'Candidates') -> None:
        """See that anything was compared.

        Raises:
            BadInput: If the exclusion left nothing.
        """
        if not found.compared:
            raise BadInput(
                f'exclusion: {self._exclusion:g} m around the references leave no place to '
                'compare.',
                'Choose a shorter distance or a larger area.',
            )


def _normalised(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)


@dataclass
class Candidates:
    """What was compared so far; 36 bytes for each place."""

    _parts: list[tuple[NDArray[np.int64], Vectors, NDArray[np.float64], NDArray[np.float64]]] = (
        field(default_factory=list)
    )

    def add(
        self,
        numbers: NDArray[np.int64],
        similarity: Vectors,
        places: NDArray[np.float64],
        distance: NDArray[np.float64],
    ) -> None:
        """Take note of those of some places that have a similarity.

        Args:
            numbers: Their positions among all (n,).
            similarity: (n,), NaN for those that do not count.
            places: Longitude and latitude (n, 2).
            distance: Metres to the nearest reference (n,).
        """
        there = ~np.isnan(similarity)
        self._parts.append((numbers[there], similarity[there], places[there], distance[there]))

    @property
    def compared(self) -> int:
        """How many places have a similarity."""
        return sum(len(numbers) for numbers, *_ in self._parts)

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Give the similarities that these shares of all places do not exceed."""
        found = np.concatenate([similarity for _, similarity, *_ in self._parts])
        return np.quantile(found, shares).tolist()

    def best(self, count: int, spacing: float) -> 'Ranked':
        """Choose the places that are most alike.

        Args:
            count: How many, if there are as many.
            spacing: Metres they lie apart at least.
        """
        numbers, similarity, places, distance = map(np.concatenate, zip(*self._parts, strict=True))
        order = np.argsort(-similarity, kind='stable')
        if spacing > 0:
            order = _spaced(order, places, count, spacing)
        chosen = order[:count]
        return Ranked(numbers[chosen], similarity[chosen], distance[chosen])


@dataclass(frozen=True)
class Ranked:
    """The k places that are most alike, best first.

    Args:
        numbers: Their positions among all (k,).
        similarity: (k,).
        distance: Metres to the nearest reference (k,).
    """

    numbers: NDArray[np.int64]
    similarity: Vectors
    distance: NDArray[np.float64]

    def columns(self) -> dict[str, pa.Array]:
        """Give what is said of each, by name of the column."""
        return {
            'rank': pa.array(np.arange(1, len(self.numbers) + 1, dtype=np.int32)),
            'similarity': pa.array(self.similarity),
            'distance_m': pa.array(self.distance),
        }


def _spaced(
    order: NDArray[np.intp], places: NDArray[np.float64], count: int, spacing: float
) -> NDArray[np.intp]:
    """Keep of places in an order those that are not too near to one kept before."""
    # two places are as far apart as the angle between their directions
    nearest = np.cos(min(spacing / RADIUS, np.pi))
    kept: list[int] = []
    directions = np.empty((0, 3))
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        there = unit_vectors(places[part])
        free = (there @ directions.T <= nearest).all(axis=1)
        while free.any() and len(kept) < count:
            first = int(free.argmax())
            kept.append(int(part[first]))
            directions = np.vstack([directions, there[first]])
            free &= there @ there[first] <= nearest
            free[first] = False
        if len(kept) == count:
            break
    return np.array(kept, np.intp)
