"""Stages of work in threads, bounded and in order.

Each stage runs ahead of the next one by a few items only. The thread that pulls the results calls
``beat`` while it waits, which may raise to stop everything; what any thread raises arrives there.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from types import TracebackType
from typing import Any, Self

import rasterio

#: Seconds between two beats.
_BEAT = 0.1


class Stage:
    """Some threads that do one kind of work.

    Leaving the ``with`` block waits for work that has begun and drops what has not.

    Args:
        workers: Number of threads.
        beat: Called several times a second while waiting.
    """

    def __init__(self, workers: int, beat: Callable[[], None]) -> None:
        # GDAL reports errors through rasterio only to threads that entered an environment
        self._executor = ThreadPoolExecutor(workers, initializer=rasterio.Env().__enter__)
        self._beat = beat
        self._backlog: deque[Future[Any]] = deque()

    def map[Item, Result](
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        ahead: int,
        *,
        helping: bool = False,
    ) -> Generator[Result]:
        """Yield ``function(item)`` for each item in order.

        Args:
            function: The work.
            items: Pulled one by one, when there is room.
            ahead: Number of results that may be waiting or under way.
            helping: Whether the calling thread does work itself instead of waiting.
        """
        pending: deque[tuple[Item, Future[Result]]] = deque()
        try:
            for item in items:
                pending.append((item, self._executor.submit(function, item)))
                if len(pending) > ahead:
                    if helping:
                        _help(function, pending)
                    yield self._wait(pending.popleft()[1])
            while pending:
                yield self._wait(pending.popleft()[1])
        finally:
            for _, future in pending:
                future.cancel()

    def put(self, function: Callable[..., object], *arguments: object, ahead: int) -> None:
        """Have something done; wait if more than ``ahead`` such things are not done yet."""
        self._backlog.append(self._executor.submit(function, *arguments))
        while len(self._backlog) > ahead:
            self._wait(self._backlog.popleft())

    def drain(self) -> None:
        """Wait until everything is done."""
        while self._backlog:
            self._wait(self._backlog.popleft())

    def _wait[Result](self, future: Future[Result]) -> Result:
        while True:
            try:
                return future.result(_BEAT)
            except NotYet:
                if future.done():
                    # the work itself raised a TimeoutError
                    return future.result()
                self._beat()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._executor.shutdown(cancel_futures=True)


def _help[Item, Result](
    function: Callable[[Item], Result], pending: deque[tuple[Item, Future[Result]]]
) -> None:
    """Do the first item that no thread has begun, unless the first result is there already."""
    if pending[0][1].done():
        return
    for index, (item, future) in enumerate(pending):
        if future.cancel():
            done: Future[Result] = Future()
            done.set_result(function(item))
            pending[index] = item, done
            return
