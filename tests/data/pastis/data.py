"""Fake PASTIS: series of ten bands and maps of crops, with a table of places."""

import geopandas as gpd
import numpy as np
from shapely import box

SIZE, CLASSES = 32, 20


def make(root):
    """Write five places, one of each fold; gives the number of samples."""
    folder = root / 'PASTIS-R'
    random = np.random.default_rng(0)
    for name in ('DATA_S2', 'ANNOTATIONS'):
        (folder / name).mkdir(parents=True)
    places = range(10_000, 10_005)
    for number, place in enumerate(places):
        shape = (3 + number, 10, SIZE, SIZE)
        np.save(folder / 'DATA_S2' / f'S2_{place}.npy', random.integers(1, 9000, shape, np.int16))
        crops = random.integers(0, CLASSES, (3, SIZE, SIZE), np.uint8)
        np.save(folder / 'ANNOTATIONS' / f'TARGET_{place}.npy', crops)
    table = {'ID_PATCH': list(places), 'Fold': list(range(1, 6))}
    squares = [box(x, 0, x + 1, 1) for x in range(5)]
    gpd.GeoDataFrame(table, geometry=squares, crs='EPSG:2154').to_file(folder / 'metadata.geojson')
    return len(places)
