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
from torchgeo_ext.transforms.clouds import SimulateClouds
from torchgeo_ext.transforms.composites import (
    TemporalComposite,
    greenest_date,
    mean_composite,
    median_composite,
    medoid_date,
    take_dates,
)
from torchgeo_ext.transforms.harmonics import HarmonicCoefficients, HarmonicFill, fit_harmonics
from torchgeo_ext.transforms.indices import AppendIndices, computable_indices, compute_index
from torchgeo_ext.transforms.misregistration import Misregister, MisregisterBands
from torchgeo_ext.transforms.mixing import ClassMix, CutMix, SeasonalMix
from torchgeo_ext.transforms.normalisation import (
    AsPretrained,
    MinMaxScale,
    PercentileScale,
    Standardise,
)
from torchgeo_ext.transforms.place import AddPoint
from torchgeo_ext.transforms.resolution import Degrade, degrade
from torchgeo_ext.transforms.sar import FromDecibel, LogScale, Speckle, ToDecibel
from torchgeo_ext.transforms.simulated_change import SimulateChange, SimulateSeason
from torchgeo_ext.transforms.spectral import (
    BandDropout,
    Haze,
    MissingLines,
    SensorNoise,
    SpectralJitter,
    Striping,
)
from torchgeo_ext.transforms.spectral_bands import SelectByWavelength, SpectralResample
from torchgeo_ext.transforms.spectral_shape import (
    ContinuumRemoval,
    MaskBands,
    SavitzkyGolay,
    ScatterCorrection,
    SpectralDerivative,
    StandardNormalVariate,
)
from torchgeo_ext.transforms.temporal import (
    EncodeDayOfYear,
    FillGaps,
    encode_day_of_year,
    fill_gaps,
)

__all__ = (
    'AddPoint',
    'AppendIndices',
    'AsPretrained',
    'BandDropout',
    'BrightnessTemperature',
    'ClassMix',
    'ContinuumRemoval',
    'CutMix',
    'Degrade',
    'EncodeDayOfYear',
    'FillGaps',
    'FromDecibel',
    'HarmonicCoefficients',
    'HarmonicFill',
    'Haze',
    'KorniaSequential',
    'LogScale',
    'MaskBands',
    'MinMaxScale',
    'Misregister',
    'MisregisterBands',
    'MissingLines',
    'PercentileScale',
    'RadianceToReflectance',
    'Rescale',
    'SavitzkyGolay',
    'ScatterCorrection',
    'SeasonalMix',
    'SelectByWavelength',
    'SensorNoise',
    'SimulateChange',
    'SimulateClouds',
    'SimulateSeason',
    'Speckle',
    'SpectralDerivative',
    'SpectralJitter',
    'SpectralResample',
    'StandardNormalVariate',
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
    'encode_day_of_year',
    'fill_gaps',
    'fit_harmonics',
    'greenest_date',
    'mean_composite',
    'median_composite',
    'medoid_date',
    'sun_distance',
    'take_dates',
)
