"""What operations that run a trained model share: from a bundle and images to finished rasters."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations._operation import ADVANCED, ClassEntry, Style, Styles, within
from torchgeo_ext.progress import Progress

if TYPE_CHECKING:
    from torchgeo_ext.bundles import Bundle, BundleCard
    from torchgeo_ext.inference import Grid, PredictSummary, RasterOutput, RasterSource
    from torchgeo_ext.inference.mask import Mask
    from torchgeo_ext.inference.outputs import ClassLike, Scores

log = logging.getLogger(__name__)

# parameters of how a model is run, in the operations that run one
TileSize = Annotated[int, within(0, 8192, 'pixels'), ADVANCED]
Overlap = Annotated[int, within(-1, 4096, 'pixels'), ADVANCED]
Merge = Annotated[Literal['blend', 'crop'], ADVANCED]
Augmentation = Annotated[Literal['none', 'flip', 'd4'], ADVANCED]
BatchSize = Annotated[int, within(0, 1024, 'tiles'), ADVANCED]
Resampling = Annotated[Literal['nearest', 'bilinear', 'cubic', 'lanczos', 'average'], ADVANCED]
MinimumArea = Annotated[float, within(0, None, 'square metres')]


class Image(NamedTuple):
    """An image an operation was given, and the names of the arguments it came from."""

    path: Any
    bands: Sequence[int] | None
    argument: str = 'image'
    bands_argument: str = 'bands'


@dataclass(frozen=True)
class Plan:
    """How to run a model; the arguments that operations have in common, as the user gave them.

    ``zones`` say where to run it beyond what the user's ``mask`` says.
    """

    tile_size: int = 0
    overlap: int = -1
    merge: Literal['blend', 'crop'] = 'blend'
    augmentation: Literal['none', 'flip', 'd4'] = 'none'
    device: str = 'auto'
    batch_size: int = 0
    mask: Any = None
    resampling: str = 'bilinear'
    zones: 'Mask | None' = None

    def tiling(self, card: 'BundleCard') -> tuple[int, int]:
        """Give tile size and overlap, those of the model where the user left them open."""
        size = self.tile_size or card.tile_size
        if self.overlap >= 0:
            return size, min(self.overlap, size - 1)
        # of tiles smaller than the model's, hardly anything but margins might be left
        return size, min(2 * card.halo, size // 2) if size < card.tile_size else 2 * card.halo


class Predicted(NamedTuple):
    """What came of running a model."""

    pixels: dict[int, int]
    pixel_area: float
    valid_fraction: float
    tiles: int
    tiles_skipped: int
    seconds: float
    styles: Styles

    @property
    def areas(self) -> dict[int, float]:
        """Area per class value in square metres, with the size of the pixel in the middle."""
        return {value: count * self.pixel_area for value, count in self.pixels.items()}


def choose_grid(path: Any, extent: Any, argument: str = 'image') -> 'Grid':
    """Give the grid of a raster, or the part of it inside an extent.

    Args:
        path: The raster.
        extent: None or ``xmin,ymin,xmax,ymax``, optionally with a CRS in brackets behind it.
        argument: The argument the raster came from, for messages.
    """
    from torchgeo_ext.inference import Grid, open_raster

    with open_raster(str(path), argument) as dataset:
        grid = Grid.of(dataset, argument)
    if extent is None:
        return grid
    bounds, crs = parse_extent(extent)
    return grid.crop(bounds, crs)


def parse_extent(extent: str) -> tuple[tuple[float, ...], Any]:
    """Split ``xmin,ymin,xmax,ymax [CRS]`` into numbers and a rasterio CRS or None.

    Raises:
        BadInput: If the CRS is not known.
    """
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    numbers, _, crs = extent.partition('[')
    bounds = tuple(float(number) for number in numbers.split(','))
    if not crs:
        return bounds, None
    try:
        return bounds, CRS.from_user_input(crs.rstrip().removesuffix(']'))
    except (CRSError, ValueError) as error:
        raise BadInput(
            f'extent: the coordinate reference system of {extent!r} is not known.',
            'Give it as an identifier such as EPSG:4326, or as WKT.',
        ) from error


def predict_classes(
    bundle: 'Bundle',
    sources: 'Sequence[RasterSource]',
    grid: 'Grid',
    wanted: Mapping[str, Any],
    plan: Plan,
    *,
    threshold: float = 0.5,
    progress: Progress,
) -> Predicted:
    """Run a model that tells classes apart and write rasters with their styles.

    Args:
        bundle: The model.
        sources: What it reads of each date.
        grid: Pixels to write.
        wanted: Path, or None, of each of ``output``, ``probabilities`` and ``confidence``.
        plan: How to run it.
        threshold: From which score on a model of one score says yes.
        progress: Told how far the work is.

    Returns:
        Numbers about the run and a style per raster written.
    """
    from torchgeo_ext.inference.area import pixel_area
    from torchgeo_ext.inference.style import write_style

    card = bundle.card
    done = _run(bundle, sources, grid, _outputs(bundle, wanted, threshold), plan, progress)
    styles = {
        name: _style(name, card) for name in wanted if wanted[name] and name != 'probabilities'
    }
    for name, style in styles.items():
        write_style(wanted[name], style)
    return Predicted(
        pixels=dict(done.counts),
        pixel_area=pixel_area(grid),
        valid_fraction=done.valid_pixels / (grid.width * grid.height),
        tiles=done.tiles,
        tiles_skipped=done.tiles_skipped,
        seconds=done.seconds,
        styles=styles,
    )


class MapOutput(NamedTuple):
    """A raster wanted of a model of several maps.

    Attributes:
        path: Where to write it; None if it is not wanted.
        content: One of the model's maps by name: the score of one that has a single score, else
            its classes. Or the classes that ``decide`` chooses from.
        decide: Tells which of the classes a pixel has from all scores.
    """

    path: Any
    content: str | Sequence[ClassEntry]
    decide: 'Callable[[Scores], Any] | None' = None


def predict_maps(
    bundle: 'Bundle',
    sources: 'Sequence[RasterSource]',
    grid: 'Grid',
    wanted: Mapping[str, MapOutput],
    plan: Plan,
    *,
    join_bands: bool = False,
    progress: Progress,
) -> Styles:
    """Run a model of several maps and write rasters with their styles.

    Args:
        bundle: The model.
        sources: What it reads.
        grid: Pixels to write.
        wanted: What to write, by the name of the argument.
        plan: How to run it.
        join_bands: Whether the model takes the bands of all sources as one image.
        progress: Told how far the work is.

    Returns:
        A style per raster written.
    """
    from torchgeo_ext.inference.style import write_style

    asked = {name: output for name, output in wanted.items() if output.path is not None}
    outputs = [_map_output(bundle, name, output) for name, output in asked.items()]
    _run(bundle, sources, grid, outputs, plan, progress, join_bands=join_bands)
    styles: Styles = {}
    for name, output in zip(asked, outputs, strict=True):
        if output.kind == 'classes':
            styles[name] = {'type': 'classes', 'classes': class_table(output.classes)}
        else:
            styles[name] = probability_style()
        write_style(output.path, styles[name])
    return styles


def _map_output(bundle: 'Bundle', name: str, wanted: MapOutput) -> 'RasterOutput':
    from torchgeo_ext.inference import RasterClass, RasterOutput

    card = bundle.card
    if not isinstance(wanted.content, str):
        classes = [RasterClass(**entry) for entry in wanted.content]
        return RasterOutput(
            str(wanted.path), 'classes', classes, decide=wanted.decide, argument=name,
            tags=model_tags(bundle, [*wanted.content]),
        )  # fmt: skip
    part = card.maps[wanted.content]
    if part.stop - part.start == 1:
        return RasterOutput(
            str(wanted.path), 'probabilities', part=part, argument=name,
            descriptions=[f'probability of {wanted.content}'], tags=model_tags(bundle, []),
        )  # fmt: skip
    return RasterOutput(
        str(wanted.path), 'classes', card.classes, part=part, argument=name,
        tags=model_tags(bundle, class_table(card.classes)),
    )  # fmt: skip


def _run(
    bundle: 'Bundle',
    sources: 'Sequence[RasterSource]',
    grid: 'Grid',
    outputs: 'Sequence[RasterOutput]',
    plan: Plan,
    progress: Progress,
    *,
    join_bands: bool = False,
) -> 'PredictSummary':
    """Run a model over rasters as planned."""
    from torchgeo_ext.inference import MaskSource, TestTimeAugmentation, predict_raster
    from torchgeo_ext.inference.mask import CommonMask
    from torchgeo_ext.operations._models import build_model
    from torchgeo_ext.operations._values import warn_of_values

    check_resolution(bundle.card, grid)
    for date, source in enumerate(sources[: bundle.card.dates]):
        warn_of_values(source, grid, bundle.card.bands_of(date), bundle.card.training.get('units'))
    progress(0.0, 'Loading the model')
    network: Any = build_model(bundle)
    if plan.augmentation != 'none':
        network = TestTimeAugmentation(network, plan.augmentation)
    tile_size, overlap = plan.tiling(bundle.card)
    masks: list[Mask] = [] if plan.mask is None else [MaskSource(str(plan.mask))]
    masks += [] if plan.zones is None else [plan.zones]
    return predict_raster(
        network,
        sources,
        grid,
        outputs,
        tile_size=tile_size,
        overlap=overlap,
        merge=plan.merge,
        batch_size=plan.batch_size,
        device=plan.device,
        mask=CommonMask(masks) if masks else None,
        join_bands=join_bands,
        progress=progress,
    )


def _outputs(bundle: 'Bundle', wanted: Mapping[str, Any], threshold: float) -> 'list[RasterOutput]':
    from torchgeo_ext.inference import RasterOutput

    card = bundle.card
    tags = model_tags(bundle, class_table(card.classes))
    names = [entry.name for entry in card.classes][-card.outputs :]
    kinds: dict[str, dict[str, Any]] = {
        'output': {'kind': 'classes', 'classes': card.classes}
        if card.outputs > 1
        else {'kind': 'threshold', 'classes': card.classes, 'threshold': threshold},
        'probabilities': {'kind': 'probabilities', 'descriptions': names},
        'confidence': {'kind': 'confidence', 'descriptions': ['confidence']},
    }
    return [
        RasterOutput(str(path), argument=name, tags=tags, **kinds[name])
        for name, path in wanted.items()
        if path is not None
    ]


def model_tags(bundle: 'Bundle', classes: Sequence[ClassEntry]) -> dict[str, str]:
    """Say in a raster where it came from and what its values mean."""
    tags = {
        'model': bundle.card.name,
        'model_source': str(bundle.path),
        'model_license': bundle.card.license,
    }
    return tags | ({'classes': json.dumps(classes)} if classes else {})


def class_table(classes: 'Iterable[ClassLike]') -> list[ClassEntry]:
    """Give classes as JSON has them."""
    return [ClassEntry(value=c.value, name=c.name, color=c.color) for c in classes]


def _style(name: str, card: 'BundleCard') -> Style:
    if name == 'output':
        return {'type': 'classes', 'classes': class_table(card.classes)}
    return probability_style()


def probability_style() -> Style:
    return {'type': 'range', 'minimum': 0.0, 'maximum': 1.0, 'unit': '', 'ramp': 'viridis'}


def outline_classes(
    raster: Any, polygons: Any, card: 'BundleCard', minimum_area: float, progress: Progress,
    values: Sequence[int] | None = None,
) -> Style:  # fmt: skip
    """Write the polygons of a class raster and give their style.

    Args:
        raster: The class raster.
        polygons: The GeoPackage to write.
        card: Names and colours of the classes.
        minimum_area: Leave out smaller polygons, in square metres.
        progress: Told how far the work is.
        values: Only polygons of these values.
    """
    from torchgeo_ext.inference.style import write_style
    from torchgeo_ext.inference.vectors import polygonize

    polygonize(
        raster, polygons, classes=card.classes, values=values, minimum_area=minimum_area,
        progress=progress,
    )  # fmt: skip
    shown = [c for c in class_table(card.classes) if values is None or c['value'] in values]
    style: Style = {'type': 'classes', 'field': 'class', 'classes': shown}
    write_style(polygons, style)
    return style


def check_resolution(card: 'BundleCard', grid: 'Grid') -> None:
    """Say so when the ground resolution is not what the model was trained for."""
    from torchgeo_ext.inference.area import pixel_area

    if grid.crs is None or not (card.resolution_minimum and card.resolution_maximum):
        return
    size = pixel_area(grid) ** 0.5
    if not 0.99 * card.resolution_minimum <= size <= 1.01 * card.resolution_maximum:
        log.warning(
            'The pixels of the image are %.3g m wide, but the model was trained for %.3g to '
            '%.3g m; expect worse results.', size, card.resolution_minimum, card.resolution_maximum,
        )  # fmt: skip
