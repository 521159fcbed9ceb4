"""Give every tile of an image, or each of many polygons, a class."""

import json
from typing import Annotated, NamedTuple

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.operations._operation import (
    Bundle,
    Device,
    Extent,
    Label,
    Layer,
    Polygons,
    Raster,
    RasterOut,
    Styles,
    VectorOut,
    bands_of,
    operation,
    within,
)
from torchgeo_ext.operations._predict import Augmentation, BatchSize
from torchgeo_ext.progress import Progress, portion, silent


class ClassifyTilesResult(NamedTuple):
    """Result of :func:`classify_tiles`.

    Attributes:
        classified_count: Tiles or polygons that got a class.
        unknown_count: Polygons that got none, as the image does not show them.
        class_counts: Number of tiles or polygons of each class, as JSON. For models of several
            classes at once those that it holds for.
    """

    output: str
    raster: str | None
    classified_count: int
    unknown_count: int
    class_counts: str
    styles: Styles


@operation(
    label='Classify tiles',
    group='Segmentation',
    tags=('scene classification', 'patches', 'polygons', 'multi-label', 'deep learning', 'EuroSAT'),
)
def classify_tiles(
    image: Raster,
    bundle: Bundle,
    output: Annotated[VectorOut, Label('Classified tiles')],
    *,
    polygons: Polygons | None = None,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    tile_size: Annotated[int, within(0, 8192, 'pixels')] = 0,
    top: Annotated[int, within(1, 100)] = 3,
    threshold: Annotated[float, within(0, 1)] = 0.5,
    augmentation: Augmentation = 'none',
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    raster: Annotated[RasterOut, Label('Class raster')] | None = None,
    progress: Progress = silent,
) -> ClassifyTilesResult:
    """Give every tile of an image, or each of many polygons, a class with a model of scenes.

    The image is cut into square tiles. With polygons the model looks at the smallest square around
    each of them instead, what lies beside the polygon included, and all of them are in the result
    with their own attributes. What is larger or smaller than the scenes that the model has learned
    from is resampled to their size. Tiles are left out, and polygons stay unknown, if less than
    half of the square has data.

    Each gets value and name of its likeliest class (value, class) with its probability, the next
    ones likewise (top2_class, top2_probability and so on) and, of a model that may see several
    classes at once, the names of all that reach the threshold (classes). Polygons also get the
    share of the square that has data (seen). Where they have a field of such a name, ours gets a
    number behind it.

    Args:
        image: Image to classify, of any size.
        bundle: The trained model: the model.json of its folder, a .zip of that folder, or a
            Lightning checkpoint (.ckpt) of SceneClassification, LocatedClassification or
            Classification.
        output: Polygons of the tiles, or the polygons given, with their classes to write
            (GeoPackage).
        polygons: Polygons to classify, in any coordinate reference system. Left out, the tiles of
            the image are.
        bands: Numbers of the image's bands in the order the model wants them. Left out, bands are
            found by name, then by wavelength, then taken in order if their number fits. A model
            that knows bands by their wavelengths, or was trained on a cube, takes those of other
            sensors too.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; outside there is no data. Not with polygons to
            classify.
        tile_size: Side of the tiles in pixels of the image; 0 takes that of the model. With
            polygons: side of the square around the middle of each; 0 takes the smallest one around
            the whole polygon.
        top: How many classes to tell of each, best first.
        threshold: Probability from which on a class holds, for models that may see several at once
            or tell two apart by a single score.
        augmentation: Average the results of mirrored (flip) or also rotated (d4) tiles: somewhat
            better, 4 or 8 times slower.
        device: Where to compute; auto takes the best there is.
        batch_size: Tiles computed at once; 0 chooses.
        raster: Raster of classes with one pixel for each tile to write. Not with polygons.
        progress: Told how far the work is.

    Raises:
        BadInput: If the model does not classify scenes, or no polygon lies on the image.
        BadParameter: If a mask or a raster is given together with polygons.
    """
    import pyarrow as pa

    from torchgeo_ext.inference.style import write_style
    from torchgeo_ext.operations._models import open_model
    from torchgeo_ext.operations._polygons import UNKNOWN, read_polygons
    from torchgeo_ext.operations._predict import (
        Image,
        Plan,
        check_resolution,
        choose_grid,
        class_table,
    )
    from torchgeo_ext.operations._scenes import (
        Ranking,
        classify_grid,
        classify_polygons,
        write_scenes,
    )
    from torchgeo_ext.operations._sensors import adapt
    from torchgeo_ext.operations._values import warn_of_values

    for name, value in (('mask', mask), ('raster', raster)):
        if polygons is not None and value is not None:
            raise BadParameter(
                f'{name}: {value} is for the tiles of an image, but polygons are given.',
                f'Leave {name} or polygons out.',
            )
    opened = open_model(bundle, None, task='classification', dates=1)
    plan = Plan(tile_size, 0, 'crop', augmentation, device, batch_size, mask)
    trained, [source] = adapt(opened, [Image(image, bands)])
    grid = choose_grid(image, extent)
    if polygons is None and tile_size in (0, trained.card.tile_size):
        check_resolution(trained.card, grid)
    warn_of_values(source, grid, trained.card.image_bands, trained.card.training.get('units'))
    ranking, classes = Ranking(trained.card, threshold, top), class_table(trained.card.classes)
    styles: Styles = {}
    work = portion(progress, 0, 0.95)
    if polygons is None:
        features, found = classify_grid(trained, source, grid, ranking, plan, raster, work)
        columns, possible = ranking.columns(found), classes
    else:
        features, zones = read_polygons(polygons, grid, 'polygons', 'the image')
        found, share = classify_polygons(trained, source, features, zones, ranking, plan, work)
        columns = ranking.columns(found) | {'seen': pa.array(share)}
        possible = [*classes, UNKNOWN]
    styles['output'] = write_scenes(output, features, columns, possible)
    if raster is not None:
        styles['raster'] = {'type': 'classes', 'classes': classes}
        write_style(raster, styles['raster'])
    known = int(found.known.sum())
    return ClassifyTilesResult(
        output=str(output),
        raster=None if raster is None else str(raster),
        classified_count=known,
        unknown_count=len(found.known) - known,
        class_counts=json.dumps(ranking.counts(found)),
        styles=styles,
    )
