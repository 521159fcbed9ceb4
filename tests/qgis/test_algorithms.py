"""Algorithms as QGIS uses them: toolbox, batch, models, Python, background tasks."""

import json
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from fakes import is_running, wait_until
from layers import write_zones


@pytest.fixture
def registry(provider):
    from qgis.core import QgsApplication

    return QgsApplication.processingRegistry()


@pytest.fixture
def run(fake):
    """Run an algorithm with the fake engine and get results and log."""
    import processing
    from qgis.core import QgsProcessingFeedback

    def start(mode='ok', algorithm='copylayers', feedback=None, **parameters):
        fake(mode)
        feedback = feedback or QgsProcessingFeedback(False)
        return processing.run(f'torchgeoext:{algorithm}', parameters, feedback=feedback)

    return start


def all_algorithms():
    """Ids and descriptions of all operations, shipped ones and those for tests."""
    from conftest import HERE, REPOSITORY

    paths = [*REPOSITORY.glob('qgis_plugin/operations/*.json'), *HERE.glob('operations/*.json')]
    described = [json.loads(path.read_text(encoding='utf-8')) for path in sorted(paths)]
    return [pytest.param(entry, id=entry['id']) for entry in described]


class TestDescribed:
    """Everything a description says arrives in QGIS."""

    @pytest.fixture(params=all_algorithms())
    def described(self, request):
        return request.param

    @pytest.fixture
    def algorithm(self, registry, described):
        return registry.createAlgorithmById(f'torchgeoext:{described["id"]}')

    def test_names(self, algorithm, described):
        assert algorithm.name() == described['id']
        assert re.fullmatch('[a-z]+', algorithm.name()), 'command lines and models hold the id'
        assert algorithm.displayName() == described['label']
        assert algorithm.group() == described['group']
        assert algorithm.groupId() == described['group_id']
        assert algorithm.tags() == described['tags']
        assert not algorithm.icon().isNull()

    def test_parameters(self, algorithm, described):
        definitions = {d.name(): d for d in algorithm.parameterDefinitions()}
        assert list(definitions) == [p['name'].upper() for p in described['parameters']]
        for parameter in described['parameters']:
            definition = definitions[parameter['name'].upper()]
            assert definition.help() == parameter['help']
            assert definition.description().startswith(parameter['label'])
            is_optional = bool(definition.flags() & definition.FlagOptional)
            assert is_optional == (parameter['optional'] or parameter.get('default') == '')
            is_advanced = bool(definition.flags() & definition.FlagAdvanced)
            assert is_advanced == parameter['advanced']
            if 'default' in parameter:
                assert definition.defaultValue() == parameter['default']
                assert definition.checkValueIsAcceptable(definition.defaultValue())

    def test_outputs(self, algorithm, described):
        types = {
            'raster': 'outputRaster',
            'vector': 'outputVector',
            'file': 'outputFile',
            'folder': 'outputFolder',
            'number': 'outputNumber',
            'integer': 'outputNumber',
            'text': 'outputString',
            'boolean': 'outputBoolean',
        }
        outputs = {d.name(): d.type() for d in algorithm.outputDefinitions()}
        outputs = {n: 'outputFile' if t == 'outputHtml' else t for n, t in outputs.items()}
        assert outputs == {o['name'].upper(): types[o['kind']] for o in described['outputs']}

    def test_help(self, algorithm, described):
        from qgis_plugin.algorithm import help_text

        assert described['summary'] in algorithm.shortHelpString()
        assert '<p>' not in algorithm.shortHelpString(), 'qgis_process prints it as it is'
        text = help_text(described, rich=True)
        assert '\n' not in text, 'QGIS makes a paragraph of each line'
        for entry in described['parameters'] + described['outputs']:
            assert f'<b>{entry["label"]}</b>' in text
        page = algorithm.helpUrl()
        assert not page or Path(unquote(urlparse(page).path)).is_file()
        assert algorithm.shortDescription() == described['summary']

    def test_python_command_of_the_defaults(self, algorithm):
        from qgis.core import QgsProcessingContext

        command = algorithm.asPythonCommand({}, QgsProcessingContext())
        assert command.startswith(f'processing.run("{algorithm.id()}"')

    def test_as_a_step_of_a_model(self, algorithm):
        model = as_model(algorithm)
        assert model.validate()[0], model.validate()[1]


def as_model(algorithm, **values):
    """A model whose only step is this algorithm, all parameters being inputs or set."""
    from qgis.core import (
        QgsProcessingModelAlgorithm,
        QgsProcessingModelChildAlgorithm,
        QgsProcessingModelChildParameterSource,
        QgsProcessingModelParameter,
    )

    model = QgsProcessingModelAlgorithm('one step', 'tests')
    child = QgsProcessingModelChildAlgorithm(algorithm.id())
    child.setChildId('step')
    for definition in algorithm.parameterDefinitions():
        name = definition.name()
        if definition.isDestination():
            continue
        if name in values or not definition.flags() & definition.FlagOptional:
            model.addModelParameter(definition.clone(), QgsProcessingModelParameter(name))
            source = QgsProcessingModelChildParameterSource.fromModelParameter(name)
            child.addParameterSources(name, [source])
    model.addChildAlgorithm(child)
    return model


def test_every_operation_is_an_algorithm(provider):
    ids = {algorithm.name() for algorithm in provider.algorithms()}
    assert {entry.values[0]['id'] for entry in all_algorithms()} <= ids


def test_a_run_returns_layers_and_numbers(run, image, tmp_path):
    from qgis.core import QgsProcessingFeedback

    feedback = QgsProcessingFeedback(False)
    zones = write_zones(tmp_path / 'zones.gpkg')
    results = run(
        IMAGE=image,
        ZONES=zones,
        OUTPUT=str(tmp_path / 'out.tif'),
        POLYGONS=str(tmp_path / 'out.gpkg'),
        feedback=feedback,
    )
    assert results == {
        'OUTPUT': str(tmp_path / 'out.tif'),
        'POLYGONS': str(tmp_path / 'out.gpkg'),
        'PIXELS': 16,
    }
    assert feedback.progress() == 100
    assert 'fake engine at work' in feedback.textLog()


def test_outputs_that_were_not_made_are_left_out(run, image):
    results = run(IMAGE=image, OUTPUT='TEMPORARY_OUTPUT')
    assert set(results) == {'OUTPUT', 'PIXELS'}


def test_a_batch_row_survives_its_text_form(run, registry, image, tmp_path):
    """Rows of a batch are stored as text and read back as Python literals."""
    import ast

    from qgis.core import QgsProcessingContext

    algorithm = registry.createAlgorithmById('torchgeoext:allkinds')
    row = {
        'IMAGE': image,
        'SERIES': [image, image],
        'BANDS': [1],
        'PARTS': 'a,c',  # QGIS 3.22 writes a list of words as an empty text
        'MERGE': 'crop',
        'TILE_SIZE': 64,
        'OVERLAP': 8,
        'FRACTION': 0.25,
        'AUGMENT': False,
        'TITLE': 'it\'s "quoted"',
        'TABLE': [1, 'water', '#00f'],
        'EXTENT': '0,1,2,3 [EPSG:4326]',
    }
    texts = {
        name: algorithm.parameterDefinition(name).valueAsPythonString(value, QgsProcessingContext())
        for name, value in row.items()
    }
    back = {name: ast.literal_eval(text) for name, text in texts.items()}
    assert run(algorithm='allkinds', **back) == run(algorithm='allkinds', **row)


def test_a_model_runs_the_engine(fake, registry, image, tmp_path):
    import processing

    fake()
    algorithm = registry.createAlgorithmById('torchgeoext:copylayers')
    model = as_model(algorithm)
    from qgis.core import QgsProcessingModelOutput

    child = model.childAlgorithm('step')
    output = QgsProcessingModelOutput('result', 'result')
    output.setChildOutputName('OUTPUT')
    output.setChildId('step')
    child.setModelOutputs({'result': output})
    model.setChildAlgorithm(child)
    model.updateDestinationParameters()
    assert model.validate()[0], model.validate()[1]
    destination = next(d.name() for d in model.parameterDefinitions() if d.isDestination())
    values = {'IMAGE': image, 'ACT': 'ok', 'KIND': 'internal', 'STYLE': 'range'}
    results = processing.run(model, {**values, destination: str(tmp_path / 'model.tif')})
    assert (tmp_path / 'model.tif').is_file()
    assert results[destination] == str(tmp_path / 'model.tif')


class Task:
    """Runs an algorithm on a worker thread, as the toolbox does."""

    def __init__(self, algorithm_id, parameters):
        from qgis.core import (
            QgsApplication,
            QgsProcessingAlgRunnerTask,
            QgsProcessingContext,
            QgsProcessingFeedback,
        )
        from qgis.PyQt.QtCore import QEventLoop

        self.algorithm = QgsApplication.processingRegistry().createAlgorithmById(algorithm_id)
        self.context = QgsProcessingContext()
        self.feedback = QgsProcessingFeedback(False)
        self.loop = QEventLoop()
        self.done = None
        self._task = QgsProcessingAlgRunnerTask(
            self.algorithm, parameters, self.context, self.feedback
        )
        self._task.executed.connect(self._finish)
        QgsApplication.taskManager().addTask(self._task)

    def _finish(self, fine, results):
        self.done = (fine, results)
        self.loop.quit()

    def wait(self):
        if self.done is None:
            self.loop.exec()
        return self.done


def test_in_the_background(fake, image, tmp_path):
    fake()
    task = Task('torchgeoext:copylayers', {'IMAGE': image, 'OUTPUT': str(tmp_path / 'a.tif')})
    assert task.wait() == (True, {'OUTPUT': str(tmp_path / 'a.tif'), 'PIXELS': 16})


def test_results_of_the_background_are_loaded_and_styled(fake, image, tmp_path):
    """QGIS forgets on the way what was registered before the work began."""
    from processing.gui.Postprocessing import handleAlgorithmResults
    from qgis.core import QgsProcessingOutputLayerDefinition, QgsProject

    fake()
    destination = QgsProcessingOutputLayerDefinition('TEMPORARY_OUTPUT', QgsProject.instance())
    parameters = {'IMAGE': image, 'OUTPUT': destination}
    task = Task('torchgeoext:copylayers', parameters)
    fine, results = task.wait()
    assert fine
    assert list(task.context.layersToLoadOnCompletion()) == [results['OUTPUT']]
    handleAlgorithmResults(task.algorithm, task.context, task.feedback, parameters=parameters)
    (layer,) = QgsProject.instance().mapLayersByName('Output')
    assert [entry.label for entry in layer.renderer().classes()] == ['water', 'forest']
    QgsProject.instance().clear()


@pytest.mark.parametrize('act', ['slow', 'deaf', 'numb'])
def test_cancel_in_the_background_takes_less_than_a_second(fake, image, tmp_path, act):
    from qgis.PyQt.QtCore import QTimer

    python = fake()
    output = tmp_path / 'a.tif'
    output.write_text('the old one')
    task = Task('torchgeoext:copylayers', {'IMAGE': image, 'OUTPUT': str(output), 'ACT': act})
    pressed = []

    def press():
        if 'fake engine at work' not in task.feedback.textLog():
            QTimer.singleShot(50, press)
            return
        pressed.append(time.monotonic())
        task.feedback.cancel()

    QTimer.singleShot(50, press)
    fine, _ = task.wait()
    assert not fine
    assert time.monotonic() - pressed[0] < 1.2
    assert output.read_text() == 'the old one'
    assert not list(tmp_path.glob('*.part*')), 'nothing half-finished is left'
    assert act == 'slow' or wait_until(lambda: not any(map(is_running, python.process_ids)))


def test_an_engine_that_dies_leaves_qgis_and_the_old_output_alone(run, image, tmp_path):
    from qgis.core import QgsProcessingException

    output = tmp_path / 'a.tif'
    output.write_text('the old one')
    with pytest.raises(QgsProcessingException, match='memory ran out') as caught:
        run(IMAGE=image, OUTPUT=str(output), ACT='oom')
    assert 'smaller tile size' in str(caught.value)
    assert output.read_text() == 'the old one'
    assert not list(tmp_path.glob('*.part*'))


@pytest.fixture
def message_log(qgis_app):
    """What was written to the message log of QGIS."""
    from qgis.core import QgsApplication

    messages = []

    def note(text, tag, level):
        messages.append((tag, text))

    log = QgsApplication.messageLog()
    log.messageReceived.connect(note)
    yield messages
    log.messageReceived.disconnect(note)


@pytest.mark.parametrize('kind', ['bad_input', 'internal'])
def test_an_error_has_a_message_and_a_hint_and_its_traceback_in_the_log(
    run, image, message_log, kind
):
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    feedback = QgsProcessingFeedback(False)
    with pytest.raises(QgsProcessingException) as caught:
        run(IMAGE=image, OUTPUT='TEMPORARY_OUTPUT', ACT='error', KIND=kind, feedback=feedback)
    assert str(caught.value) == 'image: /a.tif is not a raster.\nCheck the path.'
    assert any(tag == 'TorchGeo' and 'secret' in text for tag, text in message_log)
    assert ('secret' in feedback.textLog()) == (kind == 'internal')


def test_without_an_engine_every_run_says_how_to_get_one(
    provider, registry, image, monkeypatch, tmp_path
):
    import processing
    from qgis.core import QgsProcessingContext, QgsProcessingException

    monkeypatch.setenv('TORCHGEO_EXT_PYTHON', str(tmp_path / 'no' / 'python'))
    parameters = {'IMAGE': image, 'OUTPUT': 'TEMPORARY_OUTPUT'}
    algorithm = registry.createAlgorithmById('torchgeoext:copylayers')
    fine, message = algorithm.checkParameterValues(parameters, QgsProcessingContext())
    assert not fine
    for word in ('does not exist', 'python3 -m venv', 'Settings ‣ Options ‣ TorchGeo'):
        assert word in message
    with pytest.raises(QgsProcessingException, match='pip install'):
        processing.run('torchgeoext:copylayers', parameters)
    with pytest.raises(QgsProcessingException, match='pip install'):
        # steps of a model are not checked by QGIS 3.22
        algorithm.run(parameters, QgsProcessingContext(), feedback(), {}, False)


def feedback():
    from qgis.core import QgsProcessingFeedback

    return QgsProcessingFeedback(False)


@pytest.mark.parametrize(
    ('mode', 'words'),
    [
        ('old', 'is Python 3.9.5, but the engine needs 3.12'),
        ('empty', 'does not have the package torchgeo_ext'),
        ('protocol0', 'speaks protocol 0'),
    ],
)
def test_an_engine_that_cannot_be_used(run, image, mode, words):
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException, match=words):
        run(mode, IMAGE=image, OUTPUT='TEMPORARY_OUTPUT')


def test_a_batch_loads_the_engine_once(fake, image, tmp_path):
    import processing

    python = fake()
    for row in range(20):
        parameters = {'IMAGE': image, 'OUTPUT': str(tmp_path / f'{row}.tif')}
        processing.run('torchgeoext:copylayers', parameters)
    assert len(list(tmp_path.glob('[0-9]*.tif'))) == 20
    assert len(python.process_ids) == 1
