"""Layers that are read whole and written with more columns."""

import json
import warnings

import geopandas
import pyarrow as pa
import pyogrio
import pytest
import shapely

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.features import FeatureTable, distinct

HOUSE = shapely.box(15, 48, 15.001, 48.001)


def write(path, layer=None, shapes=(HOUSE, HOUSE), crs='EPSG:4326', **columns):
    frame = geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=crs)
    pyogrio.write_dataframe(frame, path, layer=layer)
    return str(path)


def rewrite(source, tmp_path, **columns):
    """Give the columns after a way through a table, and what the new ones are called."""
    called = FeatureTable.read(source, 'footprints').write(
        tmp_path / 'out.gpkg', columns, 'buildings'
    )
    about, table = pyogrio.read_arrow(tmp_path / 'out.gpkg')
    return about, table.to_pydict(), called


def test_names_are_told_apart_in_whatever_case():
    assert distinct(['a', 'B', 'b', 'A', 'b_2', 'b']) == ['a', 'B', 'b_2', 'A_2', 'b_2_2', 'b_3']


def test_own_columns_keep_their_names(tmp_path):
    """Also those which a GeoPackage would like to use itself."""
    source = write(tmp_path / 'in.geojson', fid=[7, 7], geom=['x', 'y'], Level=['own', None])
    _, columns, called = rewrite(source, tmp_path, level=pa.array([1, None], pa.int32()))
    assert called == {'level': 'level_2'}
    assert columns['fid'] == [7, 7]
    assert columns['geom'] == ['x', 'y']
    assert columns['Level'] == ['own', None]
    assert columns['level_2'] == [1, None]
    assert shapely.from_wkb(columns['geom_2'][0]).equals(HOUSE)


def test_identifiers_stay(tmp_path):
    table = pa.table({'fid': [10, 3], 'name': ['a', 'b'], 'geom': shapely.to_wkb([HOUSE, HOUSE])})
    pyogrio.write_arrow(
        table, tmp_path / 'in.gpkg', driver='GPKG', geometry_name='geom', geometry_type='Polygon',
        crs='EPSG:4326', layer_options={'FID': 'fid'},
    )  # fmt: skip
    read = FeatureTable.read(str(tmp_path / 'in.gpkg'), 'footprints')
    read.write(tmp_path / 'out.gpkg', {'n': pa.array([1, 2])}, 'buildings')
    _, again = pyogrio.read_arrow(tmp_path / 'out.gpkg', return_fids=True)
    rows = again.to_pydict()
    assert dict(zip(rows['fid'], rows['name'], strict=True)) == {3: 'b', 10: 'a'}


def test_lists_solids_and_missing_numbers_survive(tmp_path):
    corners = [[15, 48, 300], [15.001, 48, 300], [15.001, 48.001, 310], [15, 48, 300]]
    features = [
        {'type': 'Feature', 'properties': {'tags': ['a', 'b'], 'storeys': 2},
         'geometry': {'type': 'Polygon', 'coordinates': [corners]}},
        {'type': 'Feature', 'properties': {'tags': None, 'storeys': None}, 'geometry': None},
    ]  # fmt: skip
    path = tmp_path / 'in.geojson'
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': features}))
    about, columns, _ = rewrite(str(path), tmp_path)
    assert columns['storeys'] == [2, None]
    assert json.loads(str(columns['tags'][0])) == ['a', 'b']
    assert shapely.get_z(shapely.get_point(shapely.from_wkb(columns['geom'][0]).exterior, 2)) == 310
    assert columns['geom'][1] is None
    # with heights, says GDAL
    assert about['crs'] == 'EPSG:4979'


def test_a_layer_without_reference_system_stays_one(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', "'crs' was not provided")
        source = write(tmp_path / 'in.shp', crs=None, n=[1, 2])
    about, columns, _ = rewrite(source, tmp_path)
    assert about['crs'] is None
    assert columns['n'] == [1, 2]


def test_one_of_several_layers_is_named(tmp_path):
    file = write(tmp_path / 'in.gpkg', 'one', n=[1, 2])
    write(file, 'two', n=[3, 4])
    with pytest.raises(BadInput, match=r'footprints: .*in.gpkg has 2 layers: one, two'):
        FeatureTable.read(file, 'footprints')
    read = FeatureTable.read(f'{file}|layername=two', 'footprints')
    assert read.table['n'].to_pylist() == [3, 4]


@pytest.mark.parametrize(
    ('text', 'message'),
    [('name\nhouse\n', 'has no geometries, only a table'), ('', 'cannot be opened as a vector')],
)
def test_what_is_no_map(text, message, tmp_path):
    path = tmp_path / 'in.csv'
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        FeatureTable.read(str(path), 'footprints')


def test_only_geopackages_are_written(tmp_path):
    read = FeatureTable.read(write(tmp_path / 'in.gpkg', n=[1, 2]), 'footprints')
    with pytest.raises(BadParameter, match=r'buildings: .*out.shp is not a GeoPackage'):
        read.write(tmp_path / 'out.shp', {}, 'buildings')
