"""Climplicit: the climate of places, month by month.

Dollinger, J. et al. (2025). Climplicit: climatic implicit embeddings for global ecological tasks.
https://arxiv.org/abs/2504.05089

Neither the published code (https://github.com/ecovision-uzh/climplicit) nor its weights
(https://huggingface.co/Jobedo/climplicit) have a licence, so that they are only read from a file of
the user's own: :func:`~torchgeo_ext.models.location.location_encoder` takes it. What stands here
was compared with no numbers of the published code. Longitudes are not on a circle: vectors jump at
the antimeridian.

Axes: n places, d features.
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torchgeo.models.satclip import SineActivation, Siren, SirenNet

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._location import LocationEncoder
from torchgeo_ext.models._weights import accept_published_names

_WIDTH, _LAYERS, _EMBED_DIM = 512, 16, 256
#: One of each season, as published.
_MONTHS = (3, 6, 9, 12)
_NAMES = 'location_encoder.'


class Climplicit(LocationEncoder):
    """A deep network of sines whose layers are averaged with those before.

    Args:
        months: Months, 1 to 12, whose vectors of 256 numbers follow one another.

    Raises:
        BadParameter: If there is no month, or one that is none.
    """

    def __init__(self, months: Sequence[int] = _MONTHS) -> None:
        if not months or not all(1 <= month <= 12 for month in months):
            raise BadParameter(f'months is {tuple(months)}.', 'Give numbers from 1 to 12.')
        super().__init__(_EMBED_DIM * len(months))
        self.months = tuple(months)
        self.location_encoder = SirenNet(4, _WIDTH, _EMBED_DIM, _LAYERS)
        for layer in self.location_encoder.layers:
            cast('Siren', layer).dropout = False
        accept_published_names(self, self.own_names)

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`."""
        places = torch.stack([longitude / 180, latitude / 90], dim=1).to(self.like)
        vectors = []
        for month in self.months:
            angle = month / 12 * 2 * math.pi
            season = places.new_tensor([math.sin(angle), math.cos(angle)])
            vectors.append(self._of_month(torch.cat([places, season.expand_as(places)], dim=1)))
        return torch.cat(vectors, dim=1)

    def _of_month(self, x: Tensor) -> Tensor:
        """Map places and a month (n, 4) to vectors (n, 256)."""
        before: Tensor | None = None
        for layer in cast('Sequence[Siren]', self.location_encoder.layers):
            angle = F.linear(x, layer.weight, layer.bias)
            if before is not None:
                angle = (angle + before) / 2
            before = angle
            if layer is self.location_encoder.layers[0]:
                angle = (2 * angle).sinh()  # waves get denser away from 0
            x = cast('SineActivation', layer.activation)(angle)
        vectors: Tensor = self.location_encoder.last_layer(x)
        return vectors

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`LocationEncoder`; leaves out the regression of climate."""
        return {key: value for key, value in state.items() if key.startswith(_NAMES)}


def climplicit(months: Sequence[int] = _MONTHS) -> Climplicit:
    """Build Climplicit, 4.1 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2504.05089

    Args:
        months: Months, 1 to 12, whose vectors of 256 numbers follow one another.

    Returns:
        The encoder at random weights.
    """
    return Climplicit(months)
