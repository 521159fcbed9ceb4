"""Classes of a map: pixel value, name, colour."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torchgeo_ext.colors import choose_colors

#: Index of pixels that are neither learned from nor evaluated.
IGNORE = -1


class LabelClass(NamedTuple):
    """One class.

    Args:
        value: Pixel value in maps, 0 to 65534.
        name: Name for people.
        color: ``#rrggbb``.
    """

    value: int
    name: str
    color: str


def make_classes(
    values: Iterable[int],
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, str] | None = None,
) -> tuple[LabelClass, ...]:
    """Give names and colours to class values.

    Args:
        values: The values, each once.
        names: Names that are known; others are called "class 7".
        colors: Colours that are known; others are chosen by the name.
    """
    values, colors = sorted(values), colors or {}
    titles = [(names or {}).get(value) or f'class {value}' for value in values]
    known = {position: colors[v] for position, v in enumerate(values) if colors.get(v)}
    chosen = choose_colors(titles, known)
    return tuple(LabelClass(*entry) for entry in zip(values, titles, chosen, strict=True))
