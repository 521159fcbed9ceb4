"""What the user can set, kept in the QGIS profile."""

from __future__ import annotations

from typing import NamedTuple

from qgis.core import QgsSettings

_PYTHON = 'torchgeoext/engine_python'
_KEEP = 'torchgeoext/keep_engine'
_MINUTES = 'torchgeoext/idle_minutes'


class EngineSettings(NamedTuple):
    """How engines are started and kept.

    Args:
        python: The program that runs the engine; empty to look for one.
        keep: Whether an engine waits for another job when it is done.
        idle_minutes: How long it waits.
    """

    python: str = ''
    keep: bool = True
    idle_minutes: int = 5

    @property
    def idle_seconds(self) -> float:
        """How long an engine waits; 0 if it does not."""
        return 60.0 * self.idle_minutes if self.keep else 0.0


def read_settings() -> EngineSettings:
    """Read the settings of this profile."""
    store, default = QgsSettings(), EngineSettings()
    return EngineSettings(
        python=store.value(_PYTHON, default.python, type=str),
        keep=store.value(_KEEP, default.keep, type=bool),
        idle_minutes=store.value(_MINUTES, default.idle_minutes, type=int),
    )


def write_settings(settings: EngineSettings) -> None:
    """Store the settings in this profile."""
    store = QgsSettings()
    store.setValue(_PYTHON, settings.python)
    store.setValue(_KEEP, settings.keep)
    store.setValue(_MINUTES, settings.idle_minutes)
