"""Where on Earth images were taken, as the probability of cells.

Axes: t tiles, c channel, h height, w width, k cells.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import shapely
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from torchgeo_ext.bundles import Bundle
from torchgeo_ext.cells import CellHierarchy, CellPartition, degrees_of, unit_vectors
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference import Grid, RasterSource, pick_device
from torchgeo_ext.inference.features import FeatureTable, FeatureWriter
from torchgeo_ext.inference.runner import ModelRunner
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.metrics._sphere import great_circle
from torchgeo_ext.operations._models import build_model
from torchgeo_ext.operations._operation import ClassEntry, StrPath, Style
from torchgeo_ext.progress import Progress

log = logging.getLogger(__name__)

#: Share of a tile that must have data.
_SEEN = 0.5
#: Images of one place whose middles are farther apart, in kilometres, are not of one place.
_APART = 25.0
#: Lowest probability of what a cell is called in the map, its name and its colour (viridis).
_LIKELIHOOD: tuple[tuple[float, str, str], ...] = (
    (0.5, '50 % and more', '#fde725'),
    (0.2, '20 to 50 %', '#5ec962'),
    (0.05, '5 to 20 %', '#21918c'),
    (0.01, '1 to 5 %', '#3b528b'),
    (0.0, 'less than 1 %', '#440154'),
)


class _Album(nn.Module):
    """Gives the scores of several tiles of one place as those of a single wide pixel."""

    def __init__(self, predictor: nn.Module) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, x: Tensor) -> Tensor:
        """Give the scores (b, k, 1, 1) of tiles (b, c, h, w) or (b, t, c, h, w)."""
        scores: Tensor = self.predictor(x)
        return scores[..., None, None]


class Answer(NamedTuple):
    """What a model says of the place of some images.

    Attributes:
        scores: Probabilities of the cells of all partitions (k).
        tiles: How many tiles it looked at.
    """

    scores: NDArray[np.float64]
    tiles: int


def ask(
    bundle: Bundle, sources: Sequence[RasterSource], tiles: int, device: str, progress: Progress
) -> Answer:
    """Ask a model where some images of one place were taken.

    Args:
        bundle: The model.
        sources: The images, one after the other.
        tiles: How many tiles of each image it looks at, at most.
        device: Where to compute.
        progress: Told how far the work is.

    Raises:
        BadInput: If no tile has data in at least half of its pixels.
    """
    size = bundle.card.tile_size
    progress(0.0, 'Loading the model')
    model = _Album(build_model(bundle))
    runner = ModelRunner(model, pick_device(device), 1, size, size)
    found: list[NDArray[np.float32]] = []
    for number, source in enumerate(sources):
        progress(0.1 + 0.6 * number / len(sources), 'Reading')
        found += _tiles(source, size, tiles)
    if not found:
        raise BadInput(
            f'images: no tile of {size} x {size} pixels has data in at least half of them.',
            'Check nodata values and bands, or choose other images.',
        )
    progress(0.7, 'Looking')
    album = np.stack(found)
    if runner.channels_last:
        album = np.ascontiguousarray(np.moveaxis(album, 1, -1))
    with runner.evaluating(), torch.inference_mode():
        scores = runner([album])[0, :, 0, 0]
    return Answer(scores.cpu().double().numpy(), len(found))


def _tiles(source: RasterSource, size: int, most: int) -> list[NDArray[np.float32]]:
    """Read some tiles (c, h, w) all over an image; of one that is smaller its middle, enlarged."""
    found = []
    with source.open() as reader:
        side = min(size, *reader.grid.shape)
        if side < size:
            log.warning(
                '%s: %s is only %d pixels wide or high, but the model was trained on squares of '
                '%d; its middle is enlarged.', source.argument, source.path, side, size,
            )  # fmt: skip
        windows = [tile.window for tile in reader.grid.tiles(side)]
        count = min(most, len(windows))
        # evenly, and of one the one in the middle
        for number in ((np.arange(count) + 0.5) * len(windows) / count).astype(int):
            values, valid = reader.read(windows[number])
            if valid.mean() >= _SEEN:
                found.append(_resized(values, size))
    return found


def _resized(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    if values.shape[-1] == size:
        return values
    image = torch.from_numpy(values)[None]
    return F.interpolate(image, (size, size), mode='bilinear', antialias=True)[0].numpy()


def true_place(grids: Sequence[Grid]) -> NDArray[np.float64] | None:
    """Tell where images were taken, if they say so.

    Args:
        grids: Their pixels.

    Returns:
        Longitude and latitude (2) of the middle of all; None if one has no reference system.
    """
    middles = [grid.middle('images') for grid in grids]
    known = [middle for middle in middles if middle is not None]
    if len(known) < len(middles):
        return None
    places = np.array(known)
    centre = degrees_of(unit_vectors(places).sum(axis=0))
    farthest = distances(places, centre).max()
    if farthest > _APART:
        log.warning(
            'images: they are up to %.0f km from their middle, but should show one place; give '
            'images of other places one by one.', farthest,
        )  # fmt: skip
    return centre


def distances(places: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give great-circle distances of places (n, 2) from another one (2), in kilometres."""
    return great_circle(torch.from_numpy(places), torch.from_numpy(place)).numpy()


class RankedCells(NamedTuple):
    """Cells, the likeliest first.

    Attributes:
        partition: They are of this one.
        order: Their numbers in it (n).
        probabilities: Of each (n).
        radii: How far from its place the farthest corner of each is, in kilometres (n).
    """

    partition: CellPartition
    order: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    radii: NDArray[np.float64]

    @classmethod
    def of(
        cls, partition: CellPartition, probabilities: NDArray[np.float64], least: float
    ) -> 'RankedCells':
        """Sort cells, and leave out those below a probability, but never the likeliest."""
        order = np.argsort(-probabilities, kind='stable')
        kept = order[: max(1, int((probabilities >= least).sum()))]
        chosen = partition.select(kept)
        return cls(chosen, kept, probabilities[kept], chosen.radii())

    def columns(self) -> dict[str, pa.Array]:
        """Give what is said of the cells, by name of the column."""
        return {
            'rank': pa.array(np.arange(1, len(self.order) + 1, dtype=np.int32)),
            'probability': pa.array(self.probabilities),
            'likelihood': pa.array([*map(_likelihood, self.probabilities)], pa.string()),
            **cell_columns(self.partition, self.radii, 'training_images'),
        }


def cell_columns(
    partition: CellPartition, radii: NDArray[np.float64], counted: str
) -> dict[str, pa.Array]:
    """Give what is known of cells, by name of the column.

    Args:
        partition: The cells.
        radii: How far from its place the farthest corner of each is, in kilometres (n).
        counted: What the points are called that are in them.
    """
    longitudes, latitudes = partition.places.T
    return {
        'cell': pa.array(partition.tokens, pa.string()),
        'level': pa.array(partition.levels, pa.int32()),
        counted: pa.array(partition.counts),
        'longitude': pa.array(longitudes),
        'latitude': pa.array(latitudes),
        'radius_km': pa.array(radii),
    }


def _likelihood(probability: float) -> str:
    return next(name for least, name, _ in _LIKELIHOOD if probability >= least)


def write_cells(path: StrPath, ranked: RankedCells) -> Style:
    """Write the outlines of cells, and give their style.

    Args:
        path: The GeoPackage.
        ranked: The cells.
    """
    features = _features(ranked.partition.outlines(), 'MultiPolygon')
    features.write(path, ranked.columns(), 'output')
    classes = [
        ClassEntry(value=number, name=name, color=color)
        for number, (_, name, color) in enumerate(_LIKELIHOOD, 1)
    ]
    style: Style = {'type': 'classes', 'field': 'likelihood', 'classes': classes}
    write_style(path, style)
    return style


def write_places(
    path: StrPath, ranked: RankedCells, count: int, errors: NDArray[np.float64] | None
) -> None:
    """Write the places of the likeliest cells.

    Args:
        path: GeoPackage or GeoParquet.
        ranked: The cells.
        count: How many of them.
        errors: How far each place is from the true one, in kilometres (n), if that is known.
    """
    points = shapely.points(ranked.partition.places)
    told = np.full(len(points), np.nan) if errors is None else errors
    columns = ranked.columns() | {'error_km': pa.array(told, from_pandas=True)}
    first = {name: values[:count] for name, values in columns.items()}
    with FeatureWriter(path, 'places') as writer:
        writer.add(_features(points[:count], 'Point'), first)


def write_partitions(path: StrPath, hierarchy: CellHierarchy) -> None:
    """Write the outlines of the cells of all partitions.

    Args:
        path: The GeoPackage.
        hierarchy: The partitions.
    """
    with FeatureWriter(path, 'output') as writer:
        for number, partition in enumerate(hierarchy.partitions, 1):
            columns = {
                'partition': pa.array(np.full(len(partition), number, np.int32)),
                **cell_columns(partition, partition.radii(), 'points'),
            }
            writer.add(_features(partition.outlines(), 'MultiPolygon'), columns)


def _features(shapes: Any, kind: str) -> FeatureTable:
    table = pa.table({'geom': pa.array(shapely.to_wkb(shapes).tolist(), pa.binary())})
    return FeatureTable(table, 'geom', kind, 'EPSG:4326')
