"""Transforms of TorchGeo samples: modules that know bands, dates and invalid pixels."""

from torchgeo_ext.transforms.composites import TemporalComposite
from torchgeo_ext.transforms.harmonics import HarmonicCoefficients, HarmonicFill
from torchgeo_ext.transforms.temporal import EncodeDayOfYear, FillGaps

__all__ = (
    'EncodeDayOfYear',
    'FillGaps',
    'HarmonicCoefficients',
    'HarmonicFill',
    'TemporalComposite',
)
