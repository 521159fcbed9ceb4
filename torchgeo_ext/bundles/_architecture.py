"""From an architecture written as data to a network, by names known beforehand.

A bundle says ``{'class': 'SemanticSegmentation', 'arguments': {...}}``. The name is looked up in a
fixed list; nothing in a bundle is ever imported or evaluated.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torchgeo_ext.errors import BadInput, BadParameter

if TYPE_CHECKING:
    from torch import Tensor, nn

#: TorchGeo's tasks that predict rasters, classes of their tiles, or objects in them.
TORCHGEO_TASKS = (
    'SemanticSegmentation',
    'Classification',
    'ChangeDetection',
    'PixelwiseRegression',
    'ObjectDetection',
    'InstanceSegmentation',
)

#: Arguments of TorchGeo's tasks, and so of ours, that steer training and leave the network alone.
_STEERING = (
    'weights',
    'backbone_weights',
    'labels',
    'loss',
    'iou_weight',
    'mask_damage',
    'balance',
    'class_weights',
    'pos_weight',
    'ignore_index',
    'lr',
    'patience',
    'freeze_backbone',
    'freeze_decoder',
    'smoothing',
)

#: How often a normalisation was trained, which only training asks for.
_COUNTED = '.num_batches_tracked'

#: Entries of a task's state that are no part of its network.
_TRAINING_ONLY = ('criterion.', 'loss.', 'train_metrics.', 'val_metrics.', 'test_metrics.')


def known_architectures() -> dict[str, Callable[..., 'nn.Module']]:
    """List what a bundle may name as its architecture.

    Returns:
        TorchGeo's tasks in ``TORCHGEO_TASKS`` and the tasks and model builders of
        :mod:`torchgeo_ext.registry`, by name.
    """
    from torchgeo import tasks

    from torchgeo_ext import registry

    own: dict[str, Callable[..., nn.Module]] = {**registry.models, **registry.tasks}
    # TorchGeo's come last, so that nobody can stand in for them
    return own | {name: getattr(tasks, name) for name in TORCHGEO_TASKS}


def find_architecture(name: str, where: str) -> Callable[..., 'nn.Module']:
    """Find what makes the network of a bundle.

    Args:
        name: What the bundle calls it.
        where: The bundle, for messages.

    Raises:
        BadInput: If the name is not known.
    """
    from torchgeo import tasks

    if name in TORCHGEO_TASKS:
        found: Callable[..., nn.Module] = getattr(tasks, name)
        return found  # without loading all other models
    known = known_architectures()
    if name not in known:
        raise BadInput(
            f'{where} has an architecture of class {name!r}, which is not known here.',
            f'Install the plugin that brings it, or use one of: {", ".join(sorted(known))}.',
        )
    return known[name]


def build_network(architecture: Mapping[str, Any], where: str) -> 'nn.Module':
    """Build the network with random weights; nothing is downloaded.

    Args:
        architecture: ``{'class': name, 'arguments': {...}}``.
        where: The bundle, for messages.

    Returns:
        A module from normalised images (b, c, h, w), or pairs (b, t, c, h, w), to outputs
        (b, k, h, w), or (b, k) of whole tiles, before any activation; see :func:`fuses_early`.

    Raises:
        BadInput: If the class is not known or does not take these arguments.
    """
    import torch

    build = find_architecture(str(architecture['class']), where)
    arguments = _without_weights(build, architecture['arguments'])
    try:
        # the random start is thrown away, so it must not disturb the user's random numbers
        with torch.random.fork_rng(devices=[]):
            return build(**arguments).eval()
    # whatever a builder makes of arguments it cannot use
    except Exception as error:
        raise BadInput(
            f'{where}: {architecture["class"]} cannot be built with the arguments '
            f'{json.dumps(arguments)} ({type(error).__name__}: {error}).',
            'The bundle may have been made with another version of TorchGeo or of a plugin.',
        ) from error


def _without_weights(build: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Make sure that nothing is fetched: neither what a bundle asks for nor what is default."""
    own = {
        key: value
        for key, value in arguments.items()
        if not key.endswith('weights') and key != 'pretrained'
    }
    parameters = inspect.signature(build).parameters
    nothing = {'weights': None, 'pretrained': False}
    return own | {key: value for key, value in nothing.items() if key in parameters}


def fuses_early(network: 'nn.Module') -> bool:
    """Tell whether a pair of images must be stacked along the channels for this network.

    TorchGeo's ``ChangeDetection`` does so in its steps instead of in ``forward``; tasks with a
    ``forward`` of their own take pairs as they are.
    """
    from torchgeo.tasks import ChangeDetection

    if not isinstance(network, ChangeDetection):
        return False
    if type(network).forward is not ChangeDetection.forward:
        return False
    model: str = network.hparams['model']
    return not model.startswith('fcsiam') and model != 'changevit'


def shaping_arguments(name: str, hyper_parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Pick from a checkpoint's hyperparameters those that the network is built from.

    Args:
        name: Class of the task.
        hyper_parameters: As Lightning saved them.

    Returns:
        Arguments that JSON can hold.

    Raises:
        BadParameter: If one of them is something else, such as a tensor.
    """
    parameters = inspect.signature(find_architecture(name, 'checkpoint')).parameters
    arguments = {}
    for key, value in hyper_parameters.items():
        needless = key in parameters and parameters[key].default is not inspect.Parameter.empty
        # underscores: notes of Lightning's command line
        if key.startswith('_') or (needless and (key in _STEERING or value is None)):
            continue
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BadParameter(
                f'The argument {key} of {name} is {value!r:.80}, which a bundle cannot hold.',
                'Leave it out of save_hyperparameters, or make it a number, text or list.',
            ) from error
        arguments[key] = value
    return arguments


def count_parameters(network: 'nn.Module') -> int:
    """Count the numbers a network has learnt."""
    return sum(parameter.numel() for parameter in network.parameters())


def load_weights(network: 'nn.Module', state: Mapping[str, 'Tensor'], where: str) -> None:
    """Put weights into a network.

    Args:
        network: Made by :func:`build_network`.
        state: Tensors by name; see :func:`fitting_state`.
        where: Where the weights are from, for messages.

    Raises:
        BadInput: If names or shapes differ.
    """
    # not strict: a task's own state also has that of its loss
    network.load_state_dict(fitting_state(network, state, where), strict=False)


def fitting_state(
    network: 'nn.Module', state: Mapping[str, 'Tensor'], where: str
) -> dict[str, 'Tensor']:
    """Pick the weights of a network from the state of a task, checkpoint or file.

    Entries of losses and metrics are left out; a bare network's weights are accepted for a task
    that keeps it under ``model``.

    Args:
        network: What the weights are for.
        state: Tensors by name.
        where: Where the weights are from, for messages.

    Returns:
        A tensor for each name of ``network.state_dict()``.

    Raises:
        BadInput: If names or shapes differ.
    """
    wanted = {
        key: value
        for key, value in network.state_dict().items()
        if not key.startswith(_TRAINING_ONLY)
    }
    given = {key: value for key, value in state.items() if not key.startswith(_TRAINING_ONLY)}
    if not wanted.keys() & given.keys() and {f'model.{key}' for key in given} & wanted.keys():
        given = {f'model.{key}': value for key, value in given.items()}
    # a frozen normalisation does not count its batches, and nothing that predicts needs to know
    missing = [key for key in wanted.keys() - given.keys() if not key.endswith(_COUNTED)]
    problems = {
        'missing': sorted(missing),
        'not expected': sorted(k for k in given.keys() - wanted if not k.endswith(_COUNTED)),
        'of another shape': [
            f'{key} {tuple(given[key].shape)} instead of {tuple(wanted[key].shape)}'
            for key in sorted(wanted.keys() & given.keys())
            if given[key].shape != wanted[key].shape
        ],
    }
    if any(problems.values()):
        told = '; '.join(f'{what}: {_some(keys)}' for what, keys in problems.items() if keys)
        raise BadInput(
            f'The weights in {where} do not fit the architecture ({told}).',
            'Check the architecture and its arguments (backbone, in_channels, num_classes).',
        )
    return {key: value for key, value in given.items() if key in wanted}


def _some(keys: list[str], limit: int = 3) -> str:
    more = f' and {len(keys) - limit} more' if len(keys) > limit else ''
    return ', '.join(keys[:limit]) + more
