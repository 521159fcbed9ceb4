"""Points with a target that is known of some of them."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from torchgeo_ext.datasets._classes import LabelClass, make_classes
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.features import FeatureTable
from torchgeo_ext.inference.points import PointLayer

log = logging.getLogger(__name__)

Task = Literal['auto', 'regression', 'classification']

#: Classes that a map has room for.
_MOST_CLASSES = 2**16 - 2


@dataclass(frozen=True)
class Targets:
    """Points of a layer and what is known of them.

    Args:
        features: All features of the layer.
        places: Longitude and latitude of each (n, 2), NaN for those at no single place.
        values: Target of each (n,): numbers, or positions in the legend.
        known: Which have both place and target (n,).
        legend: The classes; empty if the target is a number.
    """

    features: FeatureTable
    places: NDArray[np.float64]
    values: NDArray[Any]
    known: NDArray[np.bool_]
    legend: tuple[LabelClass, ...]

    @property
    def classify(self) -> bool:
        """Whether the target is a class."""
        return bool(self.legend)

    @property
    def classes(self) -> NDArray[np.int64] | None:
        """Class of each point that is known; None if the target is a number."""
        return self.values[self.known] if self.classify else None

    def named(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give predicted targets as the user knows them: numbers, or names of classes."""
        if not self.classify:
            return values
        return np.array([entry.name for entry in self.legend], object)[values]


def read_targets(path: Any, field: str, task: Task) -> Targets:
    """Read points and the target they have.

    Args:
        path: The layer.
        field: Its field with the target.
        task: What the target is; ``auto`` takes numbers for a regression and the rest for classes.

    Raises:
        BadParameter: If there is no such field.
        BadInput: If the field is no target for the task, or all points have the same one.
    """
    layer = PointLayer.open(path, 'points')
    if field not in layer.fields:
        raise BadParameter(
            f'target: {path} has no field {field!r}.',
            f'Its fields are: {", ".join(layer.fields) or "none"}.',
        )
    batches = list(layer.batches())
    features = batches[0].features.joined([batch.features for batch in batches[1:]])
    places = np.concatenate([batch.places for batch in batches])
    where = f'target: {field} of {path}'
    column = features.table[field].combine_chunks()
    kind = _task(where, column.type, task)
    values: NDArray[Any]
    legend: tuple[LabelClass, ...] = ()
    if kind == 'classification':
        values, there, legend = _classes(where, column)
    else:
        values, there = _numbers(column)
    known = there & ~np.isnan(places[:, 0])
    if not known.any():
        raise BadInput(f'{where}: no feature has both a place and a value.', 'Check the field.')
    if known.sum() < len(known):
        log.warning(
            '%s: %d of %d features have no place or no value and are not learned from.',
            where, len(known) - known.sum(), len(known),
        )  # fmt: skip
    if len(np.unique(values[known])) < 2:
        raise BadInput(
            f'{where} is {column[int(np.flatnonzero(known)[0])].as_py()} everywhere, so there is '
            'nothing to predict.',
            'Choose a field whose values differ.',
        )
    return Targets(features, places, values, known, legend)


def _task(where: str, kind: pa.DataType, task: Task) -> str:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    word = (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
    if task == 'regression' and not number:
        raise BadInput(
            f'{where} is of type {kind}, but a regression needs numbers.',
            'Choose another field, or classification.',
        )
    if task == 'classification' and pa.types.is_floating(kind):
        raise BadInput(
            f'{where} is of type {kind}, but classes are text or whole numbers.',
            'Choose another field, or regression.',
        )
    if not (number or word or pa.types.is_boolean(kind)):
        raise BadInput(
            f'{where} is of type {kind}.', 'Choose a field with numbers, or with names of classes.'
        )
    if task != 'auto':
        return task
    return 'regression' if number else 'classification'


def _numbers(column: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    there = np.isfinite(values)
    return np.where(there, values, 0.0), there


def _classes(
    where: str, column: pa.Array
) -> tuple[NDArray[np.int64], NDArray[np.bool_], tuple[LabelClass, ...]]:
    """Number the classes: text from 1 on in alphabetical order, whole numbers by themselves."""
    there = np.asarray(column.is_valid())
    whole = pa.types.is_integer(column.type)
    words = pc.unique(column.drop_null()).to_pylist()
    if len(words) > _MOST_CLASSES:
        raise BadInput(
            f'{where} has {len(words)} different values, too many for classes.',
            'Choose a field with fewer classes.',
        )
    if whole and words and not (min(words) >= 0 and max(words) <= _MOST_CLASSES):
        whole = False
    order = sorted(words, key=None if whole else str)
    numbers = order if whole else range(1, len(order) + 1)
    legend = make_classes(numbers, dict(zip(numbers, map(str, order), strict=True)))
    codes = pc.index_in(column, pa.array(order, column.type)).fill_null(0)
    return codes.to_numpy(zero_copy_only=False).astype(np.int64), there, legend
