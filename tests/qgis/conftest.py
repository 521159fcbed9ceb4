"""What all tests of the plugin share. Only the fixtures that need QGIS import it."""

import os
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE), str(REPOSITORY)]

from fakes import FakePython  # noqa: E402  (found through the line above)
from layers import write_image  # noqa: E402

#: The application must outlive all objects of QGIS that tests leave behind, so it is never exited.
KEPT = []


@pytest.fixture
def fake_python(tmp_path):
    """Make fake engine Pythons: ``fake_python('silent')``."""

    def make(mode='ok'):
        return FakePython(tmp_path, mode)

    return make


@pytest.fixture(scope='session')
def qgis_app(tmp_path_factory):
    """QGIS without windows, with a profile of its own, and Processing."""
    profile = tmp_path_factory.mktemp('profile')
    os.environ['QGIS_CUSTOM_CONFIG_PATH'] = str(profile)
    os.environ.setdefault('QT_QPA_PLATFORM', 'offscreen')
    from qgis.core import QgsApplication

    # widgets are needed for the options page
    application = QgsApplication([], True, str(profile))
    QgsApplication.setPrefixPath('/usr', True)
    application.initQgis()
    sys.path.append(str(Path(QgsApplication.pkgDataPath(), 'python', 'plugins')))
    from processing.core.Processing import Processing

    Processing.initialize()
    KEPT.append(application)
    return application


@pytest.fixture(scope='session')
def provider(qgis_app, tmp_path_factory):
    """Our provider with the operations of the plugin and those made for tests."""
    from qgis.core import QgsApplication

    from qgis_plugin.provider import SHIPPED, TorchGeoProvider

    folder = tmp_path_factory.mktemp('operations')
    for path in [*SHIPPED.glob('*.json'), *(HERE / 'operations').glob('*.json')]:
        shutil.copy(path, folder)
    provider = TorchGeoProvider(folder)
    QgsApplication.processingRegistry().addProvider(provider)
    provider.refreshAlgorithms()
    yield provider
    provider.pool.close()
    QgsApplication.processingRegistry().removeProvider(provider)


@pytest.fixture
def fake(fake_python, provider, monkeypatch):
    """The fake engine takes the place of the real one: ``fake('silent')``."""

    def use(mode='ok'):
        python = fake_python(mode)
        monkeypatch.setenv('TORCHGEO_EXT_PYTHON', str(python))
        return python

    yield use
    provider.pool.close()


@pytest.fixture
def image(tmp_path, qgis_app):
    """A small byte raster in UTM."""
    return write_image(tmp_path / 'image.tif')
