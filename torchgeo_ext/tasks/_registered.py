"""Networks and backbones by their names in the registry."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn
from torchgeo.models import get_weight
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter

#: Decoders for every backbone of the registry.
_DECODERS = ('upernet', 'fpn', 'conv')
#: Those that segmentation_models_pytorch has, too.
_ALSO_THERE = ('upernet', 'fpn')
#: Arguments of builders that tell what a network or its backbone starts from.
_WEIGHTS = ('weights', 'backbone_weights')


def takes_any_backbone(model: str, backbone: str) -> bool:
    """Tell whether a decoder goes onto a backbone of the registry.

    Backbones that segmentation_models_pytorch has by the same name are its own.
    """
    from segmentation_models_pytorch.encoders import get_encoder_names

    from torchgeo_ext.models.features import list_backbones

    if model not in _DECODERS or backbone not in list_backbones():
        return False
    return model not in _ALSO_THERE or backbone not in get_encoder_names()


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
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    strange = [] if passes_on else sorted(given.keys() - known.keys())
    if strange:
        raise BadParameter(
            f'model: {model} does not take {", ".join(strange)}.',
            f'It takes {", ".join(known)}. Choose a model made for {task}.',
        )
    network: nn.Module = registry.models[model](**given)
    return network


def build_detector(
    hparams: Mapping[str, Any], weights: Any, task: str, **arguments: Any
) -> nn.Module:
    """Build a registered detector on a backbone of choice.

    Args:
        hparams: With ``model``, ``backbone``, ``in_channels``, ``num_classes``, ``model_args``
            and ``freeze_backbone``.
        weights: Published weights of the backbone or their name; True for those of timm.
        task: What the model is for, for messages.
        arguments: Further arguments of its builder.

    Raises:
        BadParameter: If there is no such detector, backbone or weights.
    """
    backbone = hparams['backbone']
    arguments |= {
        'backbone': backbone,
        'backbone_weights': weights if weights is True else published_weights(weights, backbone),
        'num_classes': hparams['num_classes'],
        **(hparams['model_args'] or {}),
    }
    network: Any = build_registered(hparams['model'], hparams['in_channels'], arguments, task)
    if hparams['freeze_backbone']:
        network.encoder.requires_grad_(False)
    return network


def refuse_weights(model: str, weights: object) -> None:
    """See that no weights of an encoder are asked for where there is no choice of one.

    Raises:
        BadParameter: If there are some.
    """
    if weights:
        raise BadParameter(
            f'weights: {model} cannot start from {weights!r} here.',
            'Leave weights out, or load a state_dict into the model of the task.',
        )


def starting_weights(model: str, weights: WeightsEnum | str | bool | None) -> dict[str, Any]:
    """Give the argument of a registered model's builder that tells what it starts from.

    Args:
        model: Its name.
        weights: Published weights of it or of its backbone, or their name; nothing to start at
            random.

    Raises:
        BadParameter: If the builder takes no weights, or there are none of that name.
    """
    if not weights:
        return {}
    taken = [name for name in _WEIGHTS if name in builder_parameters(model)]
    if not taken or weights is True:
        refuse_weights(model, weights)
    return {taken[0]: published_weights(weights, model)}


def published_weights(weights: WeightsEnum | str | bool | None, backbone: str) -> Any:
    """Find published weights of a backbone of the registry.

    Args:
        weights: The weights or their name; nothing to start at random.
        backbone: What they are for, for messages.

    Raises:
        BadParameter: If there are no weights of that name.
    """
    if not weights or isinstance(weights, WeightsEnum):
        return weights or None
    try:
        return get_weight(str(weights))
    except ValueError as error:
        raise BadParameter(
            f'weights: {weights!r} is not the name of weights of {backbone}.',
            'Name published weights, such as VMamba_Weights.IMAGENET_TINY, or load a state_dict '
            'into the model of the task.',
        ) from error


def freeze_parts(network: nn.Module, hparams: Mapping[str, Any]) -> None:
    """Keep the encoder or the decoder of a network from learning, as a task was told.

    Args:
        network: The network.
        hparams: With ``freeze_backbone`` and ``freeze_decoder``.

    Raises:
        BadParameter: If the network has no such part.
    """
    for argument, part in (('freeze_backbone', 'encoder'), ('freeze_decoder', 'decoder')):
        if not hparams[argument]:
            continue
        if not hasattr(network, part):
            raise BadParameter(
                f'{argument}: {hparams["model"]} has no {part} of its own.',
                f'Leave {argument} out, or choose another model.',
            )
        network.get_submodule(part).requires_grad_(False)
