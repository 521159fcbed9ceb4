"""Threads that look at files, as long as the process lives."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor


def threads(number: int) -> ThreadPoolExecutor:
    """Give this process threads that stay.

    One that is just ending, and cleaning up what GDAL and PROJ keep for it, may hold locks that a
    worker of a DataLoader would inherit for ever.

    Args:
        number: How many.
    """
    return _threads(os.getpid(), number)


@functools.cache
def _threads(process: int, number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number)
