"""What can go wrong between QGIS and the engine, in words for the user."""

from __future__ import annotations

import signal


class EngineProblem(Exception):
    """The engine could not do what was asked.

    Args:
        message: What happened.
        hint: What the user can do about it.
        details: Traceback or last output of the engine, for the log only.
        kind: One of the error kinds of the protocol.
    """

    def __init__(
        self, message: str, hint: str = '', details: str = '', kind: str = 'internal'
    ) -> None:
        super().__init__(f'{message}\n{hint}' if hint else message)
        self.message = message
        self.hint = hint
        self.details = details
        self.kind = kind


class EngineUnusable(EngineProblem):
    """There is no engine, or the one that was found cannot be started."""


class EngineDied(EngineProblem):
    """The engine process ended in the middle of something."""


class EngineCanceled(EngineProblem):
    """The user asked to stop, and the engine has stopped.

    Args:
        kept: Outputs that are valid although the work was not finished.
    """

    def __init__(self, kept: dict[str, object] | None = None) -> None:
        super().__init__('Canceled.', kind='canceled')
        self.kept = kept or {}


_OUT_OF_MEMORY = (
    'was killed by the system, most likely because the memory ran out',
    'Use a smaller tile size or batch size, or close other programs.',
)

# the Windows codes are NTSTATUS values
_ENDS = {
    -9: _OUT_OF_MEMORY,
    137: _OUT_OF_MEMORY,  # the same through a shell
    0xC0000017: _OUT_OF_MEMORY,
    0xC0000005: (
        'crashed (memory access violation)',
        'Often a graphics driver or a damaged installation: update the driver, or try the CPU.',
    ),
    0xC0000135: (
        'did not find one of its libraries',
        'Install the "Microsoft Visual C++ Redistributable" and try again.',
    ),
    0xC00000FD: ('crashed (stack overflow)', 'Please report this with the log.'),
    -11: (
        'crashed (segmentation fault)',
        'Often a graphics driver or a damaged installation: update the driver, or try the CPU.',
    ),
}


def describe_exit(code: int | None) -> tuple[str, str]:
    """Put the exit code of an engine that died into words.

    Args:
        code: As ``Popen.returncode`` gives it: negative for a signal, ``None`` if still unknown.

    Returns:
        What happened (continuing "The engine ...") and what to do.
    """
    if code is None:
        return 'closed its connection', 'Please try again.'
    if code in _ENDS:
        what, hint = _ENDS[code]
        return f'{what} (exit code {code})', hint
    if code < 0:
        return f'was ended by signal {_signal_name(-code)}', 'Please try again.'
    return f'ended unexpectedly with exit code {code}', 'The log has its last words.'


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
