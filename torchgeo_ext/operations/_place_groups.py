"""Groups of alike places, found among points of a layer or cells of a grid."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN
from sklearn.preprocessing import StandardScaler

from torchgeo_ext.datasets._classes import LabelClass, make_classes
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.examples import ExampleClassifier, fit_clusters
from torchgeo_ext.inference.features import FeatureWriter
from torchgeo_ext.inference.points import PointLayer
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.inference.writer import class_layout
from torchgeo_ext.operations._location import PlaceEncoder, PlaceGrid, Vectors
from torchgeo_ext.operations._location_rasters import each_window, optional_raster
from torchgeo_ext.operations._operation import Style, Styles
from torchgeo_ext.operations._predict import class_table
from torchgeo_ext.operations._vector_columns import style_features
from torchgeo_ext.progress import Progress

#: Places that groups of k-means are found from, and that HDBSCAN takes at most: the time it needs
#: grows with their square.
_SAMPLE = 20_000
_NONE, _NODATA = 0, 255


def check_outputs(points: Any, output: Any, places: Any) -> None:
    """See that a raster is wanted of cells, and features of points.

    Raises:
        BadParameter: If not.
    """
    wanted, other = ('places', 'output') if points is not None else ('output', 'places')
    given = {'places': places, 'output': output}
    what = 'points are' if points is not None else 'an area is'
    if given[other] is not None:
        raise BadParameter(
            f'{other}: {given[other]} cannot be written, as {what} grouped.', f'Give {wanted}.'
        )
    if given[wanted] is None:
        raise BadParameter(f'{wanted} is needed, as {what} grouped.', 'Give the file to write.')


@dataclass(frozen=True)
class Grouping:
    """Groups, and how a place is told to be in one.

    Args:
        count: How many.
        nearest: Gives a score for each group; None if the groups of all places are known.
        known: Group of each place, from 1, by its number; 0 is in none.
    """

    count: int
    nearest: ExampleClassifier | None
    known: Mapping[int, int]

    @classmethod
    def fit(
        cls,
        source: PointLayer | PlaceGrid,
        encoder: PlaceEncoder,
        method: str,
        clusters: int,
        minimum_size: int,
        seed: int,
        progress: Progress,
    ) -> Self:
        """Find groups.

        Args:
            source: The places.
            encoder: Gives their vectors.
            method: ``kmeans`` or ``hdbscan``.
            clusters: Groups of ``kmeans``.
            minimum_size: Places of a group of ``hdbscan``.
            seed: Of the sample and of the first guess.
            progress: Told how far the work is.

        Raises:
            BadParameter: If there are fewer places than groups.
            BadInput: If there are too many places for ``hdbscan``.
        """
        number = source.number
        if method == 'hdbscan' and number > _SAMPLE:
            raise BadInput(
                f'method: hdbscan takes up to {_SAMPLE:,} places, not {number:,}.',
                'Choose kmeans, or group fewer places.',
            )
        drawn = np.random.default_rng(seed).choice(number, min(number, _SAMPLE), replace=False)
        numbers = np.sort(drawn)
        vectors = encoder(_places(source, numbers, progress))
        there = ~np.isnan(vectors[:, 0])
        numbers, vectors = numbers[there], vectors[there]
        if method == 'hdbscan':
            return cls._dense(numbers, vectors, minimum_size)
        if len(vectors) < clusters:
            raise BadParameter(
                f'clusters is {clusters}, but there are only {len(vectors)} places.',
                'Ask for fewer groups.',
            )
        return cls(clusters, fit_clusters(torch.from_numpy(vectors), clusters, seed), {})

    @classmethod
    def _dense(cls, numbers: NDArray[np.int64], vectors: Vectors, minimum_size: int) -> Self:
        """Find groups by density (HDBSCAN); 0 is in none."""
        if len(vectors) < 2 * minimum_size:
            raise BadParameter(
                f'minimum_size is {minimum_size}, but there are only {len(vectors)} places.',
                'Choose smaller groups.',
            )
        scaled = StandardScaler().fit_transform(vectors)
        found = HDBSCAN(min_cluster_size=minimum_size, copy=True).fit_predict(scaled) + 1
        found = np.maximum(found, _NONE)
        if found.max() >= _NODATA:
            raise BadParameter(
                f'minimum_size: {minimum_size} gives {found.max()} groups, more than '
                f'{_NODATA - 1}.',
                'Choose larger groups.',
            )
        known = dict(zip(numbers.tolist(), found.tolist(), strict=True))
        return cls(int(found.max()), None, known)

    @property
    def legend(self) -> tuple[LabelClass, ...]:
        """The groups, and what is in none if that may be."""
        names = {number: f'group {number}' for number in range(1, self.count + 1)}
        if self.nearest is None:
            names[_NONE] = 'no group'
        return make_classes(names, names, {_NONE: '#d9d9d9'})

    def of(self, numbers: NDArray[np.int64], vectors: Vectors) -> NDArray[np.uint8]:
        """Tell the groups of places.

        Args:
            numbers: Which places (n,).
            vectors: Their vectors (n, d), none of them NaN.
        """
        if self.nearest is None:
            return np.array([self.known[number] for number in numbers.tolist()], np.uint8)
        with torch.inference_mode():
            scores = self.nearest(torch.from_numpy(vectors).T[None, :, :, None])
        return (scores[0, :, :, 0].argmax(0) + 1).numpy().astype(np.uint8)


def _places(
    source: PointLayer | PlaceGrid, numbers: NDArray[np.int64], progress: Progress
) -> NDArray[np.float64]:
    """Give longitude and latitude of places by their number, in rising order."""
    if isinstance(source, PlaceGrid):
        return source.places_of(numbers)
    parts, first = [], 0
    for batch in source.batches([], quiet=True):
        progress(first / source.number, 'Reading')
        last = first + len(batch.places)
        start, stop = np.searchsorted(numbers, (first, last))
        parts.append(batch.places[numbers[start:stop] - first])
        first = last
    return np.concatenate(parts)


def write_group_features(
    path: Any, layer: PointLayer, encoder: PlaceEncoder, groups: Grouping, progress: Progress
) -> tuple[dict[str, int], Styles]:
    """Write points with number and name of their group.

    Args:
        path: The layer to write.
        layer: The points.
        encoder: Gives their vectors.
        groups: The groups.
        progress: Told how far the work is.

    Returns:
        Points of each group, and the style of the layer if its format has any.
    """
    names = {entry.value: entry.name for entry in groups.legend}
    sizes: Counter[int] = Counter()
    called: dict[str, str] = {}
    done = 0
    with FeatureWriter(path, 'places') as writer:
        for batch in layer.batches():
            progress(done / layer.number, 'Writing')
            there, vectors = batch.placed, encoder(batch.places)
            numbers = done + np.flatnonzero(there)
            value = np.zeros(len(there), np.int32)
            value[there] = groups.of(numbers, vectors[there])
            sizes.update(value[there].tolist())
            title = np.array([names.get(number, '') for number in value.tolist()], object)
            columns = {
                'value': pa.array(value, mask=~there),
                'class': pa.array(title, pa.string(), mask=~there),
            }
            called = writer.add(batch.features, columns)
            done += len(there)
    counted = {name: sizes[value] for value, name in names.items()}
    style: Style = {
        'type': 'classes', 'field': called['class'], 'classes': class_table(groups.legend)
    }  # fmt: skip
    return counted, style_features(path, 'places', style)


def write_group_raster(
    path: Any, cells: PlaceGrid, encoder: PlaceEncoder, groups: Grouping, progress: Progress
) -> tuple[dict[str, int], Style]:
    """Write a raster of groups.

    Args:
        path: The raster.
        cells: Its cells.
        encoder: Gives their vectors.
        groups: The groups.
        progress: Told how far the work is.

    Returns:
        Cells of each group, and the style of the raster.
    """
    sizes: Counter[int] = Counter()
    layout = class_layout(groups.legend, np.dtype('uint8'), _NODATA, encoder.tags)
    with optional_raster(path, cells, layout) as write:
        for window, vectors in each_window(cells, encoder, progress, 'Writing'):
            there = ~np.isnan(vectors[..., 0])
            value = np.full(there.shape, _NODATA, np.uint8)
            value[there] = groups.of(cells.numbers(window)[there], vectors[there])
            sizes.update(value[there].tolist())
            write(window, value[None])
    style: Style = {'type': 'classes', 'classes': class_table(groups.legend)}
    write_style(path, style)
    return {entry.name: sizes[entry.value] for entry in groups.legend}, style
