"""Transforms of TorchGeo samples: modules that know bands, dates and invalid pixels."""

from torchgeo_ext.transforms.augmentation import KorniaSequential
from torchgeo_ext.transforms.calibration import (
    BrightnessTemperature,
    RadianceToReflectance,
    Rescale,
    ToPhysical,
    blackbody_radiance,
    brightness_temperature,
    sun_distance,
)
from torchgeo_ext.transforms.composites import TemporalComposite
from torchgeo_ext.transforms.harmonics import HarmonicCoefficients, HarmonicFill
from torchgeo_ext.transforms.indices import AppendIndices, computable_indices, compute_index
from torchgeo_ext.transforms.normalisation import MinMaxScale, PercentileScale, Standardise
from torchgeo_ext.transforms.resolution import Degrade, degrade
from torchgeo_ext.transforms.sar import FromDecibel, LogScale, Speckle, ToDecibel
from torchgeo_ext.transforms.spectral import (
    BandDropout,
    Haze,
    MissingLines,
    SensorNoise,
    SpectralJitter,
    Striping,
)
from torchgeo_ext.transforms.temporal import EncodeDayOfYear, FillGaps

__all__ = (
    'AppendIndices',
    'BandDropout',
    'BrightnessTemperature',
    'Degrade',
    'EncodeDayOfYear',
    'FillGaps',
    'FromDecibel',
    'HarmonicCoefficients',
    'HarmonicFill',
    'Haze',
    'KorniaSequential',
    'LogScale',
    'MinMaxScale',
    'MissingLines',
    'PercentileScale',
    'RadianceToReflectance',
    'Rescale',
    'SensorNoise',
    'Speckle',
    'SpectralJitter',
    'Standardise',
    'Striping',
    'TemporalComposite',
    'ToDecibel',
    'ToPhysical',
    'blackbody_radiance',
    'brightness_temperature',
    'computable_indices',
    'compute_index',
    'degrade',
    'sun_distance',
)
