"""From map layers to files the engine can open, or to the reason why there is none."""

from __future__ import annotations

import os
import re

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeatureSource,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingUtils,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

from . import compat

_OPTIONS = re.compile(r'\|(?:option|credential):')
_EXPORT = 'Save it to a file first (right-click the layer ‣ Export ‣ Save As) and use that.'
_ASSIGN = (
    'Write the right one into the file with Raster ‣ Projections ‣ Assign projection, '
    'then load the file again.'
)


class Unusable(Exception):
    """A value cannot be handed to the engine.

    Args:
        message: Which one and why.
        hint: What to do about it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f'{message}\n{hint}')


def raster_path(label: str, layer: QgsMapLayer) -> str:
    """Find the file of a raster layer.

    Args:
        label: The parameter, for messages.
        layer: The layer.

    Returns:
        What GDAL can open.

    Raises:
        Unusable: If the pixels come from a service, or the file says something else than QGIS.
    """
    name = layer.name()
    if not isinstance(layer, QgsRasterLayer):
        raise Unusable(f'{label}: the layer "{name}" is not a raster.', 'Choose a raster.')
    if layer.providerType() != 'gdal':
        raise Unusable(
            f'{label}: the layer "{name}" comes from a service or database '
            f'({layer.providerType()}), which the engine cannot open.',
            _EXPORT,
        )
    if 'authcfg=' in layer.source():
        raise Unusable(f'{label}: the layer "{name}" needs a login that only QGIS knows.', _EXPORT)
    _check_crs(label, layer)
    return absolute(_OPTIONS.split(layer.source())[0])


def no_data_note(label: str, layer: QgsRasterLayer) -> str:
    """Say so if QGIS treats more values as missing than the file does; usually nothing."""
    provider = layer.dataProvider()
    if not any(provider.userNoDataValues(band + 1) for band in range(layer.bandCount())):
        return ''
    return (
        f'{label}: the additional no-data values of the layer "{layer.name()}" are known to QGIS '
        'only; the engine goes by those of the file.'
    )


def check_features(label: str, layer: QgsMapLayer, source: QgsFeatureSource | None) -> None:
    """Refuse layers that have no features to work with.

    Args:
        label: The parameter, for messages.
        layer: The layer.
        source: The features of the layer that are wanted.

    Raises:
        Unusable: If the layer is no vector layer, or nothing in it is wanted.
    """
    if not isinstance(layer, QgsVectorLayer) or source is None:
        raise Unusable(
            f'{label}: the layer "{layer.name()}" has no features.', 'Choose a vector layer.'
        )
    if source.featureCount() == 0:
        raise Unusable(
            f'{label}: "{layer.name()}" contains no features to work with.',
            'Choose a layer with features, or check its selection and filter.',
        )


def features_path(layer: QgsVectorLayer) -> str:
    """Find the file of a vector layer if reading it gives exactly the features QGIS shows.

    Args:
        layer: The layer.

    Returns:
        The path, if need be with ``|layername=``; empty if the features have to be exported.
    """
    provider = layer.dataProvider()
    if (
        layer.providerType() != 'ogr'
        or layer.isModified()
        or not _same_crs(layer.crs(), provider.crs())
        or layer.fields().names() != provider.fields().names()  # virtual and joined fields
    ):
        return ''
    parts = QgsProviderRegistry.instance().decodeUri('ogr', layer.source())
    parts = {key: value for key, value in parts.items() if value}
    path, name = parts.pop('path', ''), parts.pop('layerName', '')
    if parts or not os.path.exists(path):  # a filter, for example, or a database
        return ''
    return absolute(path) + (f'|layername={name}' if name else '')


def export_features(
    label: str, source: QgsFeatureSource, name: str, context: QgsProcessingContext
) -> str:
    """Write features to a temporary GeoPackage.

    Args:
        label: The parameter, for messages.
        source: The features.
        name: The name of the file, without suffix.
        context: The context of the run.

    Returns:
        The path.

    Raises:
        Unusable: If they cannot be written.
    """
    path = QgsProcessingUtils.generateTempFilename(f'{name}.gpkg')
    options = QgsVectorFileWriter.SaveVectorOptions()
    # a field named fid, as merged layers have it, would have to be unique otherwise
    options.layerOptions = ['FID=exported_fid']
    writer = QgsVectorFileWriter.create(
        path,
        source.fields(),
        source.wkbType(),
        source.sourceCrs(),
        context.transformContext(),
        options,
    )
    for feature in source.getFeatures():
        writer.addFeature(feature)
    problem = writer.errorMessage()
    del writer  # closes the file
    if problem:
        raise Unusable(
            f'{label}: the features cannot be written to a temporary file ({problem}).', _EXPORT
        )
    return path


def not_loaded(label: str, what: str, text: str) -> Unusable:
    """Say why there is no layer.

    Args:
        label: The parameter.
        what: ``raster`` or ``layer``.
        text: What was given: a path, or the name or id of a layer.

    Returns:
        The problem, to be raised.
    """
    path = text.split('|')[0]
    if not re.search(r'[/\\]|\.\w+$', path) or re.match(r'/vsi|[a-z]+://', path):
        return Unusable(
            f'{label}: there is no {what} "{text}".', f'Choose a {what} that is loaded or a file.'
        )
    if not os.path.exists(path):
        return Unusable(f'{label}: {path} does not exist.', 'Check the path.')
    return Unusable(
        f'{label}: {path} cannot be read as a {what}.',
        'Check that it is the right file and that it is complete.',
    )


def absolute(path: str) -> str:
    """The engine has another working folder than QGIS; GDAL's own kinds of names are left alone."""
    if path.startswith('/vsi') or re.match(r'[A-Za-z0-9_]{2,}:', path):
        return path
    return os.path.abspath(os.path.expanduser(path))


def crs_text(crs: QgsCoordinateReferenceSystem) -> str:
    """The authority's code, or WKT where there is none that others know."""
    authority = crs.authid()
    if authority and not authority.startswith('USER:'):
        return authority
    return crs.toWkt(compat.WKT_PREFERRED)


def _check_crs(label: str, layer: QgsRasterLayer) -> None:
    """The engine sees the file, not what the user said about the layer."""
    own, shown = layer.dataProvider().crs(), layer.crs()
    if not shown.isValid() or _same_crs(own, shown):
        return
    states = f'says {crs_text(own)}' if own.isValid() else 'does not name any'
    raise Unusable(
        f'{label}: the coordinate reference system of the layer "{layer.name()}" was set to '
        f'{crs_text(shown)} in QGIS, but its file {states}.',
        _ASSIGN,
    )


def _same_crs(one: QgsCoordinateReferenceSystem, other: QgsCoordinateReferenceSystem) -> bool:
    return one == other or (one.isValid() and one.toProj() == other.toProj())
