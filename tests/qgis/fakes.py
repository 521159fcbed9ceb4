"""Stand-ins for the engine's Python and for QGIS's feedback."""

import os
import stat
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent


class FakePython:
    """A program that behaves like an engine's Python.

    Args:
        folder: Where to put it.
        mode: How the fake engine starts, see ``fake_engine.py``.
    """

    def __init__(self, folder, mode='ok'):
        self.journal = folder / f'{mode}.journal'
        self.path = folder / f'python-{mode}'
        self.path.write_text(
            '#!/bin/sh\n'
            f'exec "{sys.executable}" "{HERE / "fake_engine.py"}" {mode} "{self.journal}" "$@"\n'
        )
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def __str__(self):
        return str(self.path)

    @property
    def notes(self):
        """What the engines started so far have noted, without their process ids."""
        return [line.partition(' ')[2] for line in self._lines()]

    @property
    def process_ids(self):
        """The process ids of all engines started so far."""
        return [int(line.split()[0]) for line in self._lines() if line.endswith(' start')]

    def _lines(self):
        return (
            self.journal.read_text(encoding='utf-8').splitlines() if self.journal.exists() else []
        )


class FakeFeedback:
    """Remembers what it is told; cancels once ``cancel_when`` is true."""

    def __init__(self, cancel_when=lambda: False):
        self.cancel_when = cancel_when
        self.said = []
        self.progress = []

    def isCanceled(self):
        return self.cancel_when()

    def setProgress(self, value):
        self.progress.append(value)

    def setProgressText(self, text):
        self.said.append(('text', text))

    def pushInfo(self, text):
        self.said.append(('info', text))

    def pushWarning(self, text):
        self.said.append(('warning', text))

    def pushDebugInfo(self, text):
        self.said.append(('debug', text))

    def after(self, seconds):
        """Cancel so long after the engine has begun to work."""
        begin = []

        def due():
            if not begin and ('info', 'fake engine at work') in self.said:
                begin.append(time.monotonic())
            return bool(begin) and time.monotonic() - begin[0] > seconds

        self.cancel_when = due
        return self


def is_running(process_id):
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f'/proc/{process_id}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return False
    return state != 'Z'


def wait_until(condition, seconds=5):
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def engine_python():
    """The Python of the development environment, which has the real engine."""
    return os.environ.get('TORCHGEO_EXT_PYTHON') or str(REPOSITORY / '.venv' / 'bin' / 'python')
