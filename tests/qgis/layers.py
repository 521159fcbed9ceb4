"""Small layers for tests, made with what QGIS brings."""

import json
from pathlib import Path

UTM = 'EPSG:32633'


def write_image(
    path, values=None, crs=UTM, origin=(500000, 5000000), size=8, bands=1, no_data=None
):
    """Write a square GeoTIFF with 10 m pixels; returns its path as text.

    Args:
        path: Where.
        values: Array (bands, size, size); by default pixel numbers.
        crs: Authority code, or nothing.
        origin: Upper left corner.
        size: Pixels per side.
        bands: Number of bands.
        no_data: No-data value, if any.
    """
    import numpy as np
    from osgeo import gdal, osr

    gdal.UseExceptions()
    if values is None:
        values = np.arange(bands * size * size).reshape(bands, size, size) % 251
    values = np.asarray(values)
    kind = gdal.GDT_Byte if values.max() < 256 and values.dtype.kind in 'iu' else gdal.GDT_Float32
    count, height, width = values.shape
    dataset = gdal.GetDriverByName('GTiff').Create(str(path), width, height, count, kind)
    dataset.SetGeoTransform((origin[0], 10, 0, origin[1], 0, -10))
    if crs:
        reference = osr.SpatialReference()
        reference.SetFromUserInput(crs)
        dataset.SetProjection(reference.ExportToWkt())
    for index, band in enumerate(values, 1):
        dataset.GetRasterBand(index).WriteArray(band)
        if no_data is not None:
            dataset.GetRasterBand(index).SetNoDataValue(no_data)
    dataset = None
    return str(path)


def read_image(path):
    """Read all bands of a raster as an array (bands, height, width) and its geotransform."""
    from osgeo import gdal

    dataset = gdal.Open(str(path))
    array = dataset.ReadAsArray()
    return array.reshape(dataset.RasterCount, *array.shape[-2:]), dataset.GetGeoTransform()


def write_zones(path, classes=('water', 'forest'), crs='urn:ogc:def:crs:EPSG::32633', size=40):
    """Write one square per class side by side as GeoJSON or GeoPackage; returns its path."""
    from osgeo import gdal

    features = [
        {
            'type': 'Feature',
            'properties': {'class': name, 'value': index},
            'geometry': {
                'type': 'Polygon',
                'coordinates': [_square(500000 + size * index, 5000000, size)],
            },
        }
        for index, name in enumerate(classes)
    ]
    collection = {
        'type': 'FeatureCollection',
        'crs': {'type': 'name', 'properties': {'name': crs}},
        'features': features,
    }
    path = Path(path)
    plain = path.with_suffix('.geojson')
    plain.write_text(json.dumps(collection))
    if path.suffix == '.gpkg':
        gdal.VectorTranslate(str(path), str(plain), format='GPKG', layerName='zones')
    return str(path)


def _square(left, top, side):
    right, bottom = left + side, top - side
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
