"""Layers of points as longitude and latitude, batch by batch."""

import logging

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely

from tests.points import read_layer, scattered, write_points
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.features import FeatureWriter
from torchgeo_ext.inference.points import PointLayer

SOMEWHERE = [(15.0, 48.0), (-70.5, -33.4), (179.9, 0.0)]


def read(path, **options):
    layer = PointLayer.open(path, 'points')
    batches = list(layer.batches(**options))
    return np.concatenate([batch.places for batch in batches]), batches


@pytest.mark.parametrize('ending', ['gpkg', 'geojson', 'parquet', 'shp'])
def test_places_of_every_format(tmp_path, ending):
    path = write_points(tmp_path / f'in.{ending}', SOMEWHERE, name=['a', 'b', 'c'])
    layer = PointLayer.open(path, 'points')
    assert layer.number == 3
    assert layer.fields == ('name',)
    places, batches = read(path)
    np.testing.assert_allclose(places, SOMEWHERE, atol=1e-9)
    assert batches[0].features.table['name'].to_pylist() == ['a', 'b', 'c']


def test_any_reference_system(tmp_path):
    frame = geopandas.GeoSeries.from_xy(*zip(*SOMEWHERE[:1], strict=True), crs=4326).to_crs(32633)
    path = write_points(tmp_path / 'in.gpkg', frame, crs='EPSG:32633')
    np.testing.assert_allclose(read(path)[0], SOMEWHERE[:1], atol=1e-9)


def test_batches_hold_some_features_only(tmp_path):
    there = scattered(100)
    for ending in ('gpkg', 'parquet'):
        path = write_points(tmp_path / f'in.{ending}', there, n=range(100))
        places, batches = read(path, size=30)
        assert [len(batch.places) for batch in batches] == [30, 30, 30, 10]
        np.testing.assert_allclose(places, there)
        assert batches[1].features.table['n'][0].as_py() == 30
        assert batches[1].features.table.column_names.count('n') == 1


def test_only_the_columns_that_are_asked_for(tmp_path):
    for ending in ('geojson', 'parquet'):
        path = write_points(tmp_path / f'in.{ending}', SOMEWHERE, a=[1, 2, 3], b=[4, 5, 6])
        _, batches = read(path, columns=['b'])
        assert set(batches[0].features.table.column_names) - {'b'} == {batches[0].features.geometry}


def test_rows_come_in_any_order(tmp_path):
    path = write_points(tmp_path / 'in.gpkg', scattered(50), n=range(50))
    layer = PointLayer.open(path, 'points')
    rows = layer.rows(np.array([40, 3, 22]))
    assert rows.table['n'].to_pylist() == [40, 3, 22]
    assert rows.crs == layer.crs


def test_what_is_at_no_single_place_is_left_empty(tmp_path, caplog):
    both = shapely.MultiPoint([(1, 2), (3, 4)])
    one = shapely.MultiPoint([(1, 2)])
    path = write_points(tmp_path / 'in.gpkg', [None, both, one, shapely.Point()])
    with caplog.at_level(logging.WARNING):
        places, _ = read(path)
    np.testing.assert_array_equal(np.isnan(places[:, 0]), [True, True, False, True])
    assert places[2].tolist() == [1, 2]
    assert '3 of 4 features are at no single place' in caplog.text
    assert '1 are multipoints of several points, 2 have no geometry' in caplog.text
    assert len(PointLayer.open(path, 'points').located()) == 1


def test_heights_do_not_matter(tmp_path):
    path = write_points(tmp_path / 'in.gpkg', [shapely.Point(1, 2, 300)])
    assert read(path)[0].tolist() == [[1, 2]]


def test_longitudes_beyond_180_degrees(tmp_path):
    path = write_points(tmp_path / 'in.gpkg', [(200, 5), (-181, 5)])
    assert read(path)[0].tolist() == [[200, 5], [-181, 5]]


def test_swapped_longitude_and_latitude(tmp_path, caplog):
    path = write_points(tmp_path / 'in.gpkg', [(48, 15), (-33, -100)])
    with caplog.at_level(logging.WARNING):
        places, _ = read(path)
    assert np.isnan(places[1]).all()
    assert '1 have a latitude beyond 90 degrees' in caplog.text
    assert 'seem to be swapped' in caplog.text


def test_only_latitudes_that_are_none(tmp_path):
    path = write_points(tmp_path / 'in.gpkg', [(48, 115), (-33, -100)])
    with pytest.raises(BadInput, match=r'none of the 2 features has a place.*seem to be swapped'):
        read(path)


def test_a_latitude_that_is_no_longitude_either(tmp_path, caplog):
    """Nothing proves that the two were swapped."""
    path = write_points(tmp_path / 'in.gpkg', [(120, 115), (1, 2)])
    with caplog.at_level(logging.WARNING):
        read(path)
    assert 'beyond 90 degrees' in caplog.text
    assert 'swapped' not in caplog.text


def test_metres_that_are_called_degrees(tmp_path):
    path = write_points(tmp_path / 'in.gpkg', [(500_000, 5_000_000)])
    with pytest.raises(BadInput, match=r'has an x of 500000, but .*WGS 84\) has degrees'):
        read(path)


def test_where_a_reference_system_does_not_reach(tmp_path, caplog):
    """A point in the corner of a picture of half the globe."""
    half = '+proj=ortho +lat_0=0 +lon_0=0 +ellps=sphere +units=m'
    path = write_points(tmp_path / 'in.gpkg', [(0, 0), (6.3e6, 6.3e6)], crs=half)
    with caplog.at_level(logging.WARNING):
        places, _ = read(path)
    np.testing.assert_allclose(places[0], [0, 0], atol=1e-6)
    assert np.isnan(places[1]).all()
    assert '1 lie where their reference system does not reach' in caplog.text


@pytest.mark.parametrize(
    ('shapes', 'crs', 'message'),
    [
        ([], 'EPSG:4326', 'has no features'),
        ([(1, 2)], None, 'has no coordinate reference system'),
        ([shapely.box(0, 0, 1, 1)], 'EPSG:4326', 'holds Polygon, but points are needed'),
    ],
)
def test_what_is_no_layer_of_points(tmp_path, shapes, crs, message):
    path = write_points(tmp_path / 'in.gpkg', shapes, crs=crs)
    with pytest.raises(BadInput, match=rf'points: .*in.gpkg {message}'):
        PointLayer.open(path, 'points')


def test_mixed_geometries(tmp_path):
    path = write_points(tmp_path / 'in.geojson', [(1, 2), shapely.box(0, 0, 1, 1)])
    with pytest.raises(BadInput, match='also holds Polygon features'):
        read(path)


def test_a_table_is_no_parquet_with_geometries(tmp_path):
    pa.parquet.write_table(pa.table({'n': [1]}), tmp_path / 'in.parquet')
    with pytest.raises(BadInput, match='has no geometries, only a table'):
        PointLayer.open(tmp_path / 'in.parquet', 'points')
    (tmp_path / 'other.parquet').write_text('no parquet')
    with pytest.raises(BadInput, match='cannot be opened as GeoParquet'):
        PointLayer.open(tmp_path / 'other.parquet', 'points')


@pytest.mark.parametrize('ending', ['gpkg', 'parquet'])
def test_features_are_written_part_by_part(tmp_path, ending):
    source = write_points(tmp_path / 'in.gpkg', scattered(25), crs='EPSG:4326', name=['x'] * 25)
    output = tmp_path / f'out.{ending}'
    with FeatureWriter(output, 'output') as writer:
        for batch in PointLayer.open(source, 'points').batches(size=10):
            writer.add(batch.features, {'latitude': pa.array(batch.places[:, 1])})
        assert not output.exists()
    frame = read_layer(output)
    assert len(frame) == 25
    np.testing.assert_allclose(frame.geometry.y, frame['latitude'])
    assert frame['name'].tolist() == ['x'] * 25
    assert frame.crs == 'EPSG:4326'


@pytest.mark.parametrize('ending', ['gpkg', 'parquet'])
def test_nothing_is_left_of_an_output_that_failed(tmp_path, ending):
    layer = PointLayer.open(write_points(tmp_path / 'in.geojson', SOMEWHERE), 'points')
    with pytest.raises(ZeroDivisionError), FeatureWriter(tmp_path / f'out.{ending}', 'o') as writer:
        writer.add(next(layer.batches()).features, {'n': 1 / 0})
    assert [path.name for path in tmp_path.iterdir()] == ['in.geojson']


def test_other_formats_are_not_written(tmp_path):
    with pytest.raises(BadParameter, match='neither a GeoPackage nor GeoParquet'):
        FeatureWriter(tmp_path / 'out.shp', 'output')
