"""Which classes of two tables mean the same: by a table of the user's, by name or by value."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torchgeo_ext.errors import BadParameter

if TYPE_CHECKING:
    import logging

    from torchgeo_ext.inference.outputs import ClassLike

#: Number of a class that is left out, and of one without counterpart.
LEFT_OUT, UNKNOWN = -1, -2


def match_numbers(
    classes: 'Sequence[ClassLike]',
    others: 'Sequence[ClassLike]',
    mapping: Sequence[Sequence[Any]],
    log: 'logging.Logger',
    *,
    whose: str,
    by_value: bool,
) -> list[int]:
    """Find for each class of a map the one that means the same.

    What ``mapping`` does not say is told by the names.

    Args:
        classes: The classes of the map.
        others: Those to find among.
        mapping: Rows of a class of the map and one of the others, each by value or name. An empty
            other leaves the pixels of the map's class out.
        log: Told of rows about classes that do not occur.
        whose: Whose the others are, for messages.
        by_value: Whether classes whose names tell nothing may be found by their values.

    Returns:
        For each class the number of the other from 0, ``LEFT_OUT`` or ``UNKNOWN``.

    Raises:
        BadParameter: If there is no such other, or a class of the map is in two rows.
    """
    names = {_plain(entry.name): number for number, entry in enumerate(others)}
    values = {entry.value: number for number, entry in enumerate(others)}
    said = _said(mapping, names | {str(value): n for value, n in values.items()}, others, whose)
    numbers: list[int] = []
    for entry in classes:
        keys = [key for key in (str(entry.value), _plain(entry.name)) if key in said]
        number = said.pop(keys[0]) if keys else names.get(_plain(entry.name), UNKNOWN)
        if number == UNKNOWN and by_value:
            number = values.get(entry.value, UNKNOWN)
        numbers.append(number)
    if said:
        log.warning('mapping: %s do not occur in the map here', ', '.join(said))
    return numbers


def listed(classes: 'Sequence[ClassLike]') -> str:
    """Write values and names of classes for a message."""
    return ', '.join(f'{entry.value} ({entry.name})' for entry in classes)


def nameless(classes: 'Sequence[ClassLike]') -> bool:
    """Tell whether classes have no names but those that their values gave them."""
    return all(entry.name == f'class {entry.value}' for entry in classes)


def _plain(name: Any) -> str:
    return str(name).strip().casefold()


def _said(
    mapping: Sequence[Sequence[Any]],
    known: Mapping[str, int],
    others: 'Sequence[ClassLike]',
    whose: str,
) -> dict[str, int]:
    said: dict[str, int] = {}
    for row in mapping:
        mapped, meant = (_plain('' if cell is None else cell) for cell in row)
        if meant and meant not in known:
            raise BadParameter(
                f'mapping: {whose} has no class {row[1]!r}; it knows {listed(others)}.'
            )
        if mapped in said:
            raise BadParameter(f'mapping: {row[0]!r} is there twice.', 'Leave one of them out.')
        said[mapped] = known[meant] if meant else LEFT_OUT
    return said
