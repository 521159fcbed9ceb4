"""Colours for images and class maps, and small views of large rasters."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from torchgeo_ext.datasets._mosaic import Mosaic
from torchgeo_ext.datasets._scene import Scene
from torchgeo_ext.inference.grid import Grid

#: Words for the bands that are shown as red, green and blue, first come first served.
_VISIBLE = (('red', 'green', 'blue'), ('r', 'g', 'b'), ('b04', 'b03', 'b02'), ('b4', 'b3', 'b2'))
#: Pixels without label.
_UNLABELLED = (1.0, 1.0, 1.0)


def rgb_bands(names: Sequence[str]) -> tuple[int, ...]:
    """Choose three bands to show (positions), or one if there are fewer than three."""
    plain = [name.strip().lower() for name in names]
    for words in _VISIBLE:
        if all(word in plain for word in words):
            return tuple(plain.index(word) for word in words)
    return (0, 1, 2) if len(names) >= 3 else (0,)


def quicklook(
    image: NDArray[Any], mean: NDArray[Any], std: NDArray[Any], bands: Sequence[int]
) -> NDArray[np.float64]:
    """Stretch an image (c, h, w) to colours (h, w, 3) in 0..1, two deviations to either side."""
    shown = np.stack([(image[b] - mean[b]) / (4 * std[b]) + 0.5 for b in bands], -1)
    return np.broadcast_to(np.clip(shown, 0, 1), (*shown.shape[:2], 3))


def paint(mask: NDArray[Any], colors: Sequence[str]) -> NDArray[np.float64]:
    """Give class numbers (h, w) their colours (h, w, 3); what is below 0 becomes white."""
    table = np.array([*(to_rgb(color) for color in colors), _UNLABELLED])
    painted: NDArray[np.float64] = table[mask]  # -1 is the last
    return painted


def reduced(grid: Grid, size: int) -> Grid:
    """Give a coarser grid of the same place, with up to ``size`` rows and columns."""
    factor = max(1.0, max(grid.shape) / size)
    width, height = math.ceil(grid.width / factor), math.ceil(grid.height / factor)
    scale = Affine.scale(grid.width / width, grid.height / height)
    return Grid(grid.crs, grid.transform @ scale, width, height)


def overview(scene: Scene, grid: Grid) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read the first date of a scene on a coarser grid: image (c, h, w) and what is valid."""
    if grid.crs is None and grid.shape != scene.grid.shape:
        # GDAL does not warp without a reference system
        rows, columns = (
            np.linspace(0, size - 1, small).round().astype(int)
            for size, small in zip(scene.grid.shape, grid.shape, strict=True)
        )
        pixels = scene.read(scene.grid.window)
        return pixels.image[0][:, rows][:, :, columns], pixels.measured[0][rows][:, columns]
    first = scene.dates[0]
    return Mosaic(first, grid, len(scene.bands)).read(grid.window)
