"""The engine that waits for the next job."""

import threading
import time

import pytest
from fakes import FakeFeedback, is_running, wait_until

from qgis_plugin.engine.pool import EnginePool
from qgis_plugin.engine.problems import EngineCanceled, EngineDied, EngineProblem


@pytest.fixture
def pool():
    pool = EnginePool()
    yield pool
    pool.close()


def run(pool, python, idle=60, feedback=None, **parameters):
    return pool.run(
        python.path, 'all_kinds', parameters, feedback or FakeFeedback(), idle_seconds=idle
    )


def test_a_batch_of_twenty_starts_one_engine(pool, fake_python):
    python = fake_python()
    for row in range(20):
        run(pool, python, row=row)
    assert len(python.process_ids) == 1


def test_no_engine_waits_when_that_is_not_wanted(pool, fake_python):
    python = fake_python()
    run(pool, python, idle=0)
    assert not is_running(python.process_ids[0])


def test_an_idle_engine_leaves(pool, fake_python):
    python = fake_python()
    run(pool, python, idle=0.3)
    assert is_running(python.process_ids[0])
    assert wait_until(lambda: not is_running(python.process_ids[0]))
    run(pool, python)
    assert len(python.process_ids) == 2


def test_an_engine_that_died_while_waiting_is_replaced(pool, fake_python):
    python = fake_python()
    run(pool, python)
    pool._idle.process.kill()
    run(pool, python)
    assert len(python.process_ids) == 2


def test_an_engine_that_dies_just_when_it_is_taken_is_replaced(pool, fake_python, monkeypatch):
    python, feedback = fake_python(), FakeFeedback()
    run(pool, python)
    engine = pool._idle
    monkeypatch.setattr(type(engine.process), 'alive', True)
    engine.process._process.kill()
    run(pool, python, feedback=feedback)
    assert len(python.process_ids) == 2
    assert any('starting another one' in text for _, text in feedback.said)


def test_a_job_that_kills_its_engine_is_not_tried_twice(pool, fake_python, tmp_path):
    python = fake_python()
    run(pool, python)
    with pytest.raises(EngineDied):
        run(pool, python, act='oom', output=str(tmp_path / 'a.tif'))
    assert len(python.process_ids) == 1


def test_after_a_cancel_the_engine_is_used_again(pool, fake_python):
    python = fake_python()
    with pytest.raises(EngineCanceled):
        run(pool, python, act='slow', feedback=FakeFeedback().after(0.1))
    run(pool, python)
    assert len(python.process_ids) == 1


@pytest.mark.parametrize(('kind', 'engines'), [('bad_input', 1), ('internal', 2)])
def test_after_an_error_only_a_sound_engine_is_used_again(pool, fake_python, kind, engines):
    python = fake_python()
    with pytest.raises(EngineProblem):
        run(pool, python, act='error', kind=kind)
    run(pool, python)
    assert len(python.process_ids) == engines


def test_two_jobs_at_once_have_two_engines_and_one_stays(pool, fake_python):
    python = fake_python()

    def slow():
        with pytest.raises(EngineCanceled):
            run(pool, python, act='slow', feedback=FakeFeedback().after(1))

    thread = threading.Thread(target=slow)
    thread.start()
    assert wait_until(lambda: any('slow' in note for note in python.notes))
    begin = time.monotonic()
    run(pool, python)
    assert time.monotonic() - begin < 1, 'the second job did not wait for the first'
    thread.join()
    assert sum(map(is_running, python.process_ids)) == 1


def test_another_python_means_another_engine(pool, fake_python):
    one, two = fake_python('ok'), fake_python('noisy')
    run(pool, one)
    run(pool, two)
    assert not is_running(one.process_ids[0])


def test_each_new_engine_is_greeted_once(fake_python):
    greeted = []
    pool = EnginePool(lambda engine, *rest: greeted.append(engine.hello['catalog_hash']))
    python = fake_python()
    run(pool, python)
    run(pool, python)
    pool.close()
    assert greeted == ['fake']
