"""Makes small rasters for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

UTM = 'EPSG:32633'


def write_raster(
    path: Path,
    values: Any,
    *,
    crs: str | None = UTM,
    transform: Affine | None = None,
    resolution: float = 10.0,
    nodata: float | None = None,
    names: Sequence[str] = (),
    **profile: Any,
) -> Path:
    """Write ``values`` (h, w) or (c, h, w) as a GeoTIFF and return its path."""
    # left to itself GDAL takes the last of four 8-bit bands for transparency
    profile.setdefault('photometric', 'minisblack')
    array = np.asarray(values)
    array = array[None] if array.ndim == 2 else array
    bands, height, width = array.shape
    transform = transform or Affine(resolution, 0, 500_000, 0, -resolution, 5_300_000)
    with rasterio.open(
        path, 'w', driver='GTiff', width=width, height=height, count=bands, dtype=array.dtype,
        crs=crs, transform=transform, nodata=nodata, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(array)
        for number, name in enumerate(names, 1):
            dataset.set_band_description(number, name)
    return path


def gradient(bands: int, height: int, width: int, dtype: str = 'uint16') -> Any:
    """Make bands in which every pixel has a value of its own (within the range of the type)."""
    flat = np.arange(bands * height * width, dtype='int64') % 60_000 + 1
    return flat.reshape(bands, height, width).astype(dtype)
