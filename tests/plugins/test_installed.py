"""Third-party packages, really installed, seen from Python, the command line and the engine."""

import json
import os
import subprocess
import sys

import pytest

from tests.rasters import gradient, write_raster
from tests.third_party import install


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A folder into which both packages were installed from their wheels."""
    folder = tmp_path_factory.mktemp('installed')
    install(['broken', 'heron'], folder)
    return folder


@pytest.fixture
def run(installed):
    """Run Python with the packages on its path; ``only`` limits what is loaded."""

    def start(*words, only=None, stdin=''):
        env = {k: v for k, v in os.environ.items() if k != 'TORCHGEO_EXT_PLUGINS'}
        env['PYTHONPATH'] = str(installed)
        if only is not None:
            env['TORCHGEO_EXT_PLUGINS'] = only
        return subprocess.run(
            [sys.executable, *words], env=env, input=stdin, capture_output=True, text=True
        )

    return start


def test_a_broken_plugin_is_named_and_the_rest_goes_on(run):
    done = run('-m', 'torchgeo_ext', 'plugins')
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert 'heron 1.2.0: ok' in lines
    broken = next(line for line in lines if line.startswith('broken 0.3'))
    assert 'RuntimeError: needs a library that is not there' in broken


def test_its_operation_is_a_command(run, tmp_path):
    image = write_raster(tmp_path / 'image.tif', gradient(1, 6, 7))
    done = run('-m', 'torchgeo_ext', 'count-pixels', '--image', str(image))
    assert done.stdout == 'pixels: 42\n', done.stderr
    assert '--image FILE' in run('-m', 'torchgeo_ext', 'count-pixels', '--help').stdout


def test_its_model_is_in_the_registry_and_in_torchgeo(run):
    code = """
from torchgeo_ext import registry
import torchgeo.models
print(registry.models['heron_tiny'](in_chans=5).weight.shape[1])
print(registry.models.origin('heron_tiny').name, 'heron_tiny' in torchgeo.models.list_models())
print(type(torchgeo.models.get_model('heron_tiny')).__name__)
"""
    done = run('-c', code)
    assert done.stdout.split() == ['5', 'heron', 'True', 'Conv2d'], done.stderr


def test_the_engine_lists_it_and_runs_it(run, tmp_path):
    image = write_raster(tmp_path / 'image.tif', gradient(1, 6, 7))
    job = {'type': 'job', 'id': 1, 'operation': 'count_pixels', 'parameters': {'image': str(image)}}
    lines = [json.dumps({'type': 'catalog'}), json.dumps(job), json.dumps({'type': 'quit'}), '']
    done = run('-m', 'torchgeo_ext.engine', stdin='\n'.join(lines))
    messages = {m['type']: m for m in map(json.loads, done.stdout.splitlines())}
    assert 'count_pixels' in {o['name'] for o in messages['catalog']['operations']}
    plugins = {p['name']: p for p in messages['catalog']['plugins']}
    assert 'error' not in plugins['heron']
    assert 'needs a library' in plugins['broken']['error']


@pytest.mark.parametrize(('only', 'expected'), [('', ''), ('heron', 'heron'), ('broken', 'broken')])
def test_plugins_can_be_limited(run, only, expected):
    code = 'from torchgeo_ext.plugins import plugins; print(*(p.name for p in plugins().all[1:]))'
    assert run('-c', code, only=only).stdout.strip() == expected
