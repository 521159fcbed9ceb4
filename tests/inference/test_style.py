"""Style files and tables, as far as they can be judged without QGIS.

What QGIS makes of them: tests/qgis/test_styles.py.
"""

import sqlite3
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest

from tests.points import write_points
from tests.rasters import write_raster
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.inference.vectors import polygonize

CLASSES = {
    'type': 'classes',
    'classes': [
        {'value': 1, 'name': 'water', 'color': '#1f78b4'},
        {'value': 2, 'name': 'grass & "<shrubs>"', 'color': '#33a02c'},
    ],
}
RANGE = {'type': 'range', 'minimum': -1.0, 'maximum': 3.0, 'unit': 'dB', 'ramp': 'magma'}


@pytest.fixture
def polygons(tmp_path):
    raster = write_raster(tmp_path / 'in.tif', np.array([[1, 2]], np.uint8))
    polygonize(raster, tmp_path / 'classes.gpkg', classes=())
    return tmp_path / 'classes.gpkg'


def styles(path):
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute('SELECT * FROM layer_styles')]


def test_classes_of_a_raster(tmp_path):
    write_style(tmp_path / 'classes.tif', CLASSES)
    entries = ElementTree.parse(tmp_path / 'classes.qml').findall('.//paletteEntry')
    assert [(entry.get('value'), entry.get('label'), entry.get('color')) for entry in entries] == [
        ('1', 'water', '#1f78b4'),
        ('2', 'grass & "<shrubs>"', '#33a02c'),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ['classes.qml']


def test_a_range_of_a_raster(tmp_path):
    write_style(tmp_path / 'magnitude.tif', RANGE)
    items = ElementTree.parse(tmp_path / 'magnitude.qml').findall('.//item')
    assert [float(item.get('value')) for item in items] == np.linspace(-1, 3, 9).tolist()
    assert items[0].get('color') == '#000004'
    assert items[-1].get('label') == '3 dB'


def test_polygons_get_a_default_style(polygons):
    write_style(polygons, {**CLASSES, 'field': 'class'})
    (style,) = styles(polygons)
    assert (style['f_table_name'], style['f_geometry_column']) == ('classes', 'geom')
    assert (style['f_table_catalog'], style['f_table_schema'], style['useAsDefault']) == ('', '', 1)
    qml = ElementTree.fromstring(style['styleQML'])
    assert qml.find('renderer-v2').get('attr') == 'class'
    assert [entry.get('value') for entry in qml.iter('category')] == ['water', 'grass & "<shrubs>"']
    assert len(qml.findall('.//symbol')) == 2


def test_polygons_by_value(polygons):
    write_style(polygons, {**CLASSES, 'field': 'value'})
    qml = ElementTree.fromstring(styles(polygons)[0]['styleQML'])
    assert [entry.get('value') for entry in qml.iter('category')] == ['1', '2']


def test_points_are_drawn_by_classes_or_by_a_range(tmp_path):
    path = write_points(tmp_path / 'points.gpkg', [(1, 2)], db=[0.0])
    write_style(path, CLASSES)
    qml = ElementTree.fromstring(styles(path)[0]['styleQML'])
    assert {symbol.get('type') for symbol in qml.iter('symbol')} == {'marker'}
    write_style(path, {**RANGE, 'field': 'db'})
    qml = ElementTree.fromstring(styles(path)[0]['styleQML'])
    assert qml.find('renderer-v2').get('attr') == 'db'
    steps = [(float(step.get('lower')), float(step.get('upper'))) for step in qml.iter('range')]
    assert steps[0][0] < -1e9
    assert steps[-1][1] > 1e9
    # of one width, and without gaps
    assert [lower for lower, _ in steps[1:]] == [upper for _, upper in steps[:-1]]
    np.testing.assert_allclose(np.diff([lower for lower, _ in steps[1:]]), 4 / 9)


def test_the_table_is_part_of_the_geopackage(polygons):
    write_style(polygons, CLASSES)
    assert pyogrio.list_layers(polygons).tolist() == [
        ['classes', 'Polygon'],
        ['layer_styles', None],
    ]
    assert len(pyogrio.raw.read(polygons, layer='classes')[2]) == 2


def test_a_new_style_replaces_the_old_one(polygons):
    write_style(polygons, CLASSES)
    write_style(polygons, {'type': 'classes', 'classes': CLASSES['classes'][:1]})
    (style,) = styles(polygons)
    assert style['styleQML'].count('<category ') == 1


def test_a_failure_leaves_the_geopackage_as_it_was(polygons, monkeypatch):
    monkeypatch.setattr(
        'torchgeo_ext.inference.style._STYLE', 'INSERT INTO nowhere VALUES (?, ?, ?, ?)'
    )
    with pytest.raises(sqlite3.OperationalError):
        write_style(polygons, CLASSES)
    assert pyogrio.list_layers(polygons).tolist() == [['classes', 'Polygon']]


def test_what_cannot_be_drawn(tmp_path, polygons):
    with pytest.raises(ValueError, match='polygons are drawn by classes'):
        write_style(polygons, RANGE)
    with pytest.raises(ValueError, match='neither classes nor range'):
        write_style(tmp_path / 'classes.tif', {'type': 'rainbow'})
    with pytest.raises(BadParameter, match='does not exist'):
        write_style(tmp_path / 'missing' / 'classes.tif', CLASSES)
