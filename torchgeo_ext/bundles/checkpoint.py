"""Reads Lightning checkpoints of tasks for rasters and their tiles, without unpickling objects.

A checkpoint holds weights and the arguments of its task, but neither the bands and their
statistics nor, as a rule, the name of its class. Data modules may add what they know, as
:class:`~torchgeo_ext.datamodules.GeoTIFFDataModule` does.
"""

import dataclasses
import inspect
import json
import os
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchgeo_ext.bundles._architecture import (
    TORCHGEO_TASKS,
    build_network,
    find_architecture,
    fitting_state,
    known_architectures,
    shaping_arguments,
)
from torchgeo_ext.bundles._card import (
    DETECTING,
    PLACE,
    SEVERAL_MAPS,
    Activation,
    Band,
    BundleCard,
    ModelClass,
    Task,
)
from torchgeo_ext.bundles._read import Bundle
from torchgeo_ext.colors import DAMAGE_COLORS, choose_colors
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.hub import sha256

if TYPE_CHECKING:
    from torch import Tensor

#: Key in the state of a data module (``LightningDataModule.state_dict``) of what it knows for the
#: card: ``bands`` and ``classes`` as dicts, and other fields of :class:`BundleCard`, all plain.
DATA_CARD = 'bundle_card'

#: TorchGeo's data modules divide by this unless they say otherwise (``BaseDataModule.std``).
TORCHGEO_STD = 255.0

_NOTHING, _SOMETHING = '#d9d9d9', '#e31a1c'


def read_checkpoint(
    path: str | os.PathLike[str], argument: str = 'checkpoint', *, architecture: str | None = None
) -> Bundle:
    """Read a checkpoint of a task that predicts rasters, or classes of their tiles.

    What neither the task nor its data module says in it is filled in: bands are numbered and
    divided by 255, as TorchGeo does unless told otherwise; classes are numbered unless the task
    has labels. Replace in the card what you know better.

    Args:
        path: A file written by Lightning.
        argument: The argument it came from, for messages.
        architecture: Name of the task's class; found out if not given.

    Returns:
        A bundle that exists in memory only.

    Raises:
        BadInput: If it is no checkpoint, would have to be unpickled, or fits no known task.
        BadParameter: If it could be of several tasks.
    """
    source = Path(path).expanduser()
    content = _load(source, argument)
    where = f'{argument}: {source}'
    hyper_parameters = content['hyper_parameters']
    state = content['state_dict']
    name, arguments = _find_task(hyper_parameters, state, where, architecture)
    card = _card(source, name, arguments, hyper_parameters, content)
    card = _with_data_card(card, content)
    if getattr(find_architecture(name, where), 'reads_places', False):
        card = dataclasses.replace(card, bands=(*card.bands, *map(Band, PLACE)))
    return Bundle(source, card, lambda: state)


def _load(path: Path, argument: str) -> Mapping[str, Any]:
    import torch

    if not path.is_file():
        raise BadInput(f'{argument}: {path} does not exist.', 'Check the path.')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise _would_run_code(path, argument, error) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise BadInput(
            f'{argument}: {path} cannot be read as a checkpoint ({error}).',
            'Choose a .ckpt file written by Lightning; copy it again if it is incomplete.',
        ) from error
    parts = ('state_dict', 'hyper_parameters')
    if not isinstance(content, Mapping) or not all(
        isinstance(content.get(part), Mapping) for part in parts
    ):
        raise BadInput(
            f'{argument}: {path} is no checkpoint of a Lightning task: it lacks '
            f'{" or ".join(parts)}.',
            'Choose the .ckpt that the Trainer wrote (the task must call save_hyperparameters).',
        )
    return content


def _would_run_code(path: Path, argument: str, error: Exception) -> BadInput:
    # as in "Unsupported global: GLOBAL package.Class was not an allowed global"
    match = re.search(r'\b(?:GLOBAL|global|class) `?(\w+\.[\w.]+\w)', str(error))
    what = f'objects of {match.group(1)}' if match else 'more than tensors and plain values'
    return BadInput(
        f'{argument}: {path} is not opened because it holds {what}, and unpickling can run any '
        'code.',
        'Where you trained it, and if you trust it, load it and save it anew with plain values '
        "only: torch.save({'state_dict': ..., 'hyper_parameters': {...}}, 'plain.ckpt').",
    )


def _find_task(
    hyper_parameters: Mapping[str, Any],
    state: 'Mapping[str, Tensor]',
    where: str,
    architecture: str | None,
) -> tuple[str, dict[str, Any]]:
    """Find the class of the task, and the arguments its network is built from."""
    # Lightning's command line leaves the path of the class; only its name is used
    told = architecture or str(hyper_parameters.get('_class_path', '')).rpartition('.')[2]
    if told:
        find_architecture(told, where)
        arguments = shaping_arguments(told, hyper_parameters)
        fitting_state(build_network({'class': told, 'arguments': arguments}, where), state, where)
        return told, arguments
    fitting = _fitting_tasks(hyper_parameters, state)
    if not fitting:
        raise BadInput(
            f'{where} fits no task that predicts rasters (its arguments are '
            f'{", ".join(sorted(map(str, hyper_parameters)))}).',
            f'Use a checkpoint of {", ".join(TORCHGEO_TASKS)} or of a task of an installed plugin.',
        )
    if len(fitting) > 1:
        names = ' or '.join(fitting)
        raise BadParameter(f'{where} could be of {names}.', f'Give architecture: {names}.')
    return fitting.popitem()


def _fitting_tasks(
    hyper_parameters: Mapping[str, Any], state: 'Mapping[str, Tensor]'
) -> dict[str, dict[str, Any]]:
    from lightning.pytorch import LightningModule

    classes = {
        name: build
        for name, build in known_architectures().items()
        if isinstance(build, type) and issubclass(build, LightningModule)
    }
    fitting = {}
    for name, build in classes.items():
        taken = inspect.signature(build).parameters
        if not all(key in taken or key.startswith('_') for key in hyper_parameters):
            continue
        try:
            arguments = shaping_arguments(name, hyper_parameters)
            fitting_state(build_network({'class': name, 'arguments': arguments}, ''), state, '')
        except (BadInput, BadParameter):
            continue  # of another task
        fitting[name] = arguments
    # a subclass that takes the same arguments and weights has the network of its base
    return {
        name: arguments
        for name, arguments in fitting.items()
        if not any(base != name and issubclass(classes[name], classes[base]) for base in fitting)
    }


def _card(
    source: Path,
    name: str,
    arguments: Mapping[str, Any],
    hyper_parameters: Mapping[str, Any],
    content: Mapping[str, Any],
) -> BundleCard:
    task = _task(name)
    kind = arguments.get('task', 'binary' if task == 'change' else 'multiclass')
    activation: Activation = 'softmax' if kind == 'multiclass' else 'sigmoid'
    labels = [str(label) for label in hyper_parameters.get('labels') or ()]
    regression, geolocation = task == 'regression', task == 'geolocation'
    if task in SEVERAL_MAPS:
        classes = _land_cover(task, hyper_parameters)
        tells_where = task == 'map_update' and not hyper_parameters.get('semantic')
        activation = 'sigmoid' if tells_where else 'softmax'
    else:
        nothing = regression or geolocation
        classes = () if nothing else _classes(kind, arguments, labels, task)
    if task in DETECTING:
        classes, activation = classes[1:], 'none'  # label 0 is the background
    return BundleCard(
        name=source.stem,
        description=f'{name} from the checkpoint {source.name}.',
        task=task,
        bands=tuple(
            Band(f'band {i + 1}', std=TORCHGEO_STD) for i in range(arguments.get('in_channels', 3))
        ),
        classes=classes,
        dates=2 if task == 'change' or task in SEVERAL_MAPS else 1,
        architecture={'class': name, 'arguments': dict(arguments)},
        output_activation='none' if regression else activation,
        multilabel=kind == 'multilabel' and not regression,
        variables=tuple(labels) if regression else (),
        training={
            'checkpoint': source.name,
            'checkpoint_sha256': sha256(source),
            'epoch': content.get('epoch'),
            'global_step': content.get('global_step'),
            'lightning': content.get('pytorch-lightning_version'),
            'hyper_parameters': _plain(hyper_parameters),
        },
    )


def _with_data_card(card: BundleCard, content: Mapping[str, Any]) -> BundleCard:
    """Put in what the data module of the training knew."""
    parts = [part for part in content.values() if isinstance(part, Mapping) and DATA_CARD in part]
    if not parts:
        return card
    told = dict(parts[0][DATA_CARD])
    bands = tuple(Band(**entry) for entry in told.pop('bands'))
    classes = tuple(ModelClass(**entry) for entry in told.pop('classes'))
    if len(bands) != len(card.bands):
        # another module than the one it was trained with, or a network that does not fit it
        return card
    if len(classes) != len(card.classes):
        # a network of more classes than the labels had; bands were normalised all the same
        classes = card.classes
    elif card.outputs == 1 and card.task not in (*SEVERAL_MAPS, *DETECTING):
        classes = tuple(dataclasses.replace(c, value=i) for i, c in enumerate(classes))
    training = {**card.training, **told.pop('training', {})}
    return dataclasses.replace(card, bands=bands, classes=classes, training=training, **told)


def _task(name: str) -> Task:
    from torchgeo import tasks

    build = find_architecture(name, 'checkpoint')
    # tasks of ours, or of a plugin, say so themselves
    if hasattr(build, 'predicts'):
        told: Task | None = build.predicts
        if told is None:
            raise BadInput(
                f'checkpoint: {name} classifies no pixels or tiles, which every bundle does.',
                'Use the task itself with load_from_checkpoint.',
            )
        return told
    if isinstance(build, type) and issubclass(build, tasks.ChangeDetection):
        return 'change'
    if isinstance(build, type) and issubclass(build, tasks.PixelwiseRegression):
        return 'regression'
    if isinstance(build, type) and issubclass(build, tasks.Classification):
        return 'classification'
    if isinstance(build, type) and issubclass(build, tasks.ObjectDetection):
        return 'detection'
    if isinstance(build, type) and issubclass(build, tasks.InstanceSegmentation):
        return 'instance_segmentation'
    return 'segmentation'


def _land_cover(task: Task, hyper_parameters: Mapping[str, Any]) -> tuple[ModelClass, ...]:
    """Name the classes of a task of several maps, whose number counts one for none of them."""
    if task == 'building_damage':
        from torchgeo_ext.metrics.xview2_score import DAMAGE_LEVELS

        levels = hyper_parameters['levels']
        names = [level.replace('_', ' ') for level in DAMAGE_LEVELS[levels]]
        colors: Sequence[str] = DAMAGE_COLORS[levels]
    else:
        count = hyper_parameters['map_classes' if task == 'map_update' else 'num_classes']
        names = [f'class {value}' for value in range(1, count)]
        colors = choose_colors(names)
    entries = zip(names, colors, strict=True)
    return tuple(ModelClass(value, *entry) for value, entry in enumerate(entries, 1))


def _classes(
    kind: str, arguments: Mapping[str, Any], labels: Sequence[str], task: Task
) -> tuple[ModelClass, ...]:
    count = arguments.get('num_labels' if kind == 'multilabel' else 'num_classes') or 1
    count = 2 if kind == 'binary' else count
    names = [f'class {i}' for i in range(count)]
    colors: dict[int, str] = {}
    if kind == 'binary' or (task == 'change' and count == 2):
        colors = {0: _NOTHING, 1: _SOMETHING}
        names = ['no change', 'change'] if task == 'change' else ['background', 'foreground']
    if len(labels) == count:
        names = [*labels]
    elif len(labels) == 1 and kind == 'binary':
        names = [names[0], labels[0]]
    chosen = choose_colors(names, colors)
    return tuple(ModelClass(i, names[i], chosen[i]) for i in range(count))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what JSON can hold, and how the rest looks."""

    def keep(value: Any) -> Any:
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            return value.tolist() if hasattr(value, 'tolist') else str(value)
        return value

    return {str(key): keep(value) for key, value in values.items()}
