"""Building blocks that several models share."""

from torchgeo_ext.layers.selective_scan import selective_recurrence, selective_scan

__all__ = ('selective_recurrence', 'selective_scan')
