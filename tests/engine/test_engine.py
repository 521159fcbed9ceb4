"""The real engine process, spoken to over its pipes."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.third_party import install
from torchgeo_ext.engine import protocol

GOLDEN = Path(__file__).parents[1] / 'golden' / 'protocol.jsonl'


class Engine:
    """An engine process and what it said."""

    def __init__(self, folder):
        env = os.environ | {'PYTHONPATH': str(folder), 'TORCHGEO_EXT_PLUGINS': 'sloth'}
        command = [sys.executable, '-u', '-m', 'torchgeo_ext.engine']
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        self._messages = queue.Queue()
        self.stderr = []
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._drain, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self._messages.put(json.loads(line))

    def _drain(self):
        self.stderr.extend(self.process.stderr)

    def send(self, type, **fields):
        self.process.stdin.write(json.dumps({'type': type, **fields}) + '\n')
        self.process.stdin.flush()

    def job(self, operation, job=1, **parameters):
        self.send('job', id=job, operation=operation, parameters=parameters)

    def wait_for(self, *types, seconds=30):
        """The next message of one of these types; what comes before it is skipped."""
        deadline = time.monotonic() + seconds
        while True:
            message = self._messages.get(timeout=max(0.01, deadline - time.monotonic()))
            if message['type'] in types:
                return message


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp('installed')
    install(['sloth'], folder)
    return folder


@pytest.fixture
def engine(installed):
    engine = Engine(installed)
    yield engine
    engine.process.kill()
    engine.process.wait()
    for pipe in (engine.process.stdin, engine.process.stdout, engine.process.stderr):
        pipe.close()


def test_hello_comes_first_and_fast(engine):
    began = time.monotonic()
    hello = engine.wait_for('hello')
    assert hello['protocol'] == protocol.PROTOCOL
    assert hello['devices'][0] == 'cpu'
    assert hello['torch']
    # far below the seconds that loading torch takes
    assert time.monotonic() - began < 5


def test_several_jobs_and_the_catalogue(engine):
    engine.job('list_models', job='a', task='change')
    assert engine.wait_for('result')['outputs']['names'].startswith('cva, irmad, ')
    engine.send('catalog')
    names = {o['name'] for o in engine.wait_for('catalog')['operations']}
    assert {'list_models', 'sleep_long'} <= names
    engine.send('ping')
    engine.wait_for('pong')
    engine.send('quit')
    assert engine.process.wait(timeout=10) == 0


def test_cancel_is_heard_within_a_second_and_leaves_nothing(engine, tmp_path):
    output = tmp_path / 'out.txt'
    output.write_text('from before')
    engine.job('sleep_long', output=str(output))
    assert engine.wait_for('progress')['text'] == 'sleeping'
    began = time.monotonic()
    engine.send('cancel', id=1)
    assert engine.wait_for('canceled')['id'] == 1
    assert time.monotonic() - began < 1
    assert output.read_text() == 'from before'
    assert [p.name for p in tmp_path.iterdir()] == ['out.txt']
    engine.job('list_models', job=2)
    assert engine.wait_for('result')['id'] == 2


def test_an_operation_that_keeps_what_it_reached_says_so_and_returns_it(engine):
    engine.job('sleep_well')
    engine.wait_for('progress')
    engine.send('cancel', id=1)
    kept = engine.wait_for('canceling', 'canceled', 'result')
    assert (kept['type'], kept['text']) == ('canceling', 'Keeping what was dreamt')
    assert kept['seconds'] > 0
    assert engine.wait_for('result')['outputs']['seconds'] < 20


def test_a_job_canceled_before_it_begins_never_runs(engine, tmp_path):
    engine.job('sleep_long', job=1, output=str(tmp_path / 'a.txt'))
    engine.wait_for('progress')
    engine.job('sleep_long', job=2, output=str(tmp_path / 'b.txt'))
    engine.send('cancel', id=2)
    engine.send('cancel', id=1)
    assert [engine.wait_for('canceled', 'result')['id'] for _ in range(2)] == [1, 2]


def test_the_end_of_stdin_ends_the_process_and_its_unfinished_output(engine, tmp_path):
    engine.job('sleep_long', output=str(tmp_path / 'out.txt'))
    engine.wait_for('progress')
    engine.process.stdin.close()
    assert engine.process.wait(timeout=10) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_deaf_job_ends_with_stdin_too(engine, tmp_path):
    engine.job('sleep_long', output=str(tmp_path / 'out.txt'), listens=False)
    engine.wait_for('progress')
    engine.process.stdin.close()
    assert engine.process.wait(timeout=10) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no SIGTERM')
def test_terminate_tidies_up_at_once(engine, tmp_path):
    engine.job('sleep_long', output=str(tmp_path / 'out.txt'), listens=False)
    engine.wait_for('progress')
    began = time.monotonic()
    engine.process.terminate()
    assert engine.process.wait(timeout=10) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('how', 'kind', 'said'),
    [
        ('memory', 'out_of_memory', 'not enough memory'),
        ('disk', 'no_space', '/full/disk.tif'),
        ('import', 'missing_dependency', 'nowhere'),
        ('bug', 'internal', 'ZeroDivisionError'),
    ],
)
def test_errors_have_a_kind_a_hint_and_a_traceback(engine, how, kind, said):
    engine.job('fail_somehow', how=how)
    error = engine.wait_for('error')
    assert error['kind'] == kind
    assert kind in protocol.ERROR_KINDS
    assert said in error['message']
    assert error['hint']
    assert 'Traceback' in error['traceback']
    assert 'Traceback' not in error['message'] + error['hint']


def test_unknown_operation_parameter_and_value(engine):
    engine.job('detect_chang')
    assert engine.wait_for('error')['kind'] == 'bad_parameter'
    engine.job('list_models', tusk='change')
    assert "no parameter 'tusk'" in engine.wait_for('error')['message']
    engine.job('list_models', task='chnge')
    assert 'change' in engine.wait_for('error')['hint']
    engine.send('job', id=4)
    assert engine.wait_for('error')['id'] == 4


def test_garbage_is_answered_with_a_warning(engine):
    engine.process.stdin.write('not json\n[1]\n{"type": 3}\n\n{"type": "dance"}\n')
    engine.process.stdin.flush()
    texts = [engine.wait_for('log')['text'] for _ in range(4)]
    assert 'not json' in texts[0]
    assert 'dance' in texts[3]
    engine.job('list_models')
    assert engine.wait_for('result')


def test_what_libraries_print_stays_out_of_the_protocol(engine, tmp_path):
    engine.job('sleep_long', output=str(tmp_path / 'out.txt'), seconds=0.2)
    assert engine.wait_for('result')['outputs']['seconds'] == 0.2
    engine.job('fail_somehow', job=2, how='warn')
    assert engine.wait_for('result')['id'] == 2
    engine.send('quit')
    engine.process.wait(timeout=10)
    assert any('libraries print to stdout' in line for line in engine.stderr)


def test_golden_lines_use_only_known_words():
    words = {
        value for name, value in vars(protocol).items() if name.isupper() and isinstance(value, str)
    }
    lines = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    assert {line['type'] for line in lines} == words
    errors = [line['kind'] for line in lines if line['type'] == 'error']
    assert set(errors) <= set(protocol.ERROR_KINDS)


def test_golden_lines_have_the_fields_the_engine_sends(engine):
    golden = {m['type']: m for m in map(json.loads, GOLDEN.read_text().splitlines())}
    hello = engine.wait_for('hello')
    assert set(hello) == set(golden['hello'])
    engine.job('list_models', job=1)
    assert set(engine.wait_for('result')) == set(golden['result'])
    engine.job('fail_somehow', job=2, how='bug')
    assert set(engine.wait_for('error')) == set(golden['error'])
