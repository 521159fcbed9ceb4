"""Stages of threads."""

import threading
import time
from itertools import count

import pytest

from torchgeo_ext.inference.pipeline import Stage


def nothing():
    """A beat that does nothing."""


@pytest.mark.parametrize('helping', [False, True])
@pytest.mark.parametrize('workers', [1, 3])
def test_results_come_in_order(helping, workers):
    def slow_at_first(item):
        time.sleep(0.02 / (1 + item))
        return item * item

    with Stage(workers, nothing) as stage:
        found = list(stage.map(slow_at_first, range(20), ahead=3, helping=helping))
    assert found == [n * n for n in range(20)]


def test_runs_ahead_by_no_more_than_asked():
    begun = []
    with Stage(2, nothing) as stage:
        results = stage.map(begun.append, count(), ahead=3)
        next(results)
        time.sleep(0.05)
        results.close()
    assert len(begun) <= 4


def test_a_helping_caller_works_instead_of_waiting():
    threads = set()

    def work(_):
        time.sleep(0.01)
        threads.add(threading.current_thread())

    with Stage(1, nothing) as stage:
        list(stage.map(work, range(8), ahead=2, helping=True))
    assert threading.current_thread() in threads
    assert len(threads) == 2


@pytest.mark.parametrize('helping', [False, True])
def test_errors_arrive_where_results_are_pulled(helping):
    def fail(item):
        if item == 3:
            raise TimeoutError('of its own')
        return item

    with Stage(1, nothing) as stage, pytest.raises(TimeoutError, match='of its own'):
        list(stage.map(fail, range(9), ahead=2, helping=helping))


def test_what_is_put_is_done_in_order_and_bounded():
    done = []
    with Stage(1, nothing) as stage:
        for item in range(10):
            stage.put(done.append, item, ahead=2)
            assert len(done) >= item - 2
        stage.drain()
    assert done == list(range(10))


def test_errors_of_what_is_put_come_with_the_next_or_at_the_end():
    def fail():
        raise OSError('full')

    with Stage(1, nothing) as stage:
        stage.put(fail, ahead=1)
        with pytest.raises(OSError, match='full'):
            stage.drain()


def test_a_beat_that_raises_stops_the_wait_and_drops_what_has_not_begun():
    begun, released = [], threading.Event()

    def work(item):
        begun.append(item)
        released.wait(5)

    def beat():
        released.set()
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Stage(1, beat) as stage:
        list(stage.map(work, range(9), ahead=4))
    assert begun == [0]
    assert threading.active_count() == before
