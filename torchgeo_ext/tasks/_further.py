"""Networks of one image, or of two dates as one, that TorchGeo's tasks do not build."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
from torch import nn
from torchvision.models import WeightsEnum

from torchgeo_ext.hub import weights_file
from torchgeo_ext.tasks._registered import build_registered, published_weights, starting_weights
from torchgeo_ext.tasks._weights import StartingPoint, load_into, read_tensors

log = logging.getLogger(__name__)

#: Decoders of segmentation_models_pytorch that TorchGeo's tasks do not offer, by name.
FURTHER_DECODERS: dict[str, Callable[..., nn.Module]] = {
    'deeplabv3': smp.DeepLabV3,
    'fpn': smp.FPN,
    'linknet': smp.Linknet,
    'manet': smp.MAnet,
    'pan': smp.PAN,
    'pspnet': smp.PSPNet,
    'unet++': smp.UnetPlusPlus,
}


def build_further(
    hparams: Mapping[str, Any],
    weights: WeightsEnum | str | bool | None,
    task: str,
    *,
    dates: int = 1,
    arguments: Mapping[str, Any] | None = None,
) -> nn.Module | None:
    """Build a further decoder with its encoder, or a registered network.

    Args:
        hparams: With ``model``, ``backbone``, ``in_channels`` (bands of each image),
            ``num_classes`` and ``num_labels``.
        weights: What to start from: published weights or their name; for an encoder also True for
            ImageNet, or a file, and filters for other bands are adapted.
        task: What the network is for, for messages.
        dates: How many images a decoder sees as one.
        arguments: Further arguments of a registered network.

    Returns:
        The network; None if its name is neither.

    Raises:
        BadParameter: If there are no such weights, or they do not fit the network.
        BadInput: If a file holds no weights.
    """
    # names are looked up when a task is made; the registry knows the tasks themselves too
    from torchgeo_ext import registry

    name, bands = hparams['model'], hparams['in_channels']
    classes = hparams['num_classes'] or hparams['num_labels'] or 1
    if name in FURTHER_DECODERS:
        network = FURTHER_DECODERS[name](
            encoder_name=hparams['backbone'],
            encoder_weights='imagenet' if weights is True else None,
            in_channels=dates * bands,
            classes=classes,
        )
        if weights and weights is not True:
            unnamed = [f'band {number}' for number in range(1, bands + 1)]
            start = _starting_point(weights, hparams['backbone'])
            log.info(load_into(network, start, unnamed))
        return network
    if name in registry.models:
        given = {'num_classes': classes, **starting_weights(name, weights), **(arguments or {})}
        return build_registered(name, bands, given, task)
    return None


def _starting_point(weights: WeightsEnum | str, backbone: str) -> StartingPoint:
    if not isinstance(weights, WeightsEnum) and Path(weights).exists():
        return StartingPoint(Path(weights).name, read_tensors(Path(weights)))
    found = published_weights(weights, backbone)
    # of no bands, as a task does not know which ones its images have
    return StartingPoint(str(found), read_tensors(weights_file(found)))
