"""The models that come with the plugin."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from fakes import REPOSITORY

MODELS = sorted((REPOSITORY / 'qgis_plugin' / 'models').glob('*.model3'))


@pytest.fixture(params=MODELS, ids=[path.stem for path in MODELS])
def path(request):
    return request.param


@pytest.fixture
def model(provider, path):
    from qgis.core import QgsApplication

    identifier = f'torchgeoext:{path.stem.replace("_", "")}'
    return QgsApplication.processingRegistry().createAlgorithmById(identifier)


def test_it_is_complete(model):
    valid, problems = model.validate()
    assert valid, problems
    assert any(definition.isDestination() for definition in model.parameterDefinitions())
    assert model.outputDefinitions()


def test_it_looks_like_the_others(model):
    assert ' ' in model.displayName(), 'a name for people'
    assert model.name().isalpha()
    assert model.group() == 'Workflows'
    assert not model.icon().isNull()
    assert model.shortHelpString()
    inputs = [d for d in model.parameterDefinitions() if not d.isDestination()]
    assert all(model.helpContent().get(definition.name()) for definition in inputs)
    assert all(definition.name().isupper() for definition in inputs)


def test_it_holds_the_parameters_the_operations_have_now(path, tmp_path):
    """Written anew, it says the same; if not, ``/usr/bin/python3 .ci/build_models.py``."""
    from qgis.core import Qgis

    if Qgis.QGIS_VERSION_INT >= 32400:
        # only 3.22 can write them; here it can be seen that it was 3.22 who did
        assert 'internal_version' not in path.read_text()
        return
    script = REPOSITORY / '.ci' / 'build_models.py'
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True)
    assert content(tmp_path / path.name) == content(path)


def content(path):
    """The tree of a model without the order of attributes, which changes from run to run."""

    def plain(element):
        return element.tag, sorted(element.attrib.items()), [plain(child) for child in element]

    return plain(ElementTree.parse(path).getroot())


def test_it_runs_as_a_file_too(model, path):
    from qgis.core import QgsProcessingModelAlgorithm

    other = QgsProcessingModelAlgorithm()
    assert other.fromFile(str(path))
    assert other.validate()[0]
    assert other.name() == model.displayName()
