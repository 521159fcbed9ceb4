"""Results are loaded and drawn as the engine says."""

import shutil

import pytest
from layers import write_image, write_zones

CLASSES = {
    'type': 'classes',
    'field': 'class',
    'classes': [
        {'value': 1, 'name': 'water', 'color': '#1f78b4'},
        {'value': 2, 'name': 'forest', 'color': '#33a02c'},
    ],
}


@pytest.fixture
def load(fake, image, tmp_path):
    """Run an algorithm and get the layers that QGIS has loaded."""
    import processing
    from qgis.core import QgsProject

    fake()
    zones = write_zones(tmp_path / 'zones.gpkg')

    def run(**parameters):
        outputs = {'OUTPUT': str(tmp_path / 'out.tif'), 'POLYGONS': str(tmp_path / 'out.gpkg')}
        values = {'IMAGE': image, 'ZONES': zones, **outputs, **parameters}
        processing.runAndLoadResults('torchgeoext:copylayers', values)
        layers = QgsProject.instance().mapLayers().values()
        return {layer.name(): layer for layer in layers}

    yield run
    QgsProject.instance().clear()


def test_classes_get_their_colours_and_names(load):
    from qgis_plugin.outputs import Styler

    layers = load()
    raster, vector = layers['Output'].renderer(), layers['Polygons'].renderer()
    assert [(c.value, c.label, c.color.name()) for c in raster.classes()] == [
        (1, 'water', '#1f78b4'),
        (2, 'forest', '#33a02c'),
    ]
    assert vector.classAttribute() == 'class'
    assert [(c.value(), c.label(), c.symbol().color().name()) for c in vector.categories()] == [
        ('water', 'water', '#1f78b4'),
        ('forest', 'forest', '#33a02c'),
    ]
    assert not Styler.waiting, 'nothing is kept'


def test_a_range_gets_its_ramp(load):
    renderer = load(STYLE='range', POLYGONS=None)['Output'].renderer()
    assert renderer.type() == 'singlebandpseudocolor'
    items = renderer.shader().rasterShaderFunction().colorRampItemList()
    assert (items[0].value, items[-1].value) == (0.0, 2.0)
    assert items[0].color.name() == '#440154', 'viridis'


def test_a_style_beside_the_file_is_left_alone(load, tmp_path):
    from qgis.core import QgsRasterLayer

    layer = QgsRasterLayer(write_image(tmp_path / 'other.tif'), 'other')
    layer.setOpacity(0.25)
    layer.saveNamedStyle(str(tmp_path / 'out.qml'))
    loaded = load(POLYGONS=None)['Output']
    assert loaded.opacity() == pytest.approx(0.25)
    assert loaded.renderer().type() != 'paletted'


def test_a_style_in_the_geopackage_is_left_alone(load, tmp_path):
    from qgis.core import QgsVectorLayer

    styled = write_zones(tmp_path / 'styled.gpkg')
    layer = QgsVectorLayer(styled, 'styled')
    layer.setOpacity(0.25)
    assert layer.saveStyleToDatabase('default', '', True, '') == ''
    loaded = load(ZONES=styled)['Polygons']
    assert loaded.opacity() == pytest.approx(0.25)
    assert loaded.renderer().type() == 'singleSymbol'


def test_a_style_the_user_has_chosen_wins(load, tmp_path, monkeypatch):
    from processing.gui.RenderingStyles import RenderingStyles
    from qgis.core import QgsRasterLayer

    layer = QgsRasterLayer(write_image(tmp_path / 'other.tif'), 'other')
    layer.setOpacity(0.25)
    layer.saveNamedStyle(str(tmp_path / 'mine.qml'))
    mine = {'torchgeoext:copylayers': {'OUTPUT': str(tmp_path / 'mine.qml')}}
    monkeypatch.setattr(RenderingStyles, 'styles', mine)
    assert load(POLYGONS=None)['Output'].opacity() == pytest.approx(0.25)


def test_numbers_may_be_categories_too(qgis_app, tmp_path):
    from qgis.core import QgsVectorLayer

    from qgis_plugin.outputs import apply_style

    layer = QgsVectorLayer(write_zones(tmp_path / 'zones.gpkg'), 'zones')
    apply_style(layer, {**CLASSES, 'field': 'value'})
    assert [c.value() for c in layer.renderer().categories()] == [1, 2]


def test_only_unfinished_files_of_this_output_are_removed(qgis_app, tmp_path):
    from qgis_plugin.outputs import remove_unfinished

    mine = ['a.0123abcd.part.tif', 'a.0123abcd.part.tif.aux.xml', 'a.ffffffff.part.tif.ovr']
    others = ['a.tif', 'b.0123abcd.part.tif', 'a.part.tif', 'a.0123abcd.part.gpkg', 'a.1.tif']
    for name in mine + others:
        (tmp_path / name).write_text('x')
    (tmp_path / 'model.0123abcd.part' / 'weights').mkdir(parents=True)
    names = ['a.tif', 'model', 'missing/c.tif']
    remove_unfinished([str(tmp_path / name) for name in names])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    shutil.rmtree(tmp_path)
