"""Describe each place of an image by what a network sees there."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

from torchgeo_ext.operations._checks import less_than
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Device,
    Extent,
    Label,
    Layer,
    Raster,
    RasterOut,
    Styles,
    bands_of,
    model_for,
    operation,
    within,
)
from torchgeo_ext.operations._predict import BatchSize, Merge, Overlap, TileSize
from torchgeo_ext.operations._training import BandAdaptation, Normalisation
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from torch import nn

#: Tiles are of this size, or the next multiple of what one vector covers.
_TILE = 256


class EmbedImageResult(NamedTuple):
    """Result of :func:`embed_image`.

    Attributes:
        dimensions: Numbers that describe each place: bands of the embedding.
        explained_variance: Share of the variance that the components keep, 0 to 1; none if the
            vectors were left as they are.
        pixel_size: Width of a pixel of the embedding in pixels of the image.
        tiles: Tiles that went through the network.
        seconds: Time spent on reading, computing and writing.
    """

    output: str
    picture: str | None
    dimensions: int
    explained_variance: float | None
    pixel_size: int
    tiles: int
    seconds: float
    styles: Styles


@operation(
    label='Embed image',
    group='Embeddings',
    tags=('features', 'backbone', 'representation', 'foundation model', 'MOSAIKS', 'PCA'),
    checks=(less_than('overlap', 'tile_size'),),
)
def embed_image(
    image: Raster,
    output: Annotated[RasterOut, Label('Embedding')],
    *,
    model: Annotated[str, model_for('embedding')] = 'rcf',
    backbone: Annotated[str, ADVANCED] | None = None,
    weights: Annotated[str, ADVANCED] | None = None,
    band_adaptation: BandAdaptation = 'auto',
    normalisation: Normalisation = 'auto',
    bands: Annotated[list[int], bands_of('image')] | None = None,
    reduction: Annotated[int, within(0, 64, 'pixels')] = 8,
    components: Annotated[int, within(0, 256)] = 0,
    extent: Extent | None = None,
    mask: Layer | None = None,
    tile_size: TileSize = 0,
    overlap: Overlap = -1,
    merge: Merge = 'blend',
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    seed: Annotated[int, within(0, 2**31 - 1), ADVANCED] = 0,
    picture: Annotated[RasterOut, Label('Picture of the embedding')] | None = None,
    progress: Progress = silent,
) -> EmbedImageResult:
    """Describe each place of an image by what a network sees there, without any training.

    Alike places get alike vectors, whatever tells them apart: colour, texture, what is around. Map
    classes with Segment from examples, which then needs a few examples only. An embedding is
    computed once and serves any number of maps.

    Args:
        image: Image to describe, of any size.
        output: Embedding to write: a raster with one band for each number of the vectors.
        model: Network that sees. rcf takes any bands and needs nothing from the network; the others
            were pre-trained on satellite images and are fetched once.
        backbone: Any other network instead of the model: tu- with a name of timm (tu-resnet18,
            tu-convnext_tiny), or one of this package or TorchGeo (rsmamba_b, resnet50,
            vit_small_patch16_224, ...).
        weights: Weights of that backbone: "imagenet", published weights by name such as
            ResNet50_Weights.SENTINEL2_ALL_SOFTCON, a checkpoint or a model folder.
        band_adaptation: How the first layer of these weights comes to the bands of the image: by
            name, or in order or averaged where names are not known (auto); filters repeated in
            order; mean of all; nearest wavelength; by name with no effect of other bands (zero).
        normalisation: What is done to pixel values for that backbone: what was done in the training
            of the weights (weights), standardising by the image (images), or the former where it is
            known and the image can be what the weights expect (auto).
        bands: Numbers of the bands to use; for pre-trained networks in their order. Left out, rcf
            takes all (of more than 30 those that have data, are not marked as bad and are not in
            the water vapour); for the others they are found by name, wavelength or order.
        reduction: Width of a pixel of the embedding in pixels of the image: finer shows more
            detail, coarser more of the surroundings. 0 gives a single vector for each tile.
        components: Keep only so many principal components, which makes the file smaller and often
            the maps better; 0 keeps the vectors as they are.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; outside nothing is computed.
        tile_size: Side of the square tiles that are computed; 0 chooses.
        overlap: Overlap of neighbouring tiles; -1 takes a quarter of the tile, or none for single
            vectors of tiles.
        merge: How overlapping tiles become one: blend fades from tile to tile, crop takes each
            pixel from the tile in whose middle it lies.
        device: Where to compute; auto takes the best there is.
        batch_size: Tiles computed at once; 0 chooses.
        seed: Of the random filters of rcf. Embeddings can only be compared if it is the same.
        picture: Picture to write that shows the first three principal components as red, green and
            blue.
        progress: Told how far the work is.

    Raises:
        BadParameter: If the network gives no vectors of this width, or backbone, weights and bands
            do not go together.
        MissingWeights: If pre-trained weights are not here and cannot be fetched.
    """
    from torchgeo_ext.inference import MaskSource, RasterOutput, predict_raster
    from torchgeo_ext.inference.embedding import Components, sample_vectors
    from torchgeo_ext.operations._embedding import choose, open_backbone, open_embedding, tiling
    from torchgeo_ext.operations._predict import Image, choose_grid

    grid = choose_grid(image, extent)
    masked = None if mask is None else MaskSource(str(mask))
    size, shared = tiling(reduction, tile_size, overlap, _TILE)
    pixel = reduction or size
    name, looking = backbone or model, portion(progress, 0, 0.05)
    if backbone:
        opened = open_backbone(
            choose(model, backbone, weights, band_adaptation, normalisation),
            Image(image, bands), grid, masked, pixel, pooled=reduction == 0, progress=looking,
        )  # fmt: skip
    else:
        opened = open_embedding(
            model, Image(image, bands), grid, masked, pixel, pooled=reduction == 0, seed=seed,
            progress=looking,
        )  # fmt: skip
    network: nn.Module = opened.network
    dimensions, explained = opened.dimensions, None
    if components or picture is not None:
        sample = sample_vectors(
            network, opened.source, grid, tile_size=size, reduction=pixel, device=device,
            mask=masked, progress=portion(progress, 0.05, 0.15),
        )  # fmt: skip
        network = Components(network, sample, components)
        if components:
            dimensions, explained = network.count, network.explained_variance
    part = 'component' if components else name
    outputs = [
        RasterOutput(
            str(output), 'values', part=slice(0, dimensions), tags={'model': name},
            descriptions=[f'{part} {number}' for number in range(1, dimensions + 1)],
        )
    ]  # fmt: skip
    if picture is not None:
        outputs.append(
            RasterOutput(
                str(picture), 'values', part=slice(dimensions, dimensions + 3), dtype='uint8',
                nodata=0, descriptions=['red', 'green', 'blue'], tags={'model': name},
                argument='picture',
            )
        )  # fmt: skip
    done = predict_raster(
        network,
        opened.source,
        grid,
        outputs,
        tile_size=size,
        overlap=shared,
        merge=merge,
        batch_size=batch_size,
        device=device,
        mask=masked,
        reduction=pixel,
        progress=portion(progress, 0.15, 1.0),
    )
    return EmbedImageResult(
        output=str(output),
        picture=None if picture is None else str(picture),
        dimensions=dimensions,
        explained_variance=explained,
        pixel_size=pixel,
        tiles=done.tiles,
        seconds=done.seconds,
        styles={},
    )
