"""Datasets that keep TorchGeo's contract."""

from torchgeo_ext.datasets.labelled_pair import LabelledPair
from torchgeo_ext.datasets.labelled_raster import LabelledRaster

__all__ = ('LabelledPair', 'LabelledRaster')
