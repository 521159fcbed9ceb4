"""Lightning data modules."""

from torchgeo_ext.datamodules.change_pairs import ChangePairDataModule
from torchgeo_ext.datamodules.domains import DomainDataModule
from torchgeo_ext.datamodules.geotiff import GeoTIFFDataModule

__all__ = ('ChangePairDataModule', 'DomainDataModule', 'GeoTIFFDataModule')
