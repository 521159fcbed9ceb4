"""Objects in rasters of any size: detectors see tiles, the result knows no seams.

Axes: b batch, c bands, h height, w width, n objects.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod
from pyproj import Transformer as Projection
from torch import Tensor, nn
from torchvision.ops import batched_nms

from torchgeo_ext.errors import OutOfMemory
from torchgeo_ext.inference.device import automatic_batch_size, is_out_of_memory, pick_device
from torchgeo_ext.inference.grid import Grid, Tile, transform_points
from torchgeo_ext.inference.mask import MaskSource
from torchgeo_ext.inference.pipeline import Stage
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.tiles import TilePixels, TileReader
from torchgeo_ext.progress import Progress, silent

log = logging.getLogger(__name__)

#: Pixels from the rim of a tile within which a box counts as cut by it.
_CUT = 1.5

#: From stored pixel values (b, c, h, w) to boxes (n, 4), scores (n) and labels (n) of each image.
Detector = Callable[[Tensor], Sequence[Mapping[str, Tensor]]]


class Objects(NamedTuple):
    """Objects that were found.

    Attributes:
        boxes: Left, top, right and bottom (n, 4) in pixels of the grid.
        scores: 0 to 1 (n).
        labels: Class numbers (n).
        tiles: Tiles that went through the detector.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    tiles: int

    def select(self, keep: NDArray[Any]) -> 'Objects':
        """Keep some of them."""
        return self._replace(
            boxes=self.boxes[keep], scores=self.scores[keep], labels=self.labels[keep]
        )


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
    the overlap, and is taken from there. Of boxes of a class that overlap each other by more than
    ``iou`` the one with the highest score stays, whichever tiles they are from.

    Args:
        detector: A module is moved to the device.
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
    place = pick_device(device)
    if isinstance(detector, nn.Module):
        detector.to(place).eval()
    batch_size = batch_size or automatic_batch_size(place, tile_size)
    found: list[Objects] = []
    done = seen = 0
    with (
        TileReader([source], mask, grid, tiling, channels_last=False) as reader,
        Stage(1, lambda: progress(done / len(tiling), 'Detecting')) as stage,
        closing(stage.map(reader.read, tiling, ahead=2 * batch_size)) as tiles,
        torch.inference_mode(),
    ):
        batch: list[TilePixels] = []
        for pixels in tiles:
            done += 1
            progress(done / len(tiling), 'Detecting', tile=done, tiles=len(tiling))
            if pixels.values is not None:
                batch.append(pixels)
            if len(batch) == batch_size or (batch and done == len(tiling)):
                seen += len(batch)
                answers = _detect(detector, [p.values[0] for p in batch], place)  # type: ignore[index]
                for part, answer in zip(batch, answers, strict=True):
                    found.append(_whole(answer, part, grid, tile_size, overlap, threshold))
                batch = []
        if not seen:
            raise reader.nothing_valid()
    boxes, scores, labels = (
        np.concatenate([getattr(part, name) for part in found])
        for name in ('boxes', 'scores', 'labels')
    )
    kept = batched_nms(
        torch.from_numpy(boxes).float(), torch.from_numpy(scores), torch.from_numpy(labels), iou
    )
    return Objects(boxes, scores, labels, seen).select(kept.numpy())


def _detect(
    detector: Detector, tiles: Sequence[NDArray[np.float32]], device: torch.device
) -> list[Mapping[str, Tensor]]:
    try:
        return list(detector(torch.from_numpy(np.stack(tiles)).to(device)))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(tiles) == 1:
            raise OutOfMemory(
                f'Not even one tile of {tiles[0].shape[-1]} pixels fits into the memory of '
                f'{device} ({error}).',
                'Choose a smaller tile_size, or another device.',
            ) from error
    half = len(tiles) // 2
    log.info('Memory is too small for %d tiles at once, trying %d', len(tiles), half)
    return _detect(detector, tiles[:half], device) + _detect(detector, tiles[half:], device)


def _whole(
    answer: Mapping[str, Tensor],
    pixels: TilePixels,
    grid: Grid,
    tile_size: int,
    overlap: int,
    threshold: float,
) -> Objects:
    """Take the objects of a tile that are valid and that no neighbouring tile sees better."""
    boxes = answer['boxes'].double().cpu().numpy()
    scores, labels = answer['scores'].float().cpu().numpy(), answer['labels'].cpu().numpy()
    keep = scores >= threshold
    keep &= _inside(boxes, pixels)
    keep &= ~_cut(boxes, pixels.tile, grid, tile_size, overlap)
    window = pixels.tile.window
    moved = boxes[keep] + np.tile([window.col_off, window.row_off], 2)
    moved = moved.clip(0, [grid.width, grid.height] * 2)
    return Objects(moved, scores[keep], labels[keep].astype(np.int64), 1)


def _inside(boxes: NDArray[np.float64], pixels: TilePixels) -> NDArray[np.bool_]:
    """Whether the middle of boxes (n, 4) is a valid pixel."""
    columns, rows = ((boxes[:, [0, 1]] + boxes[:, [2, 3]]) / 2).astype(int).T
    height, width = pixels.valid.shape
    there = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    inside = np.zeros(len(boxes), bool)
    inside[there] = pixels.valid[rows[there], columns[there]]
    return inside


def _cut(
    boxes: NDArray[np.float64], tile: Tile, grid: Grid, tile_size: int, overlap: int
) -> NDArray[np.bool_]:
    """Whether boxes (n, 4) end at a rim of the tile beyond which another tile has all of them."""
    left, top = tile.window.col_off, tile.window.row_off
    cut = (boxes[:, 0] < _CUT) & (left > 0)
    cut |= (boxes[:, 1] < _CUT) & (top > 0)
    cut |= (boxes[:, 2] > tile_size - _CUT) & (left + tile_size < grid.width)
    cut |= (boxes[:, 3] > tile_size - _CUT) & (top + tile_size < grid.height)
    longest = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    # what is larger than the overlap may be whole nowhere
    return cut & (longest < overlap)


def outlines(boxes: NDArray[np.float64], transform: Affine) -> NDArray[Any]:
    """Make polygons (n) in map coordinates of boxes (n, 4) in pixels."""
    left, top, right, bottom = boxes.T
    columns = np.stack([left, right, right, left], axis=1)
    rows = np.stack([top, top, bottom, bottom], axis=1)
    x, y = transform_points(transform, columns, rows)
    return np.asarray(shapely.polygons(np.stack([x, y], axis=-1)))


def side_lengths(shapes: NDArray[Any], crs: Any) -> NDArray[np.float64]:
    """Measure the sides of boxes on the ground.

    Args:
        shapes: Polygons of four corners (n).
        crs: Their reference system.

    Returns:
        Length of the longer and of the shorter side in metres (n, 2).
    """
    corners = shapely.get_coordinates(shapes).reshape(-1, 5, 2)
    known = CRS.from_user_input(crs.to_wkt())
    x, y = corners[:, :3, 0], corners[:, :3, 1]
    geographic = Projection.from_crs(known, known.geodetic_crs, always_xy=True)
    longitude, latitude = geographic.transform(x, y)
    ellipsoid = known.get_geod() or Geod(ellps='WGS84')
    _, _, lengths = ellipsoid.inv(
        longitude[:, :2], latitude[:, :2], longitude[:, 1:], latitude[:, 1:]
    )
    return np.sort(np.asarray(lengths).reshape(-1, 2), axis=1)[:, ::-1]
