"""What encoders of places share: coordinates are checked and brought to one form in one place.

Axes: n places, d features, r rows and w columns of a grid.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from torchgeo_ext.errors import BadInput


class BadCoordinates(BadInput, ValueError):
    """Coordinates that are no place on Earth."""


def check_coordinates(coordinates: Tensor) -> None:
    """See that each row is a place.

    Args:
        coordinates: Longitude and latitude (n, 2) in degrees.

    Raises:
        BadCoordinates: If the shape is another one, a number is not finite, or a latitude is
            beyond the poles.
    """
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:
        raise BadCoordinates(
            f'coordinates: their shape is {tuple(coordinates.shape)} instead of (n, 2).',
            'Give one row for each place, longitude first.',
        )
    wrong = ~coordinates.isfinite().all(dim=1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise BadCoordinates(
            f'coordinates: row {row} is {coordinates[row].tolist()}, which is no place; '
            f'{int(wrong.sum())} of {len(wrong)} rows are not finite.',
            'Leave out places without coordinates.',
        )
    beyond = coordinates[:, 1].abs() > 90
    if beyond.any():
        row = int(beyond.nonzero()[0])
        swapped = bool((coordinates[:, 0].abs() <= 90).all())
        raise BadCoordinates(
            f'coordinates: row {row} is {coordinates[row].tolist()}, but latitudes, the second '
            'number, are from -90 to 90 degrees.',
            'It seems that latitude comes first; swap the columns.'
            if swapped
            else 'Give degrees of WGS 84, longitude first; reproject other coordinates before.',
        )


def canonical(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Write each place in one way only, so that it has one vector only.

    Args:
        coordinates: Longitude and latitude (n, 2) in degrees; any longitude.

    Returns:
        Longitude from -180 to below 180, and 0 at the poles, and latitude; each (n), in float64:
        float32 is two metres apart at the antimeridian, and more after multiplication.
    """
    longitude, latitude = coordinates.to(torch.float64).unbind(dim=1)
    longitude = torch.remainder(longitude + 180, 360) - 180
    return torch.where(latitude.abs() == 90, 0.0, longitude), latitude


class LocationEncoder(nn.Module):
    """From longitude and latitude in degrees (WGS 84) to a vector.

    Coordinates are given in float64 if they are so; the vectors have the type of the parameters.
    Places written in several ways (180 and -180 degrees, 361 and 1, any longitude of a pole) have
    one vector. No gradient flows to the coordinates of encoders by spherical harmonics.

    Attributes:
        embed_dim: Length d of a vector.
        batch_size: Places at once that need little memory.
    """

    embed_dim: int
    batch_size = 16_384
    #: Tells type and device where there are no parameters.
    _anchor: Tensor

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.register_buffer('_anchor', torch.empty(0), persistent=False)

    @property
    def like(self) -> Tensor:
        """A tensor of the type and on the device of the encoder."""
        return next(self.parameters(), self._anchor)

    def forward(self, coordinates: Tensor) -> Tensor:
        """Encode places.

        Args:
            coordinates: Longitude and latitude (n, 2) in degrees, longitude first.

        Returns:
            Vectors (n, d).

        Raises:
            BadCoordinates: See :func:`check_coordinates`.
        """
        check_coordinates(coordinates)
        return self.encode(*canonical(coordinates))

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """Encode checked places, each (n) in float64, to (n, d)."""
        raise NotImplementedError

    def rows(self, longitude: Tensor) -> Callable[[Tensor], Tensor]:
        """Prepare for the rows of a grid.

        Args:
            longitude: Of the columns (w), in degrees.

        Returns:
            A function from latitudes (r) in degrees to the vectors (r, w, d) of their rows.
        """

        def encode(latitude: Tensor) -> Tensor:
            grid = torch.cartesian_prod(latitude, longitude).flip(1)
            vectors: Tensor = self(grid)
            return vectors.unflatten(0, (len(latitude), len(longitude)))

        return encode

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Bring published weights to the names here, and leave out those of other parts."""
        return dict(state)


def wrap(longitude: Tensor, latitude: Tensor) -> Tensor:
    """Give sines and cosines (n, 4) of pi times coordinates divided by 180 and by 90 degrees."""
    both = math.pi * torch.stack([longitude / 180, latitude / 90], dim=1)
    return torch.cat([both.sin(), both.cos()], dim=1)
