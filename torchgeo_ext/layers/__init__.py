"""Building blocks that several models share."""

from torchgeo_ext.layers.mamba import Mamba
from torchgeo_ext.layers.selective_scan import selective_recurrence, selective_scan
from torchgeo_ext.layers.ss2d import CS2D, SS2D, TextSS2D, VSSBlock

__all__ = (
    'CS2D',
    'SS2D',
    'Mamba',
    'TextSS2D',
    'VSSBlock',
    'selective_recurrence',
    'selective_scan',
)
