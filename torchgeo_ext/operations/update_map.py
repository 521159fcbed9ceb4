"""Find what changed since a land-cover map was made, and bring the map up to date."""

import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.operations import _checks
from torchgeo_ext.operations._operation import (
    Bundle,
    ClassEntry,
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
    field_of,
    file_out,
    operation,
    table_of,
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

if TYPE_CHECKING:
    import numpy as np

    from torchgeo_ext.bundles import BundleCard
    from torchgeo_ext.inference.outputs import Scores

log = logging.getLogger(__name__)


class UpdateMapResult(NamedTuple):
    """Result of :func:`update_map`.

    Attributes:
        changed_area: Area that changed in square metres, measured on the ellipsoid.
        changed_fraction: Share of the pixels compared that changed, 0 to 1. Compared are those
            with data at both dates and a class in the map.
        valid_fraction: Share of the pixels of the result that are compared; the others have no
            data at a date, no class in the map, or are outside of the mask.
        unmapped_fraction: Share of the pixels both images have that the map has no class for.
        commonest: The transition that covers most ground, such as "forest → built-up"; empty if
            nothing changed.
        offset_x: How far the later image lies to the right of the earlier one, in pixels of the
            result; none if they have too little in common to tell.
        offset_y: How far the later image lies below the earlier one, in pixels of the result.
    """

    output: str
    updated_map: str | None
    probabilities: str | None
    polygons: str | None
    matrix: str | None
    changed_area: float
    changed_fraction: float
    valid_fraction: float
    unmapped_fraction: float
    commonest: str
    offset_x: float | None
    offset_y: float | None
    styles: Styles


@operation(
    label='Update map',
    group='Change detection',
    tags=('land cover', 'map revision', 'MapFormer', 'conditional', 'two dates', 'deep learning'),
    checks=(_checks.overlap('before', 'after'), _checks.less_than('overlap', 'tile_size')),
)
def update_map(
    before: Raster,
    after: Raster,
    land_cover: Layer,
    bundle: Bundle,
    output: Annotated[RasterOut, Label('Changed areas')],
    *,
    class_field: Annotated[str, field_of('land_cover')] | None = None,
    mapping: Annotated[list[list[Any]], table_of('map', 'model')] | None = None,
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
    updated_map: RasterOut | None = None,
    probabilities: Annotated[RasterOut, Label('Probability of change')] | None = None,
    polygons: Annotated[VectorOut, Label('Changed polygons')] | None = None,
    minimum_area: MinimumArea = 0.0,
    matrix: Annotated[StrPath, file_out('csv', 'html'), Label('Transition matrix')] | None = None,
    progress: Progress = silent,
) -> UpdateMapResult:
    """Find what changed since a land-cover map was made, and bring the map up to date.

    The model looks at an image from the time of the map, a later one and the map itself. The
    classes of the map may be called otherwise than those of the model, and there may be more of
    them: where nothing changed the updated map keeps its own. Pixels without data at either date,
    and those the map has no class for, are not compared and stay as they are in the updated map.

    Args:
        before: Image from the time of the map; its pixels are those of the result.
        after: Later image.
        land_cover: The map to update: a raster of class numbers (on any grid) or polygons.
        bundle: The trained model: the model.json of its folder, a .zip of that folder, or a
            Lightning checkpoint (.ckpt) of ConditionalChangeDetection.
        output: Raster of what changed to write: 0 unchanged, otherwise one value for each pair of
            class in the map and new class; the legend names those that occur.
        class_field: Field with the class of polygons.
        mapping: Which class of the map is which of the model, each as value or name; nothing for
            the model leaves the pixels of a class out. Needed for classes whose name is not one of
            the model's or, if the map has no names, whose value is not.
        before_bands: Numbers of the bands to use of the earlier image, in the model's order. Left
            out, they are found by name, wavelength or order; a model that was trained on a cube
            takes those of other sensors too.
        after_bands: Numbers of the bands to use of the later image.
        extent: Only this part of the images.
        mask: Raster (zero is outside) or polygons; pixels outside are not compared.
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
        updated_map: Raster of the map with the new classes put in to write. A new class that the
            map does not have gets the model's value, or the next free one.
        probabilities: Raster of the probability of change to write.
        polygons: Polygons of what changed to write (GeoPackage), with old and new class and area.
        minimum_area: Leave out smaller polygons.
        matrix: Table of hectares by class in the map (rows) and new class (columns) to write, as
            CSV or HTML.
        progress: Told how far the work is.

    Raises:
        BadParameter: If a class of the map is none of the model's and ``mapping`` does not tell, or
            an updated map is wanted of a model that tells only where something changed.
        BadInput: If the map has no class where the images are.
    """
    from torchgeo_ext.datasets._labels import LabelOptions, read_labels
    from torchgeo_ext.inference import RasterSource
    from torchgeo_ext.operations import _change
    from torchgeo_ext.operations._land_cover import (
        CHANGED,
        ClassRaster,
        match_classes,
        write_changes,
        write_numbers,
    )
    from torchgeo_ext.operations._models import open_model
    from torchgeo_ext.operations._predict import MapOutput, Plan, class_table, predict_maps
    from torchgeo_ext.operations._sensors import adapt
    from torchgeo_ext.operations._transitions import UNCHANGED, report_transitions, transitions

    images = _change.two_dates(before, before_bands, after, after_bands)
    plan = Plan(tile_size, overlap, merge, augmentation, device, batch_size, mask, resampling)
    opened = open_model(bundle, None, task='map_update', dates=2)
    card = opened.card
    tells_what = 'after' in card.maps
    if updated_map is not None and not tells_what:
        raise BadParameter(
            f'updated_map: {card.name} tells where something changed, but not into what.',
            'Leave it out, or use a model that was trained with semantic labels.',
        )
    trained, sources = adapt(opened, images, resampling)
    grid = _change.common_grid(*images, extent)
    options = LabelOptions(class_field=class_field, argument='land_cover')
    known = read_labels(str(land_cover), [grid], options, progress=portion(progress, 0, 0.04))
    legend = match_classes(known.classes, card.classes, mapping or (), log)
    shift = _change.report_shift(sources, grid, portion(progress, 0.04, 0.08))
    new = [legend.classes[position] for position in legend.new] if tells_what else [CHANGED]
    numbered = [ClassEntry(value=n, name=c.name, color=c.color) for n, c in enumerate(new, 1)]
    maps = {
        'output': ClassRaster(output, transitions(known.classes, new)),
        'updated_map': ClassRaster(updated_map, class_table(legend.classes)),
    }
    share = 0.85 if polygons else 0.95
    with TemporaryDirectory() as folder:
        numbers, found = Path(folder) / 'land_cover.tif', Path(folder) / 'found.tif'
        unmapped = write_numbers(known, legend, grid, numbers, portion(progress, 0.08, 0.1))
        styles = predict_maps(
            trained,
            [*sources, RasterSource(str(numbers), bands=(1,), argument='land_cover')],
            grid,
            {
                'found': MapOutput(found, [UNCHANGED, *numbered], _decide(card, threshold)),
                'probabilities': MapOutput(probabilities, 'change'),
            },
            plan,
            join_bands=True,
            progress=portion(progress, 0.1, share),
        )
        del styles['found']
        written = portion(progress, share, share + 0.04)
        styles |= write_changes(found, numbers, legend, grid, len(new), maps, written)
    changes = report_transitions(
        output,
        known.classes,
        new,
        polygons=polygons,
        minimum_area=minimum_area,
        matrix=matrix,
        styles=styles,
        progress=portion(progress, share + 0.04, 0.99),
    )
    return UpdateMapResult(
        output=str(output),
        updated_map=None if updated_map is None else str(updated_map),
        probabilities=None if probabilities is None else str(probabilities),
        polygons=None if polygons is None else str(polygons),
        matrix=None if matrix is None else str(matrix),
        changed_area=changes.area,
        changed_fraction=changes.fraction,
        valid_fraction=changes.pixels / (grid.width * grid.height),
        unmapped_fraction=unmapped,
        commonest=changes.commonest,
        offset_x=None if shift is None else shift.x,
        offset_y=None if shift is None else shift.y,
        styles=styles,
    )


def _decide(card: 'BundleCard', threshold: float) -> 'Callable[[Scores], np.ndarray[Any, Any]]':
    """Make what tells the number of the new class of each pixel, from 1; 0 is unchanged."""
    maps = card.maps

    def decide(scores: 'Scores') -> 'np.ndarray[Any, Any]':
        import numpy as np

        changed = scores.reached(maps['change'].start, threshold)
        if 'after' not in maps:
            return changed.astype(np.uint8)
        number = 1 + scores.part(maps['after']).best.astype(np.uint16)
        return np.where(changed, number, 0).astype(np.uint16)

    return decide
