"""Conditions between several parameters of an operation.

Each has a name and the names of the parameters it looks at, which is all a description says of
it. The function here is the authority; ``qgis_plugin/checks.py`` repeats the cheap ones so that a
dialog can complain before anything starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torchgeo_ext.errors import BadInput, BadParameter


@dataclass(frozen=True)
class Check:
    """A named condition on some parameters."""

    name: str
    arguments: tuple[str, ...]
    function: Callable[..., None]

    def describe(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {'name': self.name, 'arguments': list(self.arguments)}

    def __call__(self, values: Mapping[str, Any]) -> None:
        """Raise when ``values`` do not fulfil the condition."""
        self.function(self.arguments, [values.get(name) for name in self.arguments])


def one_of(*arguments: str) -> Check:
    """Exactly one of these is given."""
    return Check('one_of', arguments, _one_of)


def _one_of(names: tuple[str, ...], values: list[Any]) -> None:
    given = [name for name, value in zip(names, values, strict=True) if value not in (None, '')]
    if len(given) != 1:
        found = ' and '.join(given) if given else 'none of them'
        raise BadParameter(
            f'Exactly one of {", ".join(names)} is needed, but {found} was given.',
            f'Give {" or ".join(names)}.',
        )


def less_than(smaller: str, larger: str) -> Check:
    """The first number is smaller than the second; 0 and below mean automatic and pass."""
    return Check('less_than', (smaller, larger), _less_than)


def _less_than(names: tuple[str, ...], values: list[Any]) -> None:
    small, large = values
    if small is not None and large is not None and large > 0 and small >= large:
        raise BadParameter(
            f'{names[0]} is {small}, but must be smaller than {names[1]}, which is {large}.',
            f'Lower {names[0]} or raise {names[1]}.',
        )


def same_length(first: str, second: str) -> Check:
    """Two lists have as many entries."""
    return Check('same_length', (first, second), _same_length)


def _same_length(names: tuple[str, ...], values: list[Any]) -> None:
    first, second = (len(value or ()) for value in values)
    if first != second:
        raise BadParameter(
            f'{names[0]} has {first} entries, but {names[1]} has {second}.',
            'Give the same number in the same order.',
        )


def overlap(first: str, second: str) -> Check:
    """Two rasters show a common place."""
    return Check('overlap', (first, second), _overlap)


def _overlap(names: tuple[str, ...], values: list[Any]) -> None:
    from torchgeo_ext.inference.grid import Grid
    from torchgeo_ext.inference.reader import open_raster

    with open_raster(values[0], names[0]) as first, open_raster(values[1], names[1]) as second:
        grids = Grid.of(first, names[0]), Grid.of(second, names[1])
    if (grids[0].crs is None) != (grids[1].crs is None):
        index = 0 if grids[0].crs is None else 1
        raise BadInput(
            f'{names[index]}: {values[index]} has no coordinate reference system, '
            f'but {names[1 - index]} has one ({grids[1 - index].crs}).',
            'Assign the right one (in QGIS: Raster > Projections > Assign projection).',
        )
    if not grids[0].overlaps(grids[1]):
        said = [
            f'{name} ({value}: {", ".join(f"{v:.6g}" for v in grid.bounds)})'
            for name, value, grid in zip(names, values, grids, strict=True)
        ]
        raise BadInput(
            f'{said[0]} and {said[1]} do not overlap.', 'Choose two images of the same place.'
        )
