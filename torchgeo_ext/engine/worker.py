"""Reads jobs, runs one at a time, and answers.

A thread reads stdin so that a cancel is heard during a job; jobs run on the main thread. The end
of stdin means that the other side is gone: the job is canceled and the process leaves, at the
latest after :data:`GRACE` seconds.
"""

import json
import logging
import os
import platform
import queue
import signal
import threading
import time
import traceback
from collections.abc import Iterable
from importlib import metadata
from typing import Any, TextIO

from torchgeo_ext import __version__, staging
from torchgeo_ext.devices import guess_devices
from torchgeo_ext.engine import protocol
from torchgeo_ext.errors import BadParameter, Canceled, TorchgeoExtError

#: Seconds a job may take to notice that nobody waits for it any more.
GRACE = 3.0
#: Seconds an operation may take to keep what it has reached when it is canceled.
KEEPING = 60.0
#: Seconds between two progress messages.
INTERVAL = 0.2

_LEVELS = {logging.DEBUG: 'debug', logging.INFO: 'info'}


class Channel:
    """Writes messages, from any thread.

    Args:
        stream: Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, type: str, **fields: Any) -> None:
        """Write one message."""
        line = json.dumps({'type': type, **fields}, default=_plain, ensure_ascii=False)
        try:
            with self._lock:
                self._stream.write(line + '\n')
                self._stream.flush()
        except (BrokenPipeError, ValueError):
            # nobody listens any more; the end of stdin will tell the same in a moment
            logging.getLogger(__name__).debug('Could not send %s', type)


def _plain(value: Any) -> Any:
    """Turn what operations return into JSON: paths and NumPy numbers."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item()


class _LogHandler(logging.Handler):
    """Sends log records of the running job."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self.job: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        level = _LEVELS.get(record.levelno, 'warning')
        self._channel.send(protocol.LOG, id=self.job, level=level, text=record.getMessage())


class JobProgress:
    """Sends how far a job is and raises when it was canceled.

    Args:
        channel: Where messages go.
        job: The job's id.
    """

    def __init__(self, channel: Channel, job: Any) -> None:
        self.canceled = threading.Event()
        self.job = job
        #: What the operation does with a cancel besides stopping; empty for most.
        self.keeps = ''
        self._channel = channel
        self._next = 0.0

    def __call__(
        self, fraction: float, text: str = '', *, tile: int | None = None, tiles: int | None = None
    ) -> None:
        """Report, at most a few times a second."""
        if self.canceled.is_set():
            raise Canceled
        now = time.monotonic()
        if now < self._next and fraction < 1:
            return
        self._next = now + INTERVAL
        counted = {'tile': tile, 'tiles': tiles} if tiles else {}
        value = min(1.0, max(0.0, fraction))
        self._channel.send(protocol.PROGRESS, id=self.job, value=value, text=text, **counted)


class Worker:
    """The engine: answers messages until told to leave.

    Args:
        channel: Where answers go.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self._running: JobProgress | None = None
        self._waiting: set[Any] = set()
        self._lock = threading.Lock()
        self._log = _LogHandler(channel)
        logger = logging.getLogger('torchgeo_ext')
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)

    def serve(self, lines: Iterable[str]) -> None:
        """Answer until the lines end or ``quit`` comes."""
        self._hello()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        while (message := self._inbox.get())['type'] != protocol.QUIT:
            if message['type'] == protocol.JOB:
                self._job(message)
            elif message['type'] == protocol.CATALOG:
                self._catalog()

    def _hello(self) -> None:
        from torchgeo_ext.operations._catalog import catalog, catalog_hash

        self._channel.send(
            protocol.HELLO,
            protocol=protocol.PROTOCOL,
            engine_version=__version__,
            python=platform.python_version(),
            torch=_torch_version(),
            devices=guess_devices(),
            catalog_hash=catalog_hash(catalog()),
        )

    def _read(self, lines: Iterable[str]) -> None:
        """Run on the reading thread: what cannot wait for the job is answered at once."""
        for line in lines:
            message = self._parse(line)
            kind = message.get('type')
            if kind == protocol.PING:
                self._channel.send(protocol.PONG)
            elif kind == protocol.CANCEL:
                self._cancel(message.get('id'))
            elif kind in (protocol.JOB, protocol.CATALOG, protocol.QUIT):
                with self._lock:
                    self._waiting.add(message.get('id'))
                self._inbox.put(message)
            elif kind is not None:
                self._warn(f'Unknown message {kind!r} ignored.')
        self._leave()

    def _parse(self, line: str) -> dict[str, Any]:
        if not line.strip():
            return {}
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get('type'), str):
            self._warn(f'Not a message: {line.strip()[:200]!r}')
            return {}
        return message

    def _warn(self, text: str) -> None:
        self._channel.send(protocol.LOG, id=None, level='warning', text=text)

    def _cancel(self, job: Any) -> None:
        with self._lock:
            if self._running is not None and self._running.job == job:
                self._running.canceled.set()
                keeps = self._running.keeps
                if keeps:
                    self._channel.send(protocol.CANCELING, id=job, seconds=KEEPING, text=keeps)
            else:
                # not begun yet: _job finds it missing
                self._waiting.discard(job)

    def _leave(self) -> None:
        """Nobody is there any more: stop the job, tidy up, end the process."""
        with self._lock:
            self._waiting.clear()
            if self._running is not None:
                self._running.canceled.set()
        self._inbox.put({'type': protocol.QUIT})
        time.sleep(GRACE)
        leave(0)

    def _catalog(self) -> None:
        from torchgeo_ext.operations._catalog import catalog
        from torchgeo_ext.plugins import plugins

        known = catalog()
        self._channel.send(
            protocol.CATALOG,
            operations=known,
            plugins=[
                {'name': p.name, 'version': p.version} | ({'error': p.error} if p.error else {})
                for p in plugins().all
            ],
        )

    def _job(self, message: dict[str, Any]) -> None:
        job = message.get('id')
        progress = JobProgress(self._channel, job)
        with self._lock:
            if job not in self._waiting:
                self._channel.send(protocol.CANCELED, id=job)
                return
            self._waiting.discard(job)
            self._running = progress
        self._log.job = job
        try:
            self._run(job, message, progress)
        except Canceled:
            self._channel.send(protocol.CANCELED, id=job)
        except Exception as error:  # the process must outlive whatever a job does
            self._channel.send(protocol.ERROR, id=job, **explain(error))
        finally:
            with self._lock:
                self._running = None
            self._log.job = None

    def _run(self, job: Any, message: dict[str, Any], progress: JobProgress) -> None:
        from torchgeo_ext.plugins import plugins
        from torchgeo_ext.registry import operations

        began = time.monotonic()
        name, parameters = message.get('operation'), message.get('parameters', {})
        if not isinstance(name, str) or not isinstance(parameters, dict):
            raise BadParameter('A job needs the name of an operation and an object of parameters.')
        operation = operations[name].operation
        progress.keeps = operation.keeps
        result = plugins().hook.run_operation(
            operation=operation, parameters=parameters, progress=progress
        )
        styles = getattr(result, 'styles', {})
        self._channel.send(
            protocol.RESULT,
            id=job,
            outputs={output.name: getattr(result, output.name) for output in operation.outputs},
            styles=styles,
            classes=next((s['classes'] for s in styles.values() if s['type'] == 'classes'), None),
            elapsed=round(time.monotonic() - began, 3),
        )


def explain(error: Exception) -> dict[str, str]:
    """Turn an exception into the fields of an error message."""
    text = ''.join(traceback.format_exception(error))
    if isinstance(error, TorchgeoExtError):
        return {
            'kind': error.kind, 'message': error.message, 'hint': error.hint, 'traceback': text
        }  # fmt: skip
    if isinstance(error, MemoryError):
        kind, message = 'out_of_memory', 'There is not enough memory for this.'
        hint = 'Use a smaller tile size, batch size or extent.'
    elif isinstance(error, OSError) and error.errno in staging.FULL:
        kind, message = 'no_space', f'The disk is full ({error.filename or error.strerror}).'
        hint = 'Free some space or choose another folder.'
    elif isinstance(error, ImportError):
        kind, message = 'missing_dependency', f'A Python package is missing ({error}).'
        hint = 'Install torchgeo_ext into the Python environment of the engine again.'
    else:
        kind, message = (
            'internal',
            f'Something unforeseen happened: {type(error).__name__}: {error}',
        )
        hint = 'The log has the details; please report them.'
    return {'kind': kind, 'message': message, 'hint': hint, 'traceback': text}


def leave(code: int) -> None:
    """End the process at once, whatever its threads do; unfinished outputs are removed."""
    staging.abandon()
    os._exit(code)


def leave_on_sigterm() -> None:
    """Tidy up when told to terminate, even while the main thread is deep inside a library.

    A Python signal handler would have to wait for the running torch or GDAL call, so a thread of
    its own waits for the signal.
    """
    if not hasattr(signal, 'pthread_sigmask'):
        return  # Windows ends the process without asking

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        leave(128 + signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _torch_version() -> str | None:
    try:
        return metadata.version('torch')
    except metadata.PackageNotFoundError:
        return None
