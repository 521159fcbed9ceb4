"""Backbones: networks whose maps of several scales serve segmentation, change and embedding.

A network of this package is one by being a :class:`Backbone`. :func:`backbone_features` gives the
same view of TorchGeo's and timm's, so that decoders and embeddings are written once.

Axes: b batch, c channels, h height, w width, d features.
"""

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import timm
import torch.nn.functional as F
from einops import rearrange, reduce
from timm.layers.format import Format
from timm.models import VisionTransformer
from torch import Tensor, nn
from torchgeo.models import get_model, list_models
from torchgeo.models.api import _model as _builders
from torchvision.models import SwinTransformer, WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._wavelengths import known_wavelengths
from torchgeo_ext.models._weights import fetching_imagenet_weights
from torchgeo_ext.models.channels import Adaptation, adapt_channels, adapt_filters

log = logging.getLogger(__name__)

#: What timm's own weights were trained with.
_COLOURS = {'in_chans': 3, 'bands': ('red', 'green', 'blue')}

#: Begins the names of timm's networks, as in segmentation_models_pytorch.
TIMM = 'tu-'

#: How the names of TorchGeo's networks begin that are backbones of timm or torchvision.
_TORCHGEO = ('resnet', 'swin_', 'vit_')
#: How the names of those begin that know bands by their wavelengths.
_BY_WAVELENGTH = ('copernicusfm_', 'dofa_', 'panopticon_')

#: Maps taken of a network in which all have one scale.
_LEVELS = 4


class Stage(NamedTuple):
    """What is known of a map before there is one.

    Attributes:
        channels: Its channels.
        reduction: Pixels of the image, along one side, for each of its pixels.
    """

    channels: int
    reduction: int


class Backbone(nn.Module, ABC):
    """Base of networks that give maps of several scales.

    Attributes:
        feature_info: What :meth:`feature_maps` gives, in its order.
    """

    feature_info: tuple[Stage, ...]

    @abstractmethod
    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            x: Images (b, c, h, w) of any size, normalised.

        Returns:
            A map for each stage, early to late, (b, channels, h / reduction, w / reduction) with
            sizes rounded up.
        """

    def embed(self, x: Tensor) -> Tensor:
        """Give one vector for each image (b, c, h, w): the mean of the last map, (b, d)."""
        return reduce(self.feature_maps(x)[-1], 'b d h w -> b d', 'mean')


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Add zeros below and to the right of images, up to a multiple of some pixels."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple))


def crop_maps(maps: Sequence[Tensor], stages: Sequence[Stage], like: Tensor) -> list[Tensor]:
    """Cut from maps of padded images what belongs to the images (b, c, h, w) as they were."""
    height, width = like.shape[-2:]
    return [
        features[..., : -(-height // stage.reduction), : -(-width // stage.reduction)]
        for features, stage in zip(maps, stages, strict=True)
    ]


def spread(depth: int, levels: int = _LEVELS) -> list[int]:
    """Choose levels evenly among the blocks of a network, the last one among them."""
    levels = min(levels, depth)
    return [(level + 1) * depth // levels - 1 for level in range(levels)]


class _Foreign(Backbone):
    """A network of another library; images are padded to what it can take."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """See :class:`Backbone`."""
        padded = pad_to_multiple(x, max(stage.reduction for stage in self.feature_info))
        return crop_maps(self._maps(padded), self.feature_info, x)

    @abstractmethod
    def _maps(self, x: Tensor) -> list[Tensor]: ...


class _Timm(_Foreign):
    """A network of timm: all stages, or four blocks of a plain transformer with its last norm."""

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        if isinstance(network, VisionTransformer):
            # what timm itself does when it is told beforehand
            vars(network)['dynamic_img_size'] = True
            vars(network.patch_embed).update(
                strict_img_size=False, flatten=False, output_fmt=Format.NHWC
            )
        stages = [Stage(info['num_chs'], info['reduction']) for info in network.feature_info]
        self._plain = len({stage.reduction for stage in stages}) == 1
        self._taken = spread(len(stages)) if self._plain else list(range(len(stages)))
        self.feature_info = tuple(stages[level] for level in self._taken)

    def _maps(self, x: Tensor) -> list[Tensor]:
        network: Any = self.network
        maps: list[Tensor] = network.forward_intermediates(
            x, indices=self._taken, norm=self._plain, intermediates_only=True
        )
        return maps

    def embed(self, x: Tensor) -> Tensor:
        """Give what the network's own head would see (b, d)."""
        network: Any = self.network
        padded = pad_to_multiple(x, self.feature_info[-1].reduction)
        vector: Tensor = network.forward_head(network.forward_features(padded), pre_logits=True)
        return vector


class _Swin(_Foreign):
    """A Swin transformer of torchvision, which takes any size by itself."""

    def __init__(self, network: SwinTransformer) -> None:
        super().__init__(network)
        self.feature_info = tuple(
            Stage(network.norm.normalized_shape[0] >> (3 - level), 4 << level) for level in range(4)
        )

    def _maps(self, x: Tensor) -> list[Tensor]:
        network: Any = self.network
        maps = []
        for number, layer in enumerate(network.features):
            x = layer(x)
            if number % 2:  # blocks; those between them halve the map
                maps.append(x)
        maps[-1] = network.norm(maps[-1])
        return [rearrange(features, 'b h w c -> b c h w') for features in maps]


def list_backbones() -> list[str]:
    """List the registered networks that :func:`backbone_features` takes, ours and TorchGeo's."""
    known = (*_TORCHGEO, *_BY_WAVELENGTH)
    return [name for name in list_models() if _is_ours(name) or name.startswith(known)]


def goes_by_wavelength(name: str) -> bool:
    """Tell whether a network for :func:`backbone_features` must know the wavelengths of bands."""
    if name.startswith(_BY_WAVELENGTH):
        return True
    return name in _builders and 'wavelengths' in inspect.signature(_builders[name]).parameters


def _is_ours(name: str) -> bool:
    made = inspect.get_annotations(_builders[name], eval_str=True).get('return')
    return isinstance(made, type) and issubclass(made, Backbone)


def backbone_features(
    name: str,
    weights: WeightsEnum | bool | None = None,
    in_chans: int | None = None,
    bands: Sequence[str | float] = (),
    adaptation: Adaptation = 'auto',
    **arguments: Any,
) -> Backbone:
    """Build a network as a backbone.

    Args:
        name: One of :func:`list_backbones`, or ``tu-`` and the name of a network of timm.
        weights: Published weights of the network; for timm, whether to take its own.
        in_chans: Bands of the images; those of the weights, or three, if left out. Filters of
            weights made for others are adapted.
        bands: Names or centre wavelengths in micrometres of the bands instead of their number, so
            that the filters of the weights can be found by them. Networks that know bands by their
            wavelengths need them: DOFA, Panopticon, Copernicus-FM and LESS ViT, which have
            ``wavelengths`` that can be set anew for another sensor.
        adaptation: How filters come to other bands; what was done is logged.
        arguments: Further arguments of its builder.

    Returns:
        The network, with ``feature_info``, ``feature_maps(x)`` and ``embed(x)``.

    Raises:
        BadParameter: If there is no such network, or it gives no maps of images, or its filters
            cannot be adapted in that way.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    if bands and in_chans not in (None, len(bands)):
        raise BadParameter(
            f'in_chans is {in_chans}, but there are {len(bands)} bands.', 'Give one of both.'
        )
    in_chans = in_chans or len(bands) or None
    if goes_by_wavelength(name):
        return _by_wavelength(name, weights, in_chans, bands, arguments)
    if weights and in_chans and (bands or adaptation != 'auto'):
        backbone = as_backbone(_network(name, weights, None, arguments))
        meta = _COLOURS if isinstance(weights, bool) else weights.meta
        unnamed = [f'band {number}' for number in range(1, in_chans + 1)]
        note = _adapt(backbone, meta, bands or unnamed, adaptation)
        log.info('%s: %s.', name, note)
        return backbone
    return as_backbone(_network(name, weights, in_chans, arguments))


def _by_wavelength(
    name: str,
    weights: Any,
    in_chans: int | None,
    bands: Sequence[str | float],
    arguments: dict[str, Any],
) -> Backbone:
    """Build a network that has one filter for all bands, shaped by their wavelengths."""
    from torchgeo_ext.models.wavelength_backbones import by_wavelength

    if _is_ours(name):
        known = {'wavelengths': known_wavelengths(in_chans, bands)} if bands else {}
        return as_backbone(_registered(name, weights, in_chans, arguments | known))
    # builders of those without published weights do not take any
    network = get_model(name, **({'weights': weights} if weights else {}), **arguments)
    return by_wavelength(network, known_wavelengths(in_chans, bands))


def _network(name: str, weights: Any, in_chans: int | None, arguments: dict[str, Any]) -> nn.Module:
    if not name.startswith(TIMM):
        return _registered(name, weights, in_chans, arguments)
    with fetching_imagenet_weights(name):
        network: nn.Module = timm.create_model(
            name.removeprefix(TIMM),
            pretrained=bool(weights),
            in_chans=in_chans or 3,
            num_classes=0,
            **arguments,
        )
    return network


def _registered(
    name: str, weights: Any, in_chans: int | None, arguments: dict[str, Any]
) -> nn.Module:
    if name not in list_backbones():
        raise BadParameter(
            f'backbone: {name!r} is not known, or gives no maps of images.',
            f'Choose one of {", ".join(list_backbones())}; or tu- and a name of timm.',
        )
    if _is_ours(name):
        given = {'weights': weights, 'in_chans': in_chans}
        arguments |= {key: value for key, value in given.items() if value is not None}
        if 'weights' in arguments.keys() - inspect.signature(_builders[name]).parameters.keys():
            raise BadParameter(
                f'weights: there are none of {name}, but {weights} was asked for.',
                'Leave weights out.',
            )
        return get_model(name, **arguments)
    network = get_model(name, weights=weights, **arguments)
    first = _first_layer(network)
    if in_chans not in (None, first.in_channels):
        _replace_filters(first, adapt_filters(in_chans, first.weight.detach()))
        if not weights:
            first.reset_parameters()
    return network


def _adapt(
    network: nn.Module,
    meta: Mapping[str, Any],
    bands: Sequence[str | float],
    adaptation: Adaptation,
) -> str:
    """Bring the filters of weights, of which ``meta`` tells, to bands, and say what was done."""
    first = _first_layer(network)
    if first.in_channels != meta['in_chans']:
        raise BadParameter(
            f'bands: the first layer sees {first.in_channels} of the {meta["in_chans"]} bands of '
            'the weights, so that filters cannot be found for each band.',
            'Leave bands and adaptation out, and give in_chans.',
        )
    kernels, note = adapt_channels(
        first.weight.detach(), meta.get('bands', ()), bands, adaptation=adaptation
    )
    _replace_filters(first, kernels)
    return note


def _first_layer(network: nn.Module) -> nn.Conv2d | nn.Conv3d:
    return next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d))


def _replace_filters(layer: nn.Conv2d | nn.Conv3d, kernels: Tensor) -> None:
    layer.in_channels = kernels.shape[1]
    layer.weight = nn.Parameter(kernels)


def as_backbone(network: nn.Module) -> Backbone:
    """See a network as a backbone.

    Args:
        network: A :class:`Backbone`, a network of timm or a Swin transformer of torchvision; it is
            used as it is, not copied.

    Raises:
        BadParameter: If it is another one.
    """
    if isinstance(network, Backbone):
        return network
    if isinstance(network, SwinTransformer):
        return _Swin(network)
    if hasattr(network, 'forward_intermediates') and hasattr(network, 'feature_info'):
        return _Timm(network)
    raise BadParameter(
        f'A {type(network).__name__} gives no maps of images.',
        'Choose another network, or make it a Backbone with feature_info and feature_maps.',
    )
