"""One engine: hello, jobs, cancel and death. The engine is a fake one."""

import signal
import time

import pytest
from fakes import FakeFeedback, is_running, wait_until

from qgis_plugin.engine import client, protocol
from qgis_plugin.engine.client import Engine
from qgis_plugin.engine.problems import (
    EngineCanceled,
    EngineDied,
    EngineProblem,
    EngineUnusable,
    describe_exit,
)


@pytest.fixture
def start(fake_python):
    engines = []

    def make(mode='ok', feedback=None):
        engine = Engine(fake_python(mode).path, feedback or FakeFeedback())
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.process.kill()


def run(engine, feedback=None, **parameters):
    return engine.run('all_kinds', parameters, feedback or FakeFeedback())


def test_a_job_reports_progress_and_returns_outputs(start):
    feedback = FakeFeedback()
    result = run(start(), feedback, act='ok', size=3)
    assert result['outputs']['received'] == '{"act": "ok", "size": 3}'
    assert feedback.progress == [25, 50, 75, 100]
    assert feedback.said.count(('text', 'Copying')) == 1, 'the same text is logged only once'
    assert ('info', 'fake engine at work') in feedback.said


def test_one_engine_runs_many_jobs(start):
    engine = start()
    assert [run(engine, n=n)['outputs']['received'] for n in range(3)] == [
        f'{{"n": {n}}}' for n in range(3)
    ]
    assert engine.fit


def test_events_are_handled_while_waiting(start):
    calls = []
    feedback = FakeFeedback().after(0.5)
    with pytest.raises(EngineCanceled):
        start().run('all_kinds', {'act': 'slow'}, feedback, lambda: calls.append(1))
    assert len(calls) > 4


@pytest.mark.parametrize(
    ('act', 'fit'), [('slow', True), ('deaf', False), ('numb', False)], ids=str
)
def test_cancel_takes_less_than_a_second(start, tmp_path, act, fit):
    engine = start()
    feedback = FakeFeedback().after(0.2)
    begin = time.monotonic()
    with pytest.raises(EngineCanceled):
        run(engine, feedback, act=act, output=str(tmp_path / 'out.tif'))
    assert time.monotonic() - begin < 0.2 + 1.0 + 0.3, 'plus the start of the job'
    assert engine.fit == fit
    assert is_running(engine.process.process_id) == fit


def test_an_engine_that_keeps_its_work_gets_the_time_for_it(start):
    engine = start('careful')
    with pytest.raises(EngineCanceled) as caught:
        run(engine, FakeFeedback().after(0.1), act='slow')
    assert caught.value.kept == {'output': '/kept'}


def test_patience_has_an_end():
    cancel = client._Cancel(None, 'job-1')
    cancel.grant(1e9)
    assert cancel._patience == protocol.LONGEST_CANCELING_SECONDS


def test_out_of_memory_is_named(start, tmp_path):
    engine = start()
    with pytest.raises(EngineDied, match='most likely because the memory ran out') as caught:
        run(engine, act='oom', output=str(tmp_path / 'a.tif'))
    assert 'smaller tile size' in caught.value.hint
    assert not engine.fit


def test_a_crash_keeps_the_last_words_for_the_log(start):
    with pytest.raises(EngineDied, match='exit code 3') as caught:
        run(start(), act='crash')
    assert caught.value.details == 'the last words'
    assert 'the last words' not in str(caught.value)


def test_a_death_is_noticed_although_children_live_on(start):
    begin = time.monotonic()
    with pytest.raises(EngineDied, match='exit code 3'):
        run(start(), act='orphan')
    assert time.monotonic() - begin < 5


def test_stray_lines_and_messages_do_no_harm(start):
    feedback = FakeFeedback()
    result = run(start('noisy'), feedback, act='garbage')
    assert 'received' in result['outputs']
    assert ('debug', 'not json') in feedback.said


@pytest.mark.parametrize(
    ('kind', 'fit'), [('bad_input', True), ('out_of_memory', False), ('internal', False)]
)
def test_errors_carry_message_hint_and_traceback(start, kind, fit):
    engine = start()
    with pytest.raises(EngineProblem) as caught:
        run(engine, act='error', kind=kind)
    problem = caught.value
    assert str(problem) == 'image: /a.tif is not a raster.\nCheck the path.'
    assert problem.kind == kind
    assert 'secret' in problem.details
    assert engine.fit == fit, 'after an unforeseen error the engine is not used again'


@pytest.mark.parametrize(
    ('mode', 'advice'), [('protocol0', 'pip install --upgrade'), ('protocol2', 'Update the TorchG')]
)
def test_another_protocol_is_refused_with_the_way_out(fake_python, mode, advice):
    python = fake_python(mode)
    with pytest.raises(EngineUnusable, match='speaks protocol') as caught:
        Engine(python.path, FakeFeedback())
    assert advice in caught.value.hint
    assert not is_running(python.process_ids[0])


def test_an_engine_that_never_answers_is_given_up(fake_python, monkeypatch):
    monkeypatch.setattr(client, 'SLOW_START_SECONDS', 0.2)
    monkeypatch.setattr(client, 'HELLO_SECONDS', 0.5)
    python, feedback = fake_python('silent'), FakeFeedback()
    with pytest.raises(EngineUnusable, match='no engine answered'):
        Engine(python.path, feedback)
    assert any('first start is slow' in text for _, text in feedback.said)
    assert not is_running(python.process_ids[0])


def test_the_start_can_be_canceled(fake_python):
    with pytest.raises(EngineCanceled):
        Engine(fake_python('silent').path, FakeFeedback(cancel_when=lambda: True))


def test_a_program_that_babbles_is_given_up(fake_python):
    with pytest.raises(EngineUnusable, match='not from a TorchGeo engine'):
        Engine(fake_python('babble').path, FakeFeedback())


def test_closing_lets_the_engine_leave_by_itself(start, fake_python):
    engine = start()
    engine.close()
    assert 'quit' in fake_python().notes
    assert not engine.process.alive


def test_ctrl_c_in_a_terminal_does_not_reach_the_engine(start):
    import os

    engine = start()
    assert os.getpgid(engine.process.process_id) != os.getpgid(os.getpid())


def test_a_full_log_does_not_block_the_engine(start):
    """More than a pipe holds, on both pipes."""
    engine = start()
    for _ in range(30):
        run(engine, text='x' * 10_000)
    assert engine.process.alive


def test_catalog(start):
    assert start().catalog(FakeFeedback())['operations'][0]['name'] == 'count_herons'


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        (-signal.SIGKILL, 'memory ran out'),
        (-signal.SIGSEGV, 'segmentation fault'),
        (-signal.SIGABRT, 'SIGABRT'),
        (0xC0000135, 'did not find one of its libraries'),
        (0xC0000005, 'memory access violation'),
        (2, 'exit code 2'),
        (None, 'closed its connection'),
    ],
)
def test_exit_codes_in_words(code, words):
    what, hint = describe_exit(code)
    assert words in what
    assert hint


def test_an_engine_leaves_when_nobody_listens(start, fake_python):
    engine = start()
    engine.process._process.stdin.close()
    assert wait_until(lambda: 'end of input' in fake_python().notes)
    assert wait_until(lambda: not engine.process.alive)
