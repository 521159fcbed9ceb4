"""Makes small cubes of known materials for tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from tests.rasters import write_raster
from torchgeo_ext.inference import Grid, RasterSource
from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.sensors import BandWavelengths

#: Centres in micrometres: 30 bands from blue to the short-wave infrared.
CENTRES = np.linspace(0.45, 2.35, 30)


def materials(centres=CENTRES):
    """Smooth spectra (c, 3) of something green, something bright and something dark."""
    red_edge = 1 / (1 + np.exp(-(centres - 0.71) / 0.02))
    green = 400 + 3600 * red_edge * np.exp(-((centres - 0.9) ** 2) / 0.8)
    bright = 1500 + 1500 * centres
    dark = 900 * np.exp(-centres)
    return np.stack([green, bright, dark], 1)


@dataclass(frozen=True)
class Scene:
    """A simulated scene.

    Args:
        values: Stored values (c, h, w).
        shares: Shares (3, h, w) of the materials.
        noise: Standard deviation (c) of the noise of each band.
    """

    values: np.ndarray
    shares: np.ndarray
    noise: np.ndarray


def simulate(height=48, width=64, *, noise=10.0, seed=0) -> Scene:
    """Mix materials smoothly; the noise of the last bands is five times as strong."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(9 * x + 5 * y), np.cos(7 * y - 3 * x), np.sin(11 * y + 1)]
    shares = np.exp(2.5 * np.stack(waves))
    shares /= shares.sum(0)
    corners = [(0, 0), (0, width - 1), (height - 1, 0)]
    for number, (row, column) in enumerate(corners):
        shares[:, row, column] = np.eye(3)[number]
    strength = np.full(len(CENTRES), noise)
    strength[-5:] *= 5
    clean = np.tensordot(materials(), shares, 1)
    values = clean + strength[:, None, None] * random.normal(size=clean.shape)
    return Scene(values, shares, strength)


def write_cube(path: Path, values, *, nodata=-32768, centres=CENTRES, **options) -> Path:
    """Write a cube as int16 with wavelengths in nanometres as tags of the bands."""
    write_raster(path, np.rint(values).astype('int16'), nodata=nodata, resolution=30, **options)
    with rasterio.open(path, 'r+') as dataset:
        for number, centre in enumerate(centres, 1):
            dataset.update_tags(
                number, wavelength=f'{centre * 1000:.2f}', wavelength_units='Nanometers'
            )
    return path


def cube_of(path: Path) -> Cube:
    """Give all bands of a file."""
    with rasterio.open(path) as dataset:
        grid, numbers = Grid.of(dataset), tuple(dataset.indexes)
    source = RasterSource(str(path), bands=numbers)
    return Cube(source, grid, BandWavelengths(tuple(CENTRES[: len(numbers)])))
