"""Take pictures of the plugin in a real QGIS on a virtual screen, for people to look at.

    /usr/bin/python3 tests/qgis/screenshots.py FOLDER [STEP ...]

Steps: toolbox (toolbox and dialogs), options, result (change between two dates of the demo data,
with the real engine), places (places like three towns, likewise), spectra (components of a cube
of EnMAP beside what the eye sees, and a dialog; ``CUBE`` names the cube). For another QGIS:
``QGIS=3.44``. The same file is run inside QGIS by ``--code``; each step there leaves PNGs or, if it
failed, a text file.
"""

import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

SECONDS = 300


def outside(folder, steps):
    """Start QGIS with a profile of its own and let it take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).resolve()
    repository = here.parents[2]
    tool = repository.parent / 'shared' / 'tools' / 'qgis-version'
    scores = repository / 'recipes' / 'location' / 'scores'
    version = os.environ.get('QGIS')
    program = [str(tool), version, 'qgis.bin'] if version else ['qgis.bin']
    with tempfile.TemporaryDirectory() as profile:
        settings = Path(profile) / 'profiles' / 'default' / 'QGIS' / 'QGIS3.ini'
        settings.parent.mkdir(parents=True)
        settings.write_text('[PythonPlugins]\nqgis_plugin=true\nprocessing=true\n')
        environment = {
            **os.environ,
            'QGIS_CUSTOM_CONFIG_PATH': profile,
            'QGIS_PLUGINPATH': str(repository),
            'TORCHGEO_SCREENSHOTS': os.pathsep.join([str(folder.resolve()), *steps]),
            'TORCHGEO_DATA': str(repository / 'recipes' / 'demo' / 'data'),
            'TORCHGEO_POINTS': str(scores / 'data' / 'stations.csv'),
            'TORCHGEO_CUBE': os.environ.get('CUBE', ''),
        }
        environment.pop('QT_QPA_PLATFORM', None)
        screen = ['xvfb-run', '-a', '-s', '-screen 0 1400x900x24']
        options = ['--nologo', '--noversioncheck', '--code', str(here)]
        subprocess.run([*screen, *program, *options], env=environment, timeout=SECONDS, check=False)
    for path in folder.glob('*.png'):
        # 256 colours of its own keep each picture well below 300 kB
        code = f'from PIL import Image; Image.open({str(path)!r}).quantize().save({str(path)!r})'
        subprocess.run([repository / '.venv' / 'bin' / 'python', '-c', code], check=True)


def toolbox(folder):
    """The toolbox with our groups and the dialog of an algorithm."""
    before, after = add_images()
    tidy_window()
    values = {
        'segmentimage': {'IMAGE': after},
        'detectchange': {'BEFORE': before, 'AFTER': after},
        'trainsegmentation': {},
    }
    for name, chosen in values.items():
        save_dialog(name, chosen, folder)


def options(folder):
    """The page in the options, after a test of the engine."""
    from qgis.PyQt.QtCore import QTimer
    from qgis.PyQt.QtWidgets import QApplication
    from qgis.utils import iface, plugins

    def press_and_grab():
        page = next(w for w in QApplication.allWidgets() if type(w).__name__ == 'EngineOptionsPage')
        page.show_status()
        wait(1)
        save(page.window().grab(), folder / 'options.png')
        page.window().reject()

    assert 'qgis_plugin' in plugins
    QTimer.singleShot(3000, press_and_grab)
    iface.showOptionsDialog(iface.mainWindow(), 'TorchGeo')


def result(folder):
    """The change between two aerial images, loaded as the plugin loads it."""
    import processing
    from qgis.core import QgsProject
    from qgis.PyQt.QtWidgets import QDockWidget
    from qgis.utils import iface

    images = add_images()
    tidy_window()
    iface.mainWindow().findChild(QDockWidget, 'Browser').hide()
    parameters = {
        'BEFORE': images[0],
        'AFTER': images[1],
        'OUTPUT': 'TEMPORARY_OUTPUT',
        'POLYGONS': 'TEMPORARY_OUTPUT',
        'MINIMUM_AREA': 500,
    }
    processing.runAndLoadResults('torchgeoext:detectchange', parameters)
    iface.messageBar().clearWidgets()
    # the polygons over the later image say more than the change raster that hides it
    tree = QgsProject.instance().layerTreeRoot()
    for layer in (QgsProject.instance().mapLayersByName('Change map')[0], images[0]):
        tree.findLayer(layer).setItemVisibilityChecked(False)
    for layer in images:
        tree.findLayer(layer).setExpanded(False)
    QgsProject.instance().mapLayersByName('Changed areas')[0].setOpacity(0.6)
    iface.mapCanvas().setExtent(images[0].extent())
    iface.mapCanvas().refresh()
    wait(5)
    save(iface.mainWindow().grab(), folder / 'result.png')


def places(folder):
    """Places like three towns, over the weather stations that show where land is."""
    import processing
    from qgis.core import QgsFeature, QgsGeometry, QgsPointXY, QgsProject, QgsVectorLayer
    from qgis.PyQt.QtWidgets import QDockWidget
    from qgis.utils import iface

    QgsProject.instance().clear()
    address = f'file://{os.environ["TORCHGEO_POINTS"]}?xField=lon&yField=lat&crs=EPSG:4326'
    stations = QgsVectorLayer(address, 'weather stations', 'delimitedtext')
    towns = QgsVectorLayer('Point?crs=EPSG:4326&field=name:string', 'towns', 'memory')
    for name, place in {
        'Vienna': (16.4, 48.2),
        'Lima': (-77.0, -12.0),
        'Perth': (116, -32),
    }.items():
        feature = QgsFeature(towns.fields())
        feature.setAttributes([name])
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*place)))
        towns.dataProvider().addFeature(feature)
    towns.updateExtents()
    tidy_window()
    iface.mainWindow().findChild(QDockWidget, 'Browser').hide()
    parameters = {
        'REFERENCES': towns,
        'EXTENT': '-180,180,-90,90 [EPSG:4326]',
        'RESOLUTION': 1.0,
        'MODEL': 'location_harmonics',
        'EXCLUSION': 500_000,
        'SPACING': 1_000_000,
        'TOP': 30,
        'OUTPUT': 'TEMPORARY_OUTPUT',
        'PLACES': 'TEMPORARY_OUTPUT',
    }
    processing.runAndLoadResults('torchgeoext:findsimilarplaces', parameters)
    QgsProject.instance().addMapLayers([stations, towns])
    iface.messageBar().clearWidgets()
    for layer, size in ((stations, 0.7), (towns, 3.5)):
        layer.renderer().symbol().setSize(size)
    iface.mapCanvas().setExtent(QgsProject.instance().mapLayersByName('Similarity')[0].extent())
    iface.mapCanvas().refresh()
    wait(5)
    save(iface.mainWindow().grab(), folder / 'places.png')


def spectra(folder):
    """Components of a cube beside what the eye sees of it, and a dialog for cubes."""
    import processing
    from qgis.core import (
        QgsContrastEnhancement,
        QgsMultiBandColorRenderer,
        QgsProject,
        QgsRasterLayer,
    )
    from qgis.PyQt.QtWidgets import QDockWidget
    from qgis.utils import iface

    QgsProject.instance().clear()
    cube = QgsRasterLayer(os.environ['TORCHGEO_CUBE'], 'cube')
    QgsProject.instance().addMapLayer(cube)
    tidy_window()
    iface.mainWindow().findChild(QDockWidget, 'Browser').hide()
    save_dialog('detecttarget', {'IMAGE': cube, 'WAVELENGTHS': 'enmap'}, folder)
    common = {'IMAGE': cube, 'WAVELENGTHS': 'enmap', 'OUTPUT': 'TEMPORARY_OUTPUT'}
    processing.runAndLoadResults('torchgeoext:resamplespectra', {**common, 'SENSOR': 'sentinel2a'})
    around = cube.extent()
    middle = around.center().x()
    part = f'{middle},{around.xMaximum()},{around.yMinimum()},{around.yMaximum()}'
    processing.runAndLoadResults('torchgeoext:reducebands', {**common, 'EXTENT': part})
    (seen,) = QgsProject.instance().mapLayersByName('Resampled image')
    seen.setRenderer(QgsMultiBandColorRenderer(seen.dataProvider(), 4, 3, 2))
    seen.setContrastEnhancement(QgsContrastEnhancement.StretchToMinimumMaximum)
    tree = QgsProject.instance().layerTreeRoot()
    tree.findLayer(cube).setItemVisibilityChecked(False)
    tree.findLayer(cube).setExpanded(False)
    iface.messageBar().clearWidgets()
    iface.mapCanvas().setExtent(cube.extent())
    iface.mapCanvas().refresh()
    wait(5)
    save(iface.mainWindow().grab(), folder / 'spectra.png')


STEPS = {
    'toolbox': toolbox,
    'options': options,
    'result': result,
    'places': places,
    'spectra': spectra,
}


def save_dialog(name, chosen, folder):
    """Take a picture of the dialog of an algorithm with these values."""
    import processing

    dialog = processing.createAlgorithmDialog(f'torchgeoext:{name}', chosen)
    dialog.show()
    dialog.resize(900, 820)
    dialog.move(30, 40)
    dialog.raise_()
    wait(2)
    grab_screen(folder / f'toolbox_{name}.png')
    save(dialog.grab(), folder / f'{name}.png')
    dialog.close()


def add_images():
    """Load the two aerial images of the demo, the earlier one first."""
    from qgis.core import QgsProject, QgsRasterLayer

    paths = sorted(Path(os.environ['TORCHGEO_DATA']).glob('naip*.tif'))
    images = [QgsRasterLayer(str(path), path.stem.replace('_', ' ')) for path in paths]
    QgsProject.instance().clear()
    QgsProject.instance().addMapLayers(images)
    return images


def tidy_window():
    """Give the window the size of the screen and show our part of the toolbox."""
    from qgis.PyQt.QtWidgets import QDockWidget
    from qgis.utils import iface

    window = iface.mainWindow()
    window.resize(1400, 900)
    window.move(0, 0)
    dock = window.findChild(QDockWidget, 'ProcessingToolbox')
    dock.show()
    dock.searchBox.setText('torchgeo')
    wait(1)
    dock.algorithmTree.expandAll()


def wait(seconds):
    """Let windows settle."""
    from qgis.PyQt.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()


def save(picture, path):
    """Write a picture as wide as a README shows it."""
    from qgis.PyQt.QtCore import Qt

    smooth = Qt.TransformationMode.SmoothTransformation
    width = min(picture.width(), 1100)
    picture.scaledToWidth(width, smooth).save(str(path))


def grab_screen(path):
    """Save the whole screen."""
    from qgis.PyQt.QtWidgets import QApplication

    save(QApplication.instance().primaryScreen().grabWindow(0), path)


def inside():
    """Run the steps in the QGIS that has started."""
    folder, *steps = os.environ['TORCHGEO_SCREENSHOTS'].split(os.pathsep)
    for step in steps or STEPS:
        try:
            STEPS[step](Path(folder))
        except BaseException:
            Path(folder, f'{step}.txt').write_text(traceback.format_exc())
    os._exit(0)  # a normal end may ask questions that nobody answers


if 'TORCHGEO_SCREENSHOTS' in os.environ:
    from qgis.PyQt.QtCore import QTimer

    QTimer.singleShot(4000, inside)  # when the window has settled
elif __name__ == '__main__':
    outside(Path(sys.argv[1]), sys.argv[2:])
