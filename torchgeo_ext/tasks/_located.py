"""Networks that look at an image and at where it is.

The place goes with the image as two more bands that are the same at all pixels, longitude and
latitude in degrees, so that whatever runs a network on tiles runs these too.

Axes: b batch, c channel, h height, w width, d features, k outputs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchgeo.models import get_weight
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput
from torchgeo_ext.models.features import Backbone
from torchgeo_ext.models.location import LocationEncoder, location_encoder
from torchgeo_ext.tasks._vectors import vector_width

#: Bands that tell the place.
_PLACE = 2


class LocatedNetwork(nn.Module):
    """A backbone and an encoder of places, and a linear layer on what both tell.

    What the encoder tells is standardised and brought to the length of the image's vector, so that
    neither drowns the other.

    Args:
        backbone: The backbone.
        location: The encoder of places.
        in_channels: Bands of the images, without those of the place.
        outputs: Channels of the output.
        learn_places: Whether the encoder learns; otherwise it is used in evaluation mode.
    """

    def __init__(
        self,
        backbone: Backbone,
        location: LocationEncoder,
        in_channels: int,
        outputs: int,
        learn_places: bool,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        # encoders come in evaluation mode, in which a training leaves them
        self.location = location.train().requires_grad_(learn_places)
        self.learn_places = learn_places
        width = vector_width(backbone, in_channels)
        self.place = nn.Sequential(
            nn.LayerNorm(location.embed_dim), nn.Linear(location.embed_dim, width), nn.GELU()
        )
        self.head = nn.Linear(2 * width, outputs)

    def forward(self, image: Tensor, point: Tensor) -> Tensor:
        """Look at images (b, c, h, w) and their places (b, 2) in degrees: outputs (b, k)."""
        if not self.learn_places:
            # here, as Lightning warns of parts that are in this mode when a training begins
            self.location.eval()
        place = self.place(self.location(point).to(self.head.weight.dtype))
        outputs: Tensor = self.head(torch.cat([self.backbone.embed(image), place], dim=1))
        return outputs


def build_location(
    name: str, weights: WeightsEnum | str | None, arguments: Mapping[str, Any] | None
) -> LocationEncoder:
    """Build an encoder of places.

    Args:
        name: Its name.
        weights: Published weights, their name, or the path of a file.
        arguments: Further arguments of the encoder.

    Raises:
        BadParameter: If there is no such encoder, or it does not take these arguments.
        BadInput: If the file cannot be read.
    """
    chosen: Any = weights
    if isinstance(weights, str) and not Path(weights).exists() and '_Weights.' in weights:
        chosen = get_weight(weights)
    return location_encoder(name, chosen, **(arguments or {}))


def check_place(batch: Mapping[str, Any], key: str) -> Tensor:
    """Give the places (b, 2) of the images of a batch.

    Args:
        batch: Has ``image`` (b, c, h, w) and longitude and latitude (b, 2) in degrees.
        key: Of the places.

    Raises:
        BadInput: If it has none, or not one for each image.
    """
    image, point = batch['image'], batch.get(key)
    if not isinstance(point, Tensor) or point.shape != (len(image), _PLACE):
        found = f'{key} of the shape {tuple(point.shape)}' if isinstance(point, Tensor) else 'none'
        raise BadInput(
            f'A batch needs {key}, longitude and latitude (b, 2) of each of its {len(image)} '
            f'images, but has {found} among {", ".join(batch)}.',
            'Use images with a coordinate reference system, or name the key of their places.',
        )
    return point


def with_place(batch: Mapping[str, Any], key: str) -> Tensor:
    """Give the images of a batch with their places as last bands (b, c + 2, h, w).

    Args:
        batch: See :func:`check_place`.
        key: Of the places.

    Raises:
        BadInput: If it has no places, or not one for each image.
    """
    image = batch['image']
    point = check_place(batch, key).to(image)
    return torch.cat([image, point[..., None, None].expand(-1, -1, *image.shape[-2:])], dim=1)


def split_place(x: Tensor) -> tuple[Tensor, Tensor]:
    """Part images (b, c + 2, h, w) into those of c bands and places (b, 2)."""
    return x[:, :-_PLACE], x[:, -_PLACE:, 0, 0]
