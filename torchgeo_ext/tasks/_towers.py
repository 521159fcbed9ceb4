"""Towers: networks of different kinds that end in vectors of one length.

Axes: n things of a kind, d features.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torchgeo.models import get_weight

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.features import TIMM, Backbone, backbone_features, list_backbones
from torchgeo_ext.models.location import location_encoder, location_names
from torchgeo_ext.tasks._vectors import vector_width


class Tower(nn.Module):
    """An encoder and a linear layer onto the features that all towers share.

    Args:
        encoder: A backbone, or a network that gives vectors (n, width).
        width: Length of its vectors.
        embed_dim: Length of those of the tower.
    """

    def __init__(self, encoder: nn.Module, width: int, embed_dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Linear(width, embed_dim)

    def forward(self, x: Any) -> Tensor:
        """Give the vectors (n, d) of images or whatever the encoder takes."""
        encoder = self.encoder
        vectors = encoder.embed(x) if isinstance(encoder, Backbone) else encoder(x)
        projected: Tensor = self.projection(vectors.to(self.projection.weight.dtype))
        return projected


def build_tower(given: Any, embed_dim: int) -> nn.Module:
    """Build a tower.

    Args:
        given: A network, which is used as it is; the name of a backbone, of an encoder of places or
            of another registered network that tells its ``embed_dim``; or a mapping with that name
            as ``model`` and further arguments of its builder, such as ``weights``.
        embed_dim: Length of the vectors.

    Raises:
        BadParameter: If there is no such network, or it does not end in vectors.
    """
    if isinstance(given, nn.Module):
        return given
    arguments = dict(given) if isinstance(given, Mapping) else {'model': given}
    name = arguments.pop('model', None)
    if not isinstance(name, str):
        raise BadParameter(
            f'towers: {given!r} names no model.', 'Give its name, or a mapping with model.'
        )
    encoder, width = _encoder(name, arguments)
    # encoders come in evaluation mode, in which a training leaves them
    return Tower(encoder.train(), width, embed_dim)


def _encoder(name: str, arguments: dict[str, Any]) -> tuple[nn.Module, int]:
    if name in location_names():
        places = location_encoder(name, **arguments)
        return places, places.embed_dim
    if name.startswith(TIMM) or name in list_backbones():
        weights = arguments.pop('weights', None)
        if isinstance(weights, str):
            weights = get_weight(weights)
        backbone = backbone_features(name, weights, **arguments)
        bands = arguments.get('in_chans') or len(arguments.get('bands', ())) or 3
        return backbone, vector_width(backbone, bands)
    # names are looked up when a task is made; the registry knows the tasks themselves too
    from torchgeo_ext import registry

    network: nn.Module = registry.models[name](**arguments)
    width = getattr(network, 'embed_dim', None)
    if not isinstance(width, int):
        raise BadParameter(
            f'towers: {name} does not tell the length of its vectors (embed_dim).',
            'Choose a backbone or an encoder of places, or give a module that ends in vectors.',
        )
    return network, width
