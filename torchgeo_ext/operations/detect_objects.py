"""Find objects such as buildings, ships or trees, and draw a box around each."""

from typing import Annotated, NamedTuple

from torchgeo_ext.operations._checks import less_than
from torchgeo_ext.operations._objects import Iou, MaximumSize, MinimumSize, ObjectSearch
from torchgeo_ext.operations._operation import (
    Bundle,
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
)
from torchgeo_ext.operations._predict import BatchSize, Overlap, TileSize
from torchgeo_ext.progress import Progress, silent


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
    iou: Iou = 0.5,
    minimum_size: MinimumSize = 0.0,
    maximum_size: MaximumSize = 0.0,
    tile_size: TileSize = 0,
    overlap: Overlap = -1,
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    progress: Progress = silent,
) -> DetectObjectsResult:
    """Find objects with a trained detector and draw a box around each.

    The image may be of any size: an object that the rim of a tile cuts is taken from the tile that
    shows all of it, or joined from its parts. Boxes are upright or, if the model tells how objects
    lie, turned with them. Each has its class, its score (0 to 1), the length of its longer and
    shorter side (length_m, width_m) and its area on the ground (area_m2).

    Args:
        image: Image of any size.
        bundle: The trained model: the model.json of its folder, a .zip of that folder, or a
            Lightning checkpoint (.ckpt) of TorchGeo's ObjectDetection.
        output: Boxes to write (GeoPackage).
        bands: Numbers of the image's bands in the order the model wants them. Left out, bands are
            found by name, then by wavelength, then taken in order if their number fits. A model
            that knows bands by their wavelengths, or was trained on a cube, takes those of other
            sensors too.
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
    search = ObjectSearch(
        image, bundle, bands, extent, mask, threshold, iou, minimum_size, maximum_size, tile_size,
        overlap, device, batch_size,
    )  # fmt: skip
    found = search.run(output, 'detection', progress)
    return DetectObjectsResult(
        output=str(output),
        objects=found.objects,
        counts=found.counts,
        tiles=found.tiles,
        styles=found.styles,
    )
