"""Building blocks that several models share."""

from torchgeo_ext.layers.mamba import Mamba
from torchgeo_ext.layers.rotated_boxes import (
    box_corners,
    box_outlines,
    boxes_around,
    corner_boxes,
    outline_iou,
    outline_nms,
    rotated_iou,
    rotated_nms,
)
from torchgeo_ext.layers.selective_scan import selective_recurrence, selective_scan
from torchgeo_ext.layers.ss2d import CS2D, SS2D, TextSS2D, VSSBlock

__all__ = (
    'CS2D',
    'SS2D',
    'Mamba',
    'TextSS2D',
    'VSSBlock',
    'box_corners',
    'box_outlines',
    'boxes_around',
    'corner_boxes',
    'outline_iou',
    'outline_nms',
    'rotated_iou',
    'rotated_nms',
    'selective_recurrence',
    'selective_scan',
)
