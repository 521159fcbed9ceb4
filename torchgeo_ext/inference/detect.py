"""Objects in rasters of any size: detectors see tiles, the result knows no seams.

Axes: b batch, c bands, h height, w width, n objects.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import numpy as np
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes as trace
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from torchgeo_ext.inference.device import pick_device
from torchgeo_ext.inference.grid import Grid, Tile, transform_points
from torchgeo_ext.inference.lengths import step_lengths
from torchgeo_ext.inference.mask import MaskSource
from torchgeo_ext.inference.pipeline import Stage
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.runner import Detector, ObjectRunner
from torchgeo_ext.inference.tiles import TilePixels, TileReader
from torchgeo_ext.layers.rotated_boxes import box_outlines, outline_nms
from torchgeo_ext.progress import Progress, silent

#: Pixels from the rim of a tile within which an object counts as cut by it.
_CUT = 1.5
#: Score from which on a pixel belongs to the mask of an object.
_IN_MASK = 0.5

#: Makes one outline of the kind that a detector gives from several that were joined.
_Shape = Callable[[Any], Any]


class Objects(NamedTuple):
    """Objects that were found.

    Attributes:
        outlines: Polygons (n) in pixels of the grid: boxes, rotated boxes or masks.
        scores: 0 to 1 (n).
        labels: Class numbers (n).
        tiles: Tiles that went through the detector.
    """

    outlines: NDArray[Any]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    tiles: int

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Left, top, right and bottom (n, 4) of the objects in pixels of the grid."""
        bounds: NDArray[np.float64] = shapely.bounds(self.outlines).reshape(-1, 4)
        return bounds

    def select(self, keep: NDArray[Any]) -> 'Objects':
        """Keep some of them."""
        return self._replace(
            outlines=self.outlines[keep], scores=self.scores[keep], labels=self.labels[keep]
        )


class _Part(NamedTuple):
    """What a tile shows: outlines (n) on the grid, and which of them its rim cuts."""

    outlines: NDArray[Any]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    cut: NDArray[np.bool_]
    frame: Any
    shape: _Shape


def find_objects(
    detector: Detector,
    source: RasterSource,
    grid: Grid,
    *,
    tile_size: int,
    overlap: int,
    threshold: float = 0.5,
    iou: float = 0.5,
    batch_size: int = 0,
    device: str = 'auto',
    mask: MaskSource | None = None,
    progress: Progress = silent,
) -> Objects:
    """Find objects all over a raster.

    An object that the rim of a tile cuts is whole in the neighbouring tile, if it is no larger than
    the overlap, and is taken from there; a larger one is joined from the parts of it that tiles
    show, which have to look alike where tiles overlap. Of objects of a class that overlap each
    other by more than ``iou`` the one with the highest score stays, whichever tiles they are from.

    Args:
        detector: Gives for each tile ``scores`` (n), ``labels`` (n) and ``boxes``: (n, 4) with
            left, top, right and bottom, or (n, 5) as :mod:`torchgeo_ext.layers.rotated_boxes` has
            them; if also ``masks`` (n, 1, h, w), outlines are those of the masks. A module is moved
            to the device.
        source: The raster.
        grid: Its pixels.
        tile_size: Height and width of tiles in pixels.
        overlap: Pixels that neighbouring tiles share at least.
        threshold: Lowest score.
        iou: Largest intersection over union of two objects of a class.
        batch_size: Tiles computed at once; 0 chooses. Halved when memory is too small.
        device: ``auto`` or a device of PyTorch's.
        mask: Where to look: objects whose middle lies outside are left out.
        progress: Told how far the work is.

    Raises:
        BadInput: If the raster cannot be read or has no valid pixel.
        OutOfMemory: If not even one tile fits.
    """
    tiling = grid.tiles(tile_size, overlap)
    runner = ObjectRunner(detector, pick_device(device), batch_size, tile_size)
    done = 0

    def beat() -> None:
        progress(done / len(tiling), 'Detecting', tile=done, tiles=len(tiling))

    def compute(batch: Sequence[TilePixels]) -> list[_Part]:
        answers = runner([pixels.values for pixels in batch if pixels.values is not None])
        return [
            _part(answer, pixels, grid, tile_size, overlap, threshold)
            for pixels, answer in zip(batch, answers, strict=True)
        ]

    found: list[_Part] = []
    with ExitStack() as stack:
        reader = stack.enter_context(TileReader([source], mask, grid, tiling, runner.channels_last))
        stack.enter_context(runner.evaluating())
        reading = stack.enter_context(Stage(1, beat))
        stack.enter_context(runner.sharing_cores())
        computing = stack.enter_context(Stage(runner.threads, beat))
        ahead = 2 * runner.batch_size + 2
        tiles = stack.enter_context(closing(reading.map(reader.read, tiling, ahead)))
        helping = runner.workers > runner.threads
        for parts in computing.map(compute, _batches(tiles, runner), ahead=2, helping=helping):
            found += parts
            done = min(len(tiling), done + len(parts))
            beat()
        if not found:
            raise reader.nothing_valid()
    progress(1.0, 'Joining tiles')
    objects = _joined(found, iou)
    return objects.select(outline_nms(objects.outlines, objects.scores, objects.labels, iou))


def _batches(tiles: Iterable[TilePixels], runner: ObjectRunner) -> Iterator[list[TilePixels]]:
    """Collect tiles that have valid pixels until there are enough to compute."""
    batch: list[TilePixels] = []
    for pixels in tiles:
        if pixels.values is not None:
            batch.append(pixels)
        if len(batch) >= runner.batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _part(
    answer: Mapping[str, Tensor],
    pixels: TilePixels,
    grid: Grid,
    tile_size: int,
    overlap: int,
    threshold: float,
) -> _Part:
    """Take the objects of a tile that are valid and that no neighbouring tile sees better."""
    scores = answer['scores'].float().cpu().numpy()
    labels = answer['labels'].cpu().numpy().astype(np.int64)
    sure = scores >= threshold
    outlines, shape = _outlines(answer, sure, pixels.valid.shape)
    window = pixels.tile.window
    cut = _cut(outlines, pixels.tile, grid, tile_size)
    # what is larger than the overlap may be whole nowhere
    keep = _inside(outlines, pixels) & ~(cut & (_longest(outlines) < overlap))
    offset = window.col_off, window.row_off
    moved = shapely.transform(outlines[keep], lambda points: points + offset)
    frame = shapely.box(*offset, window.col_off + window.width, window.row_off + window.height)
    return _Part(moved, scores[sure][keep], labels[sure][keep], cut[keep], frame, shape)


def _outlines(
    answer: Mapping[str, Tensor], sure: NDArray[np.bool_], size: tuple[int, ...]
) -> tuple[NDArray[Any], _Shape]:
    """Make polygons (n) of what a detector is sure of in a tile, of which ``size`` is in the grid.

    Those of masks may be empty.
    """
    chosen = torch.from_numpy(sure)
    boxes = answer['boxes'].double().cpu()[chosen]
    if 'masks' in answer:
        masks = answer['masks'].cpu()[chosen, 0, : size[0], : size[1]]
        return _traced((masks > _IN_MASK).numpy(), boxes.numpy()), lambda outline: outline
    if boxes.shape[1] == 5:
        return box_outlines(boxes), shapely.oriented_envelope
    limits = torch.tensor([size[1], size[0]] * 2, dtype=boxes.dtype)
    return box_outlines(boxes.clamp(min=0).minimum(limits)), shapely.envelope


def _traced(masks: NDArray[np.bool_], boxes: NDArray[np.float64]) -> NDArray[Any]:
    """Give the outlines of masks (n, h, w), along pixels, each of which lies in its box."""
    outlines = np.empty(len(masks), dtype=object)
    for number, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        left, top = np.floor(box[:2]).astype(int).clip(0)
        right, bottom = np.ceil(box[2:]).astype(int) + 1
        part = mask[top:bottom, left:right].astype(np.uint8)
        rings = trace(part, part > 0, transform=Affine.translation(left, top)) if part.size else ()
        outlines[number] = shapely.union_all([shapely.geometry.shape(ring) for ring, _ in rings])
    return outlines


def _inside(outlines: NDArray[Any], pixels: TilePixels) -> NDArray[np.bool_]:
    """Whether the middle of outlines (n) is a valid pixel, and there is any of them."""
    middles = shapely.centroid(outlines)
    there = (shapely.area(outlines) > 0) & ~shapely.is_empty(middles)
    columns, rows = np.floor(shapely.get_coordinates(middles[there])).astype(int).T
    height, width = pixels.valid.shape
    within = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    inside = np.zeros(len(outlines), bool)
    numbers = np.flatnonzero(there)[within]
    inside[numbers] = pixels.valid[rows[within], columns[within]]
    return inside


def _longest(outlines: NDArray[Any]) -> NDArray[np.float64]:
    """Give width or height of outlines (n), whichever is larger."""
    bounds = shapely.bounds(outlines)
    longest: NDArray[np.float64] = (bounds[:, 2:] - bounds[:, :2]).max(axis=1)
    return longest


def _cut(outlines: NDArray[Any], tile: Tile, grid: Grid, tile_size: int) -> NDArray[np.bool_]:
    """Whether outlines (n) end at a rim of the tile beyond which there is another tile."""
    left, top = tile.window.col_off, tile.window.row_off
    bounds = shapely.bounds(outlines)
    cut: NDArray[np.bool_] = (bounds[:, 0] < _CUT) & (left > 0)
    cut |= (bounds[:, 1] < _CUT) & (top > 0)
    cut |= (bounds[:, 2] > tile_size - _CUT) & (left + tile_size < grid.width)
    cut |= (bounds[:, 3] > tile_size - _CUT) & (top + tile_size < grid.height)
    return cut


def _joined(parts: Sequence[_Part], iou: float) -> Objects:
    """Put all objects together, those that several tiles show parts of as one."""
    outlines, scores, labels, cut = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ('outlines', 'scores', 'labels', 'cut')
    )
    tiles = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    frames = np.array([part.frame for part in parts], dtype=object)[tiles]
    pieces = np.flatnonzero(cut)
    one, other = shapely.STRtree(outlines).query(outlines[pieces], predicate='intersects')
    one = pieces[one]
    apart = (tiles[one] != tiles[other]) & (labels[one] == labels[other])
    one, other = one[apart], other[apart]
    # only where both tiles look can both see the same
    common = shapely.intersection(frames[one], frames[other])
    seen, also = (shapely.intersection(outlines[which], common) for which in (one, other))
    both = shapely.area(shapely.intersection(seen, also))
    same = both > iou * (shapely.area(seen) + shapely.area(also) - both)
    links = coo_array((np.ones(same.sum()), (one[same], other[same])), shape=(len(cut),) * 2)
    count, groups = connected_components(links, directed=False)
    found = Objects(outlines, scores, labels, len(parts))
    if count == len(cut):
        return found
    order = np.argsort(groups, kind='stable')
    members = np.split(order, np.cumsum(np.bincount(groups))[:-1])
    first = np.array([group[scores[group].argmax()] for group in members])
    joined = found.select(first)
    for number, group in enumerate(members):
        if len(group) > 1:
            joined.outlines[number] = parts[0].shape(shapely.union_all(outlines[group]))
    return joined


def on_ground(outlines: NDArray[Any], transform: Affine) -> NDArray[Any]:
    """Bring polygons (n) in pixels into map coordinates."""
    return np.asarray(
        shapely.transform(
            outlines, lambda points: np.column_stack(transform_points(transform, *points.T))
        )
    )


def side_lengths(shapes: NDArray[Any], crs: Any) -> NDArray[np.float64]:
    """Measure the sides of boxes on the ground.

    Args:
        shapes: Polygons of four corners (n).
        crs: Their reference system. In a local one, which has no ellipsoid, sides are planar.

    Returns:
        Length of the longer and of the shorter side in metres (n, 2).
    """
    corners = shapely.get_coordinates(shapes).reshape(-1, 5, 2)
    lengths = step_lengths(corners[:, :3, 0], corners[:, :3, 1], crs)
    return np.sort(lengths, axis=1)[:, ::-1]
