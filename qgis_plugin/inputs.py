"""From the parameter map of QGIS to the plain values of a job.

Layers, extents and selections are read on the main thread; only the names of outputs are asked
for later, because QGIS forgets on its way to the worker thread which layers it was to load.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from qgis.core import (
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeatureSource,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
    QgsProperty,
    QgsRasterLayer,
)

from . import compat
from .layers import (
    Unusable,
    absolute,
    check_features,
    crs_text,
    export_features,
    features_path,
    no_data_note,
    not_loaded,
    raster_path,
)
from .parameters import DESTINATIONS, Description, qgis_name

#: Kinds whose values are map layers.
LAYERS = frozenset({'features', 'layer', 'raster', 'rasters'})


class Reader:
    """Reads the values of one run.

    Args:
        algorithm: The algorithm that is run.
        parameters: Its parameter map.
        context: Its context.
    """

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
    ) -> None:
        self._algorithm = algorithm
        self._parameters = parameters
        self._context = context
        #: What the user should know about how the values were read.
        self.notes: list[str] = []

    def inputs(self, described: list[Description]) -> dict[str, Any]:
        """Read all but the destinations; may write features to a temporary file.

        Args:
            described: Parameters of the operation.

        Returns:
            Plain values by Python name; what is not set is absent.

        Raises:
            Unusable: If a layer is nothing the engine can open.
        """
        return {
            parameter['name']: _INPUTS[parameter['kind']](self, parameter)
            for parameter in described
            if parameter['kind'] in _INPUTS and self.is_set(parameter)
        }

    def destinations(self, described: list[Description]) -> dict[str, str]:
        """Read the destinations and have the context load them when done.

        Args:
            described: Parameters of the operation.

        Returns:
            Absolute paths by Python name; outputs that are not wanted are absent.

        Raises:
            Unusable: If the engine does not write such files.
        """
        return {
            parameter['name']: self._destination(parameter)
            for parameter in described
            if parameter['kind'] in DESTINATIONS and self.is_set(parameter)
        }

    def check(self, described: list[Description]) -> None:
        """Look, quickly and without writing anything, whether the engine can use the values.

        Args:
            described: The parameters of the operation.

        Raises:
            Unusable: As :meth:`inputs` and :meth:`destinations` do.
        """
        for parameter in filter(self.is_set, described):
            if parameter['kind'] in LAYERS:
                for layer in self.layers(parameter):
                    self._check_layer(parameter, layer)
            elif parameter['kind'] == 'bands':
                self._bands(parameter)
            elif parameter['kind'] in DESTINATIONS:
                _check_extension(parameter, self._text(parameter))

    def is_set(self, parameter: Description) -> bool:
        """Whether a parameter has a value or a default."""
        value = self.raw(parameter)
        if isinstance(value, QgsProcessingOutputLayerDefinition):
            value = self._text(parameter)  # no name: not wanted
        return not (value is None or _is_null(value) or value in ('', [], ['']))

    def raw(self, parameter: Description) -> Any:
        """The value as QGIS hands it over."""
        name = qgis_name(parameter['name'])
        definition = self._algorithm.parameterDefinition(name)
        return self._parameters.get(name, definition.defaultValue())

    def layers(self, parameter: Description) -> list[QgsMapLayer]:
        """The map layers of a parameter of any layer kind.

        Raises:
            Unusable: If one cannot be loaded.
        """
        raw = self.raw(parameter)
        if parameter['kind'] == 'rasters':
            layers = self._read('parameterAsLayerList', parameter)
            raws = raw if isinstance(raw, list) else [raw]
            lost = [r for r in raws if isinstance(r, str) and self._load(r) is None]
        else:
            selection = isinstance(raw, QgsProcessingFeatureSourceDefinition)
            layer = (
                self._load(self._text(parameter))
                if selection
                else self._read('parameterAsLayer', parameter)
            )
            layers, lost = [layer], [self._text(parameter)] if layer is None else []
        if lost:
            what = 'raster' if parameter['kind'] in ('raster', 'rasters') else 'layer'
            raise not_loaded(parameter['label'], what, lost[0])
        return layers

    def _load(self, text: str) -> QgsMapLayer | None:
        return QgsProcessingUtils.mapLayerFromString(text, self._context)

    def _text(self, parameter: Description) -> str:
        """The raw value as text, also of destinations and selections."""
        raw = self.raw(parameter)
        if isinstance(raw, QgsProcessingOutputLayerDefinition):
            raw = raw.sink
        elif isinstance(raw, QgsProcessingFeatureSourceDefinition):
            raw = raw.source
        if isinstance(raw, QgsProperty):
            raw = raw.valueAsString(self._context.expressionContext())[0]
        return raw.name() if isinstance(raw, QgsMapLayer) else str(raw)

    def _read(self, method: str, parameter: Description) -> Any:
        read = getattr(self._algorithm, method)
        return read(self._parameters, qgis_name(parameter['name']), self._context)

    # layers

    def _check_layer(self, parameter: Description, layer: QgsMapLayer) -> None:
        wants_raster = parameter['kind'] in ('raster', 'rasters')
        if wants_raster or (parameter['kind'] == 'layer' and isinstance(layer, QgsRasterLayer)):
            raster_path(parameter['label'], layer)
        else:
            check_features(parameter['label'], layer, self._source(parameter))

    def _raster(self, parameter: Description) -> str:
        return self._rasters(parameter)[0]

    def _rasters(self, parameter: Description) -> list[str]:
        label, layers = parameter['label'], self.layers(parameter)
        paths = [raster_path(label, layer) for layer in layers]
        self.notes += [note for note in (no_data_note(label, layer) for layer in layers) if note]
        return paths

    def _layer(self, parameter: Description) -> str:
        if isinstance(self.layers(parameter)[0], QgsRasterLayer):
            return self._raster(parameter)
        return self._features(parameter)

    def _features(self, parameter: Description) -> str:
        raw, layer, source = (
            self.raw(parameter), self.layers(parameter)[0], self._source(parameter)
        )  # fmt: skip
        check_features(parameter['label'], layer, source)
        whole = not (isinstance(raw, QgsProcessingFeatureSourceDefinition) and _is_restricted(raw))
        path = features_path(layer) if whole else ''
        return path or export_features(parameter['label'], source, parameter['name'], self._context)

    def _source(self, parameter: Description) -> QgsProcessingFeatureSource | None:
        return self._read('parameterAsSource', parameter)

    # values

    def _bands(self, parameter: Description) -> list[int]:
        raw = self.raw(parameter)
        if not isinstance(raw, str):
            return self._read('parameterAsInts', parameter)
        try:
            return [int(number) for number in re.split('[,;]', raw.strip('[] '))]
        except ValueError as error:
            raise Unusable(
                f'{parameter["label"]} is {raw!r}, but must be band numbers, counted from 1.',
                'Separate several numbers by commas.',
            ) from error

    def _field(self, parameter: Description) -> str:
        raw = self.raw(parameter)
        if isinstance(raw, str):
            return raw
        name = qgis_name(parameter['name'])
        return compat.as_strings(self._algorithm, self._parameters, name, self._context)[0]

    def _choice(self, parameter: Description) -> str | list[str]:
        if parameter.get('multiple'):
            return self._read('parameterAsEnumStrings', parameter)
        return self._read('parameterAsEnumString', parameter)

    def _model(self, parameter: Description) -> str | list[str]:
        return self._choice(parameter) if parameter.get('choices') else self._string(parameter)

    def _integer(self, parameter: Description) -> int:
        return self._read('parameterAsInt', parameter)

    def _number(self, parameter: Description) -> float:
        return self._read('parameterAsDouble', parameter)

    def _boolean(self, parameter: Description) -> bool:
        return self._read('parameterAsBool', parameter)

    def _string(self, parameter: Description) -> str:
        return self._read('parameterAsString', parameter)

    def _extent(self, parameter: Description) -> str:
        box = self._read('parameterAsExtent', parameter)
        crs = self._read('parameterAsExtentCrs', parameter)
        corners = (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())
        text = ','.join(repr(corner) for corner in corners)
        return f'{text} [{crs_text(crs)}]' if crs.isValid() else text

    def _crs(self, parameter: Description) -> str:
        return crs_text(self._read('parameterAsCrs', parameter))

    def _path(self, parameter: Description) -> str:
        return absolute(self._read('parameterAsFile', parameter))

    def _table(self, parameter: Description) -> list[list[Any]]:
        cells = [_cell(value) for value in self._read('parameterAsMatrix', parameter)]
        width = len(parameter['columns'])
        return [cells[start : start + width] for start in range(0, len(cells), width)]

    # destinations

    def _destination(self, parameter: Description) -> str:
        is_layer = parameter['kind'] in ('raster_out', 'vector_out')
        method = 'parameterAsOutputLayer' if is_layer else 'parameterAsFileOutput'
        path = self._read(method, parameter)
        _check_extension(parameter, path)
        return absolute(path)


_INPUTS: dict[str, Callable[[Reader, Description], Any]] = {
    'bands': Reader._bands,
    'boolean': Reader._boolean,
    'choice': Reader._choice,
    'crs': Reader._crs,
    'extent': Reader._extent,
    'features': Reader._features,
    'field': Reader._field,
    'file': Reader._path,
    'folder': Reader._path,
    'integer': Reader._integer,
    'layer': Reader._layer,
    'model': Reader._model,
    'number': Reader._number,
    'raster': Reader._raster,
    'rasters': Reader._rasters,
    'table': Reader._table,
    'text': Reader._string,
}


def _is_null(value: Any) -> bool:
    """Whether a value is the null ``QVariant`` that QGIS uses for "not set"."""
    return callable(getattr(value, 'isNull', None)) and value.isNull()


def _is_restricted(source: QgsProcessingFeatureSourceDefinition) -> bool:
    return (
        source.selectedFeaturesOnly
        or source.featureLimit >= 0
        or bool(getattr(source, 'filterExpression', ''))  # QGIS 3.32
    )


def _check_extension(parameter: Description, path: str) -> None:
    extensions = parameter.get('extensions', [])
    if not extensions or path == 'TEMPORARY_OUTPUT':
        return
    if os.path.splitext(path)[1].lower().lstrip('.') not in extensions:
        allowed = ' or '.join(f'.{extension}' for extension in extensions)
        raise Unusable(
            f'{parameter["label"]}: "{path}" is not a file name the engine can write to.',
            f'Give the name of a file that ends in {allowed}.',
        )


def _cell(value: Any) -> Any:
    """Tables come as numbers or text, depending on who fills them: dialog, Python, command line."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, float)) else None
