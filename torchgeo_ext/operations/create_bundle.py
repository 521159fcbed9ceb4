"""Turn a checkpoint into a bundle, which says everything that is needed to use the model."""

import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations._operation import (
    ADVANCED,
    FolderOut,
    Kind,
    Label,
    Raster,
    StrPath,
    bands_of,
    operation,
    table_of,
    within,
)
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from torchgeo_ext.bundles import Band, Bundle, BundleCard, ModelClass
    from torchgeo_ext.bundles.bands import RasterBand

log = logging.getLogger(__name__)

_WINDOW = 1024

#: Tiles of at least this size are predicted, if the network takes other sizes than it saw.
_TILE = 256


class CreateBundleResult(NamedTuple):
    """Result of :func:`create_bundle`.

    Attributes:
        name: Name of the model.
        task: What it does, such as segmentation, change, semantic_change or regression.
        bands: Names of the bands it reads, separated by commas.
        classes: Value, name and colour of each class, as JSON.
        parameters: How many numbers the network has learnt.
        size: Size of all files together, in bytes.
    """

    output: str
    name: str
    task: str
    bands: str
    classes: str
    parameters: int
    size: int


@operation(
    label='Create bundle',
    group='Models',
    tags=(
        'checkpoint',
        'ckpt',
        'lightning',
        'torchgeo',
        'convert',
        'export',
        'onnx',
        'stac',
        'mlm',
    ),
)
def create_bundle(
    checkpoint: Annotated[StrPath, Kind('file', extensions=('ckpt',))],
    output: Annotated[FolderOut, Label('Model folder')],
    *,
    image: Raster | None = None,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    statistics: Annotated[StrPath, Kind('file', extensions=('json',))] | None = None,
    mean: str = '',
    std: str = '',
    classes: Annotated[list[list[Any]], table_of('value', 'name', 'color')] | None = None,
    name: str = '',
    description: str = '',
    license: str = '',
    citation: str = '',
    resolution_minimum: Annotated[float, within(0, None, 'metres')] = 0.0,
    resolution_maximum: Annotated[float, within(0, None, 'metres')] = 0.0,
    tile_size: Annotated[int, within(0, 8192, 'pixels')] = 0,
    halo: Annotated[int, within(-1, 4095, 'pixels')] = -1,
    exports: Annotated[list[Literal['pt2', 'onnx']], ADVANCED] | None = None,
    architecture: Annotated[str, ADVANCED] | None = None,
    progress: Progress = silent,
) -> CreateBundleResult:
    """Turn a checkpoint of TorchGeo, or of a task of a plugin, into a bundle.

    A checkpoint holds weights, but as a rule says nothing of bands, normalisation and classes. A
    bundle does: a folder with a model.json (a STAC item of the MLM extension) and weights that can
    be opened without running code. Checkpoints of trainings on one's own files (GeoTIFFDataModule,
    GeoObjectDataModule) know all of it, so that no more than the checkpoint is needed.

    Args:
        checkpoint: Checkpoint (.ckpt) of SemanticSegmentation, Classification,
            SceneClassification, LocatedClassification, Geolocation, ObjectDetection,
            RotatedObjectDetection, InstanceSegmentation, ChangeDetection, PixelwiseRegression,
            SemanticChangeDetection, BuildingDamage, ConditionalChangeDetection or a task of an
            installed plugin.
        output: Folder to write; a bundle that is there already is replaced.
        image: An image like those it was trained with. Names, wavelengths and nodata of the bands
            are taken from it, and their statistics unless these are given.
        bands: Numbers of the image's bands in the order the model was trained with.
        statistics: File of Compute statistics for the images it was trained with, of the bands in
            the model's order.
        mean: What training subtracted from the pixel values, before it divided by std. One number
            per band, separated by commas, or one for all.
        std: What training divided by. One number per band, separated by commas, or one for all.
            Left out together with mean, statistics and image: what the checkpoint knows, else 255,
            which is TorchGeo's default.
        classes: Pixel value, name and colour (#rrggbb) of each class in the order of the training
            labels.
        name: Name of the model; that of the file if left out.
        description: What it was made for.
        license: Licence of the weights, best as an SPDX identifier such as CC-BY-4.0.
        citation: How to cite the model.
        resolution_minimum: Finest ground resolution it should be used with; 0 takes three quarters
            of that of the image, or what the checkpoint knows.
        resolution_maximum: Coarsest ground resolution it should be used with; 0 takes one and a
            half times that of the image, or what the checkpoint knows.
        tile_size: Side of the square tiles that go through the model; 0 takes 256, or that of the
            training if it was larger, the model takes no other, or it classifies scenes.
        halo: Margin of a tile in which the model is less sure; -1 takes an eighth of the tile.
        exports: Also write the complete model for other programs, as model.pt2 (torch.export) or
            model.onnx.
        architecture: Class of the task; only needed when several fit the checkpoint.
        progress: Told how far the work is.
    """
    from torchgeo_ext.bundles import (
        check_bundle_folder,
        describe_bundle,
        read_checkpoint,
        write_bundle,
    )
    from torchgeo_ext.bundles._card import PLACE

    check_bundle_folder(output)
    bundle = read_checkpoint(checkpoint, architecture=architecture)
    progress(0.1, 'reading the image')
    finest, coarsest = _resolutions(image, resolution_minimum, resolution_maximum)
    tile_size = tile_size or _tile_size(bundle)
    card = dataclasses.replace(
        bundle.card,
        name=name or bundle.card.name,
        description=description or bundle.card.description,
        license=license,
        citation=citation,
        bands=(
            *_bands(bundle.card, image, bands, statistics, mean, std, portion(progress, 0.1, 0.8)),
            *(bundle.card.bands[-len(PLACE) :] if bundle.card.located else ()),
        ),
        classes=_classes(classes) if classes else bundle.card.classes,
        resolution_minimum=finest or bundle.card.resolution_minimum,
        resolution_maximum=coarsest or bundle.card.resolution_maximum,
        tile_size=tile_size,
        halo=tile_size // 8 if halo < 0 else halo,
    )
    progress(0.8, 'writing the bundle')
    folder = write_bundle(output, card, bundle.load(), exports=exports or ())
    info = describe_bundle(folder)
    return CreateBundleResult(
        output=str(folder),
        name=card.name,
        task=card.task,
        bands=', '.join(band.name for band in card.bands),
        classes=json.dumps([dataclasses.asdict(entry) for entry in card.classes]),
        parameters=info.parameters,
        size=info.size + (folder / 'model.json').stat().st_size,
    )


def _tile_size(bundle: 'Bundle') -> int:
    """Take the size of the training; larger tiles, with more context, if the network takes them."""
    from torchgeo_ext.bundles._architecture import build_network
    from torchgeo_ext.operations._network import takes

    card = bundle.card
    # a network that takes a map takes it apart from the images, so zeros cannot be tried on it, and
    # one of scenes has learned what covers a scene of one size
    if card.tile_size >= _TILE or card.task in ('map_update', 'classification', 'geolocation'):
        return card.tile_size
    network = build_network(card.architecture, str(bundle.path))
    shape = dataclasses.replace(card, tile_size=_TILE).input_shape
    return _TILE if takes(network, (1, *shape)) else card.tile_size


def _bands(
    card: 'BundleCard',
    image: StrPath | None,
    numbers: Sequence[int] | None,
    statistics: StrPath | None,
    mean: str,
    std: str,
    progress: Progress,
) -> 'tuple[Band, ...]':
    """Describe the bands by what the user says, else by the image, else by the checkpoint."""
    from torchgeo_ext.bundles.checkpoint import TORCHGEO_STD

    bands = card.image_bands
    if statistics is not None:
        bands = _from_file(statistics, len(bands))
    if image is not None:
        chosen = _chosen_bands(image, numbers, len(bands))
        bands = tuple(
            dataclasses.replace(
                band,
                name=found.name or band.name,
                center_wavelength=found.wavelength or band.center_wavelength,
                nodata=found.nodata,
            )
            for band, found in zip(bands, chosen, strict=True)
        )
        if statistics is None and not mean and not std:
            return _with_statistics(bands, image, [found.index for found in chosen], progress)
    if not mean and not std:
        if all((band.mean, band.std) == (0, TORCHGEO_STD) for band in bands):
            log.warning(
                'Neither image, statistics nor mean and std are given: pixels are divided by 255, '
                "as TorchGeo's data modules do unless told otherwise."
            )
        return bands
    means, stds = _numbers(mean, 'mean', len(bands)), _numbers(std, 'std', len(bands))
    return tuple(
        dataclasses.replace(band, mean=m, std=s)
        for band, m, s in zip(bands, means, stds, strict=True)
    )


def _from_file(path: StrPath, count: int) -> 'tuple[Band, ...]':
    from torchgeo_ext.inference.statistics import BandStatistics

    bands = BandStatistics.load(path).as_bands()
    if len(bands) != count:
        raise BadInput(
            f'statistics: {path} has {len(bands)} bands, but the model reads {count}.',
            "Compute them for the model's bands, in its order (bands of Compute statistics).",
        )
    return bands


def _chosen_bands(image: StrPath, numbers: Sequence[int] | None, count: int) -> 'list[RasterBand]':
    from torchgeo_ext.bundles.bands import raster_bands

    found = raster_bands(image)
    shown = [band for band in found if not band.alpha]
    if numbers is None:
        chosen = shown if len(shown) == count else list(found)
    else:
        chosen = [band for number in numbers for band in found if band.index == number]
    if len(chosen) != count or len(chosen) != len(numbers or chosen):
        listed = ', '.join(f'{band.index} {band.name}'.strip() for band in found)
        raise BadInput(
            f'image: the model reads {count} bands, but {image} has {len(found)} ({listed})'
            + (f' and bands is {",".join(map(str, numbers))}.' if numbers else '.'),
            f'Give {count} band numbers with bands, in the order the model was trained with.',
        )
    return chosen


def _with_statistics(
    bands: 'tuple[Band, ...]', image: StrPath, numbers: Sequence[int], progress: Progress
) -> 'tuple[Band, ...]':
    from torchgeo_ext.inference.reader import RasterSource
    from torchgeo_ext.inference.statistics import Moments

    moments = Moments(len(bands))
    with RasterSource(str(image), tuple(numbers)).open() as reader:
        total, done = reader.grid.width * reader.grid.height, 0
        for window in reader.grid.windows(_WINDOW):
            progress(done / total, 'computing statistics')
            values, valid = reader.read(window)
            moments.add(values[:, valid])
            done += window.width * window.height
    if moments.count == 0:
        raise BadInput(
            f'image: {image} has no valid pixel, so it has no statistics.',
            'Choose another image, or give mean and std.',
        )
    log.info('Mean and standard deviation of the bands are those of %s', image)
    return tuple(
        dataclasses.replace(
            band,
            mean=float(moments.mean[i]),
            std=float(moments.std[i]),
            minimum=float(moments.minimum[i]),
            maximum=float(moments.maximum[i]),
        )
        for i, band in enumerate(bands)
    )


def _numbers(text: str, argument: str, count: int) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(',')]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return numbers * count
    if len(numbers) != count:
        raise BadParameter(
            f'{argument} is {text!r}, but must be {count} numbers separated by commas, one per '
            'band, or one number for all bands.',
            'Give mean and std together.',
        )
    return numbers


def _classes(rows: Sequence[Sequence[Any]]) -> 'tuple[ModelClass, ...]':
    from torchgeo_ext.bundles import ModelClass

    try:
        return tuple(ModelClass(int(value), str(name), str(color)) for value, name, color in rows)
    except ValueError as error:
        raise BadParameter(
            f'classes has a value that is no whole number ({error}).',
            'Give rows of value, name and colour, such as [1, "water", "#1f78b4"].',
        ) from error


def _resolutions(
    image: StrPath | None, finest: float, coarsest: float
) -> tuple[float | None, float | None]:
    if image is not None:
        pixel = _pixel_size(image)
        # trained on one resolution, a model does about as well with neighbouring ones
        finest, coarsest = finest or 0.75 * pixel, coarsest or 1.5 * pixel
    return finest or None, coarsest or None


def _pixel_size(image: StrPath) -> float:
    """Side of a pixel in metres; 0 if the image does not lie anywhere."""
    from torchgeo_ext.inference.area import pixel_area
    from torchgeo_ext.inference.grid import Grid
    from torchgeo_ext.inference.reader import open_raster

    with open_raster(str(Path(image))) as dataset:
        grid = Grid.of(dataset)
    return 0.0 if grid.crs is None else float(pixel_area(grid) ** 0.5)
