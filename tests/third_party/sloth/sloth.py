"""Operations that are slow or fail, to see what the engine makes of them."""

import errno
import os
import time
import warnings
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext import hookimpl, operation
from torchgeo_ext.errors import Canceled
from torchgeo_ext.operations._operation import StrPath, file_out
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.staging import staged


class Dreamt(NamedTuple):
    """Result of :func:`sleep_well`.

    Attributes:
        seconds: How long it slept.
    """

    seconds: float


class Slept(NamedTuple):
    """Result of :func:`sleep_long`.

    Attributes:
        seconds: How long it slept.
    """

    output: str
    seconds: float


@operation(label='Sleep long', group='Sloth', tags=('slow',))
def sleep_long(
    output: Annotated[StrPath, file_out('txt')],
    *,
    seconds: float = 60.0,
    listens: bool = True,
    progress: Progress = silent,
) -> Slept:
    """Sleep for a long time while an output is being written.

    Args:
        output: A file.
        seconds: How long.
        listens: Whether it reports progress and so can be canceled.
        progress: Told how far it is.
    """
    print('libraries print to stdout')
    with staged(output) as part:
        Path(part).write_text('unfinished')
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            time.sleep(0.02)
            if listens or passed < 0.1:
                progress(passed / seconds, 'sleeping')
    return Slept(str(output), seconds)


@operation(label='Sleep well', group='Sloth', tags=('slow',), keeps='Keeping what was dreamt')
def sleep_well(*, seconds: float = 60.0, progress: Progress = silent) -> Dreamt:
    """Sleep, and return what was reached when woken.

    Args:
        seconds: How long.
        progress: Told how far it is.
    """
    began = time.monotonic()
    try:
        while (passed := time.monotonic() - began) < seconds:
            time.sleep(0.02)
            progress(passed / seconds, 'sleeping')
    except Canceled:
        time.sleep(0.5)
    return Dreamt(time.monotonic() - began)


class Failed(NamedTuple):
    """Result of :func:`fail_somehow`."""


@operation(label='Fail', group='Sloth', tags=('error',))
def fail_somehow(*, how: Literal['memory', 'disk', 'import', 'bug', 'warn', 'crash']) -> Failed:
    """Fail.

    Args:
        how: In which way.
    """
    if how == 'memory':
        raise MemoryError
    if how == 'disk':
        raise OSError(errno.ENOSPC, 'No space left on device', '/full/disk.tif')
    if how == 'import':
        raise ModuleNotFoundError("No module named 'nowhere'")
    if how == 'crash':
        os._exit(7)
    if how == 'warn':
        warnings.warn('a library warns', stacklevel=2)
        return Failed()
    raise ZeroDivisionError('division by zero')


@hookimpl
def register_operations() -> list:
    return [sleep_long, sleep_well, fail_somehow]
