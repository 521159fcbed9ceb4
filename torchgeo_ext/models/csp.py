"""CSP: places and the images taken there, of species or of buildings.

Mai, G., Lao, N., He, Y., Song, J., Ermon, S. (2023). CSP: self-supervised contrastive spatial
pre-training for geospatial-visual representations. ICML. https://arxiv.org/abs/2305.01118

Neither the published code (https://github.com/gengchenmai/csp) nor its weights
(https://www.dropbox.com/s/qxr644rj1qxekn2/model_dir.zip) have a licence, so that they are only read
from a file of the user's own: :func:`~torchgeo_ext.models.location.location_encoder` takes it. What
stands here was written from the settings of the published scripts for fMoW and iNaturalist 2018
and compared with no numbers of the published code. Longitudes are not on a circle: vectors jump at
the antimeridian.

Axes: n places, d features, f frequencies.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._location import LocationEncoder
from torchgeo_ext.models._weights import accept_published_names

#: Number of frequencies, and shortest and longest wave divided by 2 pi, in degrees.
_FREQUENCIES, _SHORTEST, _LONGEST = 32, 0.1, 360.0
_WIDTH, _EMBED_DIM = 512, 256
_DROPOUT = 0.5

Activation = Literal['gelu', 'leakyrelu']
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    'gelu': nn.GELU,
    'leakyrelu': partial(nn.LeakyReLU, 0.2),
}


class _Layer(nn.Module):
    """A layer by the names of the published code, whose norm comes after the activation."""

    def __init__(self, width: int, following: int, activation: Activation, norm: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(width, following)
        self.act = _ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(_DROPOUT)
        self.layernorm = nn.LayerNorm(following) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width) to (n, following)."""
        vectors: Tensor = self.layernorm(self.dropout(self.act(self.linear(x))))
        return vectors


class CSP(LocationEncoder):
    """Sines and cosines of degrees in 32 wave lengths, and two layers.

    Args:
        activation: Of both layers: ``gelu`` in the files for fMoW, ``leakyrelu`` in those for
            iNaturalist.
        norm: Whether numbers are normalised between the layers.

    Raises:
        BadParameter: If the activation is not known.
    """

    def __init__(self, activation: Activation = 'gelu', norm: bool = True) -> None:
        if activation not in _ACTIVATIONS:
            raise BadParameter(
                f'activation is {activation!r}.', f'Choose {" or ".join(_ACTIVATIONS)}.'
            )
        super().__init__(_EMBED_DIM)
        self.layers = nn.ModuleList(
            [
                _Layer(4 * _FREQUENCIES, _WIDTH, activation, norm),
                _Layer(_WIDTH, _EMBED_DIM, activation, norm=False),
            ]
        )
        accept_published_names(self, self.own_names)

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`."""
        steps = torch.linspace(0, 1, _FREQUENCIES, dtype=torch.float64, device=longitude.device)
        lengths = _SHORTEST * (_LONGEST / _SHORTEST) ** steps
        angles = torch.stack([longitude, latitude], dim=1)[:, :, None] / lengths
        # sine and cosine of a frequency stand side by side
        x = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(self.like)
        for layer in self.layers:
            x = layer(x)
        return x

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`LocationEncoder`; leaves out classifier, users and images."""
        found = {}
        for key, value in state.items():
            own = re.sub(r'^(loc_enc\.)?(spa_enc\.ffn\.)?', '', key)
            if own.startswith('layers.'):
                found[own] = value
        return found


def csp(activation: Activation = 'gelu', norm: bool = True) -> CSP:
    """Build CSP's encoder of places, 0.2 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2305.01118

    Args:
        activation: Of both layers: ``gelu`` in the files for fMoW, ``leakyrelu`` in those for
            iNaturalist.
        norm: Whether numbers are normalised between the layers.

    Returns:
        The encoder at random weights, which gives 256 numbers.
    """
    return CSP(activation, norm)
