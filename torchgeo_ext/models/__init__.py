"""Model architectures, one file each, with their published weights.

Importing this room makes its builders known to TorchGeo's ``get_model`` and ``get_weight``.
"""

from inspect import isfunction

from torchgeo_ext.models._torchgeo import teach
from torchgeo_ext.models.agrifm import (
    AgriFM,
    AgriFM_Weights,
    AgriFMEncoder,
    agrifm_base,
    agrifm_encoder_base,
)
from torchgeo_ext.models.bit import BIT, bit
from torchgeo_ext.models.cdmaskformer import CDMaskFormer, cdmaskformer
from torchgeo_ext.models.centernet import CenterNet, centernet
from torchgeo_ext.models.cfnet import CFNet, CFNet_Weights, cfnet
from torchgeo_ext.models.changeagent import ChangeAgent, ChangeAgent_Weights, changeagent
from torchgeo_ext.models.changeformer import ChangeFormer, changeformer
from torchgeo_ext.models.changemamba import (
    ChangeMamba_Weights,
    ChangeMambaBCD,
    ChangeMambaBDA,
    ChangeMambaMMBDA,
    ChangeMambaSCD,
    changemamba_bcd_base,
    changemamba_bcd_small,
    changemamba_bcd_tiny,
    changemamba_bda_base,
    changemamba_bda_small,
    changemamba_bda_tiny,
    changemamba_mmbda_base,
    changemamba_mmbda_small,
    changemamba_mmbda_tiny,
    changemamba_scd_base,
    changemamba_scd_small,
    changemamba_scd_tiny,
)
from torchgeo_ext.models.changestar import (
    ChangeStar1x256,
    ChangeStar1x256_ViTB_Weights,
    ChangeStar1x256_ViTL_Weights,
    changestar1x256_vitb,
    changestar1x256_vitl,
)
from torchgeo_ext.models.climplicit import Climplicit, climplicit
from torchgeo_ext.models.cnn1d import CNN1D, cnn1d
from torchgeo_ext.models.csp import CSP, csp
from torchgeo_ext.models.cvmhunet import CVMHUNet, cvmhunet
from torchgeo_ext.models.detr import DETR, detr
from torchgeo_ext.models.dynamicvis import (
    DynamicVis,
    DynamicVis_Weights,
    DynamicVisAllTokens_Weights,
    dynamicvis_all_tokens_b,
    dynamicvis_all_tokens_l,
    dynamicvis_b,
    dynamicvis_l,
)
from torchgeo_ext.models.eurosat import (
    EuroSATAttention7,
    EuroSATBalanced12,
    EuroSATBaseline3,
    eurosat_attention7,
    eurosat_balanced12,
    eurosat_baseline3,
)
from torchgeo_ext.models.fsgnet import FSGNet, fsgnet
from torchgeo_ext.models.fusu import FUSUNet, fusu
from torchgeo_ext.models.geoclip import GeoCLIP_Weights, GeoCLIPLocation, geoclip_location
from torchgeo_ext.models.hybridsn import HybridSN, hybridsn
from torchgeo_ext.models.hyscdg import HySCDG, hyscdg
from torchgeo_ext.models.lenet import LENet, lenet
from torchgeo_ext.models.lessvit import LESSViT, LESSViTMAE, lessvit_base, lessvit_mae_base
from torchgeo_ext.models.location import (
    FourierEncoder,
    LocationEncoder,
    SphericalHarmonicsEncoder,
    WrapEncoder,
    location_fourier,
    location_harmonics,
    location_wrap,
)
from torchgeo_ext.models.mambafcs import MambaFCS, MambaFCS_Weights, mambafcs_base
from torchgeo_ext.models.mapformer import MapFormer, mapformer
from torchgeo_ext.models.mfnet import MFNet, MFNet_Weights, mfnet_vitb, mfnet_vith, mfnet_vitl
from torchgeo_ext.models.range import RANGE
from torchgeo_ext.models.rotatedfcos import RotatedFCOS, rotatedfcos
from torchgeo_ext.models.rsmamba import RSMamba, RSMamba_Weights, rsmamba_b, rsmamba_h, rsmamba_l
from torchgeo_ext.models.satclip import (
    SatCLIPLocation,
    SatCLIPTowers,
    SatCLIPTowers_Weights,
    satclip_resnet18_l10,
    satclip_resnet18_l40,
    satclip_resnet50_l10,
    satclip_resnet50_l40,
    satclip_vit16_l10,
    satclip_vit16_l40,
)
from torchgeo_ext.models.satmaepp import (
    SatMAEPP,
    SatMAEPP_Weights,
    SatMAEPPMAE,
    satmaepp_rgb_mae_vitl,
    satmaepp_rgb_vitb,
    satmaepp_rgb_vitl,
    satmaepp_sentinel2_mae_vitl,
    satmaepp_sentinel2_vitb,
    satmaepp_sentinel2_vitl,
)
from torchgeo_ext.models.segmenter import Segmenter, segmenter
from torchgeo_ext.models.semicdvl import SemiCDVL, semicdvl
from torchgeo_ext.models.siamlite import SiamLite, siamlite
from torchgeo_ext.models.sinr import SINR, SINR_Weights, sinr
from torchgeo_ext.models.skysense import SkySense, skysense_sentinel1_vitl, skysense_sentinel2_vitl
from torchgeo_ext.models.spectralearth import (
    SpectralEarth_Weights,
    SpectralEarthResNet,
    SpectralEarthViT,
    spectralearth_resnet50,
    spectralearth_vitb,
    spectralearth_vith,
    spectralearth_vitl,
    spectralearth_vits,
)
from torchgeo_ext.models.spectralearth_mae import (
    SpectralEarthMAE,
    spectralearth_mae_vitb,
    spectralearth_mae_vith,
    spectralearth_mae_vitl,
    spectralearth_mae_vits,
)
from torchgeo_ext.models.spectralformer import SpectralFormer, spectralformer
from torchgeo_ext.models.ssd import SSD, ssd
from torchgeo_ext.models.tcssm import TCSSM, tcssm
from torchgeo_ext.models.tinycd import TinyCD, TinyCD_Weights, tinycd
from torchgeo_ext.models.utae import UTAESegmenter, utae
from torchgeo_ext.models.vmamba import (
    VMamba,
    VMamba_Weights,
    vmamba_base,
    vmamba_small,
    vmamba_tiny,
)

__all__ = (
    'BIT',
    'CNN1D',
    'CSP',
    'DETR',
    'RANGE',
    'SINR',
    'SSD',
    'TCSSM',
    'AgriFM',
    'AgriFMEncoder',
    'AgriFM_Weights',
    'CDMaskFormer',
    'CFNet',
    'CFNet_Weights',
    'CVMHUNet',
    'CenterNet',
    'ChangeAgent',
    'ChangeAgent_Weights',
    'ChangeFormer',
    'ChangeMambaBCD',
    'ChangeMambaBDA',
    'ChangeMambaMMBDA',
    'ChangeMambaSCD',
    'ChangeMamba_Weights',
    'ChangeStar1x256',
    'ChangeStar1x256_ViTB_Weights',
    'ChangeStar1x256_ViTL_Weights',
    'Climplicit',
    'DynamicVis',
    'DynamicVisAllTokens_Weights',
    'DynamicVis_Weights',
    'EuroSATAttention7',
    'EuroSATBalanced12',
    'EuroSATBaseline3',
    'FSGNet',
    'FUSUNet',
    'FourierEncoder',
    'GeoCLIPLocation',
    'GeoCLIP_Weights',
    'HySCDG',
    'HybridSN',
    'LENet',
    'LESSViT',
    'LESSViTMAE',
    'LocationEncoder',
    'MFNet',
    'MFNet_Weights',
    'MambaFCS',
    'MambaFCS_Weights',
    'MapFormer',
    'RSMamba',
    'RSMamba_Weights',
    'RotatedFCOS',
    'SINR_Weights',
    'SatCLIPLocation',
    'SatCLIPTowers',
    'SatCLIPTowers_Weights',
    'SatMAEPP',
    'SatMAEPPMAE',
    'SatMAEPP_Weights',
    'Segmenter',
    'SemiCDVL',
    'SiamLite',
    'SkySense',
    'SpectralEarthMAE',
    'SpectralEarthResNet',
    'SpectralEarthViT',
    'SpectralEarth_Weights',
    'SpectralFormer',
    'SphericalHarmonicsEncoder',
    'TinyCD',
    'TinyCD_Weights',
    'UTAESegmenter',
    'VMamba',
    'VMamba_Weights',
    'WrapEncoder',
    'agrifm_base',
    'agrifm_encoder_base',
    'bit',
    'cdmaskformer',
    'centernet',
    'cfnet',
    'changeagent',
    'changeformer',
    'changemamba_bcd_base',
    'changemamba_bcd_small',
    'changemamba_bcd_tiny',
    'changemamba_bda_base',
    'changemamba_bda_small',
    'changemamba_bda_tiny',
    'changemamba_mmbda_base',
    'changemamba_mmbda_small',
    'changemamba_mmbda_tiny',
    'changemamba_scd_base',
    'changemamba_scd_small',
    'changemamba_scd_tiny',
    'changestar1x256_vitb',
    'changestar1x256_vitl',
    'climplicit',
    'cnn1d',
    'csp',
    'cvmhunet',
    'detr',
    'dynamicvis_all_tokens_b',
    'dynamicvis_all_tokens_l',
    'dynamicvis_b',
    'dynamicvis_l',
    'eurosat_attention7',
    'eurosat_balanced12',
    'eurosat_baseline3',
    'fsgnet',
    'fusu',
    'geoclip_location',
    'hybridsn',
    'hyscdg',
    'lenet',
    'lessvit_base',
    'lessvit_mae_base',
    'location_fourier',
    'location_harmonics',
    'location_wrap',
    'mambafcs_base',
    'mapformer',
    'mfnet_vitb',
    'mfnet_vith',
    'mfnet_vitl',
    'rotatedfcos',
    'rsmamba_b',
    'rsmamba_h',
    'rsmamba_l',
    'satclip_resnet18_l10',
    'satclip_resnet18_l40',
    'satclip_resnet50_l10',
    'satclip_resnet50_l40',
    'satclip_vit16_l10',
    'satclip_vit16_l40',
    'satmaepp_rgb_mae_vitl',
    'satmaepp_rgb_vitb',
    'satmaepp_rgb_vitl',
    'satmaepp_sentinel2_mae_vitl',
    'satmaepp_sentinel2_vitb',
    'satmaepp_sentinel2_vitl',
    'segmenter',
    'semicdvl',
    'siamlite',
    'sinr',
    'skysense_sentinel1_vitl',
    'skysense_sentinel2_vitl',
    'spectralearth_mae_vitb',
    'spectralearth_mae_vith',
    'spectralearth_mae_vitl',
    'spectralearth_mae_vits',
    'spectralearth_resnet50',
    'spectralearth_vitb',
    'spectralearth_vith',
    'spectralearth_vitl',
    'spectralearth_vits',
    'spectralformer',
    'ssd',
    'tcssm',
    'tinycd',
    'utae',
    'vmamba_base',
    'vmamba_small',
    'vmamba_tiny',
)

teach(thing for name in __all__ if isfunction(thing := globals()[name]))
