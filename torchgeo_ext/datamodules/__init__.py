"""Lightning data modules."""

from torchgeo_ext.datamodules.geotiff import GeoTIFFDataModule

__all__ = ('GeoTIFFDataModule',)
