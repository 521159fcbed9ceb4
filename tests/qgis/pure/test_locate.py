"""Which Python runs the engine, and what is said when it cannot."""

import os
import sys

import pytest
from fakes import FakeFeedback

from qgis_plugin.engine import locate
from qgis_plugin.engine.client import Engine
from qgis_plugin.engine.environment import clean_environment
from qgis_plugin.engine.problems import EngineUnusable


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without any engine."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'share'))
    monkeypatch.setenv('HOME', str(tmp_path))
    return tmp_path


def environment_at(folder):
    program = folder / 'bin' / 'python'
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    return program


def find(home, setting='', variable=''):
    return locate.find_python(setting, {locate.VARIABLE: variable}, home / 'repo' / 'plugin')


def test_the_order_is_setting_variable_checkout_own_folder(home):
    with pytest.raises(EngineUnusable, match='No TorchGeo engine'):
        find(home)
    own = environment_at(home / 'share' / 'torchgeo_ext' / 'venv')
    assert find(home) == own
    checkout = environment_at(home / 'repo' / '.venv')
    assert find(home) == checkout
    variable = environment_at(home / 'variable')
    assert find(home, variable=str(variable)) == variable
    setting = environment_at(home / 'setting')
    assert find(home, str(setting), str(variable)) == setting


def test_the_folder_of_an_environment_will_do(home):
    program = environment_at(home / 'conda')
    assert find(home, str(home / 'conda')) == program


@pytest.mark.parametrize('where', ['missing/python', ''])
def test_a_choice_that_does_not_exist_is_named_and_not_passed_over(home, where):
    environment_at(home / 'repo' / '.venv')
    chosen = str(home / where) if where else str(home)
    with pytest.raises(EngineUnusable, match='Options') as caught:
        find(home, chosen)
    assert chosen in caught.value.message
    with pytest.raises(EngineUnusable, match=locate.VARIABLE):
        find(home, variable=chosen)


def test_the_way_to_an_engine_is_explained(home):
    with pytest.raises(EngineUnusable) as caught:
        find(home)
    for word in ('python3 -m venv', 'pip install', 'Settings ‣ Options', locate.VARIABLE, '3.12'):
        assert word in caught.value.hint


@pytest.mark.parametrize(
    ('mode', 'message', 'hint'),
    [
        ('old', 'is Python 3.9.5, but the engine needs 3.12 or newer', 'venv'),
        ('empty', 'does not have the package torchgeo_ext', 'pip install'),
        ('broken', 'ImportError: libcudart.so.12 is missing', '--force-reinstall'),
    ],
)
def test_why_an_engine_does_not_start(fake_python, mode, message, hint):
    python = fake_python(mode)
    with pytest.raises(EngineUnusable) as caught:
        Engine(python.path, FakeFeedback())
    assert message in caught.value.message
    assert str(python) in caught.value.message + caught.value.hint
    assert hint in caught.value.hint


def test_a_program_that_is_no_python(tmp_path):
    program = tmp_path / 'python'
    program.write_text('#!/bin/sh\necho hello >&2\nexit 1\n')
    with pytest.raises(EngineUnusable, match='not a working Python'):
        Engine(program, FakeFeedback())  # not executable
    program.chmod(0o755)
    with pytest.raises(EngineUnusable, match='not a working Python: hello'):
        Engine(program, FakeFeedback())


def test_what_belongs_to_qgis_is_not_handed_on():
    polluted = {
        'PYTHONHOME': 'C:/OSGeo4W/apps/Python312',
        'PYTHONEXECUTABLE': 'python.exe',
        'PYTHONPATH': '/usr/share/qgis/python',
        'LD_LIBRARY_PATH': '/usr/lib/grass82/lib',
        'DYLD_INSERT_LIBRARIES': 'x',
        'PROJ_LIB': '/proj',
        'GDAL_DATA': '/gdal',
        'VIRTUAL_ENV': '/venv',
        'SSL_CERT_FILE': '/nowhere.pem',
        'CURL_CA_BUNDLE': os.path.abspath(__file__),
        'OSGEO4W_ROOT': '/opt/OSGeo4W',
        'PATH': os.pathsep.join(['/opt/OSGeo4W/bin', '/usr/bin', '/opt/OSGeo4W2/bin']),
        'HOME': '/home/me',
        'HTTPS_PROXY': 'http://proxy',
    }
    clean = clean_environment(polluted)
    kept = {'CURL_CA_BUNDLE', 'OSGEO4W_ROOT', 'PATH', 'HOME', 'HTTPS_PROXY'}
    added = {'PYTHONIOENCODING', 'PYTHONSAFEPATH', 'PYTHONNOUSERSITE'}
    assert set(clean) == kept | added
    assert clean['PATH'] == os.pathsep.join(['/usr/bin', '/opt/OSGeo4W2/bin'])


def test_the_system_is_not_taken_for_a_qgis_of_its_own():
    clean = clean_environment({'QGIS_PREFIX_PATH': '/usr', 'PATH': '/usr/bin:/bin'})
    assert clean['PATH'] == '/usr/bin:/bin'
