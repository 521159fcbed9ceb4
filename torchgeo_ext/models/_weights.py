"""Published weights: reading them, translating their names, fitting them to bands and classes."""

import logging
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput, BadParameter, MissingWeights
from torchgeo_ext.hub import weights_file
from torchgeo_ext.models.channels import adapt_filters

log = logging.getLogger(__name__)

#: Brings published weights to our names and leaves out what has no effect on the output; weights
#: that have our names already stay as they are.
Translate = Callable[[dict[str, Tensor]], dict[str, Tensor]]

_UNREADABLE = 'Fetch the file anew from where it is published.'

#: Where training scripts put the weights among the other things of a checkpoint.
_GROUPS = ('model_G_state_dict', 'state_dict', 'model')


def read_state(weights: WeightsEnum) -> dict[str, Any]:
    """Read a published file.

    Args:
        weights: A member of a weights enum.

    Returns:
        What the file holds.

    Raises:
        MissingWeights: If the file is not here and cannot be downloaded.
        BadInput: If it is not what was published, or holds more than plain weights.
    """
    return read_file(weights_file(weights))


def read_file(path: Path) -> dict[str, Any]:
    """Read a file of weights, of safetensors or as PyTorch saves them.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        BadInput: If it is not there, is no such file, or holds more than plain weights.
    """
    if not path.is_file():
        raise BadInput(f'{path} does not exist.', 'Check the path of the weights.')
    if path.suffix == '.safetensors':
        try:
            return load_file(path)
        except SafetensorError as error:
            raise BadInput(f'{path} is no file of safetensors ({error}).', _UNREADABLE) from error
    # training scripts save their arguments too; a Namespace holds values and runs nothing
    with torch.serialization.safe_globals([Namespace]):
        try:
            state: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
        except UnpicklingError as error:
            raise BadInput(
                f'{path} holds more than plain weights, which could run any code ({error}).',
                'Open it once where you trust it and what it was saved with is installed, and save '
                'its weights alone under the same name.',
            ) from error
        except (RuntimeError, EOFError) as error:
            raise BadInput(f'{path} is no checkpoint of PyTorch ({error}).', _UNREADABLE) from error
    return state


@contextmanager
def fetching_imagenet_weights(encoder: str) -> Iterator[None]:
    """Explain it when the library an encoder comes from cannot fetch its weights.

    Args:
        encoder: Name of the encoder.

    Raises:
        MissingWeights: If the weights are not here and cannot be downloaded.
    """
    try:
        yield
    except OSError as error:  # what Hugging Face's client raises when it has no connection
        raise MissingWeights(
            f'The ImageNet weights of {encoder} are not on this machine and could not be '
            f'downloaded ({error}).',
            'Connect to the network once, or leave them out to start at random.',
        ) from error


def weights_of_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Take the weights out of what a training script saved, parallel or not."""
    for group in _GROUPS:
        if isinstance(checkpoint.get(group), Mapping):
            checkpoint = checkpoint[group]
    return {key.removeprefix('module.'): value for key, value in checkpoint.items()}


def accept_published_names(model: nn.Module, translate: Translate) -> None:
    """Make ``model.load_state_dict`` understand published checkpoints as they are."""

    def rename(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        own = [key for key in state if key.startswith(prefix)]
        published = {key.removeprefix(prefix): state.pop(key) for key in own}
        for key, value in translate(weights_of_checkpoint(published)).items():
            state[prefix + key] = value

    model.register_load_state_dict_pre_hook(rename)


def load_fitting(
    model: nn.Module,
    state: Mapping[str, Tensor],
    bands: Iterable[str] = (),
    heads: Iterable[str] = (),
) -> None:
    """Load weights into a model that may have other numbers of bands and classes.

    Args:
        model: What to load into.
        state: Weights under the model's names.
        bands: Names of convolutions' weights whose filters run over the bands; see
            :func:`~torchgeo_ext.models.channels.adapt_filters`.
        heads: Prefixes of the last layers, which stay as they are when the classes differ.
    """
    own = model.state_dict()
    fitted = dict(state)
    for key in bands:
        wanted = own[key].shape[1]
        if fitted[key].shape[1] != wanted:
            log.info(
                'Filters of %d bands in %s were adapted to %d bands.',
                fitted[key].shape[1],
                key,
                wanted,
            )
            fitted[key] = adapt_filters(wanted, fitted[key])
    for key in own:
        if key.startswith(tuple(heads)) and fitted[key].shape != own[key].shape:
            log.info('%s starts at random: the published one has other classes.', key)
            fitted[key] = own[key]
    model.load_state_dict(fitted)


def load_exactly(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights that must be all there.

    Args:
        model: What to load into.
        state: Weights under the model's names.
        where: Where they are from, for messages.

    Raises:
        BadInput: If names or shapes differ.
    """
    own = model.state_dict()
    problems = {
        'missing': own.keys() - state.keys(),
        'not expected': state.keys() - own.keys(),
        'of another shape': {
            f'{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}'
            for key in own.keys() & state.keys()
            if state[key].shape != own[key].shape
        },
    }
    if any(problems.values()):
        told = (f'{what}: {", ".join(sorted(keys))}' for what, keys in problems.items() if keys)
        raise BadInput(
            f'The weights in {where} do not fit ({"; ".join(told)}).',
            'Check that they are those of this model and size.',
        )
    model.load_state_dict(state)


def choose_classes(
    state: Mapping[str, Tensor], weights: WeightsEnum, classes: Sequence[str], head: str
) -> dict[str, Tensor]:
    """Bring the outputs of published weights into another order of classes.

    Args:
        state: The weights under the model's names.
        weights: What they are, with the names of their classes.
        classes: Names wanted, some or all of those.
        head: How the names of the last layer's weights begin.

    Returns:
        All weights, with the rows of the last layer chosen.

    Raises:
        BadParameter: If the weights do not know one of the classes.
    """
    known = list(weights.meta['classes'])
    if strange := [name for name in classes if name not in known]:
        raise BadParameter(
            f'classes: {weights} does not know {", ".join(strange)}.',
            f'Choose among {", ".join(known)}.',
        )
    rows = [known.index(name) for name in classes]
    return {key: value[rows] if key.startswith(head) else value for key, value in state.items()}


def check_model(weights: WeightsEnum, name: str) -> None:
    """See that published weights are those of a model.

    Raises:
        BadParameter: If they are not.
    """
    if weights.meta['model'] != name:
        raise BadParameter(
            f'The weights {weights} are those of {weights.meta["model"]}, not of {name}.',
            f'Build {weights.meta["model"]}, or choose other weights.',
        )
