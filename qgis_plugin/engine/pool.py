"""Keeps an engine warm between jobs, so that torch and the model are loaded once per batch.

At most one engine waits. A job that finds none starts its own, and of two that come back one
stays; so an engine never has two jobs, and nobody waits for somebody else's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from .client import Engine, Pump, no_events
from .problems import EngineDied
from .process import Message
from .reporter import Listener

#: Is shown each new engine before its first job, for example to read its catalogue.
Greet = Callable[[Engine, Listener, Pump], None]


def no_greeting(engine: Engine, listener: Listener, pump: Pump) -> None:
    """For those who only want the job done."""


class EnginePool:
    """The engines of this QGIS.

    Args:
        greet: Called with each new engine.
    """

    def __init__(self, greet: Greet = no_greeting) -> None:
        self._greet = greet
        self._lock = threading.Lock()
        self._idle: Engine | None = None
        self._timer: threading.Timer | None = None

    def run(
        self,
        python: Path,
        operation: str,
        parameters: Message,
        listener: Listener,
        pump: Pump = no_events,
        idle_seconds: float = 0,
    ) -> Message:
        """Run one job in the waiting engine, or else in a new one.

        Args:
            python: The program that runs the engine.
            operation: The name of the operation.
            parameters: Its arguments as plain JSON values.
            listener: Is told the progress and may cancel.
            pump: Called ten times a second while waiting.
            idle_seconds: How long the engine may wait for another job; 0 ends it at once.

        Returns:
            The ``result`` message.

        Raises:
            EngineProblem: As :meth:`Engine.run` and the start of an engine do.
        """
        engine = self._take(python)
        if engine is not None:
            try:
                return engine.run(operation, parameters, listener, pump)
            except EngineDied:
                if engine.answered:
                    raise
                listener.pushDebugInfo('The waiting engine was gone; starting another one.')
            finally:
                self._give_back(engine, idle_seconds)
        engine = Engine(python, listener, pump)
        try:
            self._greet(engine, listener, pump)
            return engine.run(operation, parameters, listener, pump)
        finally:
            self._give_back(engine, idle_seconds)

    def close(self) -> None:
        """End the engine that waits, if there is one."""
        with self._lock:
            engine = self._vacate()
        if engine is not None:
            engine.close()

    def _take(self, python: Path) -> Engine | None:
        with self._lock:
            engine = self._vacate()
        if engine is None or (engine.python == python and engine.process.alive):
            return engine
        engine.close()
        return None

    def _give_back(self, engine: Engine, idle_seconds: float) -> None:
        with self._lock:
            if engine.fit and engine.process.alive and idle_seconds > 0 and self._idle is None:
                self._idle = engine
                self._timer = threading.Timer(idle_seconds, self.close)
                self._timer.daemon = True
                self._timer.start()
                return
        engine.close()

    def _vacate(self) -> Engine | None:
        engine, self._idle = self._idle, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return engine
