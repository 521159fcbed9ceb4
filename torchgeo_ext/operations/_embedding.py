"""From the name of a network to something that turns pixels of an image into vectors."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from torchgeo_ext.bundles import Band
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference import Grid, MaskSource, RasterSource, band_statistics
from torchgeo_ext.inference.embedding import RandomFeatures, StageFeatures
from torchgeo_ext.operations._cube import bands_of_use
from torchgeo_ext.operations._pretrained import Way
from torchgeo_ext.operations._sensors import image_source
from torchgeo_ext.operations._training import Adaptation, wavelengths_of
from torchgeo_ext.operations._values import warn_of_values
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.progress import Progress
from torchgeo_ext.ready import ReadyModel, ready_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchgeo_ext.models.features import Backbone
    from torchgeo_ext.operations._predict import Image
    from torchgeo_ext.sensors import SensorBand

log = logging.getLogger(__name__)

#: Name of the network that needs no weights.
RANDOM = 'rcf'


class OpenedEmbedding(NamedTuple):
    """A network that gives vectors, and what it reads.

    Attributes:
        network: From stored pixel values (b, c, h, w) to vectors (b, d, h / r, w / r).
        source: The bands of the image that it wants.
        dimensions: Numbers d of a vector.
    """

    network: nn.Module
    source: RasterSource
    dimensions: int


@dataclass(frozen=True)
class Choice:
    """A backbone and its weights, as the user named them."""

    backbone: str
    weights: str
    band_adaptation: Adaptation
    normalisation: Way


def tiling(reduction: int, tile_size: int, overlap: int, usual: int) -> tuple[int, int]:
    """Choose tile size and overlap, as multiples of what one vector covers.

    Args:
        reduction: Pixels along one side for each vector; 0 for one vector for each tile.
        tile_size: What the user wants; 0 to choose.
        overlap: What the user wants; below 0 to choose.
        usual: Tile size if it is to be chosen.
    """
    if reduction == 0:
        if overlap > 0:
            raise BadParameter(
                f'overlap is {overlap}, but tiles with a single vector cannot overlap.',
                'Leave it out, or choose a reduction.',
            )
        return tile_size or usual, 0
    size = tile_size or -(-usual // reduction) * reduction
    if size % reduction:
        raise BadParameter(
            f'tile_size: {size} is not a multiple of reduction, which is {reduction}.',
            f'Choose for instance {max(1, size // reduction) * reduction}.',
        )
    wanted = size // 4 if overlap < 0 else overlap
    return size, min(wanted // reduction * reduction, size - reduction)


def open_embedding(
    model: str,
    image: 'Image',
    grid: Grid,
    mask: MaskSource | None,
    reduction: int,
    *,
    pooled: bool,
    seed: int,
    progress: Progress,
) -> OpenedEmbedding:
    """Make a network ready to describe an image.

    Args:
        model: Name of a ready model for embedding.
        image: The image and the bands the user chose.
        grid: The part of it that counts.
        mask: Pixels that count.
        reduction: Pixels along one side for each vector.
        pooled: Whether the vector is that of the network's last layer for the whole tile.
        seed: Of random filters.
        progress: Told how far the work is.

    Raises:
        BadParameter: If the network gives no vectors of this width.
    """
    if model == RANDOM:
        chosen = bands_of_use(image.path, image.bands, grid)
        source = RasterSource(str(image.path), bands=chosen)
        found = band_statistics([source], grids=[grid], mask=mask, progress=progress).bands
        mean = [band.mean or 0.0 for band in found]
        std = [band.std or 1.0 for band in found]
        random = RandomFeatures(mean, std, reduction, seed=seed)
        return OpenedEmbedding(random, source, random.dimensions)
    ready = ready_model(model)
    wanted = [Band(band.name, band.wavelength) for band in ready.bands]
    fill = tuple(band.mean for band in ready.bands)
    source = image_source(wanted, image, ready.name, fill=fill)
    warn_of_values(source, grid, wanted, ready.units or None)
    seen = Preprocessing('other', mean=fill, std=tuple(band.std for band in ready.bands))
    return _opened(_backbone(ready), ready.name, source, seen, reduction, pooled)


def choose(
    model: str, backbone: str, weights: str | None, adaptation: Adaptation, normalisation: Way
) -> Choice:
    """Take what the user said of a backbone.

    Raises:
        BadParameter: If it has no weights, or a model stands beside it.
    """
    if model != RANDOM:
        raise BadParameter(f'model is {model} and backbone is {backbone}.', 'Choose one of both.')
    if not weights:
        raise BadParameter(
            f'backbone is {backbone}, but there are no weights, and a random network sees little.',
            f'Name weights, or leave out the backbone: {RANDOM} needs none.',
        )
    return Choice(backbone, weights, adaptation, normalisation)


def open_backbone(
    choice: Choice,
    image: 'Image',
    grid: Grid,
    mask: MaskSource | None,
    reduction: int,
    *,
    pooled: bool,
    progress: Progress,
) -> OpenedEmbedding:
    """Make any backbone ready to describe an image.

    Args:
        choice: The backbone and its weights.
        image: The image and the bands the user chose.
        grid: The part of it that counts.
        mask: Pixels that count.
        reduction: Pixels along one side for each vector.
        pooled: Whether the vector is that of the network's last layer for the whole tile.
        progress: Told how far the work is.

    Raises:
        BadParameter: If backbone, weights and bands do not go together, or the network gives no
            vectors of this width.
    """
    from torchgeo_ext.datamodules._card import describe_bands
    from torchgeo_ext.datasets import TiledRaster
    from torchgeo_ext.operations._pretrained import choose_preprocessing

    chosen = bands_of_use(image.path, image.bands, grid)
    dataset = TiledRaster(str(image.path), bands=chosen)
    described = describe_bands(dataset, None)
    backbone, start = _started(choice, described)
    seen, prepared = choose_preprocessing(choice.normalisation, choice.weights, dataset, described)
    log.info('%s %s', start, prepared)
    scene = dataset.scenes[0].images[0]
    numbers = scene.sources[0].bands
    source = RasterSource(str(image.path), bands=numbers)
    if seen is None:
        found = band_statistics([source], grids=[grid], mask=mask, progress=progress).bands
        stored = Preprocessing(
            'other',
            mean=tuple(band.mean or 0.0 for band in found),
            std=tuple(band.std or 1.0 for band in found),
        )
    else:
        # pixels come as they are stored
        scale, offset = (values.ravel().tolist() for values in (scene.scale, scene.offset))
        back = [-o / s for s, o in zip(scale, offset, strict=True)]
        stored = seen.of_physical([1 / s for s in scale], back)
    fill = tuple(band.mean for band in stored.figures(len(described)))
    source = RasterSource(str(image.path), bands=numbers, fill=fill)
    return _opened(backbone, choice.backbone, source, stored, reduction, pooled)


def _started(choice: Choice, described: 'Sequence[SensorBand]') -> 'tuple[Backbone, str]':
    """Build a backbone with its weights, and say what was done."""
    from torchgeo_ext.models.features import TIMM, backbone_features
    from torchgeo_ext.operations._network import IMAGENET, find_weights
    from torchgeo_ext.tasks._weights import load_into

    name, timm = choice.backbone, choice.backbone.startswith(TIMM)
    bands = [band.name for band in described]
    centres = wavelengths_of(name, described).get('model_args', {})
    if choice.weights == IMAGENET:
        if not timm:
            raise BadParameter(
                f'weights: {name} has none by the name of imagenet.',
                f'Choose the backbone {TIMM}{name}, or name published weights.',
            )
        network = backbone_features(name, True, bands=bands, adaptation=choice.band_adaptation)
        return network, f'{name} has its weights of ImageNet.'
    start = find_weights(choice.weights, None if timm else name)
    try:
        network = backbone_features(name, in_chans=len(bands), **centres)
    except RuntimeError as error:  # timm's, for a name it does not know
        raise BadParameter(
            f'backbone: {name!r} is not known ({error}).',
            f'Name one of timm after {TIMM}, such as {TIMM}resnet18.',
        ) from error
    encoder = nn.ModuleDict({'encoder': network})
    return network, load_into(encoder, start, bands, adaptation=choice.band_adaptation)


def _opened(
    backbone: 'Backbone',
    name: str,
    source: RasterSource,
    seen: Preprocessing,
    reduction: int,
    pooled: bool,
) -> OpenedEmbedding:
    stage = None if pooled else _stage(name, backbone, reduction)
    network = StageFeatures(backbone, stage, seen).eval()
    with torch.inference_mode():
        vectors = network(torch.zeros(1, len(source.fill or ()), 64, 64))
    return OpenedEmbedding(network, source, vectors.shape[1])


def _backbone(ready: ReadyModel) -> 'Backbone':
    from torchgeo.models import get_weight

    from torchgeo_ext.hub import weights_file
    from torchgeo_ext.models.features import backbone_features

    weights: Any = get_weight(ready.weights)
    # a verified file where the builder looks for it
    weights_file(weights)
    return backbone_features(ready.builder, weights)


def _stage(name: str, backbone: 'Backbone', reduction: int) -> int:
    widths = [stage.reduction for stage in backbone.feature_info]
    if reduction not in widths:
        raise BadParameter(
            f'reduction: {name} gives no vectors for every {reduction} pixels.',
            f'Choose {", ".join(map(str, dict.fromkeys(widths)))}, or 0 for whole tiles.',
        )
    # the last of several maps of this width knows most
    return len(widths) - 1 - widths[::-1].index(reduction)
