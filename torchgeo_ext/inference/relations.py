"""What objects have to do with each other: pairs, what is measured of them, and learned relations.

As the pair proposals of STAR (Li, Y. et al. (2025). STAR: a first-ever dataset and a large-scale
benchmark for scene graph generation in large-size satellite imagery. IEEE TPAMI 47(3).
https://arxiv.org/abs/2406.09410) pairs are described by both classes and by how their boxes lie.
There the proposals are chosen by autoencoders and told apart by networks that see the image; here
pairs are near each other, and a logistic regression, whose numbers can be read, tells them apart.

Axes: n objects, p pairs (the first of which has to do something with the second), f features, r
relations.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from torchgeo_ext.errors import BadInput
from torchgeo_ext.layers.rotated_boxes import boxes_around

#: Relation of a pair that has none of those that are known.
NONE = 'none'
#: Share of an object that lies in another one from which on it is inside.
_INSIDE = 0.95
#: Share of the smaller object that both have in common from which on they overlap.
_OVERLAP = 0.01
#: Gap between neighbours that touch, as a share of the shorter side of the smaller one.
_TOUCH = 0.2
#: Sides of squares that share an angle, in which it means nothing.
_SQUARE = 1.1
#: Degrees up to which objects lie parallel, and from which on across each other.
_PARALLEL, _ACROSS = 15, 75
#: Logarithms stay finite.
_TINY = 1e-9
#: Pairs without relation that are learned from, for each one with a relation.
_UNRELATED = 5
#: Parts that pairs are judged in, and blocks of land they are dealt out by.
_FOLDS, _BLOCKS = 5, 10

#: What the features of a pair say, after the classes of both.
MEASURES = (
    'gap', 'gap_relative', 'distance_of_middles', 'overlap', 'share_inside', 'share_holding',
    'log_size_ratio', 'log_length_ratio', 'filled', 'along', 'across', 'parallel', 'elongation',
    'elongation_other',
)  # fmt: skip


class Pairs(NamedTuple):
    """Pairs of objects, and what is measured of each.

    Attributes:
        first: Numbers of the objects (p) that have to do something ...
        second: ... with these (p).
        gap: Metres between the outlines (p), 0 where they touch.
        direction: Degrees clockwise from north in which the second lies (p).
        overlap: Intersection over union (p).
        inside: Share of the first that lies in the second (p).
        holding: Share of the second that lies in the first (p).
        size_ratio: Area of the first by that of the second (p).
        turn: Degrees between their long sides (p), 0 to 90; NaN where one is about square.
        values: Features (p, f), see ``MEASURES``.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    gap: NDArray[np.float64]
    direction: NDArray[np.float64]
    overlap: NDArray[np.float64]
    inside: NDArray[np.float64]
    holding: NDArray[np.float64]
    size_ratio: NDArray[np.float64]
    turn: NDArray[np.float64]
    values: NDArray[np.float64]

    def select(self, keep: NDArray[Any]) -> 'Pairs':
        """Keep some of them."""
        return Pairs(*(part[keep] for part in self))


def find_pairs(outlines: NDArray[Any], distance: float, most: int = 0) -> Pairs:
    """Find pairs of objects that are near each other, in both directions.

    Args:
        outlines: Polygons (n,) in a plane of metres.
        distance: Metres between outlines at most.
        most: Only so many nearest ones of each object; 0 for all.
    """
    tree = shapely.STRtree(outlines)
    first, second = tree.query(outlines, predicate='dwithin', distance=distance)
    apart = first != second
    first, second = first[apart], second[apart]
    gap = shapely.distance(outlines[first], outlines[second])
    # the nearest one first, of equals the one that comes first in the layer
    order = np.lexsort((second, gap, first))
    first, second, gap = first[order], second[order], gap[order]
    if most:
        begins = np.searchsorted(first, np.arange(len(outlines)))
        near = np.arange(len(first)) - begins[first] < most
        first, second, gap = first[near], second[near], gap[near]
    return _measure(outlines, first.astype(np.int64), second.astype(np.int64), gap)


def _measure(
    outlines: NDArray[Any],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    gap: NDArray[np.float64],
) -> Pairs:
    """Measure pairs."""
    areas = shapely.area(outlines)
    x, y, long, short, angles = boxes_around(outlines).double().numpy().T
    one, other = outlines[first], outlines[second]
    both = shapely.area(shapely.intersection(one, other))
    either = areas[first] + areas[second] - both
    around = shapely.area(shapely.convex_hull(shapely.union(one, other)))
    dx, dy = x[second] - x[first], y[second] - y[first]
    middles = np.hypot(dx, dy)
    lengths = np.hypot(long, short)
    scale = np.sqrt(lengths[first] * lengths[second]) + _TINY
    bearing = np.arctan2(dy, dx)
    turn = np.abs((angles[second] - angles[first] + np.pi / 2) % np.pi - np.pi / 2)
    thin = long / (short + _TINY)
    square = (thin[first] < _SQUARE) | (thin[second] < _SQUARE)
    ahead = bearing - angles[first]
    values = np.column_stack(
        [
            np.log1p(gap),
            gap / scale,
            middles / scale,
            both / (either + _TINY),
            both / (areas[first] + _TINY),
            both / (areas[second] + _TINY),
            np.log((areas[first] + _TINY) / (areas[second] + _TINY)),
            np.log((lengths[first] + _TINY) / (lengths[second] + _TINY)),
            either / (around + _TINY),
            np.abs(np.cos(ahead)),
            np.abs(np.sin(ahead)),
            np.where(square, 0.0, np.cos(2 * turn)),
            np.log(thin[first]),
            np.log(thin[second]),
        ]
    )
    return Pairs(
        first=first,
        second=second,
        gap=gap,
        direction=np.degrees(np.arctan2(dx, dy)) % 360,
        overlap=values[:, 3],
        inside=values[:, 4],
        holding=values[:, 5],
        size_ratio=areas[first] / (areas[second] + _TINY),
        turn=np.where(square, np.nan, np.degrees(turn)),
        values=values,
    )


def rule_relations(outlines: NDArray[Any], pairs: Pairs) -> tuple[Pairs, list[str]]:
    """Name how the objects of each pair lie, by rules alone.

    Returns:
        The pairs, each of which is told of once (the smaller object comes first), and for each one
        of ``inside``, ``overlaps``, ``adjacent to``, ``parallel to`` (side by side, at a distance)
        and ``near``.
    """
    areas = shapely.area(outlines)
    size = np.stack([areas[pairs.first], areas[pairs.second]])
    smaller = (size[0] < size[1]) | ((size[0] == size[1]) & (pairs.first < pairs.second))
    pairs = pairs.select(smaller)
    _, _, _, short, _ = boxes_around(outlines).double().numpy().T
    touching = pairs.gap <= _TOUCH * np.minimum(short[pairs.first], short[pairs.second])
    names = np.select(
        [
            pairs.inside >= _INSIDE,
            pairs.inside >= _OVERLAP,
            touching,
            # beside each other, not one behind the other
            (pairs.turn < _PARALLEL) & (pairs.values[:, MEASURES.index('across')] > np.sqrt(0.5)),
        ],
        ['inside', 'overlaps', 'adjacent to', 'parallel to'],
        'near',
    )
    return pairs, names.tolist()


def alignment(pairs: Pairs) -> list[str]:
    """Name how long sides lie: ``parallel``, ``oblique``, ``across`` or, of squares, nothing."""
    conditions = [np.isnan(pairs.turn), pairs.turn < _PARALLEL, pairs.turn > _ACROSS]
    return np.select(conditions, ['', 'parallel', 'across'], 'oblique').tolist()


@dataclass(frozen=True)
class Judged:
    """How well relations are told, by pairs of land that was not learned from.

    Args:
        recall: Share of the pairs of each relation that is told, by its name.
        precision: Share of what is told as a relation that is it, by its name.
    """

    recall: Mapping[str, float]
    precision: Mapping[str, float]

    @property
    def mean_recall(self) -> float:
        """Mean of the recall over relations."""
        return float(np.mean([*self.recall.values()])) if self.recall else float('nan')


@dataclass(frozen=True)
class RelationModel:
    """A logistic regression from the features of pairs to relations.

    Args:
        classes: Classes of objects that it knows, in the order of their features.
        relations: Relations, among them ``NONE``.
        mean: Of the features (f).
        scale: Of the features (f).
        weights: (r, f)
        bias: (r)
        distance: Metres between the objects of pairs at most.
    """

    classes: tuple[str, ...]
    relations: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    distance: float

    @classmethod
    def fit(
        cls,
        pairs: Pairs,
        classes: Sequence[str],
        relations: Sequence[str],
        distance: float,
        seed: int = 0,
    ) -> Self:
        """Learn relations.

        Args:
            pairs: Pairs (p) of which it is known what they have to do with each other.
            classes: Class of each object (n).
            relations: Relation of each pair (p), ``NONE`` among them.
            distance: Metres between the objects of pairs at most.
            seed: Decides on which of the pairs without relation are learned from.
        """
        from sklearn.linear_model import LogisticRegression

        known = tuple(sorted(set(classes)))
        features = _features(pairs, classes, known)
        names = np.array(relations, dtype=object)
        learned = _thinned(names, seed)
        mean = features[learned].mean(axis=0)
        spread = features[learned].std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        standard = (features[learned] - mean) / scale
        model = LogisticRegression(max_iter=1000, class_weight='balanced')
        model.fit(standard, names[learned].astype(str))
        weights, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # scikit-learn has one score for both
            weights, bias = np.vstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
        told = tuple(str(name) for name in model.classes_)
        return cls(known, told, mean, scale, weights, bias, distance)

    def predict(self, pairs: Pairs, classes: Sequence[str]) -> NDArray[np.float64]:
        """Give the probability (p, r) of each relation."""
        features = _features(pairs, classes, self.classes)
        logits = (features - self.mean) / self.scale @ self.weights.T + self.bias
        logits -= logits.max(axis=1, keepdims=True, initial=0)
        shares = np.exp(logits)
        probabilities: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return probabilities

    def to_json(self) -> str:
        """Write it as JSON."""
        arrays = ('mean', 'scale', 'weights', 'bias')
        return json.dumps(
            {
                'format': 1,
                'features': [
                    *(f'class {name}' for name in self.classes),
                    *(f'class of other {name}' for name in self.classes),
                    *MEASURES,
                ],
                'classes': list(self.classes),
                'relations': list(self.relations),
                'distance': self.distance,
                **{name: getattr(self, name).tolist() for name in arrays},
            },
            indent=1,
        )

    @classmethod
    def read(cls, path: str, argument: str = 'model') -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            BadInput: If the file holds something else.
        """
        try:
            stored = json.loads(Path(path).read_text(encoding='utf-8'))
            arrays = [np.array(stored[n], float) for n in ('mean', 'scale', 'weights', 'bias')]
            classes, relations = tuple(stored['classes']), tuple(stored['relations'])
            width = 2 * len(classes) + len(MEASURES)
            shapes = [(width,), (width,), (len(relations), width), (len(relations),)]
            if stored['format'] != 1 or [array.shape for array in arrays] != shapes:
                raise ValueError('its numbers do not belong together')
            mean, scale, weights, bias = arrays
            distance = float(stored['distance'])
            return cls(classes, relations, mean, scale, weights, bias, distance)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f'{argument}: {path} holds no model of relations ({error}).',
                'Choose a file that relate_objects wrote as model_output.',
            ) from error


def judge(
    pairs: Pairs,
    middles: NDArray[np.float64],
    classes: Sequence[str],
    relations: Sequence[str],
    distance: float,
) -> Judged | None:
    """Judge how well relations can be learned: each block of land by what is learned elsewhere.

    Args:
        pairs: Pairs (p).
        middles: Places of the objects (n, 2) in metres.
        classes: Class of each object (n).
        relations: Relation of each pair (p), ``NONE`` among them.
        distance: Metres between the objects of pairs at most.

    Returns:
        The scores; None if all pairs lie in fewer blocks than two.
    """
    from sklearn.model_selection import GroupKFold

    names = np.array(relations, dtype=object)
    low, high = middles.min(axis=0), middles.max(axis=0)
    cells = np.floor((middles - low) / (high - low + _TINY) * _BLOCKS).astype(int)
    blocks = (cells @ [1, _BLOCKS + 1])[pairs.first]
    folds = min(_FOLDS, len(np.unique(blocks)))
    if folds < 2:
        return None
    told = np.full(len(names), NONE, dtype=object)
    for learned, asked in GroupKFold(folds).split(names, groups=blocks):
        if len(set(names[learned])) < 2:
            told[asked] = names[learned][0]
            continue
        model = RelationModel.fit(pairs.select(learned), classes, names[learned].tolist(), distance)
        best = model.predict(pairs.select(asked), classes).argmax(axis=1)
        told[asked] = np.array(model.relations, dtype=object)[best]
    kinds = sorted(set(names) - {NONE})
    right = told == names
    return Judged(
        {kind: float(right[names == kind].mean()) for kind in kinds},
        {
            kind: float(right[told == kind].mean()) if (told == kind).any() else float('nan')
            for kind in kinds
        },
    )


def _features(pairs: Pairs, classes: Sequence[str], known: Sequence[str]) -> NDArray[np.float64]:
    """Give the classes of both objects, one column for each that is known, and the measures."""
    names = np.array(classes, dtype=object)
    hot = [(names[which][:, None] == [*known]) for which in (pairs.first, pairs.second)]
    return np.column_stack([*(part.astype(float) for part in hot), pairs.values])


def _thinned(names: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Choose what to learn from: all pairs with a relation, and some of the many without."""
    related = np.flatnonzero(names != NONE)
    others = np.flatnonzero(names == NONE)
    wanted = max(1, _UNRELATED * len(related))
    if len(others) > wanted:
        others = np.random.default_rng(seed).choice(others, wanted, replace=False)
    return np.sort(np.concatenate([related, others]))
