"""Give every pixel of an image a class."""

import json
from typing import Annotated, NamedTuple

from torchgeo_ext.operations._checks import less_than, one_of
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Bundle,
    Device,
    Extent,
    Label,
    Layer,
    Raster,
    RasterOut,
    Styles,
    VectorOut,
    bands_of,
    model_for,
    operation,
    within,
)
from torchgeo_ext.operations._predict import (
    Augmentation,
    BatchSize,
    Merge,
    MinimumArea,
    Overlap,
    TileSize,
)
from torchgeo_ext.progress import Progress, portion, silent


class SegmentImageResult(NamedTuple):
    """Result of :func:`segment_image`.

    Attributes:
        valid_fraction: Share of the pixels of the result that got a class, 0 to 1.
        tiles: Tiles that went through the model.
        tiles_skipped: Tiles without a single valid pixel, which cost no computation.
        class_areas: Area of each class in square metres, as JSON: number of pixels times the
            area on the ground of the pixel in the middle of the image.
        seconds: Time spent on reading, computing and writing.
    """

    output: str
    probabilities: str | None
    confidence: str | None
    polygons: str | None
    valid_fraction: float
    tiles: int
    tiles_skipped: int
    class_areas: str
    seconds: float
    styles: Styles


@operation(
    label='Segment image',
    group='Segmentation',
    tags=('classification', 'land cover', 'semantic segmentation', 'deep learning', 'predict'),
    checks=(one_of('bundle', 'model'), less_than('overlap', 'tile_size')),
)
def segment_image(
    image: Raster,
    output: Annotated[RasterOut, Label('Class map')],
    *,
    bundle: Bundle | None = None,
    model: Annotated[str, model_for('segmentation')] | None = None,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    tile_size: TileSize = 0,
    overlap: Overlap = -1,
    merge: Merge = 'blend',
    threshold: Annotated[float, within(0, 1), ADVANCED] = 0.5,
    augmentation: Augmentation = 'none',
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    probabilities: RasterOut | None = None,
    confidence: RasterOut | None = None,
    polygons: VectorOut | None = None,
    minimum_area: MinimumArea = 0.0,
    progress: Progress = silent,
) -> SegmentImageResult:
    """Give every pixel of an image a class with a trained model.

    The result has exactly the grid of the image (or of the part of it inside the extent). Images
    of any size are read, computed and written in pieces; pixels without data stay without data.

    Args:
        image: Image to segment, of any data type, size and coordinate reference system.
        output: Class raster to write (GeoTIFF with colours and class names).
        bundle: Your own trained model: the model.json of its folder, a .zip of that folder, or a
            Lightning checkpoint (.ckpt).
        model: A published model by name, instead of a bundle.
        bands: Numbers of the image's bands in the order the model wants them. Left out, bands are
            found by name, then by wavelength, then taken in order if their number fits. A model
            that knows bands by their wavelengths, or was trained on a cube, takes those of other
            sensors too.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; pixels outside get no class.
        tile_size: Side of the square tiles that go through the model; 0 takes that of the model.
        overlap: Overlap of neighbouring tiles; -1 takes twice the halo of the model.
        merge: How overlapping tiles become one: blend fades from tile to tile, crop takes each
            pixel from the tile in whose middle it lies.
        threshold: Probability from which on a pixel is of the second class, for models that tell
            two classes apart by a single score.
        augmentation: Average the results of mirrored (flip) or also rotated (d4) tiles: somewhat
            better, 4 or 8 times slower.
        device: Where to compute; auto takes the best there is.
        batch_size: Tiles computed at once; 0 chooses, and too many for the memory are halved.
        probabilities: Raster of the probability of each class to write, one band per class.
        confidence: Raster of the highest probability to write.
        polygons: Polygons of all classes to write (GeoPackage), with class and area.
        minimum_area: Leave out smaller polygons.
        progress: Told how far the work is.
    """
    from torchgeo_ext.operations._models import open_model
    from torchgeo_ext.operations._predict import (
        Image,
        Plan,
        choose_grid,
        outline_classes,
        predict_classes,
    )
    from torchgeo_ext.operations._sensors import adapt

    opened = open_model(bundle, model, task='segmentation', dates=1)
    trained, sources = adapt(opened, [Image(image, bands)])
    plan = Plan(tile_size, overlap, merge, augmentation, device, batch_size, mask)
    share = 0.85 if polygons else 1.0
    done = predict_classes(
        trained,
        sources,
        choose_grid(image, extent),
        {'output': output, 'probabilities': probabilities, 'confidence': confidence},
        plan,
        threshold=threshold,
        progress=portion(progress, 0, share),
    )
    styles = done.styles
    if polygons:
        ending = portion(progress, share, 1)
        styles['polygons'] = outline_classes(output, polygons, trained.card, minimum_area, ending)
    names = {entry.value: entry.name for entry in trained.card.classes}
    return SegmentImageResult(
        output=str(output),
        probabilities=None if probabilities is None else str(probabilities),
        confidence=None if confidence is None else str(confidence),
        polygons=None if polygons is None else str(polygons),
        valid_fraction=done.valid_fraction,
        tiles=done.tiles,
        tiles_skipped=done.tiles_skipped,
        class_areas=json.dumps({names[value]: area for value, area in done.areas.items()}),
        seconds=done.seconds,
        styles=styles,
    )
