"""Distances on the globe."""

from torch import Tensor

from torchgeo_ext.cells import EARTH_RADIUS


def great_circle(first: Tensor, second: Tensor) -> Tensor:
    """Compute great-circle distances in kilometres.

    Args:
        first: Longitude and latitude in degrees (..., 2).
        second: Of the other places.

    Returns:
        Distances (...) in the dtype of the places.
    """
    (x, y), (u, v) = (place.deg2rad().unbind(dim=-1) for place in (first, second))
    # the haversine formula is exact for near places too
    half = ((v - y) / 2).sin().square() + y.cos() * v.cos() * ((u - x) / 2).sin().square()
    distance: Tensor = 2 * EARTH_RADIUS * half.clamp(0, 1).sqrt().asin()
    return distance
