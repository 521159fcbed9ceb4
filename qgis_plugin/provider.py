"""The provider: one algorithm per operation, and the packaged models."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication, QgsMessageLog, QgsProcessingProvider
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtGui import QIcon

from . import compat
from .algorithm import LOG, OperationAlgorithm, help_text
from .catalog import SHIPPED, Catalog
from .engine.client import Engine, Pump
from .engine.locate import find_python
from .engine.pool import EnginePool
from .engine.problems import EngineUnusable
from .engine.reporter import Listener
from .model import PackagedModel
from .parameters import Description, make_output, make_parameters
from .settings import read_settings

FOLDER = Path(__file__).parent
ICON = FOLDER / 'icons' / 'torchgeo.svg'
MODELS = FOLDER / 'models'


class TorchGeoProvider(QgsProcessingProvider):
    """Everything the engine can do, as algorithms of QGIS.

    Args:
        shipped: The folder with the descriptions of operations.
    """

    #: The engine has other operations than those shown; emitted from any thread.
    operationsChanged = pyqtSignal()

    def __init__(self, shipped: Path = SHIPPED) -> None:
        super().__init__()
        profile = Path(QgsApplication.qgisSettingsDirPath())
        self._catalog = Catalog(shipped, profile / 'torchgeoext' / 'catalog.json')
        self._icon = QIcon(str(ICON))
        self.pool = EnginePool(self.meet)

    def id(self) -> str:
        """Part of every algorithm id; never changes."""
        return 'torchgeoext'

    def name(self) -> str:
        """Name in the toolbox."""
        return 'TorchGeo'

    def longName(self) -> str:
        """Name where there is room."""
        return 'TorchGeo: deep learning on geospatial rasters'

    def icon(self) -> QIcon:
        """Icon in the toolbox."""
        return self._icon

    def supportsNonFileBasedOutput(self) -> bool:
        """The engine writes files only."""
        return False

    def defaultRasterFileExtension(self) -> str:
        """The engine writes GeoTIFF."""
        return 'tif'

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """The engine writes GeoTIFF."""
        return ['tif']

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        """The engine writes GeoPackage."""
        return 'gpkg'

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """The engine writes GeoPackage."""
        return ['gpkg']

    def loadAlgorithms(self) -> None:
        """Add one algorithm per operation and the packaged models."""
        for described in self._catalog.operations(_engine_python()):
            problem = _problem_of(described)
            if problem:
                _warn(f'The operation {described.get("name")} cannot be shown: {problem}')
            else:
                self.addAlgorithm(OperationAlgorithm(described, self.pool, self._icon))
        for path in sorted(MODELS.glob('*.model3')):
            try:
                self.addAlgorithm(PackagedModel(path, self._icon))
            except ValueError as error:
                _warn(str(error))
        for name, problem in self._catalog.problems.items():
            _warn(f'{name} cannot be read: {problem}')

    def meet(self, engine: Engine, listener: Listener, pump: Pump) -> None:
        """Learn what a new engine can do, once per engine and catalogue."""
        python, catalog_hash = str(engine.python), engine.hello.get('catalog_hash', '')
        if self._catalog.knows(python, catalog_hash):
            return
        shown = self._catalog.operations(python)
        live = engine.catalog(listener, pump)['operations']
        try:
            self._catalog.keep(python, catalog_hash, live)
        except OSError as error:
            _warn(f'What the engine can do cannot be kept in the profile: {error}')
        if self._catalog.operations(python) != shown:
            self.operationsChanged.emit()


def _problem_of(described: Description) -> str:
    """What is wrong with a description that comes from elsewhere; usually nothing.

    Looked for beforehand because QGIS ends when an exception passes through it.
    """
    try:
        help_text(described, rich=True)
        make_parameters(described['parameters'])
        for output in described['outputs']:
            make_output(output)
    except (KeyError, TypeError, ValueError) as error:
        return f'{type(error).__name__} {error}'
    return ''


def _engine_python() -> str:
    try:
        return str(find_python(read_settings().python))
    except EngineUnusable:
        return ''


def _warn(text: str) -> None:
    QgsMessageLog.logMessage(text, LOG, compat.WARNING)
