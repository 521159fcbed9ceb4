"""Classes of the tiles of an image, or of what it shows around polygons.

Axes: b batch, c channel, h height, w width, k classes, n tiles or polygons.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import geopandas
import numpy as np
import pyarrow as pa
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from torchgeo_ext.bundles import Bundle, BundleCard
from torchgeo_ext.inference import (
    Grid,
    MaskSource,
    RasterOutput,
    RasterSource,
    TestTimeAugmentation,
    pick_device,
    predict_raster,
)
from torchgeo_ext.inference.features import FeatureTable
from torchgeo_ext.inference.grid import transform_points
from torchgeo_ext.inference.outputs import Scores
from torchgeo_ext.inference.runner import ModelRunner
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.operations._models import build_model
from torchgeo_ext.operations._operation import ClassEntry, StrPath, Style
from torchgeo_ext.operations._polygons import UNKNOWN
from torchgeo_ext.operations._predict import class_table, model_tags
from torchgeo_ext.progress import Progress

if TYPE_CHECKING:
    from torchgeo_ext.inference.zonal import Zones
    from torchgeo_ext.operations._predict import Plan

log = logging.getLogger(__name__)

#: Height and width, in tiles, of what is ranked at once.
_CHUNK = 1024


class SceneScores(nn.Module):
    """Gives the scores of a tile as those of a single wide pixel.

    Tiles of another size than the scenes that the model has learned from are resampled to it. A
    single score becomes two, as there are two classes.

    Args:
        predictor: From stored values (b, c, h, w) to scores (b, k).
        card: Describes it.
    """

    def __init__(self, predictor: nn.Module, card: BundleCard) -> None:
        super().__init__()
        self.predictor, self.size = predictor, card.tile_size

    def forward(self, x: Tensor) -> Tensor:
        """Give the scores (b, k, 1, 1) of tiles (b, c, h, w)."""
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode='bilinear', antialias=True)
        scores: Tensor = self.predictor(x)
        if scores.shape[1] == 1:
            scores = torch.cat([1 - scores, scores], dim=1)
        return scores[..., None, None]


class Ranked(NamedTuple):
    """The classes of n tiles or polygons.

    Attributes:
        order: Numbers of the likeliest classes, best first (n, top).
        scores: Their scores (n, top); NaN for what was not seen.
        reached: Which classes reach the threshold (n, k), for models of several at once.
    """

    order: NDArray[np.int64]
    scores: NDArray[np.float64]
    reached: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """What was seen (n,)."""
        return np.isfinite(self.scores).all(axis=1)


@dataclass(frozen=True)
class Ranking:
    """How classes are chosen by their scores.

    Args:
        card: The model.
        threshold: Score from which on a class holds, where each has a score of its own, or the
            second of two that share one.
        top: How many classes to tell.
    """

    card: BundleCard
    threshold: float
    top: int

    def of(self, scores: NDArray[np.floating[Any]]) -> Ranked:
        """Rank the classes of scores (n, k), those of what was not seen being NaN."""
        order = np.argsort(-scores, axis=1, kind='stable')
        reached = scores >= self.threshold
        if self.card.outputs == 1:
            order = np.where(reached[:, 1:], [[1, 0]], [[0, 1]])
        order = order[:, : self.top]
        return Ranked(order, np.take_along_axis(scores, order, axis=1).astype(float), reached)

    def decide(self, scores: Scores) -> NDArray[Any]:
        """Tell the first class of each pixel, as its number."""
        if self.card.outputs == 1:
            return scores.reached(1, self.threshold).astype(np.uint8)
        return scores.best

    def columns(self, found: Ranked) -> dict[str, pa.Array]:
        """Give what is said of each tile or polygon, by name of the column."""
        names = np.array([entry.name for entry in self.card.classes], object)
        values = np.array([entry.value for entry in self.card.classes], np.int32)
        unknown = ~found.known
        first = np.where(unknown, UNKNOWN['name'], names[found.order[:, 0]])
        columns = {
            'value': pa.array(values[found.order[:, 0]], mask=unknown),
            'class': pa.array(first, pa.string()),
            'probability': pa.array(found.scores[:, 0], mask=unknown),
        }
        for place in range(1, found.order.shape[1]):
            columns[f'top{place + 1}_class'] = pa.array(
                names[found.order[:, place]], pa.string(), mask=unknown
            )
            columns[f'top{place + 1}_probability'] = pa.array(found.scores[:, place], mask=unknown)
        if self.card.multilabel:
            holding = [', '.join(names[row]) for row in found.reached]
            columns['classes'] = pa.array(np.array(holding, object), pa.string(), mask=unknown)
        return columns

    def counts(self, found: Ranked) -> dict[str, int]:
        """Count tiles or polygons by class; for models of several at once, those it holds for."""
        numbers = range(len(self.card.classes))
        holds = found.reached if self.card.multilabel else found.order[:, :1] == [*numbers]
        totals = holds[found.known].sum(axis=0).tolist()
        return {entry.name: total for entry, total in zip(self.card.classes, totals, strict=True)}


def scene_model(bundle: Bundle, plan: 'Plan') -> nn.Module:
    """Build what gives the scores (b, k, 1, 1) of tiles (b, c, h, w)."""
    model: nn.Module = SceneScores(build_model(bundle), bundle.card)
    return model if plan.augmentation == 'none' else TestTimeAugmentation(model, plan.augmentation)


def classify_grid(
    bundle: Bundle,
    source: RasterSource,
    grid: Grid,
    ranking: Ranking,
    plan: 'Plan',
    raster: Any,
    progress: Progress,
) -> tuple[FeatureTable, Ranked]:
    """Classify the tiles of a grid.

    Args:
        bundle: The model.
        source: The image.
        grid: The part of it to classify.
        ranking: How classes are chosen.
        plan: How to run the model.
        raster: Raster of classes with one pixel for each tile to write, or None.
        progress: Told how far the work is.

    Returns:
        The tiles of which at least half has data, and their classes.
    """
    size = plan.tile_size or bundle.card.tile_size
    legend = class_table(bundle.card.classes)
    with TemporaryDirectory() as folder:
        scores = Path(folder) / 'scores.tif'
        outputs = [RasterOutput(scores, 'values')]
        if raster is not None:
            outputs.append(
                RasterOutput(
                    str(raster), 'classes', bundle.card.classes, decide=ranking.decide,
                    tags=model_tags(bundle, legend), argument='raster',
                )
            )  # fmt: skip
        predict_raster(
            scene_model(bundle, plan),
            source,
            grid,
            outputs,
            tile_size=size,
            merge='crop',
            batch_size=plan.batch_size,
            device=plan.device,
            mask=None if plan.mask is None else MaskSource(str(plan.mask)),
            reduction=size,
            progress=progress,
        )
        parts = list(_ranked_tiles(scores, grid, size, ranking))
    shapes, order, values, reached = map(np.concatenate, zip(*parts, strict=True))
    table = pa.table({'geom': pa.array(shapely.to_wkb(shapes), pa.binary())})
    crs = grid.crs.to_wkt(version='WKT2_2019') if grid.crs else None
    return FeatureTable(table, 'geom', 'Polygon', crs), Ranked(order, values, reached)


def _ranked_tiles(
    path: Path, grid: Grid, size: int, ranking: Ranking
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Read scores of tiles: outlines of those that have some, and what is in ``Ranked``."""
    with RasterSource(str(path)).open() as reader:
        for window in reader.grid.windows(_CHUNK):
            scores, valid = reader.read(window)
            rows, columns = np.nonzero(valid)
            left, top = size * (columns + window.col_off), size * (rows + window.row_off)
            right = np.minimum(left + size, grid.width)
            bottom = np.minimum(top + size, grid.height)
            boxes = shapely.transform(
                shapely.box(left, top, right, bottom), _on_ground(grid.transform)
            )
            yield boxes, *ranking.of(scores[:, rows, columns].T)


def _on_ground(transform: Affine) -> Any:
    return lambda places: np.column_stack(transform_points(transform, *places.T))


def classify_polygons(
    bundle: Bundle,
    source: RasterSource,
    features: FeatureTable,
    zones: 'Zones',
    ranking: Ranking,
    plan: 'Plan',
    progress: Progress,
) -> tuple[Ranked, NDArray[np.float64]]:
    """Classify what an image shows around polygons.

    Args:
        bundle: The model.
        source: The image.
        features: The polygons.
        zones: Where they lie on the grid of the image.
        ranking: How classes are chosen.
        plan: How to run the model; a tile size is that of all patches.
        progress: Told how far the work is.

    Returns:
        The classes, unknown where less than half of the square around the polygon has data, and
        which share of it has (n,).
    """
    size = bundle.card.tile_size
    runner = ModelRunner(
        scene_model(bundle, plan), pick_device(plan.device), plan.batch_size, size, size
    )
    scores = np.full((len(features.shapes), len(bundle.card.classes)), np.nan)
    share = np.zeros(len(scores))
    numbers = np.flatnonzero(zones.covered)
    patches = _patches(features, numbers, zones.grid, plan.tile_size, size)
    done = 0
    with runner.evaluating(), torch.inference_mode():
        for batch in batched(zip(numbers, patches, strict=True), runner.batch_size):
            tiles = {}
            for number, patch in batch:
                progress(done / len(numbers), 'Classifying')
                done += 1
                with source.open(patch) as reader:
                    values, valid = reader.read(patch.window)
                share[number] = valid.mean()
                if share[number] >= 0.5:
                    tiles[number] = np.moveaxis(values, 0, -1) if runner.channels_last else values
            if tiles:
                found = runner([values[None] for values in tiles.values()])
                scores[[*tiles]] = found[..., 0, 0].cpu().numpy()
    return ranking.of(scores), share


def _patches(
    features: FeatureTable, numbers: NDArray[np.int64], grid: Grid, side: int, size: int
) -> Iterator[Grid]:
    """Lay a square around each polygon, along the pixels of the image.

    Args:
        features: The polygons.
        numbers: Which of them.
        grid: The pixels of the image.
        side: Side of all squares in pixels of the image; 0 to hold each polygon.
        size: Pixels along a side to read.
    """
    there = geopandas.GeoSeries(features.shapes[numbers], crs=features.crs)
    if grid.crs is not None:
        there = there.to_crs(grid.crs.to_wkt())
    boxes = shapely.bounds(shapely.transform(there.values, _on_ground(~grid.transform)))
    first, last = np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])
    sides = np.maximum((last - first).max(axis=1), 1) if side == 0 else np.full(len(boxes), side)
    corners = np.rint((boxes[:, :2] + boxes[:, 2:] - sides[:, None]) / 2)
    for (column, row), width in zip(corners.tolist(), sides.tolist(), strict=True):
        place = grid.transform @ Affine.translation(column, row) @ Affine.scale(width / size)
        yield Grid(grid.crs, place, size, size)


def write_scenes(
    path: StrPath,
    features: FeatureTable,
    columns: Mapping[str, pa.Array],
    classes: Sequence[ClassEntry],
) -> Style:
    """Write tiles or polygons with their classes and give their style.

    Args:
        path: The GeoPackage.
        features: The tiles or polygons.
        columns: What is said of them.
        classes: What they can be.
    """
    called = features.write(path, columns, 'output')
    style: Style = {'type': 'classes', 'field': called['class'], 'classes': [*classes]}
    write_style(path, style)
    for name, other in called.items():
        if name != other:
            log.warning('polygons have a field %r already; ours is called %r.', name, other)
    return style
