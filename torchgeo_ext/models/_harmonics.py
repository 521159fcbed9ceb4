"""Real spherical harmonics by a recurrence that keeps its digits at any degree and latitude.

The angles are those of SatCLIP: the azimuth is longitude + 180 degrees, and the polar angle is
latitude + 90 degrees, thus 0 at the south pole.

Axes: n places, l degrees, m orders.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

#: Polynomials grow from these by less than 1e9 up to degree 40, and by 1e21 up to degree 100.
_NOTHING = 1e-30
#: Numbers of one degree that fit into the cache of a processor, and most places at once.
_NUMBERS, _PLACES = 40_960, 2048


class Harmonics:
    """Harmonics of all degrees below a number.

    The constants are not part of a network, so that they stay float64 where that becomes float32.

    Args:
        degrees: Number L of degrees; there are L * L harmonics.
        zonal: What those of order 0 are multiplied by.
    """

    def __init__(self, degrees: int, zonal: float = 1.0) -> None:
        self.degrees = degrees
        order = torch.arange(degrees, dtype=torch.float64)
        # P_m^m = first_m sin^m; both signs of an order share its norm, hence the root of 2
        ratio = torch.cat([torch.ones(1, dtype=torch.float64), (1 + 0.5 / order[1:]).sqrt()])
        first = math.sqrt(0.25 / math.pi) * ratio.cumprod(0) * math.sqrt(2)
        first[0] *= zonal / math.sqrt(2)
        degree = order[:, None]
        with_order = degree**2 - order**2
        inside = order < degree
        up = ((4 * degree**2 - 1) / with_order).sqrt().where(inside, 0.0)
        # P_l^m = up cos P_l-1^m - down P_l-2^m
        share = ((degree - 1) ** 2 - order**2) * (2 * degree + 1) / (2 * degree - 3) / with_order
        down = share.clamp(min=0).sqrt().where(order < degree - 1, 0.0)
        self._first, self._up, self._down = first, up, down

    def polynomials(self, latitude: Tensor) -> Iterator[Tensor]:
        """Give the normed Legendre polynomials degree by degree.

        Args:
            latitude: Degrees (n), float64.

        Returns:
            For each degree l, orders 0 to l of all places (l + 1, n).
        """
        first, up, down = (each.to(latitude.device) for each in (self._first, self._up, self._down))
        angle = torch.deg2rad(latitude)
        # of the polar angle, which is latitude + 90 degrees
        cosine, sine = -angle.sin(), angle.cos()
        powers = sine.expand(self.degrees, -1).clone()
        powers[0] = 1
        sectoral = powers.cumprod(0).mul_(first[:, None])
        # near the poles: processors are a hundred times slower with the smallest numbers
        sectoral.masked_fill_(sectoral.abs() < _NOTHING, 0)
        before = previous = sectoral[:0]
        for degree in range(self.degrees):
            current = torch.empty_like(sectoral[: degree + 1])
            current[degree] = sectoral[degree]
            lower = current[:degree]
            torch.mul(previous, cosine, out=lower)
            lower.mul_(up[degree, :degree, None])
            if degree > 1:
                lower[:-1].addcmul_(down[degree, : degree - 1, None], before, value=-1)
            before, previous = previous, current
            yield current

    def waves(self, longitude: Tensor) -> tuple[Tensor, Tensor]:
        """Give cosine and sine (m, n) of the multiples of azimuths of degrees (n), float64."""
        order = torch.arange(self.degrees, dtype=torch.float64, device=longitude.device)
        angles = order[:, None] * torch.deg2rad(longitude + 180)
        return angles.cos(), angles.sin()

    def places_at_once(self, device: torch.device) -> int:
        """Give how many places are computed together without leaving the cache of a processor."""
        return min(_PLACES, _NUMBERS // self.degrees) if device.type == 'cpu' else 65_536

    @torch.no_grad()
    def __call__(self, longitude: Tensor, latitude: Tensor, dtype: torch.dtype) -> Tensor:
        """Compute all harmonics.

        Args:
            longitude: Degrees (n), float64.
            latitude: Likewise.
            dtype: Type of the result; polynomials and waves are computed in float64.

        Returns:
            (n, L * L), that of degree l and order m in column l * l + l + m: times the cosine for
            positive orders, the sine for negative ones.
        """
        count = len(longitude)
        # one after the other in memory are the places, for this and for a product with weights
        features = longitude.new_empty((self.degrees**2, count), dtype=dtype)
        size = self.places_at_once(longitude.device)
        for start in range(0, count, size):
            block = slice(start, start + size)
            self._write(longitude[block], latitude[block], features[:, block])
        return features.T

    def _write(self, longitude: Tensor, latitude: Tensor, features: Tensor) -> None:
        cosine, sine = (each.to(features.dtype) for each in self.waves(longitude))
        backwards = sine.flip(0)  # order L - 1 first
        for degree, values in enumerate(self.polynomials(latitude)):
            values = values.to(features.dtype)
            middle = degree * degree + degree
            features[middle] = values[0]
            if degree:
                positive = values[1:]
                high = features[middle + 1 : middle + degree + 1]
                torch.mul(positive, cosine[1 : degree + 1], out=high)
                low = features[middle - degree : middle]
                torch.mul(positive.flip(0), backwards[-degree - 1 : -1], out=low)
