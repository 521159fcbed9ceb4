import os
import threading

import pytest

from torchgeo_ext.datasets._threads import each


@pytest.fixture(autouse=True)
def four_processors(monkeypatch):
    monkeypatch.setattr(os, 'cpu_count', lambda: 4)


@pytest.mark.parametrize('number', [0, 1, 2, 3, 10])
def test_results_come_in_the_order_of_the_tasks(number):
    tasks = [(i, i) for i in range(number)]
    done = each(lambda a, b: a + b, tasks, near=[-i for i in range(number)], most=3)
    assert done == [2 * i for i in range(number)]


def test_near_tasks_have_one_thread_each_time():
    def work(place):
        return threading.get_ident()

    places = [0, 90, 10, 80, 20, 70]
    for order in (places, places[::-1]):
        found = each(work, [(place,) for place in order], near=order, most=2)
        by_place = dict(zip(order, found, strict=True))
        low, high = ({by_place[place] for place in part} for part in ([0, 10, 20], [70, 80, 90]))
        assert len(low) == len(high) == 1
        assert low != high


def test_one_thread_is_the_callers_own():
    assert each(threading.get_ident, [(), ()], near=[0, 1], most=1) == [threading.get_ident()] * 2


def test_an_error_is_raised():
    with pytest.raises(ZeroDivisionError):
        each(lambda number: 1 / number, [(1,), (0,), (2,)], near=[0, 1, 2], most=3)
