"""TorchGeo in QGIS: deep learning on geospatial rasters, done by an engine outside QGIS."""

from typing import Any


def classFactory(iface: Any) -> Any:
    """Make the plugin; called by QGIS.

    Args:
        iface: The interface of the desktop program; nothing under ``qgis_process``.

    Returns:
        The plugin.
    """
    from .plugin import TorchGeoPlugin

    return TorchGeoPlugin(iface)
