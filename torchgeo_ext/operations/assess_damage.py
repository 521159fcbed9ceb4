"""Tell how damaged buildings are, from images before and after a disaster."""

import dataclasses
import json
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations import _checks
from torchgeo_ext.operations._operation import (
    Bundle,
    Device,
    Extent,
    Fraction,
    Label,
    Layer,
    Polygons,
    Raster,
    RasterOut,
    StrPath,
    Styles,
    VectorOut,
    bands_of,
    file_out,
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


class AssessDamageResult(NamedTuple):
    """Result of :func:`assess_damage`.

    Attributes:
        building_count: Number of buildings.
        damaged_count: Buildings of any level but the first, which is that of no damage.
        destroyed_count: Buildings of the last level.
        unknown_count: Buildings that were not seen at both dates.
        damaged_fraction: Share of the buildings seen that are damaged, 0 to 1.
        damaged_area: Ground that damaged buildings cover, in square metres.
        level_counts: Number of buildings of each level, as JSON.
        offset_x: How far the later image lies to the right of the earlier one, in pixels of the
            result; none if they have too little in common to tell.
        offset_y: How far the later image lies below the earlier one, in pixels of the result.
    """

    output: str
    buildings: str
    probabilities: str | None
    summary: str | None
    building_count: int
    damaged_count: int
    destroyed_count: int
    unknown_count: int
    damaged_fraction: float
    damaged_area: float
    level_counts: str
    offset_x: float | None
    offset_y: float | None
    styles: Styles


@operation(
    label='Assess damage',
    group='Change detection',
    tags=('disaster', 'buildings', 'footprints', 'xBD', 'BRIGHT', 'two dates', 'deep learning'),
    checks=(_checks.overlap('before', 'after'), _checks.less_than('overlap', 'tile_size')),
)
def assess_damage(
    before: Raster,
    after: Raster,
    bundle: Bundle,
    output: Annotated[RasterOut, Label('Damage map')],
    buildings: VectorOut,
    *,
    footprints: Polygons | None = None,
    vote: Literal['majority', 'weighted'] = 'majority',
    before_bands: Annotated[list[int], bands_of('before')] | None = None,
    after_bands: Annotated[list[int], bands_of('after')] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    threshold: Fraction = 0.5,
    minimum_area: MinimumArea = 0.0,
    resampling: Resampling = 'bilinear',
    tile_size: TileSize = 0,
    overlap: Overlap = -1,
    merge: Merge = 'blend',
    augmentation: Augmentation = 'none',
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    probabilities: Annotated[RasterOut, Label('Probability of buildings')] | None = None,
    summary: Annotated[StrPath, file_out('csv', 'html')] | None = None,
    progress: Progress = silent,
) -> AssessDamageResult:
    """Tell how damaged each building is, from images before and after a disaster.

    The model tells where buildings are and the level of damage of each of their pixels; the pixels
    of a building then vote on its level. With footprints the model looks inside of them only, and
    all of them are in the result with their own attributes, also those the images do not show,
    whose damage is unknown. A footprint has the pixels whose centre it covers, or else the one it
    lies in.

    Each building gets the number of its level (damage, from 1 for none) and its name
    (damage_name), the share of each level in its pixels (share_...), the share of it that was seen
    at both dates (seen) and its area on the ground (area_m2). Where footprints have a field of such
    a name, ours gets a number behind it.

    Args:
        before: Image before the disaster; its pixels are those of the result.
        after: Image after it; may differ in grid, resolution and coordinate reference system.
        bundle: The trained model: the model.json of its folder, a .zip of that folder, or a
            Lightning checkpoint (.ckpt) of BuildingDamage.
        output: Raster of damage to write: 0 no building, from 1 (no damage) on the levels of the
            model, named in the legend. With footprints there is no data outside of them.
        buildings: Polygons of the buildings with their damage to write (GeoPackage).
        footprints: Polygons of the buildings, in any coordinate reference system. Left out,
            buildings are outlined where the model finds them.
        vote: How pixels decide: the level of most of them, or weighted as in ChangeOS, where rare
            levels count more (8, 38, 25 and 11 for the four levels of xBD, and only for them). Of
            equal ones the lesser damage wins.
        before_bands: Numbers of the bands to use of the earlier image, in the model's order. Left
            out, they are found by name, wavelength or order; a model that was trained on a cube
            takes those of other sensors too.
        after_bands: Numbers of the bands to use of the later image.
        extent: Only this part of the images.
        mask: Raster (zero is outside) or polygons; pixels outside, such as clouds, count as not
            seen.
        threshold: Without footprints: probability from which on there is a building.
        minimum_area: Without footprints: leave out smaller buildings.
        resampling: How the later image is brought onto the pixels of the earlier one.
        tile_size: Side of the square tiles that are computed; 0 takes that of the model.
        overlap: Overlap of neighbouring tiles; -1 takes twice the halo of the model.
        merge: How overlapping tiles become one: blend fades from tile to tile, crop takes each
            pixel from the tile in whose middle it lies.
        augmentation: Average the results of mirrored (flip) or also rotated (d4) tiles: somewhat
            better, 4 or 8 times slower.
        device: Where to compute; auto takes the best there is.
        batch_size: Tiles computed at once; 0 chooses.
        probabilities: Raster of the probability of buildings to write.
        summary: Table of buildings and hectares by level of damage to write, as CSV or HTML.
        progress: Told how far the work is.

    Raises:
        BadInput: If footprints hold no polygon, or none where the images are.
        BadParameter: If a weighted vote is wanted of other levels than xBD's.
    """
    from torchgeo_ext.operations import _change
    from torchgeo_ext.operations._damage import (
        NO_BUILDING,
        Buildings,
        damage_levels,
        decide_damage,
        vote_weights,
    )
    from torchgeo_ext.operations._models import open_model
    from torchgeo_ext.operations._predict import MapOutput, Plan, predict_maps
    from torchgeo_ext.operations._sensors import adapt

    images = _change.two_dates(before, before_bands, after, after_bands)
    plan = Plan(tile_size, overlap, merge, augmentation, device, batch_size, mask, resampling)
    opened = open_model(bundle, None, task='building_damage', dates=2)
    levels = damage_levels(opened.card)
    weights = vote_weights(vote, len(levels))
    trained, sources = adapt(opened, images, resampling)
    grid = _change.common_grid(*images, extent)
    known, sure = None, threshold
    if footprints is not None:
        known = Buildings.read(footprints, grid)
        # whatever the model thinks of it, there is a building
        plan, sure = dataclasses.replace(plan, zones=known.zones), 0.0
    shift = _change.report_shift(sources, grid, portion(progress, 0, 0.05))
    styles = predict_maps(
        trained,
        sources,
        grid,
        {
            'output': MapOutput(output, [NO_BUILDING, *levels], decide_damage(trained.card, sure)),
            'probabilities': MapOutput(probabilities, 'building'),
        },
        plan,
        progress=portion(progress, 0.05, 0.85),
    )
    if known is None:
        outlined = portion(progress, 0.85, 0.9)
        known = Buildings.outline(output, len(levels), minimum_area, grid, outlined)
    damage = known.assess(output, levels, weights, portion(progress, 0.9, 0.98))
    styles['buildings'] = damage.write(buildings, known.features)
    if summary is not None:
        damage.write_summary(summary)
    hurt = [level['value'] for level in levels[1:]]
    seen = len(damage.level) - damage.count(0)
    return AssessDamageResult(
        output=str(output),
        buildings=str(buildings),
        probabilities=None if probabilities is None else str(probabilities),
        summary=None if summary is None else str(summary),
        building_count=len(damage.level),
        damaged_count=damage.count(*hurt),
        destroyed_count=damage.count(hurt[-1]),
        unknown_count=damage.count(0),
        damaged_fraction=damage.count(*hurt) / seen if seen else 0.0,
        damaged_area=damage.covered(*hurt),
        level_counts=json.dumps({level['name']: damage.count(level['value']) for level in levels}),
        offset_x=None if shift is None else shift.x,
        offset_y=None if shift is None else shift.y,
        styles=styles,
    )
