"""Find what changed into what between two images of one place."""

from typing import Annotated, NamedTuple

from torchgeo_ext.operations import _checks
from torchgeo_ext.operations._operation import (
    Bundle,
    Device,
    Extent,
    Fraction,
    Label,
    Layer,
    Raster,
    RasterOut,
    StrPath,
    Styles,
    VectorOut,
    bands_of,
    file_out,
    model_for,
    operation,
)
from torchgeo_ext.operations._predict import (
    Augmentation,
    BatchSize,
    Merge,
    MinimumArea,
    Overlap,
    Resampling,
    TileSize,
)
from torchgeo_ext.progress import Progress, portion, silent


class DetectSemanticChangeResult(NamedTuple):
    """Result of :func:`detect_semantic_change`.

    Attributes:
        changed_area: Area that changed in square metres, measured on the ellipsoid.
        changed_fraction: Share of the pixels with data at both dates that changed, 0 to 1.
        valid_fraction: Share of the pixels of the result that have data at both dates, and are
            inside of the mask, 0 to 1; the others are left out.
        commonest: The transition that covers most ground, such as "forest → bare soil"; empty if
            nothing changed.
        offset_x: How far the later image lies to the right of the earlier one, in pixels of the
            result; none if they have too little in common to tell.
        offset_y: How far the later image lies below the earlier one, in pixels of the result.
    """

    output: str
    before_map: str | None
    after_map: str | None
    probabilities: str | None
    polygons: str | None
    matrix: str | None
    changed_area: float
    changed_fraction: float
    valid_fraction: float
    commonest: str
    offset_x: float | None
    offset_y: float | None
    styles: Styles


@operation(
    label='Detect semantic change',
    group='Change detection',
    tags=('from-to', 'transition matrix', 'land cover', 'two dates', 'deep learning'),
    checks=(_checks.overlap('before', 'after'), _checks.less_than('overlap', 'tile_size')),
)
def detect_semantic_change(
    before: Raster,
    after: Raster,
    output: Annotated[RasterOut, Label('Transitions')],
    *,
    model: Annotated[str, model_for('semantic_change')] = 'ChangeMamba_Weights.SECOND_SCD_TINY',
    bundle: Bundle | None = None,
    before_bands: Annotated[list[int], bands_of('before')] | None = None,
    after_bands: Annotated[list[int], bands_of('after')] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    threshold: Fraction = 0.5,
    resampling: Resampling = 'bilinear',
    tile_size: TileSize = 0,
    overlap: Overlap = -1,
    merge: Merge = 'blend',
    augmentation: Augmentation = 'none',
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    before_map: Annotated[RasterOut, Label('Land cover before')] | None = None,
    after_map: Annotated[RasterOut, Label('Land cover after')] | None = None,
    probabilities: Annotated[RasterOut, Label('Probability of change')] | None = None,
    polygons: Annotated[VectorOut, Label('Changed areas')] | None = None,
    minimum_area: MinimumArea = 0.0,
    matrix: Annotated[StrPath, file_out('csv', 'html'), Label('Transition matrix')] | None = None,
    progress: Progress = silent,
) -> DetectSemanticChangeResult:
    """Find what changed into what between two images of one place, with a trained model.

    The model tells where something changed and the land cover of both dates. The images may differ
    in grid, resolution and coordinate reference system: the result has the pixels of the earlier
    image where both images are, and the later one is resampled to them. Pixels without data at
    either date have none in the result and do not count.

    Args:
        before: Earlier image; its pixels are those of the result.
        after: Later image.
        output: Raster of transitions to write: 0 unchanged, otherwise one value for each pair of
            land cover before and after; the legend names those that occur.
        model: Published model to use when no bundle is given.
        bundle: Your own trained model, which takes the place of the one above: the model.json of
            its folder, a .zip of that folder, or a Lightning checkpoint (.ckpt) of
            SemanticChangeDetection.
        before_bands: Numbers of the bands to use of the earlier image, in the model's order. Left
            out, they are found by name, wavelength or order; a model that was trained on a cube
            takes those of other sensors too.
        after_bands: Numbers of the bands to use of the later image.
        extent: Only this part of the images.
        mask: Raster (zero is outside) or polygons; pixels outside get no data and do not count.
        threshold: Probability of change from which on a pixel is changed.
        resampling: How the later image is brought onto the pixels of the earlier one.
        tile_size: Side of the square tiles that are computed; 0 takes that of the model.
        overlap: Overlap of neighbouring tiles; -1 takes twice the halo of the model.
        merge: How overlapping tiles become one: blend fades from tile to tile, crop takes each
            pixel from the tile in whose middle it lies.
        augmentation: Average the results of mirrored (flip) or also rotated (d4) tiles: somewhat
            better, 4 or 8 times slower.
        device: Where to compute; auto takes the best there is.
        batch_size: Tiles computed at once; 0 chooses.
        before_map: Raster of the land cover before to write, changed or not.
        after_map: Raster of the land cover after to write, changed or not.
        probabilities: Raster of the probability of change to write.
        polygons: Polygons of what changed to write (GeoPackage), with transition and area.
        minimum_area: Leave out smaller polygons.
        matrix: Table of hectares by land cover before (rows) and after (columns) to write, as CSV
            or HTML.
        progress: Told how far the work is.
    """
    from torchgeo_ext.operations import _change
    from torchgeo_ext.operations._models import open_model
    from torchgeo_ext.operations._predict import MapOutput, Plan, predict_maps
    from torchgeo_ext.operations._sensors import adapt
    from torchgeo_ext.operations._transitions import (
        decide_transition,
        report_transitions,
        transitions,
    )

    images = _change.two_dates(before, before_bands, after, after_bands)
    plan = Plan(tile_size, overlap, merge, augmentation, device, batch_size, mask, resampling)
    opened = open_model(bundle, model, task='semantic_change', dates=2)
    trained, sources = adapt(opened, images, resampling)
    card = trained.card
    grid = _change.common_grid(*images, extent)
    shift = _change.report_shift(sources, grid, portion(progress, 0, 0.05))
    share = 0.85 if polygons else 0.99
    styles = predict_maps(
        trained,
        sources,
        grid,
        {
            'output': MapOutput(
                output, transitions(card.classes, card.classes), decide_transition(card, threshold)
            ),
            'before_map': MapOutput(before_map, 'before'),
            'after_map': MapOutput(after_map, 'after'),
            'probabilities': MapOutput(probabilities, 'change'),
        },
        plan,
        progress=portion(progress, 0.05, share),
    )
    changes = report_transitions(
        output,
        card.classes,
        card.classes,
        polygons=polygons,
        minimum_area=minimum_area,
        matrix=matrix,
        styles=styles,
        progress=portion(progress, share, 0.99),
    )
    return DetectSemanticChangeResult(
        output=str(output),
        before_map=None if before_map is None else str(before_map),
        after_map=None if after_map is None else str(after_map),
        probabilities=None if probabilities is None else str(probabilities),
        polygons=None if polygons is None else str(polygons),
        matrix=None if matrix is None else str(matrix),
        changed_area=changes.area,
        changed_fraction=changes.fraction,
        valid_fraction=changes.pixels / (grid.width * grid.height),
        commonest=changes.commonest,
        offset_x=None if shift is None else shift.x,
        offset_y=None if shift is None else shift.y,
        styles=styles,
    )
