"""The only place that knows that QGIS 3.22, 3.40 and 4 name some things differently.

QGIS 3.36 moved enumerations into ``Qgis`` and QGIS 4 is built on a Qt that wants them fully
spelled; each is looked up here once, newest name first.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import qgis.core


def _first(*names: str) -> Any:
    for name in names:
        try:
            return reduce(getattr, name.split('.'), qgis.core)
        except AttributeError:
            continue
    raise AttributeError(f'This version of QGIS has none of {", ".join(names)}')


RASTER = _first('Qgis.ProcessingSourceType.Raster', 'QgsProcessing.TypeRaster')
POLYGON = _first('Qgis.ProcessingSourceType.VectorPolygon', 'QgsProcessing.TypeVectorPolygon')
VECTOR = _first(
    'Qgis.ProcessingSourceType.VectorAnyGeometry', 'QgsProcessing.TypeVectorAnyGeometry'
)

INTEGER = _first(
    'Qgis.ProcessingNumberParameterType.Integer', 'QgsProcessingParameterNumber.Integer'
)
DOUBLE = _first('Qgis.ProcessingNumberParameterType.Double', 'QgsProcessingParameterNumber.Double')

FILE = _first('Qgis.ProcessingFileParameterBehavior.File', 'QgsProcessingParameterFile.File')
FOLDER = _first('Qgis.ProcessingFileParameterBehavior.Folder', 'QgsProcessingParameterFile.Folder')

ADVANCED = _first(
    'Qgis.ProcessingParameterFlag.Advanced', 'QgsProcessingParameterDefinition.FlagAdvanced'
)

INFO = _first('Qgis.MessageLevel.Info')
WARNING = _first('Qgis.MessageLevel.Warning')
CRITICAL = _first('Qgis.MessageLevel.Critical')

WKT_PREFERRED = _first('Qgis.CrsWktVariant.Preferred', 'QgsCoordinateReferenceSystem.WKT_PREFERRED')


def as_strings(algorithm: Any, parameters: dict[str, Any], name: str, context: Any) -> list[str]:
    """Values of a field parameter; ``parameterAsFields`` is deprecated where its successor is."""
    if hasattr(algorithm, 'parameterAsStrings'):
        return list(algorithm.parameterAsStrings(parameters, name, context))
    return list(algorithm.parameterAsFields(parameters, name, context))
