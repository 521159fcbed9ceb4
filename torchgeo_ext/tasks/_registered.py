"""Networks by their names in the registry."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from torchgeo_ext.errors import BadParameter


def builder_parameters(model: str) -> Mapping[str, inspect.Parameter]:
    """Give what the builder of a registered model takes.

    Raises:
        BadParameter: If no model is called so.
    """
    # names are looked up when a task is made; the registry knows the tasks themselves too
    from torchgeo_ext import registry

    return inspect.signature(registry.models[model]).parameters


def build_registered(
    model: str, in_channels: int, arguments: Mapping[str, Any], task: str
) -> nn.Module:
    """Build a registered model.

    Args:
        model: Its name.
        in_channels: Bands of each image.
        arguments: Further arguments of its builder.
        task: What the model is for, for messages.

    Raises:
        BadParameter: If the builder does not take one of the arguments.
    """
    from torchgeo_ext import registry

    known = builder_parameters(model)
    bands = 'in_chans' if 'in_chans' in known else 'in_channels'
    given = {bands: in_channels} | dict(arguments)
    if strange := sorted(given.keys() - known.keys()):
        raise BadParameter(
            f'model: {model} does not take {", ".join(strange)}.',
            f'It takes {", ".join(known)}. Choose a model made for {task}.',
        )
    network: nn.Module = registry.models[model](**given)
    return network
