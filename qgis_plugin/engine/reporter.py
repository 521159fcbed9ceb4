"""Turns what the engine reports into what QGIS shows."""

from __future__ import annotations

import re
import time
from typing import Any, Protocol

#: How often the number of finished tiles is written to the log.
TILES_SECONDS = 10
#: How often a text that differs in its numbers only (epoch 3, epoch 4) is written to the log.
NUMBERS_SECONDS = 2
#: Share of the work that must be done to tell from it how long the rest takes.
TELLING = 0.01


class Listener(Protocol):
    """The part of ``QgsProcessingFeedback`` that is used."""

    def isCanceled(self) -> bool:
        """Whether the user asked to stop."""

    def setProgress(self, progress: float) -> None:
        """Show the percentage."""

    def setProgressText(self, text: str) -> None:
        """Show what is being done."""

    def pushInfo(self, info: str) -> None:
        """Log a fact."""

    def pushWarning(self, warning: str) -> None:
        """Log something to look at."""

    def pushDebugInfo(self, info: str) -> None:
        """Log a detail."""


_NUMBERS = re.compile(r'[\d.,]+')


class Reporter:
    """Passes progress on in doses that a log of a long run can stand.

    Args:
        listener: Where it goes.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._stage = self._text = ''
        self._start = self._last_tiles = self._last_text = time.monotonic()

    def progress(self, message: dict[str, Any]) -> None:
        """Show a ``progress`` message."""
        value = min(max(float(message.get('value', 0)), 0.0), 1.0)
        self._listener.setProgress(100 * value)
        now = time.monotonic()
        text = message.get('text', '')
        stage = _NUMBERS.sub('', text)
        if text and (stage != self._stage or now - self._last_text >= NUMBERS_SECONDS):
            if text != self._text:
                self._listener.setProgressText(text)
            self._stage, self._text, self._last_text = stage, text, now
        if message.get('tiles') and now - self._last_tiles >= TILES_SECONDS:
            self._last_tiles = now
            said = f'Tile {message.get("tile", 0)} of {message["tiles"]}'
            if value >= TELLING:
                left = _duration((now - self._start) * (1 - value) / value)
                said += f', about {left} left'
            self._listener.pushInfo(said)

    def log(self, message: dict[str, Any]) -> None:
        """Show a ``log`` message."""
        show = {'info': self._listener.pushInfo, 'warning': self._listener.pushWarning}
        show.get(message.get('level', ''), self._listener.pushDebugInfo)(message.get('text', ''))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f'{seconds:.0f} s'
    if seconds < 90 * 60:
        return f'{seconds / 60:.0f} min'
    return f'{seconds / 3600:.1f} h'
