"""An engine process and its three pipes.

Two threads read what it says, so that neither pipe can fill up. The process ends by itself when
its standard input is closed, thus also when QGIS is killed.
"""

from __future__ import annotations

import collections
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from .environment import clean_environment
from .locate import work_folder

Message = dict[str, Any]

#: Stands for the end of everything the engine had to say.
GONE = 'gone'
#: Stands for a line that is no message.
FOREIGN = 'foreign'

QUIT_SECONDS = 2
JOIN_SECONDS = 0.5
_LAST_WORDS = 200


class EngineProcess:
    """A running ``python -m torchgeo_ext.engine``.

    Args:
        python: The program that runs it.

    Raises:
        OSError: If the program cannot be started.
    """

    def __init__(self, python: Path) -> None:
        self._process = _spawn(python)
        self._inbox: queue.Queue[Message] = queue.Queue()
        self._last_words: collections.deque[str] = collections.deque(maxlen=_LAST_WORDS)
        self._threads = [
            threading.Thread(target=self._read_messages, daemon=True),
            threading.Thread(target=self._read_last_words, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """The number of the process."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Send a message; that nobody listens any more shows in what is received next."""
        try:
            _pipe(self._process.stdin).write(json.dumps(message) + '\n')
            _pipe(self._process.stdin).flush()
        except (OSError, ValueError):  # ValueError: the pipe is closed already
            self._inbox.put({'type': GONE})

    def receive(self, seconds: float) -> Message | None:
        """Wait for the next message.

        Args:
            seconds: How long to wait.

        Returns:
            The message, of type ``GONE`` when there will be no more, or ``None`` after waiting.
        """
        was_alive = self.alive
        try:
            return self._inbox.get(timeout=seconds)
        except queue.Empty:
            # what it has started may hold the pipe open when it is dead
            return None if was_alive else {'type': GONE}

    def post_mortem(self) -> tuple[int | None, str]:
        """Collect what is left of an engine that is gone.

        Returns:
            The exit code and the end of its standard error.
        """
        try:
            self._process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # it closed its output but lives on: there is no exit code yet
        code = self._process.returncode
        self.kill()
        return code, '\n'.join(self._last_words)

    def terminate(self) -> None:
        """Ask the operating system to end the process and everything it started."""
        self._signal('SIGTERM')

    def kill(self) -> None:
        """End the process and everything it started, and let go of its pipes."""
        self._signal('SIGKILL')
        self._process.wait()
        self._close_input()
        for thread, pipe in zip(self._threads, (self._process.stdout, self._process.stderr)):
            thread.join(JOIN_SECONDS)
            if not thread.is_alive():  # else closing would wait for the reader
                _pipe(pipe).close()

    def close(self, farewell: Message) -> None:
        """Let the engine leave by itself, and end it if it does not.

        Args:
            farewell: The last message to it.
        """
        self.send(farewell)
        self._close_input()
        try:
            self._process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def _close_input(self) -> None:
        try:
            _pipe(self._process.stdin).close()
        except OSError:
            pass  # unsent bytes to a process that no longer exists

    def _signal(self, name: str) -> None:
        if not self.alive:
            return  # its number may belong to somebody else by now
        if sys.platform == 'win32':
            self._process.kill()
            return
        try:
            os.killpg(self._process.pid, getattr(signal, name))
        except ProcessLookupError:
            pass  # the whole group is gone

    def _read_messages(self) -> None:
        for line in _pipe(self._process.stdout):
            self._inbox.put(_parse(line))
        self._inbox.put({'type': GONE})

    def _read_last_words(self) -> None:
        for line in _pipe(self._process.stderr):
            self._last_words.append(line.rstrip('\n'))


def _spawn(python: Path) -> subprocess.Popen[str]:
    options: dict[str, Any] = {}
    if sys.platform == 'win32':
        hidden = subprocess.STARTUPINFO()
        hidden.dwFlags |= subprocess.STARTF_USESHOWWINDOW
        options['startupinfo'] = hidden
        options['creationflags'] = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        # Ctrl-C in a terminal is for QGIS, which then cancels; the engine must not die of it
        options['start_new_session'] = True
    return subprocess.Popen(
        [str(python), '-u', '-m', 'torchgeo_ext.engine'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=1,
        encoding='utf-8',
        errors='replace',
        env=clean_environment(os.environ),
        cwd=work_folder(),
        **options,
    )


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None  # all three are asked for in _spawn
    return pipe


def _parse(line: str) -> Message:
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if isinstance(message, dict) and isinstance(message.get('type'), str):
        return message
    return {'type': FOREIGN, 'text': line.rstrip('\n')}
