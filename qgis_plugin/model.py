"""Models that come with the plugin: several steps as one algorithm."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtGui import QIcon


class PackagedModel(QgsProcessingModelAlgorithm):
    """A ``.model3`` file as an algorithm.

    Args:
        path: The file; its name, letters only, is the id.
        icon: Shown in the toolbox.

    Raises:
        ValueError: If the file cannot be read.
    """

    def __init__(self, path: Path, icon: QIcon) -> None:
        super().__init__()
        self._path = path
        self._icon = icon
        if not self.fromFile(str(path)):
            raise ValueError(f'{path.name} is no model')
        #: The model's own name, which QGIS would take for the id as well.
        self._label = super().name()

    def createInstance(self) -> PackagedModel:
        """Give QGIS a fresh one for each run."""
        return PackagedModel(self._path, self._icon)

    def name(self) -> str:
        """The id; scripts hold it, so it never changes."""
        return self._path.stem.replace('_', '')

    def displayName(self) -> str:
        """Name in the toolbox."""
        return self._label

    def icon(self) -> QIcon:
        """The icon of the provider."""
        return self._icon
