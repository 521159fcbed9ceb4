"""Outputs that appear whole or not at all.

Work is written beside its destination under a name ending in ``.part`` and renamed when complete,
so that an existing output survives a failure and nobody reads half a file.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchgeo_ext.errors import BadParameter, NoSpace

#: Reported by systems and by GDAL when a disk is full or a quota is used up.
FULL = {errno.ENOSPC, errno.EDQUOT}

#: Temporary names handed out and neither finished nor removed yet.
_open: set[Path] = set()


def check_destination(path: str | os.PathLike[str], argument: str = 'output') -> Path:
    """Check, before any work, that a file or folder can be created at ``path``.

    Args:
        path: The destination.
        argument: The argument it came from, for the message.

    Returns:
        The absolute path.

    Raises:
        BadParameter: If its folder does not exist or cannot be written.
    """
    destination = Path(path).expanduser().absolute()
    folder = destination.parent
    if not folder.is_dir():
        raise BadParameter(
            f'{argument}: the folder {folder} does not exist.', 'Create it or choose another one.'
        )
    # access() says yes to root everywhere, so ask the file system itself
    probe = folder / f'.{uuid.uuid4().hex}.part'
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(destination) from error
        raise BadParameter(
            f'{argument}: cannot write to the folder {folder} ({error.strerror}).',
            'Choose a folder you may write to.',
        ) from error
    return destination


def disk_full(destination: Path) -> NoSpace:
    """Make the error that says that ``destination`` cannot be written for want of space."""
    free = shutil.disk_usage(destination.parent).free
    return NoSpace(
        f'{destination}: the disk is full ({free / 1e6:.0f} MB free); nothing was written.',
        'Free some space or choose another folder.',
    )


@contextmanager
def staged(path: str | os.PathLike[str], argument: str = 'output') -> Iterator[Path]:
    """Give a temporary name to write to and move the result to ``path`` when all went well.

    The temporary name lies in the same folder (a rename never copies) and keeps the suffix, so
    that drivers which look at it are content. It may be used for a file or for a folder.

    Args:
        path: Where the finished file or folder shall be.
        argument: The argument it came from, for messages.

    Yields:
        The temporary path, not yet existing.

    Raises:
        BadParameter: If the folder is missing or cannot be written.
        NoSpace: If the disk is full.
    """
    destination = check_destination(path, argument)
    part = destination.with_name(
        f'{destination.stem}.{uuid.uuid4().hex[:8]}.part{destination.suffix}'
    )
    _open.add(part)
    try:
        yield part
        if part.is_dir() and destination.is_dir():
            # a folder cannot be renamed over a full one: keep the old until the new is in place
            old = destination.with_name(f'{destination.name}.{uuid.uuid4().hex[:8]}.old')
            destination.rename(old)
            part.rename(destination)
            shutil.rmtree(old)
        else:
            part.replace(destination)
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(destination) from error
        raise
    finally:
        remove(part)
        _open.discard(part)


def remove(path: Path) -> None:
    """Delete a file or folder if it is there, with the sidecars GDAL and SQLite put beside it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    for suffix in ('', '.aux.xml', '.ovr', '.msk', '-wal', '-shm', '-journal'):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def abandon() -> None:
    """Remove all unfinished outputs of this process, which is about to end."""
    for part in list(_open):
        remove(part)
