"""Talks to one engine: hands it a job, listens, and stops it when the user wants that.

The calling thread waits in a loop that wakes ten times a second. On the main thread it handles
events meanwhile (``pump``); without that a Ctrl-C would never be noticed in ``qgis_process``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import protocol
from .locate import PACKAGE, explain_failed_start
from .problems import EngineCanceled, EngineDied, EngineProblem, EngineUnusable, describe_exit
from .process import FOREIGN, GONE, EngineProcess, Message
from .reporter import Listener, Reporter

TICK_SECONDS = 0.1
#: From a cancel to SIGTERM and to SIGKILL, so that the user waits less than a second.
TERMINATE_AFTER_SECONDS = 0.6
KILL_AFTER_SECONDS = 0.8
SLOW_START_SECONDS = 10
HELLO_SECONDS = 120
#: How many lines that are no messages are borne before the engine is given up.
FOREIGN_LINES = 1000

Pump = Callable[[], None]


def no_events() -> None:
    """The pump of a thread that has no events to handle."""


class Engine:
    """One engine that is up and has said hello.

    Args:
        python: The program that runs it.
        listener: Hears what happens and may cancel, also while the engine starts.
        pump: Called ten times a second while waiting.

    Raises:
        EngineUnusable: If it does not start or speaks another protocol.
        EngineCanceled: If the user did not want to wait.
    """

    def __init__(self, python: Path, listener: Listener, pump: Pump = no_events) -> None:
        self.python = python
        #: Whether it is as good as new, so that the next job may use it.
        self.fit = True
        #: Whether it has said anything about its latest job.
        self.answered = False
        self._jobs = 0
        self._foreign_lines = 0
        try:
            self.process = EngineProcess(python)
        except OSError as error:
            raise explain_failed_start(python, None, str(error)) from error
        try:
            self.hello = self._await_hello(listener, pump)
        except BaseException:
            self.process.kill()
            raise

    def run(
        self, operation: str, parameters: Message, listener: Listener, pump: Pump = no_events
    ) -> Message:
        """Run one job and wait for it.

        Args:
            operation: The name of the operation.
            parameters: Its arguments as plain JSON values.
            listener: Is told the progress and may cancel.
            pump: Called ten times a second while waiting.

        Returns:
            The ``result`` message.

        Raises:
            EngineProblem: If the operation failed.
            EngineDied: If the engine did.
            EngineCanceled: If the user stopped it.
        """
        self._jobs += 1
        job = f'job-{self._jobs}'
        self.fit = self.answered = False
        self.process.send(
            {'type': protocol.JOB, 'id': job, 'operation': operation, 'parameters': parameters}
        )
        reporter, cancel = Reporter(listener), _Cancel(self.process, job)
        while True:
            message = self._next(listener, pump)
            if listener.isCanceled():
                cancel.press()
            kind = message.get('type') if message.get('id', job) == job else None
            self.answered = self.answered or message.get('id') == job
            if kind == protocol.PROGRESS:
                reporter.progress(message)
            elif kind == protocol.LOG:
                reporter.log(message)
            elif kind == protocol.CANCELING:
                cancel.grant(float(message.get('seconds', 0)))
                listener.setProgressText(message.get('text', ''))
            elif kind == protocol.RESULT:
                self.fit = True
                return message
            elif kind == protocol.ERROR:
                self.fit = message.get('kind') in protocol.HARMLESS_KINDS
                raise _problem(message)
            elif kind == protocol.CANCELED:
                self.fit = True
                raise EngineCanceled(message.get('outputs'))
            elif kind == GONE:
                raise EngineCanceled() if cancel.pressed else self._death()

    def catalog(self, listener: Listener, pump: Pump = no_events) -> Message:
        """Ask for the descriptions of all operations the engine has.

        Returns:
            The ``catalog`` message with ``operations`` and ``plugins``.

        Raises:
            EngineDied: If the engine died.
            EngineCanceled: If the user did not want to wait.
        """
        self.process.send({'type': protocol.CATALOG})
        while True:
            message = self._next(listener, pump)
            if message.get('type') == protocol.CATALOG:
                return message
            if message.get('type') == GONE:
                raise self._death()
            if listener.isCanceled():
                self.fit = False
                raise EngineCanceled()

    def close(self) -> None:
        """Let the engine leave, or end it when a job may still be running in it."""
        if self.fit:
            self.process.close({'type': protocol.QUIT})
        else:
            self.process.kill()

    def _await_hello(self, listener: Listener, pump: Pump) -> Message:
        start = time.monotonic()
        warned = False
        while True:
            message = self._next(listener, pump)
            if message.get('type') == protocol.HELLO:
                _check_protocol(self.python, message)
                return message
            if message.get('type') == GONE:
                raise explain_failed_start(self.python, *self.process.post_mortem())
            if listener.isCanceled():
                raise EngineCanceled()
            waited = time.monotonic() - start
            if waited > SLOW_START_SECONDS and not warned:
                warned = True
                listener.pushInfo('The engine takes its time to start (a first start is slow) ...')
            if waited > HELLO_SECONDS:
                raise EngineUnusable(
                    f'{self.python} was started, but no engine answered in {HELLO_SECONDS} s.',
                    'Try again; if that does not help, reinstall the engine or choose another '
                    'Python under Settings ‣ Options ‣ TorchGeo.',
                )

    def _next(self, listener: Listener, pump: Pump) -> Message:
        """The next message, or an empty one after a tick, so that callers can look around."""
        message = self.process.receive(TICK_SECONDS)
        pump()
        if message is None:
            return {}
        if message['type'] == FOREIGN:
            self._foreign_lines += 1
            listener.pushDebugInfo(message['text'])
            if self._foreign_lines > FOREIGN_LINES:
                self.fit = False
                raise EngineUnusable(
                    f'{self.python} says things that are not from a TorchGeo engine.',
                    'Choose the right Python under Settings ‣ Options ‣ TorchGeo.',
                    message['text'],
                )
        return message

    def _death(self) -> EngineDied:
        code, last_words = self.process.post_mortem()
        what, hint = describe_exit(code)
        return EngineDied(f'The engine {what}. QGIS is not affected.', hint, last_words)


class _Cancel:
    """Stops a job: asks first, then no longer."""

    def __init__(self, process: EngineProcess, job: str) -> None:
        self._process = process
        self._job = job
        self._asked = 0.0
        self._patience = 0.0

    @property
    def pressed(self) -> bool:
        return self._asked > 0

    def press(self) -> None:
        """Ask at the first call; later calls look at the clock."""
        now = time.monotonic()
        if not self.pressed:
            self._asked = now
            self._process.send({'type': protocol.CANCEL, 'id': self._job})
        waited = now - self._asked - self._patience
        if waited > KILL_AFTER_SECONDS:
            self._process.kill()
        elif waited > TERMINATE_AFTER_SECONDS:
            self._process.terminate()

    def grant(self, seconds: float) -> None:
        """Give an engine that is stopping the time it needs to keep what is worth keeping."""
        self._patience = min(seconds, protocol.LONGEST_CANCELING_SECONDS)


def _problem(message: dict[str, Any]) -> EngineProblem:
    return EngineProblem(
        message.get('message') or 'The engine failed without saying why.',
        message.get('hint') or '',
        message.get('traceback') or '',
        message.get('kind') or 'internal',
    )


def _check_protocol(python: Path, hello: Message) -> None:
    theirs = hello.get('protocol')
    if theirs == protocol.VERSION:
        return
    version = hello.get('engine_version', 'of unknown version')
    message = (
        f'The engine {version} of {python} speaks protocol {theirs}, '
        f'this plugin speaks protocol {protocol.VERSION}.'
    )
    if isinstance(theirs, int) and theirs > protocol.VERSION:
        raise EngineUnusable(message, 'Update the TorchGeo plugin in QGIS.')
    raise EngineUnusable(
        message, f'Update the engine with\n    "{python}" -m pip install --upgrade {PACKAGE}'
    )
