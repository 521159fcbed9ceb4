"""From what the user names - a bundle or a published model - to something that can be built."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torchgeo_ext.bundles import Band, Bundle, BundleCard, ModelClass, read_bundle
from torchgeo_ext.bundles._item import ITEM
from torchgeo_ext.errors import BadInput
from torchgeo_ext.ready import ReadyBand, ReadyModel, ready_model

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torchvision.models import WeightsEnum

    from torchgeo_ext.bundles._card import Task

log = logging.getLogger(__name__)

#: Margin, as a share of the tile, in which convolutional networks are less sure.
_HALO = 8


def open_model(bundle: Any, model: str | None, task: str, dates: int) -> Bundle:
    """Open the model an operation was given.

    Args:
        bundle: Path of the user's own model, or None.
        model: Name of a published one, used when there is no bundle.
        task: What the operation needs.
        dates: How many images it puts in.

    Returns:
        The model; its weights are verified but not loaded yet.

    Raises:
        BadInput: If it was made for something else, or is no bundle.
        MissingWeights: If published weights are not here and cannot be fetched.
    """
    if bundle is None:
        return _published(ready_model(cast('str', model)))
    opened = read_bundle(bundle)
    card = opened.card
    if card.task != task or card.dates != dates:
        raise BadInput(
            f'bundle: {bundle} ({card.name}) does {card.task} with {card.dates} image(s), but '
            f'{task} with {dates} is needed.',
            'Choose another bundle or the operation that goes with this one.',
        )
    return opened


def published_card(ready: ReadyModel) -> BundleCard:
    """Describe a published model that makes maps as a bundle does; this loads torch."""
    one_score = ready.task == 'change' and len(ready.classes) == 2
    return BundleCard(
        name=ready.name,
        description=ready.title,
        task=cast('Task', ready.task),
        bands=_bands(ready.bands),
        bands_after=_bands(ready.bands_after),
        classes=tuple(
            ModelClass(value, name, color)
            for value, (name, color) in enumerate(ready.classes, ready.first_value)
        ),
        architecture=_architecture(ready),
        output_activation='sigmoid' if one_score else 'softmax',
        dates=ready.dates,
        tile_size=ready.tile_size,
        halo=ready.tile_size // _HALO,
        resolution_minimum=ready.resolution[0],
        resolution_maximum=ready.resolution[1],
        license=ready.license,
        citation=ready.source,
        training={'units': ready.units} if ready.units else {},
    )


def _bands(bands: Sequence[ReadyBand]) -> tuple[Band, ...]:
    return tuple(Band(band.name, band.wavelength, mean=band.mean, std=band.std) for band in bands)


def build_model(bundle: Bundle) -> 'nn.Module':
    """Build the predictor of a model, or give that of the last call if the model is the same.

    Rows of a batch that run in one engine share it so.

    Args:
        bundle: The model, just opened and so verified.

    Returns:
        A module in evaluation mode, on whatever device it was used last.
    """
    key = _state(bundle.path)
    if key not in _built or _built[key][0] != bundle.card:
        _built.clear()
        _built[key] = bundle.card, bundle.build()
    return _built[key][1]


#: The predictor built last and what it reads, by the state of the files it came from.
_built: 'dict[tuple[str, int, int], tuple[BundleCard, nn.Module]]' = {}


def _state(path: Path) -> tuple[str, int, int]:
    # the item of a bundle holds the hashes of its files, so it changes with them
    file = path / ITEM if path.is_dir() else path
    status = file.stat()
    return str(file.resolve()), status.st_mtime_ns, status.st_ino


def _architecture(ready: ReadyModel) -> dict[str, Any]:
    if ready.builder:
        return {'class': ready.builder, 'arguments': {}}
    meta = _weights(ready).meta
    return {
        'class': 'SemanticSegmentation',
        'arguments': {
            'model': 'unet',
            'backbone': meta['encoder'],
            'in_channels': meta['in_chans'],
            'num_classes': meta['num_classes'],
            'task': 'multiclass',
        },
    }


def _published(ready: ReadyModel) -> Bundle:
    from torchgeo_ext.hub import weights_file

    path = weights_file(_weights(ready))
    log.info('Weights %s (licence: %s)', ready.name, ready.license)
    return Bundle(path, published_card(ready), lambda: _load(ready, path))


def _weights(ready: ReadyModel) -> 'WeightsEnum':
    from torchgeo.models import get_weight

    from torchgeo_ext import registry

    if ready.builder:
        # teaches TorchGeo the names of our weights
        registry.models[ready.builder]
    return get_weight(ready.weights)


def _load(ready: ReadyModel, path: Path) -> 'Mapping[str, Tensor]':
    import torch

    if ready.builder:
        from torchgeo_ext import registry

        # the builder knows how keys of older files are called today
        network: nn.Module = registry.models[ready.builder](weights=_weights(ready))
        return network.state_dict()
    # the file was verified; weights_only keeps even a verified one from running code
    loaded: Mapping[str, Tensor] = torch.load(path, map_location='cpu', weights_only=True)
    return loaded
