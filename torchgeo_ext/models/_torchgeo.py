"""Makes models known to TorchGeo's own ``get_model``, ``get_weight`` and ``list_models``.

TorchGeo has no function to register a model, so this writes into two private dictionaries of
``torchgeo.models.api``. It is the only place that does; a test notices when they change.
"""

import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any

from torchgeo.models import api
from torchvision.models import WeightsEnum


def teach(builders: Iterable[Callable[..., Any]]) -> None:
    """Add model builders, with the weights that fit them, to TorchGeo's registry.

    Args:
        builders: Functions that build a model.

    Raises:
        RuntimeError: If a name is already taken by another model of TorchGeo.
    """
    for builder in builders:
        name = builder.__name__
        if api._model.get(name, builder) is not builder:
            raise RuntimeError(f'TorchGeo has a model called {name!r}; yours needs another name')
        api._model[name] = builder
        weights = weights_of(builder)
        if weights is not None:
            api._model_weights[builder] = weights
            api._model_weights[name] = weights


def weights_of(builder: Callable[..., Any]) -> type[WeightsEnum] | None:
    """Find the weights of a model builder from the annotation of its ``weights`` argument.

    Args:
        builder: A function that builds a model.

    Returns:
        The enum, or None when the builder has no published weights.
    """
    if 'weights' not in inspect.signature(builder).parameters:
        return None
    hint = typing.get_type_hints(builder).get('weights')
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, WeightsEnum):
            return candidate
    return None
