"""Rotated boxes and other outlines: what they are, how they overlap, which of them are one object.

A rotated box is cx, cy, w, h, angle: its middle and its sides in pixels, and by how many radians
the side w is turned from the x axis towards the y axis. As y runs down, that is clockwise. The
longer side is w, and the angle lies from -pi/2 (included) to pi/2: what others call "le90".

Overlaps are exact areas of polygons, computed by GEOS on the CPU.

Axes: n, m boxes or outlines.
"""

import math
from typing import Any

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Corners of a box in halves of its sides, clockwise on screen.
_CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))


def box_corners(boxes: Tensor) -> Tensor:
    """Give the corners (n, 4, 2) of boxes (n, 5), x before y."""
    middles, sides, angles = boxes[:, None, :2], boxes[:, None, 2:4], boxes[:, 4]
    local = torch.tensor(_CORNERS, dtype=boxes.dtype, device=boxes.device) * sides
    cosine, sine = angles.cos(), angles.sin()
    turn = torch.stack([cosine, sine, -sine, cosine], dim=-1).reshape(-1, 2, 2)
    return middles + local @ turn


def ordered(boxes: Tensor) -> Tensor:
    """Give boxes (n, 5) with the longer side as w and the angle from -pi/2 to pi/2."""
    width, height = boxes[:, 2], boxes[:, 3]
    angles = boxes[:, 4] + torch.where(width < height, math.pi / 2, 0.0)
    angles = (angles + math.pi / 2) % math.pi - math.pi / 2
    sides = torch.maximum(width, height), torch.minimum(width, height)
    return torch.stack([boxes[:, 0], boxes[:, 1], *sides, angles], dim=1)


def boxes_around(outlines: NDArray[Any]) -> Tensor:
    """Give the boxes (n, 5) of the smallest area around outlines (n,), as float32.

    The outline of a rotated box, or its four corners, gives the box itself.
    """
    envelopes = shapely.oriented_envelope(outlines)
    # a line or a point has no envelope with an area
    flat = shapely.get_num_coordinates(envelopes) != 5
    envelopes[flat] = shapely.box(*shapely.bounds(outlines[flat]).T)
    corners = torch.from_numpy(shapely.get_coordinates(envelopes).reshape(-1, 5, 2)[:, :4].copy())
    across, down = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]
    sides = torch.stack([across.norm(dim=1), down.norm(dim=1)], dim=1)
    along = torch.where(sides[:, :1] < sides[:, 1:], down, across)
    boxes = [corners.mean(dim=1), sides.sort(dim=1, descending=True).values]
    return ordered(torch.cat([*boxes, torch.atan2(along[:, 1:], along[:, :1])], dim=1)).float()


def corner_boxes(corners: Tensor) -> Tensor:
    """Give the boxes (n, 5) of corners x, y (n, 8); of other quadrilaterals those around them."""
    outlines = shapely.polygons(corners.detach().double().cpu().numpy().reshape(-1, 4, 2))
    return boxes_around(np.asarray(outlines, dtype=object).reshape(-1)).to(corners.device)


def box_outlines(boxes: Tensor) -> NDArray[Any]:
    """Give the outlines (n,) of rotated boxes (n, 5) or of upright ones (n, 4).

    The latter are left, top, right and bottom.
    """
    exact = boxes.detach().double().cpu()
    if boxes.shape[1] == 4:
        return np.asarray(shapely.box(*exact.numpy().T), dtype=object).reshape(-1)
    corners = box_corners(exact).numpy()
    return np.asarray(shapely.polygons(corners), dtype=object).reshape(-1)


def outline_iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Compute intersection over union of each of some outlines (n,) with each other (m,).

    Returns:
        (n, m), 0 where two do not touch.
    """
    result = np.zeros((len(first), len(second)))
    if result.size:
        rows, columns = shapely.STRtree(second).query(first, predicate='intersects')
        result[rows, columns] = _pair_iou(first[rows], second[columns])
    return result


def rotated_iou(first: Tensor, second: Tensor) -> Tensor:
    """Compute intersection over union (n, m) of boxes (n, 5) and (m, 5)."""
    result = outline_iou(box_outlines(first), box_outlines(second))
    return torch.from_numpy(result).to(first)


def outline_nms(
    outlines: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], iou: float
) -> NDArray[np.int64]:
    """Keep the best of outlines that show one object (non-maximum suppression).

    Args:
        outlines: Polygons (n,).
        scores: The higher the better (n,).
        labels: Classes (n,); outlines of different ones leave each other alone.
        iou: Outlines of a class that overlap by more (intersection over union) are one object.

    Returns:
        Positions of what is kept, best first.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind='stable')
    ranked, kinds = outlines[order], np.asarray(labels)[order]
    better, worse = shapely.STRtree(ranked).query(ranked, predicate='intersects')
    pair = (better < worse) & (kinds[better] == kinds[worse])
    better, worse = better[pair], worse[pair]
    same = _pair_iou(ranked[better], ranked[worse]) > iou
    better, worse = better[same], worse[same]
    kept = np.ones(len(order), dtype=bool)
    # what a better one removes removes nothing itself, so they are gone through by rank
    by_rank = np.argsort(better, kind='stable')
    for one, other in zip(better[by_rank].tolist(), worse[by_rank].tolist(), strict=True):
        if kept[one]:
            kept[other] = False
    return order[kept]


def rotated_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Keep the best of boxes (n, 5) that show one object, see :func:`outline_nms`."""
    found = outline_nms(
        box_outlines(boxes), scores.detach().cpu().numpy(), labels.cpu().numpy(), iou
    )
    return torch.from_numpy(found).to(boxes.device)


def _pair_iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Compute intersection over union of pairs of outlines (n,)."""
    both = shapely.area(shapely.intersection(first, second))
    either = shapely.area(first) + shapely.area(second) - both
    return np.divide(both, either, out=np.zeros(len(both)), where=either > 0)
