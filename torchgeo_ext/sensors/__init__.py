"""Sensors: which bands they have, at which wavelengths, and what the stored numbers mean.

One small YAML file per instrument, read when it is first asked for. Importing this room needs
neither torch nor numpy; only looking at files needs rasterio.
"""

from torchgeo_ext.sensors._detect import detect_sensor, identify_bands
from torchgeo_ext.sensors._find import find_bands, wavelengths
from torchgeo_ext.sensors._library import SpectralLibrary, read_library, write_library
from torchgeo_ext.sensors._raster import RasterBand, read_bands
from torchgeo_ext.sensors._read import read_sensors
from torchgeo_ext.sensors._sensor import Quantity, Sensor, SensorBand, sensor
from torchgeo_ext.sensors._wavelengths import (
    WATER_VAPOUR,
    BandWavelengths,
    read_wavelengths,
    wavelength_table,
)

__all__ = (
    'WATER_VAPOUR',
    'BandWavelengths',
    'Quantity',
    'RasterBand',
    'Sensor',
    'SensorBand',
    'SpectralLibrary',
    'detect_sensor',
    'find_bands',
    'identify_bands',
    'read_bands',
    'read_library',
    'read_sensors',
    'read_wavelengths',
    'sensor',
    'wavelength_table',
    'wavelengths',
    'write_library',
)
