"""Starts a network from published or own weights, whatever bands those were trained with.

Axes: o filters, c channels, h height, w width (of a first layer's kernels).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models.channels import Adaptation, adapt_channels

#: How names begin in checkpoints of tasks, of data parallel training, and of backbones.
_PREFIXES = (
    '', 'model.', 'module.', 'encoder.', 'model.encoder.', 'backbone.', 'backbone.model.',
    'model.backbone.',
)  # fmt: skip


@dataclass(frozen=True)
class StartingPoint:
    """Weights to start from.

    Args:
        title: What they are, for people.
        state: Tensors by name.
        bands: Names of the bands they were trained with, if known.
    """

    title: str
    state: Mapping[str, Tensor]
    bands: tuple[str, ...] = ()


def load_into(
    network: nn.Module,
    start: StartingPoint,
    bands: Sequence[str],
    argument: str = 'weights',
    adaptation: Adaptation = 'auto',
) -> str:
    """Put weights into a network or its encoder, adapting the first layer to the bands.

    Args:
        network: With an ``encoder``; its first layer takes all ``bands``, or twice as many if it
            takes two dates as one image.
        start: The weights.
        bands: Names of the bands.
        argument: The argument the weights came from, for messages.
        adaptation: How filters come to these bands.

    Returns:
        What was done, in one sentence.

    Raises:
        BadParameter: If the weights are those of another network, or their filters cannot come to
            these bands in that way.
    """
    network_encoder = getattr(network, 'encoder', None)
    if not isinstance(network_encoder, nn.Module):
        raise BadParameter(
            f'{argument}: {start.title} cannot be used with this architecture, which has no '
            'encoder.',
            'Choose another architecture, or leave weights empty.',
        )
    target, state = _best_fit(network, start.state)
    prefix = '' if target is network_encoder else 'encoder.'
    encoder = {prefix + name for name in network_encoder.state_dict()}
    own = target.state_dict()
    missing = [n for n in encoder if n not in state and not n.endswith('num_batches_tracked')]
    first = _first_layer(own)
    wrong = [
        name
        for name in encoder & state.keys()
        if own[name].shape != state[name].shape and name != first
    ]
    grouped = own[first].shape[1] % len(bands) != 0
    if missing or wrong or not _adaptable(own[first], state[first], grouped):
        raise BadParameter(
            f'{argument}: {start.title} does not fit the backbone '
            f'({len(missing)} tensors are missing, {len(wrong)} have another shape).',
            'Choose the backbone the weights were trained with.',
        )
    if not grouped:
        adapted, note = adapt_channels(
            state[first], start.bands, bands, own[first].shape[1], adaptation
        )
    elif adaptation == 'auto':
        adapted, note = state[first], 'bands are taken in their order'
    else:
        raise BadParameter(
            f'adaptation is {adaptation}, but the network sees its bands in groups, so that '
            'filters cannot be found for each band.',
            'Leave it at auto.',
        )
    fitting = {n: v for n, v in state.items() if n in own and own[n].shape == v.shape}
    target.load_state_dict(fitting | {first: adapted}, strict=False)
    left = sum(1 for name in own if name not in encoder and name not in fitting)
    part = 'encoder' if target is network_encoder else 'network'
    rest = f' {left} tensors of another shape or name start at random.' if left else ''
    return f'The {part} starts from {start.title}; {note}.{rest}'


def read_tensors(path: Path, argument: str = 'weights') -> Mapping[str, Tensor]:
    """Read tensors by name from a file; code in it is never run.

    Args:
        path: A state dict (``.pt``, ``.pth``, ``.safetensors``) or a Lightning checkpoint.
        argument: The argument it came from, for messages.

    Raises:
        BadInput: If the file holds something else.
    """
    if path.suffix.lower() == '.safetensors':
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise BadInput(f'{argument}: {path} is no safetensors file ({error}).') from error
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    # torch raises UnpicklingError, EOFError, RuntimeError and others for what it cannot read
    except Exception as error:
        raise BadInput(
            f'{argument}: {path} does not hold plain weights ({type(error).__name__}).',
            'Choose a state dict or a Lightning checkpoint; others could run any code.',
        ) from error
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    tensors = {k: v for k, v in (state or {}).items() if isinstance(v, Tensor)}
    if not tensors:
        raise BadInput(f'{argument}: {path} holds no weights.', 'Choose another file.')
    return tensors


def _best_fit(network: Any, state: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Find out whose names the weights use, and under which prefix."""
    best: tuple[int, nn.Module, dict[str, Tensor]] = (-1, network.encoder, {})
    for target in (network, network.encoder):
        own = target.state_dict()
        for prefix in _PREFIXES:
            # timm's networks lie under "model" in segmentation_models_pytorch, and those of other
            # libraries under "network" in our backbones
            for added in ('', 'model.', 'network.'):
                renamed = {
                    added + name.removeprefix(prefix): value
                    for name, value in state.items()
                    if name.startswith(prefix)
                }
                hits = sum(own[name].numel() for name in renamed.keys() & own.keys())
                if hits > best[0]:
                    best = hits, target, renamed
    return best[1], best[2]


def _first_layer(state: Mapping[str, Tensor]) -> str:
    return next(name for name, value in state.items() if value.ndim == 4)


def _adaptable(own: Tensor, other: Tensor | None, grouped: bool) -> bool:
    if other is None or other.ndim != own.ndim:
        return False
    first = 1 if grouped else 2
    return own.shape[0] == other.shape[0] and own.shape[first:] == other.shape[first:]
