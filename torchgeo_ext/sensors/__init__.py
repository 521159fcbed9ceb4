"""Sensors: which bands they have, at which wavelengths, and what the stored numbers mean.

One small YAML file per instrument, read when it is first asked for. Needs neither torch nor numpy.
"""

from torchgeo_ext.sensors._find import find_bands
from torchgeo_ext.sensors._sensor import Quantity, Sensor, SensorBand, sensor

__all__ = ('Quantity', 'Sensor', 'SensorBand', 'find_bands', 'sensor')
