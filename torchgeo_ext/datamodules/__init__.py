"""Lightning data modules."""

from torchgeo_ext.datamodules.change_pairs import ChangePairDataModule
from torchgeo_ext.datamodules.domains import DomainDataModule
from torchgeo_ext.datamodules.geo_objects import GeoObjectDataModule
from torchgeo_ext.datamodules.geotiff import GeoTIFFDataModule
from torchgeo_ext.datamodules.maps import MapDataModule
from torchgeo_ext.datamodules.objects import ObjectDataModule
from torchgeo_ext.datamodules.places import PlaceDataModule
from torchgeo_ext.datamodules.published_scenes import PublishedSceneDataModule
from torchgeo_ext.datamodules.reben import ReBENDataModule
from torchgeo_ext.datamodules.s2100k import S2100kDataModule
from torchgeo_ext.datamodules.scenes import SceneDataModule
from torchgeo_ext.datamodules.series import SeriesDataModule
from torchgeo_ext.datamodules.spectral_earth import (
    SpectralEarthDataModule,
    SpectralEarthPretrainDataModule,
)
from torchgeo_ext.datamodules.spectral_patches import SpectralPatchDataModule

__all__ = (
    'ChangePairDataModule',
    'DomainDataModule',
    'GeoObjectDataModule',
    'GeoTIFFDataModule',
    'MapDataModule',
    'ObjectDataModule',
    'PlaceDataModule',
    'PublishedSceneDataModule',
    'ReBENDataModule',
    'S2100kDataModule',
    'SceneDataModule',
    'SeriesDataModule',
    'SpectralEarthDataModule',
    'SpectralEarthPretrainDataModule',
    'SpectralPatchDataModule',
)
