"""The generated dialogs, with layers in the project; nothing is shown on a screen."""

import pytest
from layers import write_image, write_zones
from test_algorithms import all_algorithms


@pytest.fixture
def project(provider, tmp_path):
    """A project with one raster and one polygon layer."""
    from qgis.core import QgsProject, QgsRasterLayer, QgsVectorLayer

    layers = {
        'raster': QgsRasterLayer(write_image(tmp_path / 'image.tif', bands=3), 'a raster'),
        'vector': QgsVectorLayer(write_zones(tmp_path / 'zones.gpkg'), 'some zones'),
    }
    QgsProject.instance().addMapLayers(list(layers.values()))
    yield layers
    QgsProject.instance().clear()


@pytest.fixture
def open_dialog(project):
    """Build the part of a dialog that holds the parameters."""
    from processing.gui import ParametersPanel as module
    from qgis.core import QgsApplication
    from qgis.PyQt import sip
    from qgis.PyQt.QtWidgets import QDialog

    class Window(QDialog):
        def messageBar(self):
            return None

    windows, algorithms = [], []  # panels hold on to both

    def build(name):
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f'torchgeoext:{name}')
        window = Window()
        windows.append(window)
        algorithms.append(algorithm)
        return module.ParametersPanel(window, algorithm)

    yield build
    for window in windows:
        sip.delete(window)  # before its layers go, as in QGIS


@pytest.mark.parametrize(
    'name', [pytest.param(p.values[0]['id'], id=p.id) for p in all_algorithms()]
)
def test_every_dialog_opens_and_understands_its_own_values(open_dialog, name):
    """QGIS itself crashes on some combinations of parameters and layers."""
    panel = open_dialog(name)
    definitions = panel.algorithm().parameterDefinitions()
    assert set(panel.wrappers) == {definition.name() for definition in definitions}
    for definition in definitions:
        value = panel.wrappers[definition.name()].parameterValue()
        # what has no default is for the user to fill in
        if definition.defaultValue() not in (None, '') and not definition.isDestination():
            assert definition.checkValueIsAcceptable(value), f'{definition.name()} is {value!r}'


def test_the_fields_of_the_chosen_layer_are_offered(open_dialog, project):
    from qgis.core import QgsProcessingContext

    panel = open_dialog('allkinds')
    layer, box = panel.wrappers['LABELS'], panel.wrappers['CLASS_FIELD']
    context = QgsProcessingContext()
    layer.setParameterValue(project['vector'].id(), context)
    offered = [box.widget.itemText(index) for index in range(box.widget.count())]
    assert offered == ['', 'fid', 'class', 'value']
    box.setValue('class')
    assert panel.createProcessingParameters()['CLASS_FIELD'] == 'class'
    layer.setParameterValue(project['raster'].id(), context)
    assert box.value() == '', 'a raster has no fields'
    assert box.widget.count() == 1


def test_the_designer_of_models_has_its_own_widget(provider):
    from processing.gui.wrappers import WidgetWrapperFactory
    from processing.modeler.ModelerParametersDialog import ModelerParametersDialog
    from qgis.core import QgsApplication, QgsProcessingModelAlgorithm
    from qgis.gui import QgsProcessingModelerParameterWidget

    registry = QgsApplication.processingRegistry()
    algorithm = registry.createAlgorithmById('torchgeoext:allkinds')
    dialog = ModelerParametersDialog(algorithm, QgsProcessingModelAlgorithm())
    definition = algorithm.parameterDefinition('CLASS_FIELD')
    widget = WidgetWrapperFactory.create_wrapper(definition, dialog)
    assert isinstance(widget, QgsProcessingModelerParameterWidget)
