"""SatCLIP: places and Sentinel-2 images of them, brought to vectors that fit together.

Klemmer, K., Rolf, E., Robinson, C., Mackey, L., Rußwurm, M. (2025). SatCLIP: global,
general-purpose location embeddings with satellite imagery. AAAI.
https://arxiv.org/abs/2311.17179

TorchGeo has the branch of locations with one of the six published files; here are both branches
and all six. The published code (MIT, https://github.com/microsoft/satclip) writes harmonics out as
polynomials, which loses digits by cancellation: of degree 39 and order 0 the error is up to 0.4 at
70 to 80 degrees of latitude and 0.6 nearer to the poles, where the feature is 1.4 on average. Here,
as in TorchGeo, a recurrence keeps all digits. So vectors of the files with 40 degrees differ a
little from those of the published code above about 60 degrees north and south; below 30 degrees,
and with 10 degrees anywhere, they are the same. One property of the published formula is kept, as
the weights depend on it: harmonics of order 0 are pi times too large.

TorchGeo moves places within 0.05 degrees of a pole away from it, which neither the published code
nor this one does.

Axes: b images or places, c bands, h and w rows and columns, n places, d features; in grids r rows,
w columns, m orders and l degrees of harmonics.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchgeo.models.satclip import SineActivation, Siren, SirenNet
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.models._harmonic_layer import HarmonicLayer
from torchgeo_ext.models._harmonics import Harmonics
from torchgeo_ext.models._location import LocationEncoder
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.preprocessing import Preprocessing

_WIDTH = 512
_EMBED_DIM = 256
_HIDDEN_LAYERS = 2
#: Start of the logarithm of the inverse temperature.
_LOGIT_SCALE = math.log(1 / 0.07)

#: For each image tower timm's name and its first convolution.
_TOWERS = {
    'resnet18': ('resnet18', 'visual.conv1.weight'),
    'resnet50': ('resnet50', 'visual.conv1.weight'),
    # the published README says ViT-B, but its code and its files have ViT-S
    'vit16': ('vit_small_patch16_224', 'visual.patch_embed.proj.weight'),
}

_PREPROCESSING = Preprocessing(
    'digital numbers',
    bands=(
        'B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B10', 'B11', 'B12',
    ),
    std=(10_000.0,),
    source='https://github.com/microsoft/satclip (satclip/datamodules/transforms.py); B10, which '
    'images of level 2A do not have, was zero in training',
)  # fmt: skip
#: The revision that TorchGeo pins; of the others none is known here.
_REVISIONS = {'ViT16-L40': '0ef2acc0b91d3c8cfdf4a0cc03207095989287ab'}


def _published(tower: str, degrees: int) -> Weights:
    name = f'{tower}-L{degrees}'
    folder = f'https://huggingface.co/microsoft/SatCLIP-{name}'
    return Weights(
        url=f'{folder}/resolve/{_REVISIONS.get(name, "main")}/satclip-{name.lower()}.ckpt',
        transforms=_PREPROCESSING.transform(),
        meta={
            'model': f'satclip_{name.lower().replace("-", "_")}',
            'dataset': 'S2-100K',
            'in_chans': 13,
            'bands': _PREPROCESSING.bands,
            'preprocessing': _PREPROCESSING,
            'legendre_polys': degrees,
            'publication': 'https://arxiv.org/abs/2311.17179',
            'repo': 'https://github.com/microsoft/satclip',
            'license': 'MIT',
        },
    )


class SatCLIPTowers_Weights(WeightsEnum):
    """Published weights of both branches; no hash is published for any."""

    S2_100K_RESNET18_L10 = _published('ResNet18', 10)
    S2_100K_RESNET18_L40 = _published('ResNet18', 40)
    S2_100K_RESNET50_L10 = _published('ResNet50', 10)
    S2_100K_RESNET50_L40 = _published('ResNet50', 40)
    S2_100K_VIT16_L10 = _published('ViT16', 10)
    S2_100K_VIT16_L40 = _published('ViT16', 40)


class SatCLIPLocation(LocationEncoder):
    """The branch of locations: spherical harmonics and a network of sines (SIREN).

    The harmonics are computed in float64 in any case. The network in float32 is within 1e-5 of the
    same in float64 where weights are those of a start.

    Args:
        legendre_polys: Number L of degrees; L * L harmonics.
        embed_dim: Length of the vectors.
        precise: Whether the parameters are float64, as the published ones; float32 otherwise.
    """

    #: Many places share what is computed for their band of latitude.
    batch_size = 65_536

    def __init__(
        self, legendre_polys: int, embed_dim: int = _EMBED_DIM, precise: bool = False
    ) -> None:
        super().__init__(embed_dim)
        self.harmonics = Harmonics(legendre_polys, zonal=math.pi)
        self.nnet = SirenNet(legendre_polys**2, _WIDTH, embed_dim, _HIDDEN_LAYERS)
        if precise:
            self.double()
        accept_published_names(self, self.own_names)

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`."""
        like = self.like
        if self.training or torch.is_grad_enabled():
            features = self.harmonics(longitude, latitude, like.dtype).to(like.device)
            trained: Tensor = self.nnet(features)
            return trained
        vectors = like.new_empty(len(longitude), self.embed_dim)
        for places, numbers in self._first(like.dtype).of_places(longitude, latitude):
            vectors[places] = self._after_first(numbers)
        return vectors

    def rows(self, longitude: Tensor) -> Callable[[Tensor], Tensor]:
        """See :class:`LocationEncoder`; see :mod:`torchgeo_ext.models._harmonic_layer`."""
        if self.training:  # numbers are left out by chance there
            return super().rows(longitude)
        first = self._first(torch.float64)
        waves = first.waves(longitude)

        def encode(latitude: Tensor) -> Tensor:
            weights = first.of_parallels(latitude).to(waves)
            return self._after_first(first.apply(waves.expand(len(latitude), -1, -1), weights))

        return encode

    def _first(self, dtype: torch.dtype) -> HarmonicLayer:
        """Prepare the first layer for many places."""
        weight, bias, factor = _parts(self._layers[0])
        return HarmonicLayer(self.harmonics, weight, bias, factor, dtype)

    @property
    def _layers(self) -> Sequence[Siren]:
        return cast('Sequence[Siren]', self.nnet.layers)

    def _after_first(self, x: Tensor) -> Tensor:
        """Go on from what the first sine is of (..., 512), which is overwritten."""
        shape = x.shape[:-1]
        x = x.flatten(0, -2).sin_()
        for layer in self._layers[1:]:
            weight, bias, factor = _parts(layer)
            x = torch.addmm(bias, x, weight.T, beta=factor, alpha=factor).sin_()
        vectors: Tensor = self.nnet.last_layer(x)
        return vectors.unflatten(0, shape)

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`LocationEncoder`; the published files have each tensor twice."""
        return _tensors(state, 'nnet.')


def _parts(layer: Siren) -> tuple[Tensor, Tensor, float]:
    """Give weight, bias and the factor before the sine of a layer."""
    assert layer.bias is not None
    return layer.weight.detach(), layer.bias.detach(), cast('SineActivation', layer.activation).w0


class SatCLIPTowers(nn.Module):
    """SatCLIP: a branch for images and one for locations.

    Args:
        tower: Image network: ``resnet18``, ``resnet50`` or ``vit16``.
        legendre_polys: Degrees of the spherical harmonics of locations.
        in_chans: Bands of the images.
        embed_dim: Length of the vectors of both.
        precise: Whether the branch of locations is in float64, as published; float32 otherwise.

    Attributes:
        visual: From images (b, c, h, w) to vectors (b, d), not normed.
        location: From coordinates to vectors; see :class:`SatCLIPLocation`.
        logit_scale: Logarithm of what cosines are multiplied by.
    """

    def __init__(
        self,
        tower: str,
        legendre_polys: int,
        in_chans: int = 13,
        embed_dim: int = _EMBED_DIM,
        precise: bool = False,
    ) -> None:
        super().__init__()
        name, _ = _TOWERS[tower]
        # transformers take images of other sizes than the 224 x 224 pixels of training
        sizes: dict[str, Any] = {}
        if tower == 'vit16':
            sizes = {'dynamic_img_size': True, 'dynamic_img_pad': True}
        self.visual = timm.create_model(name, in_chans=in_chans, num_classes=embed_dim, **sizes)
        self.location = SatCLIPLocation(legendre_polys, embed_dim, precise)
        self.logit_scale = nn.Parameter(torch.tensor(_LOGIT_SCALE))
        accept_published_names(self, _both_towers)

    def forward(self, image: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """Compare images with places.

        Args:
            image: Images (b, c, h, w), digital numbers of Sentinel-2 divided by 10,000.
            coordinates: Longitude and latitude (n, 2) in degrees, longitude first.

        Returns:
            Similarity (b, n) of images to places, and the same (n, b) of places to images: cosines
            times the exponential of ``logit_scale``.
        """
        images = F.normalize(self.visual(image), dim=1)
        places = F.normalize(self.location(coordinates), dim=1)
        similarity = self.logit_scale.exp() * images @ places.to(images.dtype).T
        return similarity, similarity.T


def _tensors(state: Mapping[str, Tensor], begin: str) -> dict[str, Tensor]:
    """Take the tensors of a part from a checkpoint, under the names they have in it."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        plain = re.sub(r'^(model\.)?(location\.)?', '', key)
        if plain.startswith(begin):
            found.setdefault(plain, value)
    return found


def _both_towers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    location = {f'location.{key}': value for key, value in _tensors(state, 'nnet.').items()}
    return location | _tensors(state, 'visual.') | _tensors(state, 'logit_scale')


def satclip_resnet18_l10(
    weights: SatCLIPTowers_Weights | None = None, in_chans: int = 13, precise: bool = False
) -> SatCLIPTowers:
    """Build SatCLIP with a ResNet-18 and harmonics of 10 degrees, 11.8 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2311.17179

    Args:
        weights: Published weights, for 13 bands of Sentinel-2; adapted to other numbers of bands.
        in_chans: Bands of the images.
        precise: Whether the branch of locations is in float64, as published; float32 otherwise.

    Returns:
        The model; ``location`` and ``visual`` can be used alone.

    Raises:
        BadParameter: If the weights are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _build('resnet18', 10, weights, in_chans, precise)


def satclip_resnet18_l40(
    weights: SatCLIPTowers_Weights | None = None, in_chans: int = 13, precise: bool = False
) -> SatCLIPTowers:
    """Build it with harmonics of 40 degrees, 12.6 million; see :func:`satclip_resnet18_l10`."""
    return _build('resnet18', 40, weights, in_chans, precise)


def satclip_resnet50_l10(
    weights: SatCLIPTowers_Weights | None = None, in_chans: int = 13, precise: bool = False
) -> SatCLIPTowers:
    """Build it with a ResNet-50, 24.5 million; see :func:`satclip_resnet18_l10`."""
    return _build('resnet50', 10, weights, in_chans, precise)


def satclip_resnet50_l40(
    weights: SatCLIPTowers_Weights | None = None, in_chans: int = 13, precise: bool = False
) -> SatCLIPTowers:
    """Build it with a ResNet-50 and 40 degrees, 25.3 million; see :func:`satclip_resnet18_l10`."""
    return _build('resnet50', 40, weights, in_chans, precise)


def satclip_vit16_l10(
    weights: SatCLIPTowers_Weights | None = None, in_chans: int = 13, precise: bool = False
) -> SatCLIPTowers:
    """Build it with a ViT-S/16, 23.2 million parameters; see :func:`satclip_resnet18_l10`."""
    return _build('vit16', 10, weights, in_chans, precise)


def satclip_vit16_l40(
    weights: SatCLIPTowers_Weights | None = None, in_chans: int = 13, precise: bool = False
) -> SatCLIPTowers:
    """Build it with a ViT-S/16 and 40 degrees, 24.0 million; see :func:`satclip_resnet18_l10`."""
    return _build('vit16', 40, weights, in_chans, precise)


def _build(
    tower: str, degrees: int, weights: SatCLIPTowers_Weights | None, in_chans: int, precise: bool
) -> SatCLIPTowers:
    model = SatCLIPTowers(tower, degrees, in_chans, precise=precise)
    if weights:
        check_model(weights, f'satclip_{tower}_l{degrees}')
        state = _both_towers(weights_of_checkpoint(read_state(weights)))
        load_fitting(model, state, [_TOWERS[tower][1]])
    return model
