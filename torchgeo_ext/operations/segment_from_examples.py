"""Make a map from a few examples of each class, in moments."""

import json
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations._operation import (
    ADVANCED,
    Device,
    Extent,
    Features,
    Label,
    Layer,
    Raster,
    RasterOut,
    Styles,
    VectorOut,
    bands_of,
    field_of,
    operation,
    within,
)
from torchgeo_ext.operations._predict import MinimumArea
from torchgeo_ext.progress import Progress, portion, silent


class SegmentFromExamplesResult(NamedTuple):
    """Result of :func:`segment_from_examples`.

    Attributes:
        classes: Value, name and colour of each class, as JSON.
        class_areas: Area of each class in square metres, measured on the ellipsoid, as JSON.
        example_pixels: Pixels that were learned from.
        held_out_accuracy: How well examples are classified by those of other parts of the image:
            share of the pixels that get the right class, averaged over classes, 0 to 1. None if
            there are too few examples to leave some out. It says nothing of places unlike the
            examples.
        seconds: Time spent in all.
    """

    output: str
    confidence: str | None
    polygons: str | None
    classes: str
    class_areas: str
    example_pixels: int
    held_out_accuracy: float | None
    seconds: float
    styles: Styles


@operation(
    label='Segment from examples',
    group='Segmentation',
    tags=(
        'supervised classification', 'few-shot', 'interactive', 'training points', 'land cover',
        'embedding', 'k-NN', 'logistic regression',
    ),
)  # fmt: skip
def segment_from_examples(
    image: Raster,
    examples: Features,
    class_field: Annotated[str, field_of('examples')],
    output: Annotated[RasterOut, Label('Class map')],
    *,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    method: Literal['linear', 'prototypes', 'neighbours'] = 'linear',
    neighbours: Annotated[int, within(1, 100), ADVANCED] = 5,
    pixels_of: Annotated[Raster, ADVANCED] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    device: Device = 'auto',
    confidence: RasterOut | None = None,
    polygons: VectorOut | None = None,
    minimum_area: MinimumArea = 0.0,
    progress: Progress = silent,
) -> SegmentFromExamplesResult:
    """Make a map from a few points, lines or polygons of each class, in moments.

    Works on whatever tells classes apart pixel by pixel: the embedding of Embed image, of which a
    few examples are enough, or the bands of an image, indices and terrain in one raster. Draw some
    examples, look at the map, draw others where it is wrong, and run again.

    Args:
        image: Raster whose bands tell the classes apart, best an embedding.
        examples: Points, lines or polygons of known class; ten for each class are a good start.
        class_field: Their field with the class, text or whole numbers.
        output: Class map to write.
        bands: Numbers of the bands to use. Left out, all; of more than 30 those that have data, are
            not marked as bad and are not in the water vapour.
        method: linear fits a plane between classes (logistic regression) and does well with most
            embeddings; prototypes takes the class whose mean is nearest, good for one or two
            examples; neighbours takes the classes of the nearest examples, good for classes that
            look different from place to place, and slower.
        neighbours: For neighbours: how many examples vote.
        pixels_of: Raster whose pixels the map gets, such as the image that the embedding was made
            of; those of the image if left out.
        extent: Only this part; examples elsewhere count all the same.
        mask: Raster (zero is outside) or polygons; pixels outside get no class.
        device: Where to compute; auto takes the best there is.
        confidence: Raster of the probability of the chosen class to write.
        polygons: Polygons of the classes to write (GeoPackage).
        minimum_area: Leave out smaller polygons.
        progress: Told how far the work is.

    Raises:
        BadInput: If fewer than two classes have an example on the image.
    """
    import time

    from torchgeo_ext.inference import MaskSource, RasterSource
    from torchgeo_ext.inference.examples import fit_classifier, held_out_accuracy
    from torchgeo_ext.operations._cube import bands_of_use
    from torchgeo_ext.operations._examples import read_examples
    from torchgeo_ext.operations._pixelwise import map_classes
    from torchgeo_ext.operations._predict import choose_grid, class_table

    started = time.perf_counter()
    like, argument = (image, 'image') if pixels_of is None else (pixels_of, 'pixels_of')
    source = RasterSource(str(image), bands=bands_of_use(image, bands, choose_grid(image, None)))
    progress(0.0, 'Reading the examples')
    known = read_examples(str(examples), class_field, source, choose_grid(like, None, argument))
    count = len(known.legend)
    progress(0.05, 'Fitting')
    fitted = fit_classifier(method, known.features, known.classes, count, neighbours)
    accuracy = held_out_accuracy(
        method, known.features, known.classes, known.places, count, neighbours
    )
    classes = class_table(known.legend)
    styles, areas = map_classes(
        fitted,
        source,
        choose_grid(like, extent, argument),
        classes,
        model=f'{method} of {len(known.classes)} example pixels',
        mask=None if mask is None else MaskSource(str(mask)),
        device=device,
        output=output,
        confidence=confidence,
        polygons=polygons,
        minimum_area=minimum_area,
        progress=portion(progress, 0.1, 1),
    )
    return SegmentFromExamplesResult(
        output=str(output),
        confidence=None if confidence is None else str(confidence),
        polygons=None if polygons is None else str(polygons),
        classes=json.dumps(classes),
        class_areas=json.dumps(areas),
        example_pixels=len(known.classes),
        held_out_accuracy=accuracy,
        seconds=time.perf_counter() - started,
        styles=styles,
    )
