"""QGIS objects become plain values; what the engine cannot open is refused with the remedy."""

import json
import os

import pytest
from layers import UTM, write_image, write_zones


@pytest.fixture
def receive(fake):
    """Run with some parameters and get what the engine received."""
    import processing

    fake()

    def run(algorithm='allkinds', **parameters):
        return json.loads(processing.run(f'torchgeoext:{algorithm}', parameters)['RECEIVED'])

    return run


@pytest.fixture
def refuse(provider, fake):
    """Check some parameters and get why they are refused."""
    from qgis.core import QgsApplication, QgsProcessingContext, QgsProject

    fake()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())

    def check(algorithm='allkinds', **parameters):
        found = QgsApplication.processingRegistry().createAlgorithmById(f'torchgeoext:{algorithm}')
        fine, message = found.checkParameterValues(parameters, context)
        assert not fine
        return message

    return check


@pytest.fixture
def raster_layer(image):
    from qgis.core import QgsRasterLayer

    return QgsRasterLayer(image, 'my image')


@pytest.fixture
def memory_layer(qgis_app):
    from qgis.core import QgsFeature, QgsGeometry, QgsVectorLayer

    layer = QgsVectorLayer(
        f'Polygon?crs={UTM}&field=fid:integer&field=class:string', 'mine', 'memory'
    )
    features = []
    for name in ('water', 'forest'):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([1, name])  # the same fid twice, as after merging two layers
        feature.setGeometry(QgsGeometry.fromWkt('Polygon((0 0, 1 0, 1 1, 0 0))'))
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    return layer


@pytest.fixture
def temporary(qgis_app):
    """Open a layer file the engine was given."""
    from qgis.core import QgsVectorLayer

    return lambda path: QgsVectorLayer(path, 'exported', 'ogr')


DEFAULTS = {'merge': 'blend', 'tile_size': 256, 'overlap': 64, 'fraction': 0.2, 'augment': True}


def test_what_is_not_set_is_absent(receive):
    assert receive() == DEFAULTS
    nothing = dict.fromkeys(['IMAGE', 'SERIES', 'ZONES', 'BANDS', 'EXTENT', 'TABLE', 'OUTPUT'])
    assert receive(**nothing) == DEFAULTS
    assert receive(TABLE=[''], SERIES=[], TITLE='') == DEFAULTS, 'as an untouched dialog says it'


def test_every_kind_arrives_as_its_plain_value(receive, image, tmp_path):
    zones = write_zones(tmp_path / 'zones.gpkg')
    values = {
        'IMAGE': image,
        'SERIES': [image, image],
        'ZONES': zones,
        'LABELS': zones,
        'BANDS': [1],
        'CLASS_FIELD': 'class',
        'MERGE': 'crop',
        'PARTS': ['c', 'a'],
        'MODEL': 'irmad',
        'OTHER_MODEL': 'my own',
        'TILE_SIZE': 128,
        'OVERLAP': 32,
        'IGNORE_VALUE': 0,
        'FRACTION': 0.5,
        'AUGMENT': False,
        'TITLE': 'Ärger & "Größe"\n∆',
        'EXTENT': '1,3,2,4 [EPSG:4326]',
        'CRS': 'EPSG:3857',
        'BUNDLE': str(tmp_path / 'model.json'),
        'FOLDER': str(tmp_path),
        'TABLE': [1, 'water', '#0000ff', 2, 'forest', '#00ff00'],
        'OUTPUT': str(tmp_path / 'out.tif'),
        'POLYGONS': str(tmp_path / 'out.gpkg'),
        'REPORT': str(tmp_path / 'report.html'),
        'TARGET': str(tmp_path / 'target'),
    }
    received = receive(**values)
    assert received.pop('table') == [[1, 'water', '#0000ff'], [2, 'forest', '#00ff00']]
    assert received.pop('extent') == '1.0,2.0,3.0,4.0 [EPSG:4326]'
    assert received.pop('zones').split('|')[0] == zones
    assert received.pop('labels').split('|')[0] == zones
    expected = {name.lower(): value for name, value in values.items()}
    assert received == {name: expected[name] for name in received}
    assert set(received) == set(expected) - {'table', 'extent', 'zones', 'labels'}


def test_map_layers_become_their_files(receive, raster_layer, image):
    received = receive(IMAGE=raster_layer, SERIES=[raster_layer], LABELS=raster_layer)
    assert (received['image'], received['series'], received['labels']) == (image, [image], image)


@pytest.mark.parametrize('value', ['3,1', '3;1', '[3, 1]', [3, 1]])
def test_bands_in_all_spellings(receive, refuse, image, value):
    """A dialog, a command line, a batch file and Python say it in different ways."""
    received = receive(IMAGE=image, BANDS=value, SERIES=[image], SERIES_BANDS=value)
    assert received['bands'] == received['series_bands'] == [3, 1]
    assert 'band numbers, counted from 1' in refuse(SERIES=[image], SERIES_BANDS='red')


def test_paths_become_absolute(receive, image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    received = receive(
        IMAGE='image.tif', OUTPUT='out.tif', REPORT='a.md', FOLDER='.', BUNDLE='b.zip'
    )
    assert received['image'] == image
    assert received['output'] == str(tmp_path / 'out.tif')
    assert received['report'] == str(tmp_path / 'a.md')
    assert received['folder'] == str(tmp_path)
    assert received['bundle'] == str(tmp_path / 'b.zip')


def test_open_options_are_left_out(receive, image):
    from qgis.core import QgsRasterLayer

    layer = QgsRasterLayer(f'{image}|option:NUM_THREADS=2', 'with option')
    assert receive(IMAGE=layer)['image'] == image


def test_names_of_gdal_are_left_alone(receive, image, tmp_path):
    import zipfile

    from qgis.core import QgsRasterLayer

    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.write(image, 'image.tif')
    name = f'/vsizip/{tmp_path}/a.zip/image.tif'
    assert receive(IMAGE=QgsRasterLayer(name, 'zipped'))['image'] == name


def test_temporary_outputs_get_a_name(receive):
    received = receive(
        OUTPUT='TEMPORARY_OUTPUT', POLYGONS='TEMPORARY_OUTPUT', TARGET='TEMPORARY_OUTPUT'
    )
    assert received['output'].endswith('.tif')
    assert received['polygons'].endswith('.gpkg')
    assert os.path.isdir(os.path.dirname(received['target']))


def test_extent_takes_the_crs_it_has(receive, raster_layer):
    from qgis.core import QgsCoordinateReferenceSystem, QgsRectangle, QgsReferencedRectangle

    assert receive(EXTENT='0.1,10,-20,5')['extent'] == '0.1,-20.0,10.0,5.0'
    assert receive(EXTENT=raster_layer)['extent'] == (
        '500000.0,4999920.0,500080.0,5000000.0 [EPSG:32633]'
    )
    crs = QgsCoordinateReferenceSystem.fromProj('+proj=tmerc +lon_0=14.3 +x_0=7')
    box = QgsReferencedRectangle(QgsRectangle(1, 2, 3, 4), crs)
    text = receive(EXTENT=box)['extent']
    assert text.startswith('1.0,2.0,3.0,4.0 [')
    assert 'Transverse Mercator' in text, 'a CRS without a code travels as WKT'


def test_a_table_from_the_command_line_or_the_dialog(receive):
    assert receive(TABLE=[1.0, 'a', '#fff'])['table'] == [[1, 'a', '#fff']]
    assert receive(TABLE=['1', 'a', '#fff', '2.5', 'b', ''])['table'] == [
        [1, 'a', '#fff'],
        [2.5, 'b', ''],
    ]


def test_a_plain_file_is_not_copied(receive, tmp_path):
    zones = write_zones(tmp_path / 'zones.gpkg')
    assert receive(ZONES=zones)['zones'].split('|')[0] == zones
    assert receive(LABELS=f'{zones}|layername=zones')['labels'] == f'{zones}|layername=zones'


def test_memory_layers_are_exported(receive, memory_layer, temporary):
    for name in ('ZONES', 'LABELS'):
        exported = temporary(receive(**{name: memory_layer})[name.lower()])
        assert [feature['class'] for feature in exported.getFeatures()] == ['water', 'forest']
        assert exported.crs().authid() == UTM


def test_only_the_selection_is_exported(receive, tmp_path, temporary):
    from qgis.core import QgsProcessingFeatureSourceDefinition, QgsProject, QgsVectorLayer

    layer = QgsVectorLayer(write_zones(tmp_path / 'zones.gpkg'), 'zones')
    QgsProject.instance().addMapLayer(layer)
    layer.selectByExpression('"class" = \'forest\'')
    source = QgsProcessingFeatureSourceDefinition(layer.id(), selectedFeaturesOnly=True)
    exported = temporary(receive(ZONES=source)['zones'])
    assert [feature['class'] for feature in exported.getFeatures()] == ['forest']
    QgsProject.instance().removeMapLayer(layer.id())


@pytest.mark.parametrize('change', ['filter', 'edit', 'virtual field', 'crs'])
def test_what_only_qgis_knows_is_exported(receive, tmp_path, temporary, change):
    from qgis.core import QgsCoordinateReferenceSystem, QgsField, QgsVectorLayer
    from qgis.PyQt.QtCore import QVariant

    layer = QgsVectorLayer(write_zones(tmp_path / 'zones.gpkg'), 'zones')
    if change == 'filter':
        layer.setSubsetString('"class" = \'forest\'')
    elif change == 'edit':
        layer.startEditing()
        layer.deleteFeature(next(layer.getFeatures()).id())
    elif change == 'virtual field':
        layer.addExpressionField("'park'", QgsField('use', QVariant.String))
    else:
        layer.setCrs(QgsCoordinateReferenceSystem('EPSG:32634'))
    exported = temporary(receive(LABELS=layer)['labels'])
    features = list(exported.getFeatures())
    assert len(features) == (1 if change in ('filter', 'edit') else 2)
    assert exported.crs() == layer.crs()
    assert change != 'virtual field' or features[0]['use'] == 'park'
    if change == 'edit':
        layer.rollBack()


# refused


@pytest.mark.parametrize('name', ['IMAGE', 'SERIES'])
def test_web_layers_are_refused(refuse, name):
    from qgis.core import QgsRasterLayer

    url = 'type=xyz&url=http://localhost:1/%7Bz%7D/%7Bx%7D/%7By%7D.png'
    layer = QgsRasterLayer(url, 'street map', 'wms')
    message = refuse(**{name: [layer] if name == 'SERIES' else layer})
    assert '"street map"' in message
    assert 'service' in message
    assert 'Export' in message


def test_a_crs_only_qgis_knows_is_refused(refuse, raster_layer, tmp_path):
    from qgis.core import QgsCoordinateReferenceSystem, QgsRasterLayer

    raster_layer.setCrs(QgsCoordinateReferenceSystem('EPSG:3857'))
    message = refuse(IMAGE=raster_layer)
    for word in ('"my image"', 'EPSG:3857', 'EPSG:32633', 'Assign projection'):
        assert word in message
    bare = QgsRasterLayer(write_image(tmp_path / 'bare.tif', crs=None), 'bare')
    bare.setCrs(QgsCoordinateReferenceSystem(UTM))
    assert 'does not name any' in refuse(LABELS=bare)


def test_a_raster_without_crs_is_the_business_of_the_engine(receive, tmp_path):
    bare = write_image(tmp_path / 'bare.tif', crs=None)
    assert receive(IMAGE=bare)['image'] == bare


def test_files_that_are_missing_or_no_raster(refuse, tmp_path):
    missing, wrong = str(tmp_path / 'missing.tif'), tmp_path / 'wrong.tif'
    wrong.write_text('this is no raster')
    assert f'Image: {missing} does not exist' in refuse(IMAGE=missing)
    assert f'Image: {wrong} cannot be read as a raster' in refuse(IMAGE=str(wrong))
    assert f'Series: {missing} does not exist' in refuse(SERIES=[missing])
    assert 'there is no layer "not loaded"' in refuse(LABELS='not loaded')


def test_layers_without_features(refuse, memory_layer):
    from qgis.core import QgsProcessingFeatureSourceDefinition, QgsProject

    QgsProject.instance().addMapLayer(memory_layer)
    source = QgsProcessingFeatureSourceDefinition(memory_layer.id(), selectedFeaturesOnly=True)
    assert 'contains no features' in refuse(ZONES=source)
    memory_layer.dataProvider().truncate()
    assert 'contains no features' in refuse(LABELS=memory_layer)
    QgsProject.instance().removeMapLayer(memory_layer.id())


@pytest.mark.parametrize(
    ('name', 'value', 'allowed'),
    [
        ('OUTPUT', '/tmp/out.png', '.tif or .tiff'),
        ('POLYGONS', '/tmp/out.shp', '.gpkg'),
        ('POLYGONS', 'memory:', '.gpkg'),
        ('REPORT', '/tmp/report.pdf', '.html or .md'),
    ],
)
def test_formats_the_engine_does_not_write(refuse, name, value, allowed):
    message = refuse(**{name: value})
    assert value in message
    assert allowed in message


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('TILE_SIZE', 8, 'a whole number from 32 to 4096 pixels'),
        ('FRACTION', 1.5, 'a number from 0 to 1'),
        ('MERGE', 'mix', 'one of blend, crop'),
        ('MERGE', 0, 'one of blend, crop'),
        ('MODEL', 'mad', 'one of irmad, cva'),
    ],
)
def test_values_out_of_range_are_explained(refuse, name, value, expected):
    message = refuse(**{name: value})
    assert repr(value) in message
    assert expected in message


def test_a_missing_value_is_named(refuse, image):
    assert 'Image is missing' in refuse('copylayers', OUTPUT='a.tif')
    assert 'Output is missing' in refuse('copylayers', IMAGE=image)


def test_conditions_between_parameters(refuse, image, tmp_path):
    far = write_image(tmp_path / 'far.tif', origin=(600000, 5000000))
    assert 'must be smaller than Tile size, which is 64' in refuse(TILE_SIZE=64, OVERLAP=64)
    pair = {'BEFORE': image, 'AFTER': far, 'MODEL': 'irmad'}
    assert 'do not overlap' in refuse('comparelayers', **pair)
    pair['AFTER'] = image
    assert 'Before bands has 1 entries' in refuse('comparelayers', **pair, BEFORE_BANDS=[1])
    assert 'only one can be used' in refuse('comparelayers', **pair, BUNDLE='/a.json')
    pair.pop('MODEL')
    assert 'Give Bundle or Model' in refuse('comparelayers', **pair)


def test_dates_in_different_crs_may_overlap(receive, image, tmp_path):
    from osgeo import gdal

    other = str(tmp_path / 'other.tif')
    gdal.Warp(other, image, dstSRS='EPSG:3857')
    assert receive('comparelayers', BEFORE=image, AFTER=other, MODEL='irmad')['after'] == other


def test_no_data_set_in_qgis_is_mentioned(fake, raster_layer):
    import processing
    from qgis.core import QgsProcessingFeedback, QgsRasterRange

    fake()
    raster_layer.dataProvider().setUserNoDataValue(1, [QgsRasterRange(0, 0)])
    feedback = QgsProcessingFeedback(False)
    processing.run('torchgeoext:allkinds', {'IMAGE': raster_layer}, feedback=feedback)
    assert 'no-data values' in feedback.textLog()
