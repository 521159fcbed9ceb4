"""Draw the centre lines of narrow things, such as roads or the tracks of ships."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Bundle,
    Device,
    Extent,
    FeaturesOut,
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
from torchgeo_ext.operations._predict import Augmentation, BatchSize, Merge, Overlap, TileSize
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from torchgeo_ext.bundles import BundleCard
    from torchgeo_ext.inference import RasterSource
    from torchgeo_ext.inference.lines import Chooser


class TraceLinesResult(NamedTuple):
    """Result of :func:`trace_lines`.

    Attributes:
        lines_count: Lines found; those that meet are parted there.
        total_length: Their length on the ground in metres.
        mean_width: Their mean width in metres, longer lines counting more; 0 without lines.
    """

    output: str
    probabilities: str | None
    lines_count: int
    total_length: float
    mean_width: float
    styles: Styles


@operation(
    label='Trace lines',
    group='Segmentation',
    tags=(
        'centre lines', 'skeleton', 'thinning', 'vectorise', 'roads', 'ship tracks', 'CloudTracks',
        'rivers',
    ),
)  # fmt: skip
def trace_lines(
    image: Raster,
    output: Annotated[FeaturesOut, Label('Lines')],
    *,
    bundle: Bundle | None = None,
    model: Annotated[str, model_for('segmentation')] | None = None,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    line_class: str = '',
    threshold: Annotated[float, within(0, 1)] = 0.5,
    maximum_width: Annotated[int, within(1, 256, 'pixels')] = 32,
    minimum_length: Annotated[float, within(0, None, 'metres')] = 0.0,
    tolerance: Annotated[float, within(0, 100, 'pixels')] = 1.0,
    extent: Extent | None = None,
    mask: Layer | None = None,
    tile_size: TileSize = 0,
    overlap: Overlap = -1,
    merge: Merge = 'blend',
    augmentation: Augmentation = 'none',
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    probabilities: Annotated[RasterOut, ADVANCED] | None = None,
    progress: Progress = silent,
) -> TraceLinesResult:
    """Draw the centre lines of narrow things, found by a model or known from a raster.

    With a model the image is segmented first. Without one it is itself the raster of what belongs
    to lines: probabilities (0 to 1), a mask (not 0) or classes. Whatever belongs to lines is
    thinned to its middle, the same with an image of any size as in one piece. Lines end where they
    meet; spurs shorter than the line is wide are left out.

    Each line has its length on the ground (length_m), its mean width (width_m, to about a pixel)
    and, of a model or a raster of probabilities, the mean probability along it.

    Args:
        image: Image to segment or, without a model, raster of probabilities, a mask or classes.
        output: Lines to write (GeoPackage or GeoParquet).
        bundle: Your own trained segmentation model: the model.json of its folder, a .zip of that
            folder, or a Lightning checkpoint (.ckpt).
        model: A published segmentation model by name, instead of a bundle.
        bands: Numbers of the image's bands in the order the model wants them. Left out, bands are
            found by name, then by wavelength, then taken in order if their number fits. A model
            that knows bands by their wavelengths, or was trained on a cube, takes those of other
            sensors too. Without a model: the band to take, the first if left out.
        line_class: Name or pixel value of the class that makes lines; the last class of a model, or
            whatever is not 0 in a raster of whole numbers, if left out.
        threshold: Probability from which on a pixel belongs to a line.
        maximum_width: Wider areas are no lines and are left out.
        minimum_length: Leave out lines that are shorter, together with all that they meet.
        tolerance: How far simplified lines may lie off; 0 keeps every bend.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; only with a model.
        tile_size: Side of the square tiles that go through the model; 0 takes that of the model.
        overlap: Overlap of neighbouring tiles; -1 takes twice the halo of the model.
        merge: How overlapping tiles become one: blend fades from tile to tile, crop takes each
            pixel from the tile in whose middle it lies.
        augmentation: Average the results of mirrored (flip) or also rotated (d4) tiles: somewhat
            better, 4 or 8 times slower.
        device: Where to compute; auto takes the best there is.
        batch_size: Tiles computed at once; 0 chooses.
        probabilities: Raster of the probability of each class to write; only with a model.
        progress: Told how far the work is.

    Raises:
        BadInput: If the model does not segment, or the raster holds neither probabilities nor
            whole numbers.
        BadParameter: If there is no such class, or mask or probabilities are given without a model.
    """
    from tempfile import TemporaryDirectory

    import pyarrow as pa
    import shapely

    from torchgeo_ext.inference import RasterSource
    from torchgeo_ext.inference.features import FeatureTable, FeatureWriter
    from torchgeo_ext.inference.lines import centre_lines
    from torchgeo_ext.operations._models import open_model
    from torchgeo_ext.operations._predict import Image, Plan, choose_grid, predict_classes
    from torchgeo_ext.operations._sensors import adapt

    grid = choose_grid(image, extent)
    styles: Styles = {}
    with TemporaryDirectory() as folder:
        if bundle is None and model is None:
            for name, value in (('mask', mask), ('probabilities', probabilities)):
                if value is not None:
                    raise BadParameter(
                        f'{name}: {value} needs a model, but neither bundle nor model is given.',
                        f'Give one, or leave {name} out.',
                    )
            source = RasterSource(str(image), bands=tuple((bands or [1])[:1]))
            choose, scored = _of_raster(source, line_class, threshold)
            tracing = progress
        else:
            opened = open_model(bundle, model, task='segmentation', dates=1)
            trained, sources = adapt(opened, [Image(image, bands)])
            band = _band_of(trained.card, line_class)
            path = str(probabilities or Path(folder) / 'probabilities.tif')
            plan = Plan(tile_size, overlap, merge, augmentation, device, batch_size, mask)
            done = predict_classes(
                trained, sources, grid, {'probabilities': path}, plan,
                threshold=threshold, progress=portion(progress, 0, 0.8),
            )  # fmt: skip
            styles = done.styles
            source, scored = RasterSource(path, bands=(band,)), True
            choose, tracing = _above(threshold), portion(progress, 0.8, 1)
        found = centre_lines(
            source, grid, choose, maximum_width=maximum_width, minimum_length=minimum_length,
            tolerance=tolerance, progress=tracing,
        )  # fmt: skip
    columns = {'length_m': pa.array(found.lengths), 'width_m': pa.array(found.widths)}
    if scored:
        columns['probability'] = pa.array(found.scores)
    crs = grid.crs.to_wkt(version='WKT2_2019') if grid.crs else None
    table = pa.table({'geom': pa.array(shapely.to_wkb(found.shapes), pa.binary())})
    with FeatureWriter(output, 'output') as writer:
        writer.add(FeatureTable(table, 'geom', 'LineString', crs), columns)
    total = float(found.lengths.sum())
    return TraceLinesResult(
        output=str(output),
        probabilities=None if probabilities is None else str(probabilities),
        lines_count=len(found.shapes),
        total_length=total,
        mean_width=float(found.lengths @ found.widths / total) if total else 0.0,
        styles=styles,
    )


def _band_of(card: 'BundleCard', line_class: str) -> int:
    """Find the band of the probabilities of a model that tells of lines."""
    names = [entry.name for entry in card.classes]
    values = [str(entry.value) for entry in card.classes]
    if not line_class:
        return card.outputs
    for known in (names, values):
        if line_class in known:
            place = known.index(line_class)
            if card.outputs > 1:
                return place + 1
            if place == 1:
                return 1
    told = ', '.join(f'{value} {name}' for value, name in zip(values, names, strict=True))
    raise BadParameter(
        f'line_class: {line_class!r} is none that {card.name} has a probability of; its classes '
        f'are {told}.',
        'Choose one of them, the second of two that share one probability.',
    )


def _of_raster(source: 'RasterSource', line_class: str, threshold: float) -> 'tuple[Chooser, bool]':
    """Choose from a raster of probabilities, or of classes, and say whether it has scores."""
    from torchgeo_ext.inference import open_raster

    with open_raster(source.path) as dataset:
        dtype = dataset.dtypes[(source.bands or (1,))[0] - 1]
    if dtype.startswith('float'):
        if line_class:
            raise BadParameter(
                f'line_class is {line_class!r}, but {source.path} holds {dtype}, which are taken '
                'for probabilities.',
                'Leave it out, or choose a raster of classes.',
            )
        return _above(threshold, source.path), True
    if line_class and not line_class.lstrip('-').isdigit():
        raise BadParameter(
            f'line_class: {line_class!r} is no pixel value of {source.path}.',
            'Give the value of the class, a whole number.',
        )
    return _equal(int(line_class) if line_class else None), False


def _above(threshold: float, path: str = '') -> 'Chooser':
    def choose(values: 'NDArray[np.float32]') -> 'tuple[NDArray[np.bool_], NDArray[np.float32]]':
        if path and values.size and not 0 <= values.min() <= values.max() <= 1:
            raise BadInput(
                f'image: {path} has values from {values.min():g} to {values.max():g}, which are no '
                'probabilities.',
                'Give a raster of probabilities (0 to 1), of whole numbers, or a model.',
            )
        return values >= threshold, values

    return choose


def _equal(value: int | None) -> 'Chooser':
    def choose(values: 'NDArray[np.float32]') -> 'tuple[NDArray[np.bool_], NDArray[np.float32]]':
        return values != 0 if value is None else values == value, values

    return choose
