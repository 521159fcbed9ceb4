"""From the name of a network to something that turns pixels of an image into vectors."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from torchgeo_ext.bundles import Band
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference import Grid, MaskSource, RasterSource, band_statistics
from torchgeo_ext.inference.embedding import RandomFeatures, StageFeatures
from torchgeo_ext.operations._cube import bands_of_use
from torchgeo_ext.operations._sensors import image_source
from torchgeo_ext.operations._values import warn_of_values
from torchgeo_ext.progress import Progress
from torchgeo_ext.ready import ReadyModel, ready_model

if TYPE_CHECKING:
    from torchgeo_ext.models.features import Backbone
    from torchgeo_ext.operations._predict import Image

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
    backbone = _backbone(ready)
    stage = None if pooled else _stage(ready, backbone, reduction)
    network = StageFeatures(
        backbone, stage, [band.mean for band in ready.bands], [band.std for band in ready.bands]
    )
    with torch.inference_mode():
        vectors = network.eval()(torch.zeros(1, len(ready.bands), 64, 64))
    return OpenedEmbedding(network, source, vectors.shape[1])


def _backbone(ready: ReadyModel) -> 'Backbone':
    from torchgeo.models import get_weight

    from torchgeo_ext.hub import weights_file
    from torchgeo_ext.models.features import backbone_features

    weights: Any = get_weight(ready.weights)
    # a verified file where the builder looks for it
    weights_file(weights)
    return backbone_features(ready.builder, weights)


def _stage(ready: ReadyModel, backbone: 'Backbone', reduction: int) -> int:
    widths = [stage.reduction for stage in backbone.feature_info]
    if reduction not in widths:
        raise BadParameter(
            f'reduction: {ready.name} gives no vectors for every {reduction} pixels.',
            f'Choose {", ".join(map(str, dict.fromkeys(widths)))}, or 0 for whole tiles.',
        )
    # the last of several maps of this width knows most
    return len(widths) - 1 - widths[::-1].index(reduction)
