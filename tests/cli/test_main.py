"""The command line, as a shell sees it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import rasterio

from tests.rasters import gradient, write_raster
from tests.third_party import install
from torchgeo_ext.cli import main


def run(*words, **settings):
    command = [sys.executable, '-m', 'torchgeo_ext', *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def test_help_lists_operations_and_trainings(capsys):
    with pytest.raises(SystemExit) as left:
        main(['--help'])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for word in ('segment-image', 'engine-status', 'fit', 'plugins', 'catalog'):
        assert word in shown


def test_help_of_an_operation_comes_from_its_description(capsys):
    with pytest.raises(SystemExit):
        main(['segment-image', '--help'])
    shown = ' '.join(capsys.readouterr().out.split())
    assert '--tile-size N' in shown
    assert 'Unit: pixels. Range: 0 to 8192. Default: 0.' in shown
    assert '--merge {blend,crop}' in shown


def test_outputs_as_lines_and_as_json(capsys):
    assert main(['list-models', '--task', 'change']) == 0
    assert 'names: cva, irmad' in capsys.readouterr().out
    assert main(['list-models', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['number'] > 2


@pytest.mark.parametrize('words', [['list-models', '--task', 'dance'], ['segment-imag'], []])
def test_words_that_cannot_be_used(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert 'usage' in capsys.readouterr().err


@pytest.mark.parametrize('words', [['2', '4', '5'], ['2,4,5'], ['2,', '4-5']])
def test_bands_as_results_write_them(words, tmp_path, capsys):
    image = write_raster(tmp_path / 'a.tif', gradient(5, 40, 40))
    given = ['--image', str(image), '--output', str(tmp_path / 'o.tif'), '--components', '1']
    assert main(['reduce-bands', *given, '--method', 'pca', '--bands', *words]) == 0
    assert 'bands_used: 3' in capsys.readouterr().out


@pytest.mark.parametrize('word', ['a', '3-1', '1,,2', '-1', ''])
def test_bands_that_are_none(word, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(['reduce-bands', '--image', 'a.tif', '--output', 'o.tif', f'--bands={word}'])
    assert 'is no list of bands such as 1,2,5-9' in capsys.readouterr().err


def test_extents_may_begin_with_a_minus(tmp_path):
    words = ['embed-grid', '--model', 'location_wrap', '--output', str(tmp_path / 'grid.tif')]
    words += ['--extent', '-10,-5,30,40 [EPSG:4326]', '--resolution', '5']
    assert main(words) == 0
    with rasterio.open(tmp_path / 'grid.tif') as dataset:
        assert tuple(dataset.bounds) == (-10, -5, 30, 40)


def test_errors_have_message_and_hint_but_no_traceback(tmp_path):
    done = run('segment-image', '--image', tmp_path / 'gone.tif', '--output', tmp_path / 'o.tif')
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.splitlines() == [
        f'error: image: {tmp_path}/gone.tif does not exist.', '  Check the path.',
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == 'win32', reason='sends a POSIX signal')
def test_interrupting_removes_what_is_unfinished(tmp_path):
    installed, work = tmp_path / 'installed', tmp_path / 'work'
    work.mkdir()
    install(['sloth'], installed)
    env = os.environ | {'PYTHONPATH': str(installed), 'TORCHGEO_EXT_PLUGINS': 'sloth'}
    command = [sys.executable, '-m', 'torchgeo_ext', 'sleep-long', '--output', work / 'a.txt']
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    while not list(work.iterdir()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said == 'Canceled.\n'
    assert list(work.iterdir()) == []


def test_catalog_is_printed_as_json(capsys):
    assert main(['catalog']) == 0
    assert {'segment_image'} <= {entry['name'] for entry in json.loads(capsys.readouterr().out)}
