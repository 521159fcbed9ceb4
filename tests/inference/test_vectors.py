"""From class raster to GeoPackage."""

import sqlite3
from typing import NamedTuple

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from pyproj import CRS
from rasterio.features import shapes

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput, BadParameter, Canceled, NoSpace
from torchgeo_ext.inference import vectors
from torchgeo_ext.inference.vectors import polygonize


class Named(NamedTuple):
    value: int
    name: str


CLASSES = (Named(1, 'water'), Named(2, 'forest'))
SCENE = np.array([[1, 1, 2, 2], [1, 0, 2, 3], [1, 1, 2, 3]], np.uint8)


def features(path):
    """Give the layer's metadata and, per attribute and geometry, its values."""
    meta, _, geometry, columns = pyogrio.raw.read(path)
    table = dict(zip(meta['fields'], columns, strict=True))
    return meta, table, shapely.from_wkb(geometry)


@pytest.fixture
def small_steps(monkeypatch):
    """Several bands and several batches even with the smallest rasters."""
    monkeypatch.setattr(vectors, '_BAND_PIXELS', 16)
    monkeypatch.setattr(vectors, '_BATCH_VERTICES', 12)


def test_classes_become_polygons_with_attributes(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', SCENE, nodata=0)
    summary = polygonize(raster, tmp_path / 'land cover.gpkg', classes=CLASSES)
    meta, table, geometry = features(tmp_path / 'land cover.gpkg')
    assert pyogrio.list_layers(tmp_path / 'land cover.gpkg').tolist() == [['land cover', 'Polygon']]
    assert CRS(meta['crs']) == CRS('EPSG:32633')
    rows = sorted(zip(table['value'], table['class'], geometry, table['area_m2'], strict=True))
    assert [(value, name, polygon.area) for value, name, polygon, _ in rows] == [
        (1, 'water', 500),
        (2, 'forest', 400),
        (3, '3', 200),
    ]
    areas = [area for *_, area in rows]
    assert areas == pytest.approx([500, 400, 200], rel=1e-3)
    assert summary == (3, pytest.approx(sum(areas)))
    assert table['value'].dtype == np.int32


@pytest.mark.parametrize('dtype', ['uint8', 'int8', 'uint16', 'int16', 'int32', 'uint32', 'int64'])
def test_any_whole_number_is_a_class(tmp_path, dtype):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (30, 20)).astype(dtype)
    values[values == 2] = np.iinfo(dtype).max
    raster = write_raster(tmp_path / 'in.tif', values)
    polygonize(raster, tmp_path / 'out.gpkg', classes=())
    _, table, geometry = features(tmp_path / 'out.gpkg')
    assert set(table['value']) == {0, 1, np.iinfo(dtype).max}
    assert sum(polygon.area for polygon in geometry) == pytest.approx(values.size * 100)
    assert shapely.union_all(geometry).area == pytest.approx(values.size * 100)


def test_streaming_equals_polygonising_at_once(tmp_path, small_steps):
    values = np.random.default_rng(1).integers(0, 4, (30, 20)).astype(np.uint8)
    transform = Affine(10, 0, 500_000, 0, -10, 5_300_000)
    raster = write_raster(tmp_path / 'in.tif', values, nodata=0, tiled=True, blockysize=16)
    polygonize(raster, tmp_path / 'out.gpkg', classes=())
    _, table, geometry = features(tmp_path / 'out.gpkg')
    expected = shapes(values, mask=values > 0, connectivity=4, transform=transform)
    assert sorted(zip(table['value'], map(written, geometry), strict=True)) == sorted(
        (int(value), written(shapely.geometry.shape(polygon))) for polygon, value in expected
    )


def written(polygon):
    return shapely.normalize(polygon).wkt


def test_only_the_wanted_values(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', SCENE)
    summary = polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES, values=[2])
    assert features(tmp_path / 'out.gpkg')[1]['class'].tolist() == ['forest']
    assert summary.polygons == 1


def test_small_polygons_are_left_out(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', SCENE, nodata=0)
    summary = polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES, minimum_area=300)
    assert sorted(features(tmp_path / 'out.gpkg')[1]['value']) == [1, 2]
    assert summary.area_m2 == pytest.approx(900, rel=1e-3)


def test_no_polygon_gives_an_empty_layer(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', np.zeros((5, 5), np.uint8), nodata=0)
    summary = polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES)
    meta, table, geometry = features(tmp_path / 'out.gpkg')
    assert summary == (0, 0.0)
    assert len(geometry) == 0
    assert list(table) == ['value', 'class', 'area_m2']
    assert meta['geometry_type'] == 'Polygon'
    assert CRS(meta['crs']) == CRS('EPSG:32633')


def test_a_mask_band_has_no_polygon(tmp_path):
    import rasterio

    raster = write_raster(tmp_path / 'in.tif', np.ones((4, 4), np.uint8))
    with rasterio.open(raster, 'r+') as dataset:
        dataset.write_mask(np.eye(4, dtype=bool))
    assert polygonize(raster, tmp_path / 'out.gpkg', classes=()).polygons == 4


def test_a_raster_with_the_south_up(tmp_path):
    south_up = Affine(10, 0, 500_000, 0, 10, 5_000_000)
    raster = write_raster(tmp_path / 'in.tif', [[1], [0]], transform=south_up, nodata=0)
    polygonize(raster, tmp_path / 'out.gpkg', classes=())
    (polygon,) = features(tmp_path / 'out.gpkg')[2]
    assert polygon.bounds == (500_000, 5_000_000, 500_010, 5_000_010)


def test_a_projection_without_epsg_code(tmp_path):
    crs = CRS('+proj=laea +lat_0=47.123 +lon_0=13.4 +ellps=WGS84 +units=m').to_wkt()
    raster = write_raster(tmp_path / 'in.tif', SCENE, crs=crs)
    polygonize(raster, tmp_path / 'out.gpkg', classes=())
    found = CRS(features(tmp_path / 'out.gpkg')[0]['crs'])
    assert found.to_epsg() is None
    assert found.coordinate_operation == CRS(crs).coordinate_operation


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_no_coordinate_system_at_all(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', SCENE, crs=None, transform=Affine.identity())
    polygonize(raster, tmp_path / 'out.gpkg', classes=())
    meta, table, _ = features(tmp_path / 'out.gpkg')
    assert meta['crs'] is None
    assert sorted(table['area_m2']) == [1, 2, 4, 5]


def test_a_file_name_that_is_reserved_for_layers(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', SCENE)
    polygonize(raster, tmp_path / 'gpkg_1.gpkg', classes=())
    assert pyogrio.list_layers(tmp_path / 'gpkg_1.gpkg')[0, 0] == 'layer_gpkg_1'


def test_the_attribute_of_the_name_can_be_named(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', SCENE)
    polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES, field='change')
    assert list(features(tmp_path / 'out.gpkg')[1]) == ['value', 'change', 'area_m2']
    with pytest.raises(BadParameter, match="field: 'value'"):
        polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES, field='value')


def test_the_layer_has_a_spatial_index(tmp_path, small_steps):
    raster = write_raster(tmp_path / 'in.tif', SCENE)
    polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES)
    with sqlite3.connect(tmp_path / 'out.gpkg') as database:
        indexed = database.execute('SELECT count(*) FROM rtree_out_geom').fetchone()
        assert indexed == database.execute('SELECT count(*) FROM out').fetchone() == (4,)


def test_progress_rises_to_one(tmp_path, small_steps):
    raster = write_raster(tmp_path / 'in.tif', np.tile(SCENE, (10, 1)))
    told = []
    polygonize(
        raster,
        tmp_path / 'out.gpkg',
        classes=CLASSES,
        progress=lambda fraction, text='', **_: told.append(fraction),
    )
    assert told == sorted(told)
    assert len(told) > 5
    assert told[-1] == 1


def test_cancel_leaves_what_was_there(tmp_path, small_steps):
    raster = write_raster(tmp_path / 'in.tif', np.tile(SCENE, (10, 1)))
    polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES)
    before = (tmp_path / 'out.gpkg').read_bytes()

    def cancel(fraction, text='', **_):
        if fraction > 0.5:
            raise Canceled

    with pytest.raises(Canceled):
        polygonize(raster, tmp_path / 'out.gpkg', classes=(), progress=cancel)
    assert (tmp_path / 'out.gpkg').read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in.tif', 'out.gpkg']


def test_fractions_are_refused(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', SCENE.astype(np.float32))
    with pytest.raises(BadInput, match='float32; polygons need a raster of classes'):
        polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES)


def test_other_formats_are_refused(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', SCENE)
    with pytest.raises(BadParameter, match=r'polygons: .*out.shp is not a GeoPackage'):
        polygonize(raster, tmp_path / 'out.shp', classes=CLASSES)


def test_a_truncated_raster_is_reported(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, (512, 512)).astype(np.uint8)
    raster = write_raster(tmp_path / 'in.tif', values)
    raster.write_bytes(raster.read_bytes()[:100_000])
    with pytest.raises(BadInput, match=r'in\.tif cannot be read at row'):
        polygonize(raster, tmp_path / 'out.gpkg', classes=())
    assert not list(tmp_path.glob('out*'))


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    def full(*_, **__):
        raise pyogrio.errors.FeatureError('failed to execute insert : database or disk is full')

    monkeypatch.setattr(pyogrio.raw, 'write', full)
    raster = write_raster(tmp_path / 'in.tif', SCENE)
    with pytest.raises(NoSpace, match='the disk is full'):
        polygonize(raster, tmp_path / 'out.gpkg', classes=())


def test_several_values_in_one_polygon(tmp_path):
    values = np.array([[1, 2, 0, 3], [0, 3, 0, 0]], np.uint8)
    raster = write_raster(tmp_path / 'in.tif', values, nodata=0)
    polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES, values=[1, 3], joined=1)
    assert len(features(tmp_path / 'out.gpkg')[2]) == 3
    summary = polygonize(raster, tmp_path / 'out.gpkg', classes=CLASSES, joined=1)
    _, table, geometry = features(tmp_path / 'out.gpkg')
    assert sorted(polygon.area for polygon in geometry) == [100, 300]
    assert table['value'].tolist() == [1, 1]
    assert summary.polygons == 2
