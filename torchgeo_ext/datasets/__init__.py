"""Datasets that keep TorchGeo's contract."""

from torchgeo_ext.datasets._change_pairs import changed_classes
from torchgeo_ext.datasets._combine import intersect, unite
from torchgeo_ext.datasets.agrifmcropland import AgriFMCropland
from torchgeo_ext.datasets.brightquestions import BRIGHTQuestions
from torchgeo_ext.datasets.cdd import CDD
from torchgeo_ext.datasets.changechat import ChangeChat105k
from torchgeo_ext.datasets.clcd import CLCD
from torchgeo_ext.datasets.cloudtracks import CloudTracks
from torchgeo_ext.datasets.collate import collate_samples, unbind_samples
from torchgeo_ext.datasets.disasterm3 import DisasterM3
from torchgeo_ext.datasets.dynamicearthnet import DynamicEarthNet
from torchgeo_ext.datasets.fmow import FMoW
from torchgeo_ext.datasets.fmowsentinel import FMoWSentinel
from torchgeo_ext.datasets.fsc180k import FSC180k
from torchgeo_ext.datasets.fusu import FUSU
from torchgeo_ext.datasets.gdit import GDIT
from torchgeo_ext.datasets.geo_pair import GeoPair
from torchgeo_ext.datasets.gzcd import GZCD
from torchgeo_ext.datasets.houston2013 import Houston2013
from torchgeo_ext.datasets.hrplanesv2 import HRPlanesV2
from torchgeo_ext.datasets.hrscd import HRSCD
from torchgeo_ext.datasets.indianpines import IndianPines
from torchgeo_ext.datasets.isprspotsdam import ISPRSPotsdam
from torchgeo_ext.datasets.isprsvaihingen import ISPRSVaihingen
from torchgeo_ext.datasets.landcoveraitiles import LandCoverAITiles
from torchgeo_ext.datasets.landsatscd import LandsatSCD
from torchgeo_ext.datasets.levircd_tiles import LEVIRCDTiles
from torchgeo_ext.datasets.levirmci import LEVIRMCI
from torchgeo_ext.datasets.marida import MARIDA
from torchgeo_ext.datasets.massachusettsroads import MassachusettsRoads
from torchgeo_ext.datasets.pavia import PaviaCentre, PaviaUniversity
from torchgeo_ext.datasets.placed_images import PlacedImages
from torchgeo_ext.datasets.pseudo_labels import ImageContent, change_events, write_pseudo_labels
from torchgeo_ext.datasets.pxclcd import PXCLCD
from torchgeo_ext.datasets.raster_series import RasterSeries
from torchgeo_ext.datasets.reben import ReBEN
from torchgeo_ext.datasets.s2looking import S2Looking
from torchgeo_ext.datasets.scene_patches import ScenePatches
from torchgeo_ext.datasets.second import SECOND
from torchgeo_ext.datasets.segmunich import SegMunich
from torchgeo_ext.datasets.spectral_earth import SpectralEarth, SpectralEarthTask
from torchgeo_ext.datasets.ssl4eco import SSL4Eco
from torchgeo_ext.datasets.star import STAR
from torchgeo_ext.datasets.sysucd import SYSUCD
from torchgeo_ext.datasets.tiled_raster import TiledRaster
from torchgeo_ext.datasets.vector_labels import VectorLabels
from torchgeo_ext.datasets.whubuilding import WHUBuilding
from torchgeo_ext.datasets.whucd import WHUCD
from torchgeo_ext.datasets.xbd_damage import XBDDamage

__all__ = (
    'CDD',
    'CLCD',
    'FUSU',
    'GDIT',
    'GZCD',
    'HRSCD',
    'LEVIRMCI',
    'MARIDA',
    'PXCLCD',
    'SECOND',
    'STAR',
    'SYSUCD',
    'WHUCD',
    'AgriFMCropland',
    'BRIGHTQuestions',
    'ChangeChat105k',
    'CloudTracks',
    'DisasterM3',
    'DynamicEarthNet',
    'FMoW',
    'FMoWSentinel',
    'FSC180k',
    'GeoPair',
    'HRPlanesV2',
    'Houston2013',
    'ISPRSPotsdam',
    'ISPRSVaihingen',
    'ImageContent',
    'IndianPines',
    'LEVIRCDTiles',
    'LandCoverAITiles',
    'LandsatSCD',
    'MassachusettsRoads',
    'PaviaCentre',
    'PaviaUniversity',
    'PlacedImages',
    'RasterSeries',
    'ReBEN',
    'S2Looking',
    'SSL4Eco',
    'ScenePatches',
    'SegMunich',
    'SpectralEarth',
    'SpectralEarthTask',
    'TiledRaster',
    'VectorLabels',
    'WHUBuilding',
    'XBDDamage',
    'change_events',
    'changed_classes',
    'collate_samples',
    'intersect',
    'unbind_samples',
    'unite',
    'write_pseudo_labels',
)
