"""Styles the engine writes, as QGIS shows them: loaded by themselves, with the right colours."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = os.environ.get('TORCHGEO_EXT_PYTHON') or str(ROOT / '.venv' / 'bin' / 'python')
CLASSES = {1: ('water', '#1f78b4'), 2: ('grass & "<shrubs>"', '#33a02c'), 3: ('roof', '#e31a1c')}

# The engine makes the layers: columns of 20 pixels with no data, 1, 2 and 3.
MAKE = """
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
from tests.points import write_points
from tests.rasters import write_raster
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.inference.vectors import polygonize

folder, classes = Path(sys.argv[1]), eval(sys.argv[2])
values = np.repeat(np.arange(4, dtype=np.uint8), 20)[None].repeat(60, axis=0)
table = [{'value': v, 'name': n, 'color': c} for v, (n, c) in classes.items()]
raster = write_raster(folder / 'classes.tif', values, nodata=0)
write_style(raster, {'type': 'classes', 'classes': table})
raster = write_raster(folder / 'range.tif', values.astype(np.float32), nodata=0)
style = {'type': 'range', 'minimum': 1, 'maximum': 3, 'unit': 'm', 'ramp': 'viridis'}
write_style(raster, style)
entries = [namedtuple('Entry', entry)(*entry.values()) for entry in table]
polygonize(folder / 'classes.tif', folder / 'areas.gpkg', classes=entries)
write_style(folder / 'areas.gpkg', {'type': 'classes', 'field': 'class', 'classes': table})
for name in ('towns', 'residuals'):
    names = [entry['name'] for entry in table]
    places = [(0, 0), (400, 0), (800, 0)]
    write_points(folder / f'{name}.gpkg', places, 'EPSG:32633', name=names, left=[-9.0, 1.0, 1.8])
write_style(folder / 'towns.gpkg', {'type': 'classes', 'field': 'name', 'classes': table})
write_style(folder / 'residuals.gpkg', {**style, 'field': 'left', 'minimum': 0, 'maximum': 2})
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Outputs of the engine with their styles."""
    folder = tmp_path_factory.mktemp('styles')
    # QGIS's own variables must not reach another Python
    env = {key: os.environ[key] for key in ('HOME', 'PATH', 'LANG') if key in os.environ}
    command = [ENGINE, '-c', MAKE, str(folder), repr(CLASSES)]
    subprocess.run(command, check=True, cwd=ROOT, env=env)
    return folder


def render(layer, background='#ffffff'):
    """Draw a layer, one pixel of the picture for each of the raster."""
    from qgis.core import QgsMapRendererParallelJob, QgsMapSettings
    from qgis.PyQt.QtCore import QSize
    from qgis.PyQt.QtGui import QColor

    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(round(layer.extent().width() / 10), 60))
    settings.setBackgroundColor(QColor(background))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    return job.renderedImage()


def colors(image, columns):
    return [image.pixelColor(column, 30).name() for column in columns]


@pytest.fixture
def raster(qgis_app, folder):
    from qgis.core import QgsRasterLayer

    def load(name):
        layer = QgsRasterLayer(str(folder / name), name)
        assert layer.isValid()
        return layer

    return load


def test_class_raster(raster):
    layer = raster('classes.tif')
    assert layer.renderer().type() == 'paletted'
    classes = layer.renderer().classes()
    assert {c.value: (c.label, c.color.name()) for c in classes} == CLASSES
    shown = ['#ffffff', *(color for _, color in CLASSES.values())]
    assert colors(render(layer), (10, 30, 50, 70)) == shown


def test_range_raster(raster):
    layer = raster('range.tif')
    assert layer.renderer().type() == 'singlebandpseudocolor'
    shader = layer.renderer().shader().rasterShaderFunction()
    items = shader.colorRampItemList()
    assert (items[0].value, items[-1].value, len(items)) == (1, 3, 9)
    assert (items[0].label, items[-1].label) == ('1 m', '3 m')
    assert shader.sourceColorRamp().color(0.5).name() == '#21918c'
    # both ends and the middle of viridis
    shown = ['#ffffff', '#440154', '#21918c', '#fde725']
    assert colors(render(layer), (10, 30, 50, 70)) == shown


def test_polygons(qgis_app, folder):
    from qgis.core import QgsVectorLayer

    layer = QgsVectorLayer(str(folder / 'areas.gpkg') + '|layername=areas', 'areas', 'ogr')
    assert layer.isValid()
    assert layer.renderer().type() == 'categorizedSymbol'
    assert layer.renderer().classAttribute() == 'class'
    categories = layer.renderer().categories()
    assert [c.label() for c in categories] == [name for name, _ in CLASSES.values()]
    shown = [blend(color, 0.6) for _, color in CLASSES.values()]
    assert colors(render(layer), (10, 30, 50)) == shown


def test_points(qgis_app, folder):
    from qgis.core import QgsVectorLayer

    layer = QgsVectorLayer(str(folder / 'towns.gpkg') + '|layername=towns', 'towns', 'ogr')
    assert layer.renderer().type() == 'categorizedSymbol'
    shown = {c.value(): c.symbol().color().name() for c in layer.renderer().categories()}
    assert shown == dict(CLASSES.values())
    layer = QgsVectorLayer(str(folder / 'residuals.gpkg') + '|layername=residuals', 'r', 'ogr')
    assert layer.renderer().type() == 'graduatedSymbol'
    assert layer.renderer().classAttribute() == 'left'
    # viridis: what lies below, the middle, the last step
    colors = [layer.renderer().symbolForValue(left).color().name() for left in (-9.0, 1.0, 1.8)]
    assert colors == ['#440154', '#21918c', '#fde725']


def blend(color, opacity):
    """Mix a colour with white."""
    channels = bytes.fromhex(color[1:])
    mixed = (round(opacity * channel + (1 - opacity) * 255) for channel in channels)
    return '#' + bytes(mixed).hex()


def test_the_style_table_is_what_qgis_expects(qgis_app, folder):
    from qgis.core import QgsVectorLayer

    layer = QgsVectorLayer(str(folder / 'areas.gpkg') + '|layername=areas', 'areas', 'ogr')
    count, identifiers, names, _, error = layer.listStylesInDatabase()
    assert (count, names, error) == (1, ['default'], '')
    assert len(identifiers) == 1
