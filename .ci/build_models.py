"""Write the models that come with the QGIS plugin, with the oldest QGIS that shall read them.

    /usr/bin/python3 .ci/build_models.py [FOLDER]

Newer versions of QGIS read what 3.22 writes and name the outputs of a model as 3.22 does.
"""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / 'qgis_plugin' / 'models')

os.environ['QT_QPA_PLATFORM'] = 'offscreen'
os.environ['QGIS_CUSTOM_CONFIG_PATH'] = tempfile.mkdtemp()
sys.path[:0] = [str(ROOT), '/usr/share/qgis/python/plugins']

from qgis.core import (  # noqa: E402  (needs the path above)
    QgsApplication,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtCore import QPointF  # noqa: E402

Source = QgsProcessingModelChildParameterSource


class Builder:
    """Puts a model together step by step.

    Args:
        name: The name in the toolbox.
        summary: What it does.
    """

    def __init__(self, name: str, summary: str) -> None:
        self.model = QgsProcessingModelAlgorithm(name, 'Workflows', 'workflows')
        self._help = {'ALG_DESC': summary}
        self._steps = 0

    def ask(self, parameter: object, help_text: str) -> Source:
        """Add an input; gives what steps take as its value."""
        self._help[parameter.name()] = help_text
        component = QgsProcessingModelParameter(parameter.name())
        count = len(self.model.parameterComponents())
        component.setPosition(QPointF(150 + 220 * count, 60))
        self.model.addModelParameter(parameter, component)
        return Source.fromModelParameter(parameter.name())

    def step(
        self, identifier: str, algorithm: str, outputs: dict[str, str], **values: object
    ) -> str:
        """Add a step; what is not given gets the default of its parameter."""
        found = QgsApplication.processingRegistry().algorithmById(algorithm)
        if found is None:
            raise SystemExit(f'{algorithm} is not there; run "make catalog" first')
        child = QgsProcessingModelChildAlgorithm(algorithm)
        child.setChildId(identifier)
        child.setDescription(found.displayName())
        for definition in found.parameterDefinitions():
            value = values.pop(definition.name(), definition.defaultValue())
            if not isinstance(value, Source):
                value = Source.fromStaticValue(value)
            if value.staticValue() is not None or value.source() != Source.StaticValue:
                child.addParameterSources(definition.name(), [value])
        assert not values, f'{algorithm} has no parameter {", ".join(values)}'
        child.setModelOutputs({label: self._output(identifier, label, name)
                               for label, name in outputs.items()})  # fmt: skip
        child.setPosition(QPointF(250 + 60 * self._steps, 200 + 110 * self._steps))
        self._steps += 1
        self.model.addChildAlgorithm(child)
        return identifier

    def save(self, path: Path) -> None:
        """Check the model and write it."""
        self.model.setHelpContent(self._help)
        self.model.updateDestinationParameters()
        valid, problems = self.model.validate()
        if not valid:
            raise SystemExit(f'{path.name}: {problems}')
        MODELS.mkdir(exist_ok=True)
        assert self.model.toFile(str(path)), path

    def _output(self, identifier: str, label: str, name: str) -> QgsProcessingModelOutput:
        output = QgsProcessingModelOutput(label, label)
        output.setChildId(identifier)
        output.setChildOutputName(name)
        output.setPosition(QPointF(550 + 60 * self._steps, 200 + 110 * self._steps))
        return output


def rank_changes() -> None:
    """Changed areas, the strongest change first."""
    builder = Builder(
        'Detect change and rank the areas',
        'Find what changed between two images of one place (IR-MAD, no training needed) and list '
        'the changed areas with their mean magnitude of change, the strongest first.',
    )
    before = builder.ask(QgsProcessingParameterRasterLayer('BEFORE', 'Before'), 'Earlier image.')
    after = builder.ask(
        QgsProcessingParameterRasterLayer('AFTER', 'After'), 'Later image of the same place.'
    )
    area = builder.ask(
        QgsProcessingParameterNumber(
            'MINIMUM_AREA', 'Minimum area (square metres)', defaultValue=100, minValue=0
        ),
        'Leave out smaller areas.',
    )
    change = builder.step(
        'change',
        'torchgeoext:detectchange',
        {'Change': 'OUTPUT'},
        BEFORE=before,
        AFTER=after,
        MINIMUM_AREA=area,
    )
    measured = builder.step(
        'measure',
        'native:zonalstatisticsfb',
        {},
        INPUT=Source.fromChildOutput(change, 'POLYGONS'),
        INPUT_RASTER=Source.fromChildOutput(change, 'MAGNITUDE'),
        COLUMN_PREFIX='change_',
        STATISTICS=[2],  # mean
    )
    builder.step(
        'rank',
        'native:orderbyexpression',
        {'Changed areas': 'OUTPUT'},
        INPUT=Source.fromChildOutput(measured, 'OUTPUT'),
        EXPRESSION='"change_mean"',
        ASCENDING=False,
    )
    builder.save(MODELS / 'rank_changes.model3')


def classes_in_zones() -> None:
    """Pixels of each class in each zone."""
    builder = Builder(
        'Segment image and count classes in zones',
        'Give every pixel of an image a class with your own trained model and count, for each '
        'zone, the pixels of each class.',
    )
    image = builder.ask(QgsProcessingParameterRasterLayer('IMAGE', 'Image'), 'Image to segment.')
    bundle = builder.ask(
        QgsProcessingParameterFile(
            'BUNDLE', 'Model', fileFilter='Models (*.json *.zip *.ckpt);;All files (*)'
        ),
        'Your trained model: the model.json of its folder, or a .zip of that folder.',
    )
    zones = builder.ask(
        QgsProcessingParameterFeatureSource('ZONES', 'Zones', [2]), 'Polygons to count in.'
    )
    segmented = builder.step(
        'segment', 'torchgeoext:segmentimage', {'Classes': 'OUTPUT'}, IMAGE=image, BUNDLE=bundle
    )
    builder.step(
        'count',
        'native:zonalhistogram',
        {'Zones with classes': 'OUTPUT'},
        INPUT_RASTER=Source.fromChildOutput(segmented, 'OUTPUT'),
        INPUT_VECTOR=zones,
        COLUMN_PREFIX='class_',
    )
    builder.save(MODELS / 'classes_in_zones.model3')


def main() -> None:
    """Start QGIS and write all models."""
    application = QgsApplication([], False)
    application.initQgis()
    from processing.core.Processing import Processing

    from qgis_plugin.provider import TorchGeoProvider

    Processing.initialize()
    provider = TorchGeoProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    rank_changes()
    classes_in_zones()
    os._exit(0)  # QGIS may crash on its way out when providers made in Python are left


if __name__ == '__main__':
    main()
