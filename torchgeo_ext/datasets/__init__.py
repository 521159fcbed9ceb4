"""Datasets that keep TorchGeo's contract."""

from torchgeo_ext.datasets._combine import intersect, unite
from torchgeo_ext.datasets.collate import collate_samples, unbind_samples
from torchgeo_ext.datasets.geo_pair import GeoPair
from torchgeo_ext.datasets.raster_series import RasterSeries
from torchgeo_ext.datasets.tiled_raster import TiledRaster
from torchgeo_ext.datasets.vector_labels import VectorLabels

__all__ = (
    'GeoPair',
    'RasterSeries',
    'TiledRaster',
    'VectorLabels',
    'collate_samples',
    'intersect',
    'unbind_samples',
    'unite',
)
