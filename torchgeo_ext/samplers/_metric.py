"""A plane in which lengths are metres on the ground."""

from collections.abc import Sequence

import numpy as np
import pyproj
from numpy.typing import NDArray
from rasterio.crs import CRS

from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers._place import transformer

#: A reference system is taken as it is if its metres are off by less than this part.
_TRUE = 0.01
#: Corners and centre of a raster.
_POINTS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))


def metric_crs(grids: Sequence[Grid]) -> CRS | None:
    """Choose a reference system with true metres around some rasters.

    Returns:
        That of the first raster if its units are metres on the ground, else an equal-area plane
        around the middle of all; None if the first raster has none.
    """
    own = grids[0].crs
    if own is None:
        return None
    places = _places(grids)
    if own.is_projected and np.allclose(_scales(own, places), 1, atol=_TRUE):
        return own
    # the mean of unit vectors knows no antimeridian
    angles = np.radians(places)
    x = np.cos(angles[:, 1]) * np.cos(angles[:, 0])
    y = np.cos(angles[:, 1]) * np.sin(angles[:, 0])
    longitude = np.degrees(np.arctan2(y.mean(), x.mean()))
    latitude = np.degrees(angles[:, 1].mean())
    return CRS.from_string(
        f'+proj=laea +lat_0={latitude:.4f} +lon_0={longitude:.4f} +datum=WGS84 +units=m +no_defs'
    )


def stretch(crs: CRS | None, grids: Sequence[Grid]) -> float:
    """Give the most units of a plane that a metre on the ground takes in some rasters."""
    if crs is None:
        return 1.0
    return float(_scales(crs, _places(grids)).max())


def _scales(crs: CRS, places: NDArray[np.float64]) -> NDArray[np.float64]:
    plane = pyproj.CRS.from_user_input(crs)
    metres = plane.axis_info[0].unit_conversion_factor
    return np.asarray(pyproj.Proj(plane).get_factors(*places.T).tissot_semimajor) / metres


def _places(grids: Sequence[Grid]) -> NDArray[np.float64]:
    """Give longitude and latitude of the corners and the centre of each raster, (n, 2)."""
    across, down = np.array(_POINTS).T
    places = []
    for grid in grids:
        x, y = grid.transform @ (across * grid.width, down * grid.height)
        places.append(np.column_stack(transformer(grid.crs, 'EPSG:4326').transform(x, y)))
    return np.concatenate(places)
