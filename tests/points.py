"""Layers of points for tests."""

import warnings

import geopandas
import numpy as np
import pyogrio
import shapely


def write_points(path, places, crs='EPSG:4326', **columns):
    """Write points at (x, y), or geometries as they are; returns the path as text."""
    shapes = [
        place if place is None or isinstance(place, shapely.Geometry) else shapely.Point(place)
        for place in places
    ]
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', "'crs' was not provided")
        if str(path).endswith('.parquet'):
            frame.to_parquet(path)
        else:
            pyogrio.write_dataframe(frame, path)
    return str(path)


def read_layer(path):
    """Read the layer of a GeoPackage or GeoParquet that an operation wrote."""
    if str(path).endswith('.parquet'):
        return geopandas.read_parquet(path)
    # beside it there may be a table of styles
    return geopandas.read_file(path, layer=path.stem)


def scattered(number, seed=0, box=(-180, -90, 180, 90)):
    """Give longitude and latitude (n, 2) of places drawn at random from a box."""
    low, high = np.array(box).reshape(2, 2)
    return np.random.default_rng(seed).uniform(low, high, (number, 2))
