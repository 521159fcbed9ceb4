"""Optimisers as published trainings have them: groups of parameters with values of their own."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from torchgeo_ext.errors import BadParameter


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are trained in a way of their own.

    Args:
        match: Regular expression; parameters in whose name it is found are in the group.
        lr: Their learning rate; that of the optimiser if not given.
        weight_decay: Their weight decay; that of the optimiser if not given.
    """

    match: str
    lr: float | None = None
    weight_decay: float | None = None

    @property
    def options(self) -> dict[str, float]:
        """What differs from the optimiser."""
        options = {'lr': self.lr, 'weight_decay': self.weight_decay}
        return {name: value for name, value in options.items() if value is not None}


def group_parameters(
    named: Iterable[tuple[str, nn.Parameter]], groups: Sequence[ParameterGroup]
) -> list[dict[str, Any]]:
    """Deal parameters out to groups; each goes to the first that matches, the rest to none.

    Args:
        named: Parameters with their names.
        groups: What makes a group.

    Returns:
        What torch's optimisers take as ``params``.

    Raises:
        BadParameter: If no parameter is left for a group.
    """
    rest: list[nn.Parameter] = []
    members: list[list[nn.Parameter]] = [[] for _ in groups]
    for name, parameter in named:
        fitting = (own for own, group in zip(members, groups, strict=True) if _fits(name, group))
        next(fitting, rest).append(parameter)
    for own, group in zip(members, groups, strict=True):
        if not own:
            raise BadParameter(
                f'parameter_groups: no parameter is left for {group.match!r}.',
                'Choose an expression that is found in names of parameters, such as '
                'model.encoder; the first group that fits takes a parameter.',
            )
    return list(_options(rest, members, groups))


def _options(
    rest: list[nn.Parameter], members: list[list[nn.Parameter]], groups: Sequence[ParameterGroup]
) -> Iterator[dict[str, Any]]:
    if rest:
        yield {'params': rest}
    for own, group in zip(members, groups, strict=True):
        yield {'params': own, **group.options}


def _fits(name: str, group: ParameterGroup) -> bool:
    return re.search(group.match, name) is not None
