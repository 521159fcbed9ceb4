"""GeoCLIP's encoder of places: where photographs were taken, at three scales.

Vivanco Cepeda, V., Nayak, G. K., Shah, M. (2023). GeoCLIP: CLIP-inspired alignment between
locations and images for effective worldwide geo-localization. NeurIPS.
https://arxiv.org/abs/2309.16020

The published code (MIT, https://github.com/VicenteVivan/geo-clip) takes latitude first; here
longitude comes first, as everywhere. Places are projected onto a plane (Equal Earth), which has an
edge at the antimeridian: vectors jump there.

Axes: n places, d features.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.models._location import LocationEncoder
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    read_state,
    weights_of_checkpoint,
)

#: Of the Equal Earth projection (Šavrič, Patterson, Jenny 2018), and GeoCLIP's own scale.
_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
_SCALE = 66.50336 / 180
#: Standard deviations of the frequencies of the three scales.
_SIGMAS = (1.0, 16.0, 256.0)
_WAVES, _WIDTH, _EMBED_DIM = 256, 1024, 512


class GeoCLIP_Weights(WeightsEnum):
    """Published weights of the encoder of places; no hash is published."""

    MP16_CLIP = Weights(
        url='',
        transforms=nn.Identity(),
        meta={
            'model': 'geoclip_location',
            'dataset': 'MediaEval Placing Tasks 2016 (MP-16)',
            'published_at': 'https://github.com/VicenteVivan/geo-clip (geoclip/model/weights/'
            'location_encoder_weights.pth)',
            'publication': 'https://arxiv.org/abs/2309.16020',
            'repo': 'https://github.com/VicenteVivan/geo-clip',
            'license': 'MIT',
        },
    )


class _Waves(nn.Module):
    """Cosines and sines of random directions on the plane."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.b = nn.Parameter(sigma * torch.randn(_WAVES, 2), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map points of the plane (n, 2), in any type, to (n, 512) in that of the parameters."""
        # of thousands of radians, which float32 rounds to some 1e-4
        angles = 2 * math.pi * x @ self.b.to(x).T
        return torch.cat([angles.cos(), angles.sin()], dim=1).to(self.b)


class _Scale(nn.Module):
    """The network of one scale, by the names of the published code."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        widths = (2 * _WAVES, _WIDTH, _WIDTH, _WIDTH)
        self.capsule = nn.Sequential(_Waves(sigma))
        for before, after in pairwise(widths):
            self.capsule.append(nn.Linear(before, after)).append(nn.ReLU())
        self.head = nn.Sequential(nn.Linear(_WIDTH, _EMBED_DIM))

    def forward(self, x: Tensor) -> Tensor:
        """Map points of the plane (n, 2) to (n, 512)."""
        vectors: Tensor = self.head(self.capsule(x))
        return vectors


class GeoCLIPLocation(LocationEncoder):
    """The sum of three networks, of coarse, middle and fine random waves."""

    #: Three networks of 1024 numbers for each place.
    batch_size = 4096

    def __init__(self) -> None:
        super().__init__(_EMBED_DIM)
        for number, sigma in enumerate(_SIGMAS):
            self.add_module(f'LocEnc{number}', _Scale(sigma))
        accept_published_names(self, self.own_names)

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`."""
        plane = equal_earth(longitude, latitude) * _SCALE
        scales = (self.get_submodule(f'LocEnc{number}') for number in range(len(_SIGMAS)))
        return torch.stack([scale(plane) for scale in scales]).sum(dim=0)


def equal_earth(longitude: Tensor, latitude: Tensor) -> Tensor:
    """Project degrees (n) onto the plane (n, 2) with the Earth's radius as its unit."""
    theta = torch.asin(math.sqrt(3) / 2 * torch.deg2rad(latitude).sin())
    square = theta**2
    slope = _A1 + square * (3 * _A2 + square**2 * (7 * _A3 + square * 9 * _A4))
    x = 2 * math.sqrt(3) * torch.deg2rad(longitude) * theta.cos() / (3 * slope)
    y = theta * (_A1 + square * (_A2 + square**2 * (_A3 + square * _A4)))
    return torch.stack([x, y], dim=1)


def geoclip_location(weights: GeoCLIP_Weights | None = None) -> GeoCLIPLocation:
    """Build GeoCLIP's encoder of places, 9.5 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2309.16020

    Args:
        weights: Published weights.

    Returns:
        The encoder, which gives 512 numbers.

    Raises:
        MissingWeights: If weights are not here.
    """
    model = GeoCLIPLocation()
    if weights:
        check_model(weights, 'geoclip_location')
        model.load_state_dict(weights_of_checkpoint(read_state(weights)))
    return model
