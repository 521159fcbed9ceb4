"""From the engine's result to QGIS outputs and styled layers."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsColorRampShader,
    QgsMapLayer,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsSingleBandPseudoColorRenderer,
    QgsStyle,
    QgsSymbol,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

from .parameters import Description, qgis_name

Style = dict[str, Any]


def results(described: list[Description], outputs: dict[str, Any]) -> dict[str, Any]:
    """Name the outputs as QGIS does and leave out what was not made.

    Args:
        described: The outputs of the operation.
        outputs: Values by Python name, from the engine.

    Returns:
        Values by QGIS name.
    """
    return {
        qgis_name(output['name']): outputs[output['name']]
        for output in described
        if outputs.get(output['name']) is not None
    }


def style_layers(
    algorithm: str, styles: dict[str, Style], outputs: dict[str, Any], context: QgsProcessingContext
) -> None:
    """Have the layers that QGIS is going to load drawn as the engine says.

    Args:
        algorithm: The id of the algorithm.
        styles: Styles by output name.
        outputs: Values by output name.
        context: The context of the run.
    """
    for name, style in styles.items():
        path = outputs.get(name)
        if path and context.willLoadLayerOnCompletion(path):
            styler = Styler(style, algorithm, qgis_name(name))
            context.layerToLoadOnCompletionDetails(path).setPostProcessor(styler)


def remove_unfinished(destinations: Iterable[str]) -> None:
    """Delete what an engine that was killed could not delete itself.

    Args:
        destinations: The paths it was to write; unfinished files lie beside them.
    """
    for destination in map(Path, destinations):
        mark = re.compile(
            re.escape(destination.stem)
            + r'\.[0-9a-f]{8}\.part'
            + re.escape(destination.suffix)
            + r'(\.aux\.xml|\.ovr|\.msk|-wal|-shm|-journal)?'
        )
        if destination.parent.is_dir():
            for path in destination.parent.iterdir():
                if not mark.fullmatch(path.name):
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


class Styler(QgsProcessingLayerPostProcessorInterface):
    """Applies a style to a layer that has been loaded.

    Args:
        style: As the engine describes it.
        algorithm: The id of the algorithm that made the layer.
        output: The QGIS name of the output.
    """

    #: QGIS does not keep these objects; each leaves when its work is done.
    waiting: ClassVar[set[Styler]] = set()

    def __init__(self, style: Style, algorithm: str, output: str) -> None:
        super().__init__()
        self._style = style
        self._algorithm = algorithm
        self._output = output
        self.waiting.add(self)

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Called by QGIS on the main thread."""
        from processing.gui.RenderingStyles import RenderingStyles

        self.waiting.discard(self)
        if RenderingStyles.getStyle(self._algorithm, self._output):
            return  # what the user has chosen for this output is loaded already
        if _has_own_style(layer):
            layer.loadDefaultStyle()  # Processing does not
        else:
            apply_style(layer, self._style)


def apply_style(layer: QgsMapLayer, style: Style) -> None:
    """Draw a layer with the classes or the range of a style.

    Args:
        layer: A raster or vector layer.
        style: ``classes`` with value, name and colour, or ``range`` with limits and colour ramp.
    """
    if isinstance(layer, QgsVectorLayer) and style['type'] == 'classes':
        layer.setRenderer(_categories(layer, style))
    elif isinstance(layer, QgsRasterLayer) and style['type'] == 'classes':
        layer.setRenderer(_palette(layer, style))
    elif isinstance(layer, QgsRasterLayer) and style['type'] == 'range':
        layer.setRenderer(_ramp(layer, style))
    layer.triggerRepaint()


def _has_own_style(layer: QgsMapLayer) -> bool:
    """Whether the engine has put a style beside or into the file, which QGIS has then loaded."""
    if isinstance(layer, QgsVectorLayer):
        return layer.listStylesInDatabase()[0] > 0
    return os.path.exists(os.path.splitext(layer.source())[0] + '.qml')


def _palette(layer: QgsRasterLayer, style: Style) -> QgsPalettedRasterRenderer:
    classes = [
        QgsPalettedRasterRenderer.Class(entry['value'], QColor(entry['color']), entry['name'])
        for entry in style['classes']
    ]
    return QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes)


def _ramp(layer: QgsRasterLayer, style: Style) -> QgsSingleBandPseudoColorRenderer:
    low, high = style['minimum'], style['maximum']
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1)
    renderer.setClassificationMin(low)
    renderer.setClassificationMax(high)
    renderer.createShader(
        _color_ramp(style.get('ramp', 'viridis')), QgsColorRampShader.Type.Interpolated
    )
    return renderer


def _color_ramp(name: str) -> Any:
    library = QgsStyle.defaultStyle()
    known = {ramp.lower(): ramp for ramp in library.colorRampNames()}
    return library.colorRamp(known.get(name.lower(), 'Viridis'))


def _categories(layer: QgsVectorLayer, style: Style) -> QgsCategorizedSymbolRenderer:
    field = style.get('field', 'class')
    by_name = not layer.fields().field(field).isNumeric()
    categories = []
    for entry in style['classes']:
        symbol = QgsSymbol.defaultSymbol(layer.geometryType())
        symbol.setColor(QColor(entry['color']))
        value = entry['name'] if by_name else entry['value']
        categories.append(QgsRendererCategory(value, symbol, entry['name']))
    return QgsCategorizedSymbolRenderer(field, categories)
