"""What holds for every operation, and that the committed catalogue is up to date."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from torchgeo_ext.operations._catalog import catalog, catalog_files, write_catalog
from torchgeo_ext.operations._operation import DESTINATIONS
from torchgeo_ext.operations._validate import _CONVERTERS
from torchgeo_ext.registry import operations

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'qgis_plugin' / 'operations'
EVERY = [pytest.param(operations[name].operation, id=name) for name in operations]


def test_committed_catalogue_is_up_to_date():
    committed = {path.name: path.read_text(encoding='utf-8') for path in FOLDER.glob('*.json')}
    assert committed == catalog_files(), 'run "make catalog" and commit the result'


def test_writing_the_catalogue_removes_what_is_gone(tmp_path):
    (tmp_path / 'old_one.json').write_text('{}')
    changed = write_catalog(tmp_path)
    assert 'old_one.json' in changed
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(catalog_files())
    assert write_catalog(tmp_path) == []


@pytest.mark.parametrize('operation', EVERY)
def test_everything_is_explained(operation):
    described = operation.describe()
    assert described['summary'].endswith('.')
    for entry in described['parameters'] + described['outputs']:
        assert entry['help'].endswith('.'), entry['name']
    assert described['label'][0].isupper()
    assert described['tags']


@pytest.mark.parametrize('operation', EVERY)
def test_names_follow_the_house(operation):
    described = operation.describe()
    assert operation.function.__module__ == f'torchgeo_ext.operations.{operation.name}'
    assert described['id'].isalpha()
    names = [p['name'] for p in described['parameters']]
    assert len(set(names)) == len(names)
    for forbidden in ('t1', 't2', 'pre', 'post'):
        assert forbidden not in names


@pytest.mark.parametrize('operation', EVERY)
def test_defaults_pass_their_own_check(operation):
    for parameter in operation.parameters:
        if parameter.required or parameter.default is None:
            assert parameter.required or parameter.optional, parameter.name
            continue
        # compared under another identity, so that "it is the default" is no excuse
        value = json.loads(json.dumps(parameter.default))
        converted = _CONVERTERS[parameter.kind](parameter, value)
        assert converted == parameter.default


@pytest.mark.parametrize('operation', EVERY)
def test_destinations_are_outputs_and_checks_know_their_parameters(operation):
    described = operation.describe()
    outputs = {o['name']: o['kind'] for o in described['outputs']}
    names = {p['name'] for p in described['parameters']}
    for parameter in described['parameters']:
        if parameter['kind'] in DESTINATIONS:
            assert outputs[parameter['name']] == DESTINATIONS[parameter['kind']]
        if 'of' in parameter:
            assert parameter['of'] in names
    for check in described['checks']:
        assert set(check['arguments']) <= names


def test_catalogue_is_json():
    assert json.loads(json.dumps(catalog())) == catalog()


HEAVY = '{"torch", "numpy", "rasterio", "pandas", "lightning", "torchgeo"}'


@pytest.mark.parametrize(
    'code',
    [
        'import torchgeo_ext',
        'from torchgeo_ext.operations._catalog import catalog; catalog()',
        'from torchgeo_ext.engine.worker import Worker',
        'from torchgeo_ext.cli._main import _parser; _parser()',
        'from torchgeo_ext.operations import engine_status; engine_status()',
    ],
)
def test_listing_loads_nothing_heavy(code):
    check = f'{code}; import sys; loaded = {HEAVY} & set(sys.modules); assert not loaded, loaded'
    subprocess.run([sys.executable, '-c', check], check=True)


@pytest.mark.parametrize('words', ['to learn from', 'in the order the model wants them'])
def test_bands_are_explained_in_the_same_words(words):
    """How bands are chosen is the same in all that train a model, and in all that run one."""
    helps = {
        parameter.help.replace("images'", "image's").partition(' Without a model:')[0]
        for name in operations
        for parameter in operations[name].operation.parameters
        if parameter.name == 'bands' and words in parameter.help
    }
    assert len({text.replace(', in both images', '') for text in helps}) == 1
