"""A box to choose a field of a layer that may be a raster as well.

QGIS's own box for fields crashes (3.22 to 3.44) when its layer is a raster. The parameter behind
this one is a plain text, so models, batch files and command lines need nothing of it.
"""

from __future__ import annotations

from typing import Any

from processing.gui.wrappers import WidgetWrapper
from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingUtils,
    QgsProject,
    QgsVectorLayer,
)
from qgis.gui import QgsGui
from qgis.PyQt.QtWidgets import QComboBox


class FieldOfLayer:
    """Makes the widget of a field parameter; named in the parameter's metadata."""

    def __new__(cls, definition: Any, dialog: Any, row: int = 0, col: int = 0, of: str = '') -> Any:
        """Give the designer of models its own widget, which also takes inputs of the model."""
        if type(dialog).__name__ != 'ModelerParametersDialog':
            return FieldBox(definition, dialog, row, col, of=of)
        registry = QgsGui.processingGuiRegistry()
        widget = registry.createModelerParameterWidget(
            dialog.model, dialog.childId, definition, dialog.context
        )
        widget.setDialog(dialog)
        return widget


class FieldBox(WidgetWrapper):
    """Lists the fields of the layer that another parameter names; takes any text."""

    def createWidget(self, of: str = '') -> QComboBox:
        """Called once by QGIS."""
        self._of = of
        box = QComboBox()
        box.setEditable(True)
        box.currentTextChanged.connect(lambda text: self.widgetValueHasChanged.emit(self))
        return box

    def postInitialize(self, wrappers: list[Any]) -> None:
        """Follow the layer parameter of the same dialog or row."""
        for wrapper in wrappers:
            if wrapper.parameterDefinition().name() == self._of:
                self.list_fields(wrapper)
                wrapper.widgetValueHasChanged.connect(self.list_fields)

    def list_fields(self, wrapper: Any) -> None:
        """Offer the fields of the layer chosen now; a name it does not have is dropped."""
        layer = _layer(wrapper.parameterValue())
        if layer is None:
            return  # the name may be right for the layer that is chosen next
        names = layer.fields().names() if isinstance(layer, QgsVectorLayer) else []
        chosen = self.value()
        self.widget.clear()
        self.widget.addItems(['', *names])
        self.setValue(chosen if chosen in names else '')

    def setValue(self, value: str | None) -> None:
        """Show a name."""
        self.widget.setEditText(value or '')

    def value(self) -> str:
        """The name shown; empty if none is chosen."""
        return self.widget.currentText()


def _layer(value: Any) -> QgsMapLayer | None:
    if isinstance(value, QgsMapLayer) or not value:
        return value or None
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    return QgsProcessingUtils.mapLayerFromString(str(value), context)
