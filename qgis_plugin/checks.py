"""The named conditions between parameters, as QGIS sees them: early and friendly.

``torchgeo_ext/operations/_checks.py`` has the same names and is the authority. A name that is
unknown here belongs to a newer engine, which checks it itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import QgsCoordinateTransform, QgsCsException, QgsProject, QgsRectangle

from .inputs import Reader
from .layers import Unusable
from .parameters import Description


class Values:
    """What the checks may look at.

    Args:
        reader: Reads the parameters of the run.
        described: The parameters of the operation.
    """

    def __init__(self, reader: Reader, described: list[Description]) -> None:
        self._reader = reader
        self._described = {parameter['name']: parameter for parameter in described}

    def label(self, name: str) -> str:
        """The label the user sees."""
        return self._described[name]['label']

    def is_set(self, name: str) -> bool:
        """Whether there is a value."""
        return self._reader.is_set(self._described[name])

    def value(self, name: str) -> Any:
        """The plain value, or nothing."""
        return self._reader.inputs([self._described[name]]).get(name)

    def layer(self, name: str) -> Any:
        """The map layer of a raster parameter."""
        return self._reader.layers(self._described[name])[0]


def run_checks(checks: list[Description], values: Values) -> None:
    """Run the checks of an operation that are known here.

    Args:
        checks: Entries of ``checks`` of a description.
        values: What to look at.

    Raises:
        Unusable: If a condition is not fulfilled.
    """
    for check in checks:
        function = _CHECKS.get(check['name'])
        if function is not None:
            function(values, *check['arguments'])


def _one_of(values: Values, *names: str) -> None:
    given = [name for name in names if values.is_set(name)]
    if len(given) == 1:
        return
    labels = ' or '.join(values.label(name) for name in names)
    if given:
        found = ' and '.join(values.label(name) for name in given)
        raise Unusable(f'{found} are both given, but only one can be used.', f'Give {labels}.')
    raise Unusable('Something is missing.', f'Give {labels}.')


def _less_than(values: Values, small: str, large: str) -> None:
    low, high = values.value(small), values.value(large)
    # 0 and below mean "automatic"
    if low is not None and high is not None and high > 0 and low >= high:
        raise Unusable(
            f'{values.label(small)} is {low}, but must be smaller than '
            f'{values.label(large)}, which is {high}.',
            f'Lower {values.label(small)} or raise {values.label(large)}.',
        )


def _same_length(values: Values, first: str, second: str) -> None:
    one, two = len(values.value(first) or ()), len(values.value(second) or ())
    if one != two:
        raise Unusable(
            f'{values.label(first)} has {one} entries, but {values.label(second)} has {two}.',
            'Give the same number in the same order.',
        )


def _overlap(values: Values, first: str, second: str) -> None:
    if not (values.is_set(first) and values.is_set(second)):
        return
    one, two = values.layer(first), values.layer(second)
    box = two.extent()
    if one.crs().isValid() and two.crs().isValid():
        transform = QgsCoordinateTransform(two.crs(), one.crs(), QgsProject.instance())
        try:
            box = transform.transformBoundingBox(box)
        except QgsCsException:
            return  # nothing can be said here; the engine has other means
    if not _have_common_area(one.extent(), box):
        raise Unusable(
            f'{values.label(first)} "{one.name()}" and {values.label(second)} "{two.name()}" '
            'do not overlap.',
            'Choose two images of the same place.',
        )


def _have_common_area(one: QgsRectangle, other: QgsRectangle) -> bool:
    common = one.intersect(other)
    return common.width() > 0 and common.height() > 0


_CHECKS: dict[str, Callable[..., None]] = {
    'less_than': _less_than,
    'one_of': _one_of,
    'overlap': _overlap,
    'same_length': _same_length,
}
