"""RSMamba: scenes classified by a state space model that reads patches in three orders.

Chen, K., Chen, B., Liu, C., Li, W., Zou, Z., Shi, Z. (2024). RSMamba: remote sensing image
classification with state space model. IEEE GRSL. https://arxiv.org/abs/2403.19654

Patches are read forwards, backwards and in random order, and a gate weights what each order gives.
The published code (Apache-2.0, https://github.com/KyanChen/RSMamba) draws new random orders at
every use, so that its results differ a little from use to use; here they stay the same outside of
training unless asked otherwise.

Axes: b batch, c bands, h and w rows and columns (of patches, inside), n patches, d features, p
orders, k classes.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.layers import Mamba
from torchgeo_ext.models._positions import resize_positions
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    choose_classes,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.models.features import Backbone, Stage, spread
from torchgeo_ext.preprocessing import Preprocessing

_EPS = 1e-6
#: Pixels along the side of a patch, and from one patch to the next.
_PATCH, _STRIDE = 16, 8
#: Patches along a side in training, on images of 224 x 224 pixels.
_GRID = 28


class RSMambaSize(NamedTuple):
    """What the published sizes differ in.

    Attributes:
        width: Features of a patch.
        depth: Mixers, one after the other.
    """

    width: int
    depth: int


SIZES = {'b': RSMambaSize(192, 24), 'l': RSMambaSize(256, 36), 'h': RSMambaSize(320, 48)}


class _Scenes(NamedTuple):
    """A data set of scenes.

    Attributes:
        name: What it is called.
        folder: Where the published code lists its classes and statistics.
        mean: Of red, green and blue.
        std: Of red, green and blue.
        classes: In the order of the output, which is not that of the alphabet.
    """

    name: str
    folder: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]


_UCMERCED = _Scenes(
    'UC Merced',
    'UC',
    (123.770241, 125.41281689, 115.35737613),
    (44.17314347, 41.63589266, 39.5737929),
    (
        'harbor', 'parkinglot', 'buildings', 'mediumresidential', 'sparseresidential', 'forest',
        'agricultural', 'overpass', 'golfcourse', 'freeway', 'baseballdiamond', 'beach',
        'intersection', 'runway', 'mobilehomepark', 'chaparral', 'airplane', 'river',
        'storagetanks', 'tenniscourt', 'denseresidential',
    ),
)  # fmt: skip
_AID = _Scenes(
    'AID',
    'AID',
    (101.02608706, 103.9996994, 93.50157708),
    (40.36728927, 37.11132278, 35.90649976),
    (
        'Port', 'Square', 'River', 'Pond', 'Playground', 'Mountain', 'Park', 'Airport',
        'SparseResidential', 'Stadium', 'Industrial', 'Church', 'DenseResidential', 'Parking',
        'Farmland', 'Desert', 'Viaduct', 'Forest', 'StorageTanks', 'Center', 'Meadow',
        'MediumResidential', 'School', 'BareLand', 'Commercial', 'BaseballField',
        'RailwayStation', 'Resort', 'Bridge', 'Beach',
    ),
)  # fmt: skip
_RESISC45 = _Scenes(
    'RESISC45',
    'NWPU',
    (93.847266, 97.20128819, 87.66547902),
    (37.10216765, 34.61650149, 33.70191772),
    (
        'river', 'terrace', 'snowberg', 'stadium', 'parking_lot', 'thermal_power_station',
        'rectangular_farmland', 'cloud', 'intersection', 'meadow', 'palace',
        'ground_track_field', 'commercial_area', 'beach', 'church', 'baseball_diamond', 'ship',
        'industrial_area', 'bridge', 'freeway', 'medium_residential', 'circular_farmland',
        'mobile_home_park', 'railway', 'forest', 'sparse_residential', 'harbor', 'wetland',
        'mountain', 'airport', 'golf_course', 'overpass', 'dense_residential', 'chaparral',
        'basketball_court', 'airplane', 'tennis_court', 'runway', 'storage_tank', 'island',
        'railway_station', 'lake', 'sea_ice', 'desert', 'roundabout',
    ),
)  # fmt: skip


def _published(size: str, scenes: _Scenes) -> Weights:
    preprocessing = Preprocessing(
        '8 bit',
        bands=('R', 'G', 'B'),
        mean=scenes.mean,
        std=scenes.std,
        resize=256,
        crop=224,
        interpolation='bicubic',
        source=f'https://github.com/KyanChen/RSMamba (datainfo/{scenes.folder}/meanstd.txt)',
    )
    return Weights(
        url='',
        transforms=preprocessing.transform(),
        meta={
            'model': f'rsmamba_{size}',
            'dataset': scenes.name,
            'in_chans': 3,
            'classes': scenes.classes,
            'bands': preprocessing.bands,
            'preprocessing': preprocessing,
            'published_at': 'https://huggingface.co/KyanChen/RSMamba',
            'publication': 'https://arxiv.org/abs/2403.19654',
            'repo': 'https://github.com/KyanChen/RSMamba',
            'license': 'Apache-2.0 (that of the code)',
        },
    )


class RSMamba_Weights(WeightsEnum):
    """Published weights of RSMamba; their order of classes, in ``meta``, is one of its own."""

    UCMERCED_B = _published('b', _UCMERCED)
    UCMERCED_L = _published('l', _UCMERCED)
    UCMERCED_H = _published('h', _UCMERCED)
    AID_B = _published('b', _AID)
    AID_L = _published('l', _AID)
    AID_H = _published('h', _AID)
    RESISC45_B = _published('b', _RESISC45)
    RESISC45_L = _published('l', _RESISC45)
    RESISC45_H = _published('h', _RESISC45)


class _Encoder(nn.Module):
    """Patches and the mixers that relate them, by the names of the published code."""

    def __init__(self, size: RSMambaSize, in_chans: int, shuffled: bool, same_orders: bool) -> None:
        super().__init__()
        self.shuffled, self.same_orders = shuffled, same_orders
        orders = 3 if shuffled else 2
        projection = nn.Conv2d(in_chans, size.width, _PATCH, stride=_STRIDE, bias=False)
        nn.init.kaiming_normal_(projection.weight, nonlinearity='linear')
        self.patch_embed = nn.Sequential(OrderedDict(projection=projection))
        self.pos_embed = nn.Parameter(torch.empty(1, _GRID**2, size.width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        # one norm for all mixers
        self.pre_norm = nn.LayerNorm(size.width, eps=_EPS)
        self.layers = nn.ModuleList(Mamba(size.width) for _ in range(size.depth))
        self.gate_layers = nn.ModuleList(
            nn.Sequential(nn.Linear(orders * size.width, orders, bias=False), nn.Softmax(dim=-1))
            for _ in range(size.depth)
        )
        self.ln1 = nn.LayerNorm(size.width, eps=_EPS)
        self.ln2 = nn.LayerNorm(size.width, eps=_EPS)

    def states(self, x: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Give the patches (b, h w, d) of images (b, c, h, w) after each mixer, and their rows."""
        height, width = ((-(-side // _STRIDE) - 1) * _STRIDE + _PATCH for side in x.shape[-2:])
        maps = self.patch_embed(F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2])))
        rows, columns = maps.shape[-2:]
        x = maps.flatten(2).mT + resize_positions(self.pos_embed, _GRID, rows, columns)
        for number, (mixer, gate) in enumerate(zip(self.layers, self.gate_layers, strict=True)):
            x = x + self._mix(self.pre_norm(x), self._orders(number, x), mixer, gate)
            yield x, rows

    def _orders(self, number: int, like: Tensor) -> Tensor:
        """Give the orders (p, n) in which a mixer reads patches (b, n, d)."""
        count = like.shape[1]
        forwards = torch.arange(count)
        orders = [forwards, forwards.flip(0)]
        if self.shuffled and (self.training or not self.same_orders):
            orders.append(torch.randperm(count))
        elif self.shuffled:
            order = np.random.RandomState(number).permutation(count)
            orders.append(torch.from_numpy(order))
        return torch.stack(orders).to(like.device)

    @staticmethod
    def _mix(x: Tensor, orders: Tensor, mixer: nn.Module, gate: nn.Module) -> Tensor:
        """Mix patches (b, n, d) in each order, and add what these give as the gate weights it."""
        read = rearrange(x[:, orders], 'b p n d -> (p b) n d')
        mixed = rearrange(mixer(read), '(p b) n d -> p b n d', b=len(x))
        ways = [way[:, back] for way, back in zip(mixed, orders.argsort(dim=1), strict=True)]
        shares = gate(torch.cat([way.mean(dim=1) for way in ways], dim=-1))
        return torch.einsum('bp,pbnd->bnd', shares, torch.stack(ways))


class RSMamba(Backbone):
    """RSMamba, with a head for scenes.

    Args:
        size: Width and depth.
        in_chans: Bands of the images.
        num_classes: Channels of the output; 0 for the features themselves.
        shuffled: Whether patches are also read in random order.
        same_orders: Whether random orders stay the same outside of training; new ones at every use
            otherwise, as in the published code.
    """

    def __init__(
        self,
        size: RSMambaSize,
        in_chans: int = 3,
        num_classes: int = 0,
        shuffled: bool = True,
        same_orders: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = _Encoder(size, in_chans, shuffled, same_orders)
        self.head = nn.Sequential()
        if num_classes:
            self.head.add_module('fc', nn.Linear(size.width, num_classes))
        self._taken = spread(size.depth)
        self.feature_info = tuple(Stage(size.width, _STRIDE) for _ in self._taken)
        accept_published_names(self, self._used)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images.

        Args:
            x: Images (b, c, h, w) of any size, normalised; zeros are added below and to the right
                up to a whole patch.

        Returns:
            Logits (b, k), or features (b, d) if there are no classes.
        """
        logits: Tensor = self.head(self.embed(x))
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """Give the features (b, d) that the head sees: the normalised mean of all patches."""
        *_, (last, _) = self.backbone.states(x)
        vector: Tensor = self.backbone.ln2(self.backbone.ln1(last).mean(dim=1))
        return vector

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Give maps of four mixers, each normalised."""
        return [
            rearrange(self.backbone.ln1(patches), 'b (h w) d -> b d h w', h=rows)
            for number, (patches, rows) in enumerate(self.backbone.states(x))
            if number in self._taken
        ]

    def _used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Leave out the head if there is none here."""
        return {
            key: value for key, value in state.items() if self.head or not key.startswith('head.')
        }


def rsmamba_b(
    weights: RSMamba_Weights | None = None,
    in_chans: int = 3,
    num_classes: int | None = None,
    classes: Sequence[str] | None = None,
    same_orders: bool = True,
) -> RSMamba:
    """Build RSMamba-B, 6.4 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2403.19654

    Args:
        weights: Published weights, for red, green, blue; adapted to other numbers of bands.
        in_chans: Bands of the images.
        num_classes: Channels of the output; as the weights have, or 0 for features.
        classes: Names of classes of the weights in the order wanted of the output, for instance
            that of a data set, if not the order of the weights.
        same_orders: Whether the random orders patches are read in stay the same outside of
            training; new ones at every use otherwise, as in the published code.

    Returns:
        The model.

    Raises:
        BadParameter: If the weights are those of another size, or do not know one of the classes.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _build('b', weights, in_chans, num_classes, classes, same_orders)


def rsmamba_l(
    weights: RSMamba_Weights | None = None,
    in_chans: int = 3,
    num_classes: int | None = None,
    classes: Sequence[str] | None = None,
    same_orders: bool = True,
) -> RSMamba:
    """Build RSMamba-L, 16 million parameters; see :func:`rsmamba_b`."""
    return _build('l', weights, in_chans, num_classes, classes, same_orders)


def rsmamba_h(
    weights: RSMamba_Weights | None = None,
    in_chans: int = 3,
    num_classes: int | None = None,
    classes: Sequence[str] | None = None,
    same_orders: bool = True,
) -> RSMamba:
    """Build RSMamba-H, 33 million parameters; see :func:`rsmamba_b`."""
    return _build('h', weights, in_chans, num_classes, classes, same_orders)


def _build(
    size: str,
    weights: RSMamba_Weights | None,
    in_chans: int,
    num_classes: int | None,
    classes: Sequence[str] | None,
    same_orders: bool,
) -> RSMamba:
    if classes is not None and (weights is None or num_classes is not None):
        raise BadParameter(
            f'classes is {", ".join(classes)}, but they can only be those of weights.',
            'Give weights and leave num_classes out, or leave classes out.',
        )
    if num_classes is None:
        num_classes = len(classes or weights.meta['classes']) if weights else 0
    model = RSMamba(SIZES[size], in_chans, num_classes, same_orders=same_orders)
    if weights:
        check_model(weights, f'rsmamba_{size}')
        state = weights_of_checkpoint(read_state(weights))
        if classes is not None:
            state = choose_classes(state, weights, classes, 'head.')
        load_fitting(model, state, ['backbone.patch_embed.projection.weight'], ['head.'])
    return model
