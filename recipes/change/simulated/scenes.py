"""Reads the scenes of ``scenes.toml``, for training and for evaluation alike."""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage

from torchgeo_ext.inference import Grid, RasterSource, open_raster
from torchgeo_ext.inference.otsu import Histogram

SCENES = Path(__file__).with_name('scenes.toml')
RED, GREEN, BLUE, NIR = range(4)

type Array = NDArray[Any]


class Scene(NamedTuple):
    """Two dates of a place.

    Attributes:
        name: What the list calls it.
        images: (2, 4, h, w) float32, as stored.
        valid: (h, w) bool, where both dates have values.
        water: (h, w) bool, where water came or went by :func:`water_change`.
        weight: How often it is drawn.
        transform: From columns and rows to map coordinates ...
        crs: ... in this reference system.
    """

    name: str
    images: Array
    valid: Array
    water: Array
    weight: float
    transform: Affine
    crs: Any


def scenes(path: Path, part: str) -> list[dict[str, Any]]:
    """List the scenes of a part of a file such as ``scenes.toml``."""
    listed: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding='utf-8'))[part]
    return listed


def read_scene(folder: Path, entry: dict[str, Any]) -> Scene:
    """Read a scene; a single date stands for both."""
    before, after = (folder / entry.get(date, entry['before']) for date in ('before', 'after'))
    bands = entry.get('bands', [1, 2, 3, 4])
    with open_raster(str(_files(before, entry)[0]), 'before') as dataset:
        grid = Grid.of(dataset)
    read = [
        _read(_files(before, entry), bands, grid),
        _read(_files(after, entry), entry.get('after_bands', bands), grid),
    ]
    first, last = entry.get('columns', [0, grid.width])
    images = np.stack([values for values, _ in read])[..., first:last]
    valid = (read[0][1] & read[1][1])[:, first:last]
    water = water_change(images, valid) if 'water' in entry else np.zeros_like(valid)
    transform = grid.transform @ Affine.translation(first, 0)
    name, weight = entry.get('name', ''), entry.get('weight', 1)
    return Scene(name, images, valid, water, weight, transform, grid.crs)


def _files(path: Path, entry: dict[str, Any]) -> list[Path]:
    """One file of all bands, or one of each in a folder."""
    return [path / name for name in entry['files']] if 'files' in entry else [path]


def _read(paths: list[Path], bands: list[int], grid: Grid) -> tuple[Array, Array]:
    window = Window(0, 0, grid.width, grid.height)
    parts = []
    for path in paths:
        chosen = tuple(bands) if len(paths) == 1 else (1,)
        with RasterSource(str(path), bands=chosen).open(grid) as reader:
            parts.append(reader.read(window))
    return (
        np.concatenate([values for values, _ in parts]),
        np.logical_and.reduce([valid for _, valid in parts]),
    )


def water_change(images: Array, valid: Array, smallest: int = 40) -> Array:
    """Tell roughly where water came or went.

    At each date water has an (G - NIR) / (G + NIR) above its Otsu threshold and a NIR below its.
    Areas of fewer pixels than ``smallest`` and thin ones are left out.
    """
    water = []
    for image in images:
        green, nir = image[GREEN], image[NIR]
        index = (green - nir) / np.maximum(green + nir, 1e-6) + 1
        water.append((index > otsu(index[valid])) & (nir < otsu(nir[valid])))
    changed = ndimage.binary_opening(water[0] ^ water[1]) & valid
    numbers, count = ndimage.label(changed)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    sizes[0] = 0
    return sizes[numbers] >= smallest


def otsu(values: Array) -> float:
    """Find the threshold that parts values best into low and high ones."""
    histogram = Histogram()
    histogram.add(values.astype(np.float64))
    return histogram.otsu()
