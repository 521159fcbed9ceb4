"""Find objects such as buildings, ships or trees, and draw a box around each."""

import json
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations._checks import less_than
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Bundle,
    ClassEntry,
    Device,
    Extent,
    Fraction,
    Label,
    Layer,
    Raster,
    Styles,
    VectorOut,
    bands_of,
    operation,
    within,
)
from torchgeo_ext.operations._predict import BatchSize, Overlap, TileSize
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from torchgeo_ext.inference import Grid
    from torchgeo_ext.inference.detect import Objects


class DetectObjectsResult(NamedTuple):
    """Result of :func:`detect_objects`.

    Attributes:
        objects: Number of objects.
        counts: Number of objects by class, as JSON.
        tiles: Tiles that went through the model.
    """

    output: str
    objects: int
    counts: str
    tiles: int
    styles: Styles


@operation(
    label='Detect objects',
    group='Objects',
    tags=('object detection', 'bounding boxes', 'buildings', 'ships', 'aircraft', 'trees', 'count'),
    checks=(less_than('overlap', 'tile_size'),),
)
def detect_objects(
    image: Raster,
    bundle: Bundle,
    output: Annotated[VectorOut, Label('Objects')],
    *,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    threshold: Fraction = 0.5,
    iou: Annotated[Fraction, ADVANCED] = 0.5,
    minimum_size: Annotated[float, within(0, None, 'metres')] = 0.0,
    maximum_size: Annotated[float, within(0, None, 'metres')] = 0.0,
    tile_size: TileSize = 0,
    overlap: Overlap = -1,
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    progress: Progress = silent,
) -> DetectObjectsResult:
    """Find objects with a trained detector and draw a box around each.

    The image may be of any size: an object that the rim of a tile cuts is taken from the tile that
    shows all of it. Each box has its class, its score (0 to 1), the length of its longer and
    shorter side (length_m, width_m) and its area on the ground (area_m2).

    Args:
        image: Image of any size.
        bundle: The trained model: the model.json of its folder, a .zip of that folder, or a
            Lightning checkpoint (.ckpt) of TorchGeo's ObjectDetection.
        output: Boxes to write (GeoPackage).
        bands: Numbers of the bands to use, in the model's order. Left out, they are found by name,
            wavelength or order.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; objects whose middle is outside are left out.
        threshold: Lowest score of an object.
        iou: Two boxes of a class that overlap by more (intersection over union) are one object.
        minimum_size: Leave out objects whose longer side is shorter.
        maximum_size: Leave out objects whose longer side is longer; 0 for no limit.
        tile_size: Side of the square tiles that are computed; 0 takes that of the model.
        overlap: Overlap of neighbouring tiles, best a little more than the largest object; -1 takes
            twice the halo of the model.
        device: Where to compute; auto takes the best there is.
        batch_size: Tiles computed at once; 0 chooses.
        progress: Told how far the work is.

    Raises:
        BadInput: If sizes in metres are wanted of an image without a reference system.
    """
    from torchgeo_ext.inference import MaskSource
    from torchgeo_ext.inference.detect import find_objects
    from torchgeo_ext.inference.style import write_style
    from torchgeo_ext.operations._models import build_model, open_model
    from torchgeo_ext.operations._predict import Image, Plan, choose_grid, class_table, sources_for
    from torchgeo_ext.operations._values import warn_of_values

    grid = choose_grid(image, extent)
    if grid.crs is None and (minimum_size or maximum_size):
        raise BadInput(
            f'image: {image} has no coordinate reference system, so objects have no size in '
            'metres.',
            'Assign one, or leave minimum_size and maximum_size out.',
        )
    trained = open_model(bundle, None, task='detection', dates=1)
    card = trained.card
    [source] = sources_for(trained, [Image(image, bands)], 'bilinear')
    warn_of_values(source, grid, card.bands, card.training.get('units'))
    progress(0.0, 'Loading the model')
    detector: Any = build_model(trained)
    size, shared = Plan(tile_size, overlap).tiling(card)
    found = find_objects(
        detector,
        source,
        grid,
        tile_size=size,
        overlap=shared,
        threshold=threshold,
        iou=iou,
        batch_size=batch_size,
        device=device,
        mask=None if mask is None else MaskSource(str(mask)),
        progress=portion(progress, 0.0, 0.95),
    )
    classes = class_table(card.classes)
    counts = _write(output, found, grid, classes, minimum_size, maximum_size)
    styles: Styles = {'output': {'type': 'classes', 'field': 'class', 'classes': classes}}
    write_style(output, styles['output'])
    return DetectObjectsResult(
        output=str(output),
        objects=sum(counts.values()),
        counts=json.dumps(counts),
        tiles=found.tiles,
        styles=styles,
    )


def _write(
    output: Any,
    found: 'Objects',
    grid: 'Grid',
    classes: list[ClassEntry],
    minimum_size: float,
    maximum_size: float,
) -> dict[str, int]:
    """Write the boxes of the right size, and count them by class."""
    import numpy as np
    import pyarrow as pa
    import shapely

    from torchgeo_ext.inference.area import shape_areas
    from torchgeo_ext.inference.detect import outlines
    from torchgeo_ext.inference.features import FeatureTable

    shapes = outlines(found.boxes, grid.transform)
    sides = _sides(shapes, grid)
    keep = ~(sides[:, 0] < minimum_size)
    if maximum_size:
        keep &= sides[:, 0] <= maximum_size
    shapes, sides, found = shapes[keep], sides[keep], found.select(keep)
    # labels of a detector count from 1, the background being 0
    chosen = [classes[number - 1] for number in found.labels.tolist()]
    names = [entry['name'] for entry in chosen]
    columns = {
        'value': pa.array([entry['value'] for entry in chosen], pa.int32()),
        'class': pa.array(names, pa.string()),
        'score': pa.array(found.scores.astype(np.float64)),
        'length_m': pa.array(sides[:, 0], from_pandas=True),
        'width_m': pa.array(sides[:, 1], from_pandas=True),
        'area_m2': pa.array(shape_areas(shapes, grid.crs), from_pandas=True),
    }
    table = pa.table({'geom': pa.array(shapely.to_wkb(shapes).tolist(), pa.binary())})
    crs = None if grid.crs is None else grid.crs.to_wkt()
    FeatureTable(table, 'geom', 'Polygon', crs).write(output, columns, 'output')
    return {entry['name']: names.count(entry['name']) for entry in classes}


def _sides(shapes: 'NDArray[Any]', grid: 'Grid') -> 'NDArray[np.float64]':
    import numpy as np

    from torchgeo_ext.inference.detect import side_lengths

    if grid.crs is None:
        return np.full((len(shapes), 2), np.nan)
    return side_lengths(shapes, grid.crs)
