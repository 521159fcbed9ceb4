"""Registers the provider and the page in the options of QGIS."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication

from .provider import TorchGeoProvider


class TorchGeoPlugin:
    """The plugin.

    Args:
        iface: The interface of the desktop program; nothing under ``qgis_process``.
    """

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self.provider: TorchGeoProvider | None = None
        self._options: Any = None

    def initProcessing(self) -> None:
        """Called by ``qgis_process`` instead of :meth:`initGui`."""
        provider = TorchGeoProvider()
        if not QgsApplication.processingRegistry().addProvider(provider):
            raise RuntimeError(
                'Another copy of the TorchGeo plugin is active; disable one of them.'
            )
        self.provider = provider
        # models find their steps only when the provider is registered already
        self.provider.refreshAlgorithms()

    def initGui(self) -> None:
        """Called by the desktop program."""
        from .gui.options import EngineOptionsFactory

        self.initProcessing()
        assert self.provider is not None  # initProcessing has made it
        # not under qgis_process, which holds on to the algorithm that is running
        self.provider.operationsChanged.connect(self.provider.refreshAlgorithms)
        self._options = EngineOptionsFactory(self.provider)
        self._iface.registerOptionsWidgetFactory(self._options)

    def unload(self) -> None:
        """Take everything back that was registered."""
        if self._options is not None:
            self._iface.unregisterOptionsWidgetFactory(self._options)
            self._options = None
        if self.provider is not None:
            self.provider.pool.close()
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
