"""Masks from rasters and polygons."""

import geopandas
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely.geometry import Point, box

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.mask import CommonMask, MaskSource

UTM = CRS.from_epsg(32633)
GRID = Grid(UTM, Affine(10, 0, 500_000, 0, -10, 5_300_000), 20, 16)
#: Columns 5 to 11 and rows 4 to 8 of the grid.
RECTANGLE = box(500_050, 5_299_910, 500_120, 5_299_960)


def expected():
    inside = np.zeros(GRID.shape, bool)
    inside[4:9, 5:12] = True
    return inside


def read(path, grid=GRID):
    with MaskSource(str(path)).open(grid) as mask:
        return mask.read(grid.window)


def write_polygons(path, shapes, crs=UTM, **options):
    geopandas.GeoDataFrame(geometry=shapes, crs=crs).to_file(path, **options)
    return path


@pytest.mark.parametrize(('nodata', 'value'), [(None, 3), (255, 3)])
def test_raster(tmp_path, nodata, value):
    values = np.where(expected(), value, 0).astype('uint8')
    if nodata is not None:
        values[0] = nodata
    np.testing.assert_array_equal(read(write_raster(tmp_path / 'a.tif', values, nodata=nodata)),
                                  expected())  # fmt: skip


def test_raster_on_another_grid(tmp_path):
    values = expected().repeat(2, 0).repeat(2, 1).astype('uint8')
    path = write_raster(tmp_path / 'a.tif', values[:24], resolution=5)
    np.testing.assert_array_equal(read(path), expected() & (np.arange(16) < 12)[:, None])


@pytest.mark.parametrize('suffix', ['.gpkg', '.geojson', '.shp'])
@pytest.mark.parametrize('epsg', [32633, 4326])
def test_polygons_in_any_crs(tmp_path, suffix, epsg):
    shapes = geopandas.GeoSeries([RECTANGLE], crs=UTM).to_crs(epsg)
    path = write_polygons(tmp_path / f'a{suffix}', shapes, epsg)
    np.testing.assert_array_equal(read(path), expected())


def test_layer_of_a_file(tmp_path):
    path = write_polygons(tmp_path / 'a.gpkg', [box(0, 0, 1, 1)], layer='elsewhere')
    write_polygons(path, [RECTANGLE], layer='here')
    np.testing.assert_array_equal(read(f'{path}|layername=here'), expected())
    assert not read(f'{path}|layername=elsewhere').any()
    with pytest.raises(BadInput, match=r'mask: .*nowhere'):
        read(f'{path}|layername=nowhere')


def test_windows_are_parts_of_the_whole(tmp_path):
    path = write_polygons(tmp_path / 'a.gpkg', [RECTANGLE])
    with MaskSource(str(path)).open(GRID) as mask:
        found = mask.read(Window(7, 2, 9, 5))
        assert not mask.read(Window(13, 0, 4, 16)).any()
    np.testing.assert_array_equal(found, expected()[2:7, 7:16])


def test_pixels_count_if_their_centre_is_inside(tmp_path):
    path = write_polygons(tmp_path / 'a.gpkg', [RECTANGLE.buffer(4.9, join_style='mitre')])
    np.testing.assert_array_equal(read(path), expected())


def test_south_up_grid(tmp_path):
    grid = Grid(UTM, Affine(10, 0, 500_000, 0, 10, 5_300_000 - 160), 20, 16)
    path = write_polygons(tmp_path / 'a.gpkg', [RECTANGLE])
    np.testing.assert_array_equal(read(path, grid), expected()[::-1])


def test_layers_without_polygons_are_refused(tmp_path):
    path = write_polygons(tmp_path / 'a.gpkg', [Point(500_050, 5_299_900)])
    with pytest.raises(BadInput, match='no polygons'):
        read(path)


@pytest.mark.filterwarnings('ignore:.crs. was not provided')
def test_polygons_without_crs_are_refused(tmp_path):
    path = write_polygons(tmp_path / 'a.gpkg', [RECTANGLE], None)
    with pytest.raises(BadInput, match='coordinate reference system'):
        read(path)


def test_neither_raster_nor_vector(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('hello')
    with pytest.raises(BadInput, match=r'mask: .*a\.txt cannot be opened'):
        read(path)


def test_raster_elsewhere_is_refused(tmp_path):
    path = write_raster(tmp_path / 'a.tif', expected().astype('uint8'),
                        transform=Affine(10, 0, 700_000, 0, -10, 5_300_000))  # fmt: skip
    with pytest.raises(BadInput, match=r'mask: .*does not overlap'):
        read(path)


def test_what_several_masks_mark(tmp_path):
    values = np.zeros(GRID.shape, 'uint8')
    values[:6] = 1
    raster = MaskSource(str(write_raster(tmp_path / 'a.tif', values)))
    polygons = MaskSource(str(write_polygons(tmp_path / 'a.gpkg', [RECTANGLE])))
    for masks in ((raster, polygons), (polygons, raster)):
        with CommonMask(masks).open(GRID) as mask:
            found = mask.read(GRID.window)
        np.testing.assert_array_equal(found, expected() & (values > 0))
