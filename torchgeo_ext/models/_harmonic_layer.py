"""A linear layer on spherical harmonics that does not make all of them for each place.

A harmonic is a polynomial of the latitude times a wave of the longitude. Where many places have one
latitude, the layer's weights are summed up with its polynomials once, and a place costs 2 L - 1
instead of L * L products for each number. Where they do not, they are sorted into bands of latitude
so narrow that nine parallels of each tell all others: polynomials of degree l are trigonometric
ones of latitude, which Chebyshev's interpolation gives to 1e-9. A place then costs 9 * (2 L - 1).

Axes: n places, r parallels, m orders, l degrees, w waves (cosines of orders 0 to L - 1, then sines
of orders 1 to L - 1), k parallels of a band, o numbers of the layer.
"""

import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from torchgeo_ext.models._harmonics import Harmonics

#: Parallels of a band, and its width in radians times the highest degree.
_PARALLELS, _WIDTH = 9, 1.4
#: Bands whose weights are summed up together, and most places that are encoded together: products
#: of matrices are slow if small.
_TOGETHER, _PLACES = 8, 2048
#: Places of a band from which on its parallels are worth their while.
_WORTH = 4 * _PARALLELS


class HarmonicLayer:
    """A linear layer on spherical harmonics.

    Args:
        harmonics: The harmonics.
        weight: Weights (o, L * L).
        bias: Bias (o).
        factor: What results are multiplied by.
        dtype: Type to sum weights up in.
    """

    def __init__(
        self, harmonics: Harmonics, weight: Tensor, bias: Tensor, factor: float, dtype: torch.dtype
    ) -> None:
        self._harmonics = harmonics
        self._weight, self._bias, self._factor = weight, bias, factor
        self._dtype = dtype

    @cached_property
    def _by_wave(self) -> Tensor:
        """Weights by wave and degree (w, l, o), which few places do not need."""
        # where latitudes are: Apple's devices have no float64
        weight = self._weight.cpu() if self._weight.device.type == 'mps' else self._weight
        degree = torch.arange(self._harmonics.degrees, device=weight.device)
        orders = torch.cat([degree, -degree[1:]])[:, None]
        columns = (degree * degree + degree + orders).where(orders.abs() <= degree, 0)
        # those of orders above the degree meet polynomials that are 0
        return weight.T.to(self._dtype)[columns]

    def of_parallels(self, latitude: Tensor) -> Tensor:
        """Sum weights up with the polynomials of parallels.

        Args:
            latitude: Degrees (r), float64.

        Returns:
            Weights (r, w, o) of waves.
        """
        degrees = self._harmonics.degrees
        table = latitude.new_zeros(degrees, len(latitude), degrees)
        for degree, values in enumerate(self._harmonics.polynomials(latitude)):
            table[: degree + 1, :, degree] = values
        table = table.to(self._dtype)
        return (torch.cat([table, table[1:]]) @ self._by_wave).transpose(0, 1)

    def waves(self, longitude: Tensor) -> Tensor:
        """Give the waves (n, w) of longitudes (n) in degrees, in the type of the weights."""
        cosine, sine = self._harmonics.waves(longitude)
        return torch.cat([cosine, sine[1:]]).T.to(self._weight)

    def apply(self, features: Tensor, weight: Tensor) -> Tensor:
        """Multiply features (..., n, f) by weights (..., f, o), and add the bias."""
        multiply = torch.addmm if weight.ndim == 2 else torch.baddbmm
        return multiply(self._bias, features, weight, beta=self._factor, alpha=self._factor)

    def of_places(
        self, longitude: Tensor, latitude: Tensor
    ) -> Iterator[tuple[Tensor | slice, Tensor]]:
        """Apply the layer to places.

        Args:
            longitude: Degrees (n), float64.
            latitude: Likewise.

        Yields:
            Which of the places, and their numbers (places, o).
        """
        degrees = self._harmonics.degrees
        width = math.degrees(_WIDTH / max(1, degrees - 1))
        bands = ((latitude + 90) / width).long()
        order = bands.argsort()
        present, counts = bands[order].unique_consecutive(return_counts=True)
        saves = (
            2 * _PARALLELS * degrees < degrees**2
            and len(latitude) > _WORTH * len(present)
            # accelerators are better at few large products; float64 is for exact numbers
            and latitude.device.type == 'cpu'
            and self._weight.dtype != torch.float64
        )
        if not saves:
            yield from self._one_by_one(longitude, latitude)
            return
        start = 0
        for group in range(0, len(present), _TOGETHER):
            centres = (present[group : group + _TOGETHER] + 0.5) * width - 90
            # beyond a pole they go on smoothly
            parallels = centres[:, None] + width / 2 * self._nodes()
            weights = self.of_parallels(parallels.flatten()).unflatten(0, parallels.shape)
            for number, centre in enumerate(centres):
                stop = start + int(counts[group + number])
                of_band = weights[number].flatten(0, 1)
                for places in order[start:stop].chunk(-(-(stop - start) // _PLACES)):
                    shares = self._shares((latitude[places] - centre) / (width / 2))
                    waves = self.waves(longitude[places])
                    both = shares.to(waves)[:, :, None] * waves[:, None]
                    yield places, self.apply(both.flatten(1), of_band)
                start = stop

    def _one_by_one(
        self, longitude: Tensor, latitude: Tensor
    ) -> Iterator[tuple[Tensor | slice, Tensor]]:
        size = self._harmonics.places_at_once(latitude.device)
        for start in range(0, len(latitude), size):
            places = slice(start, start + size)
            features = self._harmonics(longitude[places], latitude[places], self._weight.dtype)
            yield places, self.apply(features.to(self._weight.device), self._weight.T)

    @staticmethod
    def _nodes() -> Tensor:
        """Give the parallels (k) of a band from -1 to 1, zeros of a polynomial of Chebyshev."""
        number = torch.arange(_PARALLELS, dtype=torch.float64)
        return ((number + 0.5) * math.pi / _PARALLELS).cos()

    def _shares(self, place: Tensor) -> Tensor:
        """Give how much each parallel counts (n, k) at places (n) of a band from -1 to 1."""
        number = torch.arange(_PARALLELS, dtype=torch.float64)
        at_nodes = (number[:, None] * self._nodes().acos()).cos() * (2 / _PARALLELS)
        at_nodes[0] /= 2
        # rounding may put a place of the rim outside
        return (place.clamp(-1, 1).acos()[:, None] * number).cos() @ at_nodes
