"""Datasets that keep TorchGeo's contract."""

from torchgeo_ext.datasets.geo_pair import GeoPair
from torchgeo_ext.datasets.tiled_raster import TiledRaster

__all__ = ('GeoPair', 'TiledRaster')
