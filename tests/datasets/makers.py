"""Makes small labelled rasters whose classes can be told from their pixels."""

import geopandas
import numpy as np
import shapely
from affine import Affine

from tests.rasters import UTM, write_raster

CORNER = (500_000.0, 5_300_000.0)


def class_map(height=64, width=80, classes=3, side=8, seed=0):
    """Fields of ``side`` x ``side`` pixels with values 1 to ``classes``."""
    random = np.random.default_rng(seed)
    fields = random.integers(1, classes + 1, (-(-height // side), -(-width // side)))
    return np.kron(fields, np.ones((side, side), int))[:height, :width].astype('uint8')


def image_of(classes, bands=2, seed=1, dtype='uint16'):
    """An image (bands, h, w): a thousand per class and band, and some noise."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 100, (bands, *classes.shape))
    steps = np.arange(1, bands + 1)[:, None, None]
    return (1000 * classes.astype(int) * steps + noise).astype(dtype)


def write_pair_of_layers(folder, classes=None, name='image.tif', **options):
    """Write an image and its label raster; give both paths."""
    classes = class_map() if classes is None else classes
    image = write_raster(folder / name, image_of(classes), names=('B02', 'B03'), **options)
    options.pop('nodata', None)
    labels = write_raster(folder / f'labels_{name}', classes, **options)
    return str(image), str(labels)


def grid_transform(resolution=10.0, column=0, row=0):
    """The transform of a raster that begins some pixels away from the usual corner."""
    x, y = CORNER
    return Affine(resolution, 0, x + column * resolution, 0, -resolution, y - row * resolution)


def boxes(cells, resolution=10.0):
    """Rectangles around (first column, first row, last column, last row), ends excluded."""
    x, y = CORNER
    return [
        shapely.box(x + a * resolution, y - d * resolution, x + c * resolution, y - b * resolution)
        for a, b, c, d in cells
    ]


def write_polygons(path, shapes, crs=UTM, layer=None, **fields):
    """Write polygons with their attributes as a GeoPackage."""
    frame = geopandas.GeoDataFrame(fields, geometry=list(shapes), crs=crs)
    frame.to_file(path, layer=layer, engine='pyogrio')
    return str(path)


def write_dates(folder, bands=2, classes=3, step=1):
    """Write a pair, and the land cover of both dates as ``step`` times its number.

    Returns:
        The land cover (h, w) of each date, from 1.
    """
    covers = [class_map(96, 96, classes, side=12, seed=seed) for seed in (1, 2)]
    for name, cover in zip(('before.tif', 'after.tif'), covers, strict=True):
        write_raster(folder / name, image_of(cover, bands))
        write_raster(folder / f'land_cover_{name}', cover * step)
    return covers
