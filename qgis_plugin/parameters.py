"""From the description of a parameter to the QGIS parameter: one table for all kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import (
    QgsProcessingOutputBoolean,
    QgsProcessingOutputDefinition,
    QgsProcessingOutputFile,
    QgsProcessingOutputFolder,
    QgsProcessingOutputNumber,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputString,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterMatrix,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from . import compat

Description = dict[str, Any]

DESTINATIONS = frozenset({'raster_out', 'vector_out', 'file_out', 'folder_out'})


def qgis_name(name: str) -> str:
    """The QGIS name of a parameter or output: upper case of the Python name."""
    return name.upper()


def make_parameters(described: list[Description]) -> list[QgsProcessingParameterDefinition]:
    """Build the QGIS parameters for the described ones.

    Args:
        described: The ``parameters`` of an operation description.

    Returns:
        The parameters with defaults, limits, help and flags.

    Raises:
        KeyError: If a kind is unknown, because the description is newer than this plugin.
    """
    kinds = {entry['name']: entry['kind'] for entry in described}
    made = []
    for entry in described:
        parameter = _dependent(entry, kinds) or _KINDS[entry['kind']](entry)
        parameter.setHelp(entry['help'])
        if entry.get('advanced'):
            parameter.setFlags(parameter.flags() | compat.ADVANCED)
        made.append(parameter)
    return made


def _dependent(
    described: Description, kinds: dict[str, str]
) -> QgsProcessingParameterDefinition | None:
    """Parameters that belong to another one QGIS has no widget for: text takes their place."""
    parent = kinds.get(described.get('of', ''))
    if described['kind'] == 'bands' and parent == 'rasters':
        return _text(described)  # QGIS lists the bands of one raster, not of several
    if described['kind'] == 'field' and parent == 'layer':
        parameter = _text(described)
        widget = {
            'class': f'{__package__}.gui.fields.FieldOfLayer',
            'of': qgis_name(described['of']),
        }
        parameter.setMetadata({'widget_wrapper': widget})
        return parameter
    return None


def make_output(described: Description) -> QgsProcessingOutputDefinition:
    """Build the QGIS output for a described one that is not a destination parameter."""
    return _OUTPUTS[described['kind']](qgis_name(described['name']), described['label'])


def _common(described: Description) -> dict[str, Any]:
    unit = described.get('unit')
    label = f'{described["label"]} ({unit})' if unit else described['label']
    return {
        'name': qgis_name(described['name']),
        'description': label,
        # QGIS takes an empty text only from an optional parameter
        'optional': bool(described.get('optional')) or described.get('default') == '',
    }


def _with_default(described: Description) -> dict[str, Any]:
    return {**_common(described), 'defaultValue': described.get('default')}


def _raster(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterRasterLayer(**_common(described))


def _rasters(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterMultipleLayers(layerType=compat.RASTER, **_common(described))


def _features(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFeatureSource(types=[_geometry(described)], **_common(described))


def _layer(described: Description) -> QgsProcessingParameterDefinition:
    types = [compat.RASTER, _geometry(described, 'polygon')]
    return QgsProcessingParameterMapLayer(types=types, **_common(described))


def _geometry(described: Description, otherwise: str = 'any') -> Any:
    polygons = described.get('geometry', otherwise) == 'polygon'
    return compat.POLYGON if polygons else compat.VECTOR


def _bands(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterBand(
        parentLayerParameterName=qgis_name(described['of']),
        allowMultiple=True,
        **_with_default(described),
    )


def _field(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterField(
        parentLayerParameterName=qgis_name(described['of']), **_with_default(described)
    )


def _choice(described: Description) -> QgsProcessingParameterDefinition:
    # the words themselves are the values, so that saved models and batch files keep their meaning
    return QgsProcessingParameterEnum(
        options=described['choices'],
        allowMultiple=bool(described.get('multiple')),
        usesStaticStrings=True,
        **_with_default(described),
    )


def _model(described: Description) -> QgsProcessingParameterDefinition:
    # without any known name there is nothing to choose from, but a name can still be typed
    return _choice(described) if described.get('choices') else _text(described)


def _integer(described: Description) -> QgsProcessingParameterDefinition:
    return _limited(described, compat.INTEGER)


def _number(described: Description) -> QgsProcessingParameterDefinition:
    return _limited(described, compat.DOUBLE)


def _limited(described: Description, type: Any) -> QgsProcessingParameterDefinition:
    limits = {
        key: described[name]
        for key, name in (('minValue', 'minimum'), ('maxValue', 'maximum'))
        if described.get(name) is not None
    }
    return QgsProcessingParameterNumber(type=type, **limits, **_with_default(described))


def _boolean(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterBoolean(**_with_default(described))


def _text(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterString(**_with_default(described))


def _extent(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterExtent(**_common(described))


def _crs(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterCrs(**_with_default(described))


def _file(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFile(
        behavior=compat.FILE, fileFilter=_file_filter(described), **_with_default(described)
    )


def _folder(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFile(behavior=compat.FOLDER, **_with_default(described))


def _table(described: Description) -> QgsProcessingParameterDefinition:
    rows = described.get('default') or []
    return QgsProcessingParameterMatrix(
        headers=described['columns'],
        **{**_common(described), 'defaultValue': [cell for row in rows for cell in row]},
    )


def _destination(described: Description) -> dict[str, Any]:
    # an optional output is written only if asked for
    return {**_common(described), 'createByDefault': not described.get('optional')}


def _raster_out(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterRasterDestination(**_destination(described))


def _vector_out(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterVectorDestination(
        type=_geometry(described), **_destination(described)
    )


def _file_out(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFileDestination(
        fileFilter=_file_filter(described), **_destination(described)
    )


def _folder_out(described: Description) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFolderDestination(**_destination(described))


def _file_filter(described: Description) -> str:
    extensions = described.get('extensions', [])
    filters = [f'{extension.upper()} files (*.{extension})' for extension in extensions]
    if described['kind'] == 'file' and len(extensions) > 1:
        filters.insert(0, f'Supported files ({" ".join(f"*.{e}" for e in extensions)})')
    if described['kind'] == 'file' or not filters:
        filters.append('All files (*)')
    return ';;'.join(filters)


_KINDS: dict[str, Callable[[Description], QgsProcessingParameterDefinition]] = {
    'bands': _bands,
    'boolean': _boolean,
    'choice': _choice,
    'crs': _crs,
    'extent': _extent,
    'features': _features,
    'field': _field,
    'file': _file,
    'file_out': _file_out,
    'folder': _folder,
    'folder_out': _folder_out,
    'integer': _integer,
    'layer': _layer,
    'model': _model,
    'number': _number,
    'raster': _raster,
    'raster_out': _raster_out,
    'rasters': _rasters,
    'table': _table,
    'text': _text,
    'vector_out': _vector_out,
}

_OUTPUTS: dict[str, Callable[[str, str], QgsProcessingOutputDefinition]] = {
    'boolean': QgsProcessingOutputBoolean,
    'file': QgsProcessingOutputFile,
    'folder': QgsProcessingOutputFolder,
    'integer': QgsProcessingOutputNumber,
    'number': QgsProcessingOutputNumber,
    'raster': QgsProcessingOutputRasterLayer,
    'text': QgsProcessingOutputString,
    'vector': QgsProcessingOutputVectorLayer,
}
