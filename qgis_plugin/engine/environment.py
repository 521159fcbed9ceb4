"""The environment variables an engine is started with.

QGIS exports variables for its own Python, GDAL and PROJ. A foreign Python that inherits them
loads the wrong standard library, the wrong PROJ database or the wrong shared libraries.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

#: Never handed on. PYTHONEXECUTABLE (set by OSGeo4W) hides from a venv that it is one.
_DROPPED = frozenset(
    """
    PYTHONHOME PYTHONPATH PYTHONEXECUTABLE PYTHONUSERBASE PYTHONSTARTUP PYTHONWARNINGS
    VIRTUAL_ENV CONDA_PREFIX PIP_USER PIP_TARGET PIP_PREFIX
    PROJ_LIB PROJ_DATA GDAL_DATA GDAL_DRIVER_PATH GEOTIFF_CSV
    QGIS_PREFIX_PATH QGIS_PLUGINPATH QT_PLUGIN_PATH LD_LIBRARY_PATH LD_PRELOAD
    """.split()
)
_DROPPED_PREFIXES = ('DYLD_',)

#: Handed on only if they point to something that exists and does not belong to QGIS.
_CERTIFICATES = ('SSL_CERT_DIR', 'SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE')

_ADDED = {'PYTHONIOENCODING': 'utf-8', 'PYTHONSAFEPATH': '1', 'PYTHONNOUSERSITE': '1'}


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Take out of an environment what belongs to QGIS.

    Args:
        environment: The environment of the QGIS process.

    Returns:
        A copy that is right for a Python that has nothing to do with QGIS.
    """
    homes = _qgis_homes(environment)
    clean = {
        name: value
        for name, value in environment.items()
        if name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)
    }
    for name in _CERTIFICATES:
        if name in clean and (_is_below(clean[name], homes) or not os.path.exists(clean[name])):
            del clean[name]
    folders = clean.get('PATH', '').split(os.pathsep)
    clean['PATH'] = os.pathsep.join(f for f in folders if not _is_below(f, homes))
    clean.update(_ADDED)
    return clean


def _qgis_homes(environment: Mapping[str, str]) -> list[str]:
    """Folders that hold a QGIS and nothing else; never those of the system."""
    homes = [environment.get(name, '') for name in ('OSGEO4W_ROOT', 'QGIS_PREFIX_PATH')]
    return [home for home in homes if home and os.path.normpath(home) not in ('/usr', '/usr/local')]


def _is_below(path: str, homes: Iterable[str]) -> bool:
    normal = os.path.normcase(os.path.normpath(path))
    if '.app/Contents/' in path and 'QGIS' in path:  # the macOS bundle
        return True
    return any(
        normal == home or normal.startswith(home + os.sep)
        for home in (os.path.normcase(os.path.normpath(h)) for h in homes)
    )
