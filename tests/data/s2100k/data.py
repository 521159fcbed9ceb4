"""Fake S2-100K: patches of twelve bands all over the globe, and their places."""

import numpy as np
import pandas as pd
from rasterio.transform import from_origin

from tests.data.pairs import write

#: Number of patches, of which the last one is nearly empty.
PATCHES, SIZE = 24, 32


def make(root, patches=PATCHES, size=SIZE):
    """Write it; a patch is brighter the farther north it lies."""
    random = np.random.default_rng(0)
    latitudes = np.degrees(np.arcsin(random.uniform(-0.9, 0.9, patches)))
    longitudes = random.uniform(-180, 180, patches)
    rows = []
    for number, (lon, lat) in enumerate(zip(longitudes, latitudes, strict=True)):
        name = f'patch_{number}.tif'
        level = 3000 + 30 * lat
        values = random.normal(level, 100, (12, size, size)).clip(1, 10_000)
        if number == patches - 1:
            values = np.zeros((12, size, size))
        place = {'crs': 'EPSG:4326', 'transform': from_origin(lon, lat, 1e-4, 1e-4)}
        write(root / 'images' / name, values.astype('uint16'), compress='lzw', **place)
        rows.append((name, lon, lat))
    pd.DataFrame(rows, columns=['fn', 'lon', 'lat']).to_csv(root / 'index.csv', index=False)
    return patches
