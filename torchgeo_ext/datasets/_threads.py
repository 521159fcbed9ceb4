"""Threads that look at files, as long as the process lives."""

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def threads(number: int) -> ThreadPoolExecutor:
    """Give this process threads that stay.

    One that is just ending, and cleaning up what GDAL and PROJ keep for it, may hold locks that a
    worker of a DataLoader would inherit for ever.

    Args:
        number: How many.
    """
    return _threads(os.getpid(), number)


def each[T](
    work: Callable[..., T], tasks: Sequence[Iterable[Any]], near: Sequence[Any], most: int
) -> list[T]:
    """Do tasks several at once, those of near places in the same thread, as far as it goes.

    Args:
        work: What to do.
        tasks: The arguments of each task.
        near: What to sort the tasks by, for each thread to get neighbours of one another and, next
            time, of those.
        most: The most threads; there are no more than processors.

    Returns:
        What each task gave, in the order of the tasks.
    """
    number = min(most, os.cpu_count() or 1, len(tasks))
    if number <= 1:
        return [work(*task) for task in tasks]
    order = sorted(range(len(tasks)), key=near.__getitem__)
    shares = [
        order[len(order) * i // number : len(order) * (i + 1) // number] for i in range(number)
    ]

    def do(share: Sequence[int]) -> list[tuple[int, T]]:
        return [(task, work(*tasks[task])) for task in share]

    parts = [_thread(os.getpid(), i).submit(do, share) for i, share in enumerate(shares)]
    done = dict(itertools.chain.from_iterable(part.result() for part in parts))
    return [done[task] for task in range(len(tasks))]


@functools.cache
def _threads(process: int, number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number)


@functools.cache
def _thread(process: int, number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)
