"""The plugin, installed from its zip, in ``qgis_process``: as scripts and servers use it."""

import json
import signal

import pytest
from command import PROGRAM, QgisProcess, interrupt, seconds_until_end
from fakes import REPOSITORY, is_running, wait_until
from layers import write_image


@pytest.fixture(scope='module')
def qgis(tmp_path_factory):
    assert PROGRAM, 'QGIS is not installed: neither qgis_process.bin nor qgis_process is there'
    return QgisProcess(tmp_path_factory.mktemp('qgis'))


@pytest.fixture
def image(tmp_path):
    return write_image(tmp_path / 'image.tif')


def test_everything_is_listed(qgis):
    code, out, _ = qgis.call('--json', 'list')
    assert code == 0
    algorithms = json.loads(out)['providers']['torchgeoext']['algorithms']
    shipped = (REPOSITORY / 'qgis_plugin' / 'operations').glob('*.json')
    ids = {f'torchgeoext:{json.loads(path.read_text())["id"]}' for path in shipped}
    assert ids | {'torchgeoext:copylayers', 'torchgeoext:allkinds'} <= set(algorithms)


def test_a_checkout_works_as_it_is(tmp_path):
    """The folder of the repository is a plugin, its metadata being a link."""
    code, out, _ = QgisProcess(tmp_path, REPOSITORY).call('list')
    assert code == 0
    assert 'torchgeoext:enginestatus' in out


def test_help_shows_every_parameter(qgis):
    code, out, _ = qgis.call('help', 'torchgeoext:allkinds')
    assert code == 0
    for name in ('IMAGE', 'LABELS', 'TILE_SIZE', 'TABLE', 'POLYGONS', 'RECEIVED'):
        assert name in out
    assert out.count('Help of it.') >= 25
    assert '<p>' not in out, 'the description is read as text here'


def test_lists_tables_and_relative_paths(qgis, fake_python, image, tmp_path):
    received = json.loads(
        qgis.run(
            'torchgeoext:allkinds',
            fake_python(),
            tmp_path,
            IMAGE='image.tif',
            BANDS='1',
            SERIES=['image.tif', image],
            TABLE='1,water,#0000ff',
            EXTENT='0,1,2,3',
            OUTPUT='out.tif',
            MERGE='crop',
        )['RECEIVED']
    )
    assert received['image'] == image
    assert received['series'] == [image, image]
    assert received['output'] == str(tmp_path / 'out.tif')
    assert received['table'] == [[1, 'water', '#0000ff']]
    assert received['extent'] == '0.0,2.0,1.0,3.0'
    assert received['bands'] == [1]
    assert received['merge'] == 'crop'


def test_a_run_in_words(qgis, fake_python, image, tmp_path):
    out = tmp_path / 'out.tif'
    arguments = ['run', 'torchgeoext:copylayers', '--', f'IMAGE={image}', f'OUTPUT={out}']
    code, text, _ = qgis.call(*arguments, engine=fake_python())
    assert code == 0
    assert out.is_file()
    assert 'fake engine at work' in text
    assert 'PIXELS:\t16' in text


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        (['IMAGE=missing.tif'], 'missing.tif does not exist'),
        (['ACT=error'], 'image: /a.tif is not a raster.'),
        (['ACT=oom'], 'memory ran out'),
    ],
)
def test_a_failure_is_a_failure(qgis, fake_python, image, tmp_path, values, words):
    given = [f'IMAGE={image}', f'OUTPUT={tmp_path / "out.tif"}', *values]
    if values[0].startswith('IMAGE'):
        given = given[1:]
    code, _, err = qgis.call(
        'run', 'torchgeoext:copylayers', '--', *given, engine=fake_python(), folder=tmp_path
    )
    assert code == 1
    assert words in err
    assert 'Traceback' not in err.replace('Traceback (most recent call last): secret', '')
    assert not (tmp_path / 'out.tif').exists()


def test_without_an_engine(qgis, image, tmp_path):
    values = [f'IMAGE={image}', f'OUTPUT={tmp_path / "out.tif"}']
    code, _, err = qgis.call(
        'run', 'torchgeoext:copylayers', '--', *values, engine=tmp_path / 'none'
    )
    assert code == 1
    assert 'python3 -m venv' in err


@pytest.fixture
def slow(qgis, fake_python, image, tmp_path):
    """Start a long run and wait until the engine is at work."""
    processes = []

    def start(*options):
        python = fake_python()
        values = [f'IMAGE={image}', f'OUTPUT={tmp_path / "out.tif"}', 'ACT=slow']
        processes.append(
            qgis.start(*options, 'run', 'torchgeoext:copylayers', '--', *values, engine=python)
        )
        assert wait_until(lambda: any('"job"' in note for note in python.notes), 60)
        return processes[0], python

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize('options', [[], ['--json']], ids=['text', 'json'])
def test_ctrl_c_cancels(slow, options):
    process, python = slow(*options)
    interrupt(process)
    assert seconds_until_end(process) < 5
    assert process.returncode == 1
    assert any('"cancel"' in note for note in python.notes)
    assert wait_until(lambda: not is_running(python.process_ids[0]))


@pytest.mark.parametrize('name', ['SIGKILL', 'SIGTERM'])
def test_no_engine_outlives_qgis(slow, name):
    process, python = slow()
    process.send_signal(getattr(signal, name))
    assert wait_until(lambda: not is_running(python.process_ids[0]))
    assert 'end of input' in python.notes
