"""SpectralEarth: backbones for hyperspectral images, behind an adapter that reads the spectrum.

Braham, N. A. A., Albrecht, C. M., Mairal, J., Chanussot, J., Wang, Y., Zhu, X. X. (2024).
SpectralEarth: training hyperspectral foundation models at scale. https://arxiv.org/abs/2408.08447

Convolutions along the spectrum bring any number of bands, from 75 on, to 128 maps, which a ResNet
or a vision transformer goes on with. ``load_state_dict`` takes files of the published code.

Axes: b batch, s spectral bands, c channels, h and w rows and columns, d features.
"""

import functools
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
from timm.models import VisionTransformer
from torch import Tensor, nn
from torchgeo.datasets import EnMAP
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.models.features import Backbone, Stage, as_backbone
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.sensors import sensor

log = logging.getLogger(__name__)

_CHANNELS = 128
_PATCH = 4
#: Height and width of the images of the pre-training, in pixels.
_SIZE = 128
#: Kernel and stride of each convolution along the spectrum.
_SPECTRAL = ((7, 5), (7, 5), (5, 3))
#: Fewer bands leave the last of them nothing to see.
_FEWEST_BANDS = 75


class SpectralAdapter(nn.Sequential):
    """Three convolutions along the spectrum, then its mean.

    What it learns goes by the places of bands, not by their wavelengths: those of an image must be
    ordered and spaced as in the pre-training.
    """

    def __init__(self) -> None:
        widths = (1, _CHANNELS // 4, _CHANNELS // 2, _CHANNELS)
        layers: list[nn.Module] = []
        for (kernel, stride), before, after in zip(_SPECTRAL, widths, widths[1:], strict=False):
            layers += [
                nn.Conv3d(before, after, (kernel, 1, 1), (stride, 1, 1), (1, 0, 0)),
                nn.BatchNorm3d(after),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Bring the bands of images (b, s, h, w) to maps (b, 128, h, w).

        Raises:
            BadParameter: If there are fewer than 75 bands.
        """
        self.check(x.shape[1])
        return super().forward(x[:, None]).mean(dim=2)

    @staticmethod
    def check(bands: int) -> None:
        """See that there are enough bands."""
        if bands < _FEWEST_BANDS:
            raise BadParameter(
                f'in_chans: there are {bands} bands, but SpectralEarth reads spectra of at least '
                f'{_FEWEST_BANDS}.',
                'Give a hyperspectral image; for others resample it to the bands of EnMAP, or '
                'choose another network.',
            )


@functools.cache
def enmap_preprocessing() -> Preprocessing:
    """Tell bands and normalisation of the pre-training.

    The published table of bands leaves out others than the published means show; the means follow
    the bands of TorchGeo's EnMAP dataset, in the order of their wavelengths.
    """
    wavelengths = {band.name: band.wavelength or 0 for band in sensor('enmap').bands}
    numbers = json.loads(Path(__file__).with_suffix('.json').read_text(encoding='utf-8'))
    return Preprocessing(
        'digital numbers',
        bands=tuple(sorted(EnMAP.default_bands, key=wavelengths.__getitem__)),
        mean=tuple(numbers['mean']),
        std=tuple(numbers['std']),
        source='https://github.com/AABNassim/spectral_earth (data/statistics)',
    )


def _published(model: str, method: str) -> Weights:
    preprocessing = enmap_preprocessing()
    return Weights(
        url='',
        transforms=preprocessing.transform(),
        meta={
            'model': model,
            'dataset': 'SpectralEarth',
            'in_chans': len(preprocessing.bands),
            'num_classes': 0,
            'bands': preprocessing.bands,
            'preprocessing': preprocessing,
            'resolution': 30.0,
            'ssl_method': method,
            'publication': 'https://arxiv.org/abs/2408.08447',
            'repo': 'https://github.com/AABNassim/spectral_earth',
            'published_at': 'https://syncandshare.desy.de/index.php/s/Po5bTPipz6EEHx3',
            'license': 'not stated',
        },
    )


class SpectralEarth_Weights(WeightsEnum):
    """Published weights, trained on EnMAP; what their files are called has to be looked up."""

    RESNET50_MOCO = _published('spectralearth_resnet50', 'moco')
    RESNET50_DINO = _published('spectralearth_resnet50', 'dino')
    VITS_MOCO = _published('spectralearth_vits', 'moco')
    VITS_DINO = _published('spectralearth_vits', 'dino')
    VITS_MAE = _published('spectralearth_vits', 'mae')
    VITB_MAE = _published('spectralearth_vitb', 'mae')
    VITL_MAE = _published('spectralearth_vitl', 'mae')
    VITH_MAE = _published('spectralearth_vith', 'mae')


class _SpectralBackbone(Backbone):
    """The adapter and the classifier; what is between them differs."""

    def __init__(self) -> None:
        super().__init__()
        self.spectral_adapter = SpectralAdapter()
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images.

        Args:
            x: Images (b, s, h, w) of any size with at least 75 bands, ordered by wavelength,
                normalised.

        Returns:
            Logits (b, k), or features (b, d) if there are no classes.

        Raises:
            BadParameter: If there are fewer bands.
        """
        logits: Tensor = self._head()(self.embed(x))
        return logits

    def _head(self) -> nn.Module:
        raise NotImplementedError


class SpectralEarthViT(_SpectralBackbone):
    """A vision transformer on patches of 4 x 4 pixels.

    Args:
        size: Its size.
        num_classes: Channels of the output; 0 for the features themselves.
    """

    def __init__(self, size: 'SpectralEarthSize', num_classes: int = 0) -> None:
        super().__init__()
        self.vit_core = VisionTransformer(
            img_size=_SIZE,
            patch_size=_PATCH,
            in_chans=_CHANNELS,
            num_classes=num_classes,
            embed_dim=size.width,
            depth=size.depth,
            num_heads=size.heads,
        )
        core = as_backbone(self.vit_core)
        self.feature_info = core.feature_info
        # not a part, so that weights keep their published names
        self._core = (core,)

    def embed(self, x: Tensor) -> Tensor:
        """Give the normalised class token (b, d)."""
        return self._core[0].embed(self.spectral_adapter(x))

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Give maps of four blocks, each normalised."""
        return self._core[0].feature_maps(self.spectral_adapter(x))

    def _head(self) -> nn.Module:
        return self.vit_core.head


class _FirstBlock(nn.Module):
    """A bottleneck that does not widen: 128 maps to 256 of half their size."""

    def __init__(self) -> None:
        super().__init__()
        width = 2 * _CHANNELS
        self.conv1 = nn.Conv2d(_CHANNELS, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(
            nn.Conv2d(_CHANNELS, width, 1, stride=2, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Encode maps (b, 128, h, w): (b, 256, h / 2, w / 2)."""
        inner = self.act(self.bn1(self.conv1(x)))
        inner = self.act(self.bn2(self.conv2(inner)))
        result: Tensor = self.act(self.bn3(self.conv3(inner)) + self.downsample(x))
        return result


class _Trunk(nn.Module):
    """timm's ResNet-50 without its stem, by the names of the published code."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        resnet: Any = timm.create_model('resnet50', num_classes=num_classes)
        self.layer1 = nn.Sequential(_FirstBlock(), *resnet.layer1[1:])
        self.layer2, self.layer3, self.layer4 = resnet.layer2, resnet.layer3, resnet.layer4
        self.fc = resnet.fc

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The stages, fine to coarse."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def dilate(self) -> None:
        """Keep the size of maps: instead of strides, kernels that are spread further."""
        for level, stage in enumerate(self.stages):
            for block in stage.children():
                convolution: Any = block.conv2
                convolution.stride = 1, 1
                convolution.dilation = convolution.padding = 2**level, 2**level
                if block.downsample is not None:
                    shortcut: Any = block.downsample
                    shortcut[0].stride = 1, 1


class SpectralEarthResNet(_SpectralBackbone):
    """A ResNet-50 without its stem.

    Args:
        num_classes: Channels of the output; 0 for the features themselves.
        dilated: Whether maps keep the size of the image, as in the paper's segmentation. Heavy: the
            last one has 2,048 channels.
    """

    def __init__(self, num_classes: int = 0, dilated: bool = False) -> None:
        super().__init__()
        self.resnet = _Trunk(num_classes)
        if dilated:
            self.resnet.dilate()
        reductions = (1, 1, 1, 1) if dilated else (2, 4, 8, 16)
        self.feature_info = tuple(
            Stage(256 << level, reduction) for level, reduction in enumerate(reductions)
        )

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """See :class:`~torchgeo_ext.models.features.Backbone`."""
        maps, features = [], self.spectral_adapter(x)
        for stage in self.resnet.stages:
            features = stage(features)
            maps.append(features)
        return maps

    def _head(self) -> nn.Module:
        return self.resnet.fc


class SpectralEarthSize(NamedTuple):
    """What the published transformers differ in.

    Attributes:
        width: Features of a token.
        depth: Blocks.
        heads: Heads of their attention.
    """

    width: int
    depth: int
    heads: int


SIZES = {
    'vits': SpectralEarthSize(384, 12, 6),
    'vitb': SpectralEarthSize(768, 12, 12),
    'vitl': SpectralEarthSize(1024, 24, 16),
    'vith': SpectralEarthSize(1280, 32, 16),
}

#: What training scripts may put before the names, and where the autoencoder keeps the adapter.
_PREFIX = re.compile(r'^(teacher\.|student\.)?(backbone\.|encoder\.|vit\.|model\.)+')
_PARTS = re.compile(r'(spectral_adapter|vit_core|resnet)\..*')


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what is not of the backbone, such as the decoder of an autoencoder."""
    if all(_PARTS.match(key) for key in state):
        return dict(state)
    stripped = {_PREFIX.sub('', key): value for key, value in state.items()}
    found = {key: _PARTS.search(key) for key in stripped}
    return {match.group(): stripped[key] for key, match in found.items() if match}


_HEADS = ('vit_core.head.', 'resnet.fc.')


def _build(model: _SpectralBackbone, name: str, weights: WeightsEnum | None, in_chans: int) -> None:
    """Check the number of bands and load weights."""
    model.spectral_adapter.check(in_chans)
    if weights is None:
        return
    check_model(weights, name)
    if in_chans != weights.meta['in_chans']:
        log.warning(
            '%s was trained on %d bands and goes by their places, but the images have %d: resample '
            'them to those of EnMAP, or train further.',
            weights,
            weights.meta['in_chans'],
            in_chans,
        )
    state = _own_names(weights_of_checkpoint(read_state(weights)))
    own = {key: value for key, value in model.state_dict().items() if key.startswith(_HEADS)}
    # files of the pre-training have no classifier, and features need none
    fitting = {k: v for k, v in state.items() if k in own or not k.startswith(_HEADS)}
    load_fitting(model, own | fitting, heads=_HEADS)


def spectralearth_resnet50(
    weights: SpectralEarth_Weights | None = None,
    in_chans: int = 202,
    num_classes: int = 0,
    dilated: bool = False,
) -> SpectralEarthResNet:
    """Build SpectralEarth's ResNet-50, 24 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2408.08447

    Args:
        weights: Published weights to start from.
        in_chans: Bands of the images, at least 75, ordered by wavelength. Weights are for the 202
            bands of EnMAP named in ``weights.meta['bands']``.
        num_classes: Channels of the output; 0 for the features themselves.
        dilated: Whether maps keep the size of the image, as in the paper's segmentation. Heavy: the
            last one has 2,048 channels.

    Returns:
        The model.

    Raises:
        BadParameter: If there are fewer bands, or the weights are those of another model.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    model = SpectralEarthResNet(num_classes, dilated)
    _build(model, 'spectralearth_resnet50', weights, in_chans)
    return model


def spectralearth_vits(
    weights: SpectralEarth_Weights | None = None, in_chans: int = 202, num_classes: int = 0
) -> SpectralEarthViT:
    """Build SpectralEarth's small vision transformer, 23 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2408.08447

    Args:
        weights: Published weights to start from.
        in_chans: Bands of the images, at least 75, ordered by wavelength. Weights are for the 202
            bands of EnMAP named in ``weights.meta['bands']``.
        num_classes: Channels of the output; 0 for the features themselves.

    Returns:
        The model.

    Raises:
        BadParameter: If there are fewer bands, or the weights are those of another model.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _vit('vits', weights, in_chans, num_classes)


def _vit(
    size: str, weights: WeightsEnum | None, in_chans: int, num_classes: int
) -> SpectralEarthViT:
    model = SpectralEarthViT(SIZES[size], num_classes)
    _build(model, f'spectralearth_{size}', weights, in_chans)
    return model


def spectralearth_vitb(
    weights: SpectralEarth_Weights | None = None, in_chans: int = 202, num_classes: int = 0
) -> SpectralEarthViT:
    """Build SpectralEarth's base vision transformer, 87 million parameters.

    See :func:`spectralearth_vits` for arguments and the paper to cite.
    """
    return _vit('vitb', weights, in_chans, num_classes)


def spectralearth_vitl(
    weights: SpectralEarth_Weights | None = None, in_chans: int = 202, num_classes: int = 0
) -> SpectralEarthViT:
    """Build SpectralEarth's large vision transformer, 305 million parameters.

    See :func:`spectralearth_vits` for arguments and the paper to cite.
    """
    return _vit('vitl', weights, in_chans, num_classes)


def spectralearth_vith(
    weights: SpectralEarth_Weights | None = None, in_chans: int = 202, num_classes: int = 0
) -> SpectralEarthViT:
    """Build SpectralEarth's huge vision transformer, 634 million parameters.

    See :func:`spectralearth_vits` for arguments and the paper to cite.
    """
    return _vit('vith', weights, in_chans, num_classes)
