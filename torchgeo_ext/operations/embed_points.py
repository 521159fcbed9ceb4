"""Describe each point by what an encoder knows of its place."""

from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations._location_parameters import LocationModel, Seed, Untrained, Weights
from torchgeo_ext.operations._operation import (
    Device,
    Features,
    FeaturesOut,
    Label,
    Styles,
    operation,
)
from torchgeo_ext.progress import Progress, silent


class EmbedPointsResult(NamedTuple):
    """Result of :func:`embed_points`.

    Attributes:
        dimensions: Numbers that describe each point.
        embedded_count: Points that got a vector.
        empty_count: Features that got none, as they are at no single place.
        source: Where the numbers of the encoder come from.
    """

    output: str
    dimensions: int
    embedded_count: int
    empty_count: int
    source: str
    styles: Styles


@operation(
    label='Embed points',
    group='Location',
    tags=('location', 'coordinates', 'SatCLIP', 'GeoCLIP', 'SINR', 'position', 'features'),
)
def embed_points(
    points: Features,
    output: Annotated[FeaturesOut, Label('Points with embedding')],
    *,
    model: LocationModel = 'satclip_vit16_l40',
    weights: Weights | None = None,
    form: Literal['fields', 'array'] = 'fields',
    prefix: str = 'embedding',
    untrained: Untrained = False,
    seed: Seed = 0,
    device: Device = 'auto',
    progress: Progress = silent,
) -> EmbedPointsResult:
    """Describe each point by what an encoder knows of its place, without any image.

    Encoders such as SatCLIP have learned from satellite images, photos, species or climate what
    tells places apart, and give a vector for any longitude and latitude. Vectors are further
    attributes for regression, classification, grouping and search; Predict from location tells how
    much they are worth for a target of one's own.

    The layer may have any coordinate reference system and any size; some thousand points are in
    memory at once. Features without geometry and multipoints of several points are kept, without a
    vector.

    Args:
        points: Points to describe, with any attributes.
        output: The same features with their vectors to write: a GeoPackage or, better for many
            points, GeoParquet.
        model: Encoder. Those with the name of a publication are trained and need weights;
            harmonics, fourier and wrap are formulas of longitude and latitude, as a baseline.
        weights: File of the weights as their authors publish it, or as safetensors. Left out, they
            are fetched once, where their licence and their publication allow it.
        form: fields makes a field for each number; array makes a single field, which is a list in
            GeoParquet and, in GeoPackage, a binary field of float32 numbers (little-endian).
        prefix: Beginning of the names of the fields, which then are numbered: embedding_000 and so
            on; or the name of the single field.
        untrained: Take random numbers for the weights. Only to see what training is worth.
        seed: Of the random numbers.
        device: Where to compute; auto takes the best there is.
        progress: Told how far the work is.

    Raises:
        BadInput: If the layer has no points, no reference system, or coordinates that are none.
        BadParameter: If the layer would have more fields than a GeoPackage can.
        MissingWeights: If published weights are not here and cannot be fetched.
    """
    from torchgeo_ext.inference.features import FeatureWriter
    from torchgeo_ext.inference.points import PointLayer
    from torchgeo_ext.operations._location import PlaceEncoder
    from torchgeo_ext.operations._vector_columns import check_columns, vector_columns

    layer = PointLayer.open(points, 'points')
    encoder = PlaceEncoder.open(model, weights, untrained=untrained, seed=seed, device=device)
    check_columns(output, layer, form, encoder.dimensions)
    done = embedded = 0
    with FeatureWriter(output, 'output') as writer:
        for batch in layer.batches():
            progress(done / layer.number, 'Embedding')
            vectors = encoder(batch.places)
            writer.add(batch.features, vector_columns(output, vectors, form, prefix))
            done += len(vectors)
            embedded += int(batch.placed.sum())
        progress(1.0, 'Writing')
    return EmbedPointsResult(
        output=str(output),
        dimensions=encoder.dimensions,
        embedded_count=embedded,
        empty_count=done - embedded,
        source=encoder.origin,
        styles={},
    )
