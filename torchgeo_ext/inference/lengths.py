"""Lengths on the ground in metres, whatever the coordinate system.

Axes: n points.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer

Floats = NDArray[np.float64]


def step_lengths(x: Floats, y: Floats, crs: Any) -> Floats:
    """Measure the way from each point to the next one.

    Args:
        x: Map coordinates (..., n).
        y: The same.
        crs: Their coordinate system, of rasterio.

    Returns:
        Lengths (..., n - 1) in metres, on the ellipsoid; planar in a local system, which has none.
        Without a system they are in the unit of the coordinates.
    """
    planar: Floats = np.hypot(np.diff(x), np.diff(y))
    if crs is None:
        return planar
    known = CRS.from_wkt(crs.to_wkt())
    if known.geodetic_crs is None:
        return planar * known.axis_info[0].unit_conversion_factor
    geographic = Transformer.from_crs(known, known.geodetic_crs, always_xy=True)
    longitude, latitude = geographic.transform(x, y)
    ellipsoid = known.get_geod() or Geod(ellps='WGS84')
    _, _, lengths = ellipsoid.inv(
        longitude[..., :-1], latitude[..., :-1], longitude[..., 1:], latitude[..., 1:]
    )
    return np.asarray(lengths)
