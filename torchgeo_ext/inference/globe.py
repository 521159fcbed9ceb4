"""Distances and blocks on the globe, for places given as longitude and latitude in degrees.

The Earth is taken for a sphere, which makes distances wrong by half a percent at most.
"""

import functools

import numpy as np
import pyproj
from numpy.typing import NDArray
from rasterio.crs import CRS
from scipy.spatial import cKDTree

from torchgeo_ext.cells import EARTH_RADIUS, unit_vectors

Floats = NDArray[np.float64]

#: Mean radius of the Earth in metres.
RADIUS = 1000 * EARTH_RADIUS

#: A block's row and column in one number; there are fewer columns than this.
_STRIDE = 2**32


def to_degrees(crs: CRS, x: float, y: float) -> tuple[float, float]:
    """Give longitude and latitude in degrees (WGS 84) of a point of any reference system."""
    found: tuple[float, float] = _transformer(crs.to_wkt()).transform(x, y)
    return found


@functools.lru_cache(maxsize=64)
def _transformer(wkt: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(wkt, 'EPSG:4326', always_xy=True)


class NearestPlace:
    """Tells how far it is to the nearest of some places.

    Args:
        places: Longitude and latitude (m, 2).
    """

    def __init__(self, places: Floats) -> None:
        self._tree = cKDTree(unit_vectors(places))

    def __call__(self, places: Floats) -> Floats:
        """Give metres along a great circle (n,); NaN for places (n, 2) that are NaN."""
        distance = np.full(len(places), np.nan)
        there = np.isfinite(places).all(axis=1)
        chord, _ = self._tree.query(unit_vectors(places[there]))
        distance[there] = 2 * RADIUS * np.arcsin(np.minimum(chord / 2, 1))
        return distance


def blocks(places: Floats, side: float) -> NDArray[np.int64]:
    """Number the blocks that places lie in.

    Blocks lie in rows of one height, each row cut into as many as are about square, so that they
    are of one size from the equator to the poles.

    Args:
        places: Longitude and latitude (n, 2).
        side: Height and width of a block in metres.
    """
    height = np.degrees(side / RADIUS)
    row = np.floor((places[:, 1] + 90) / height).astype(np.int64)
    middle = np.clip((row + 0.5) * height - 90, -90, 90)
    columns = np.maximum(1, np.rint(360 * np.cos(np.radians(middle)) / height))
    turn = np.remainder(places[:, 0] + 180, 360) / 360
    return row * _STRIDE + np.floor(turn * columns).astype(np.int64)
