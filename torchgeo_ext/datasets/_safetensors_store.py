"""Arrays in an LMDB, each entry in the format of safetensors, as rico-hdl writes them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load

from torchgeo_ext.errors import BadInput, MissingDependency


class SafetensorsStore:
    """Reads entries of an LMDB, which each process opens for itself.

    Written by rico-hdl (https://github.com/kai-tub/rico-hdl).

    Args:
        path: Folder of the LMDB.

    Raises:
        MissingDependency: If lmdb is not installed.
        BadInput: If there is no LMDB.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        _environment(self.path)

    def read(self, key: str) -> Mapping[str, NDArray[Any]]:
        """Read the arrays of an entry, by their names.

        Args:
            key: Name of the entry.

        Raises:
            BadInput: If there is no such entry.
        """
        with _environment(self.path).begin() as transaction:
            stored = transaction.get(key.encode())
        if stored is None:
            raise BadInput(f'{self.path} has no entry {key}.', 'Convert the dataset anew.')
        return load(stored)


#: What this process has open; an LMDB cannot be opened twice in one.
_environments: dict[Path, Any] = {}


def _environment(path: Path) -> Any:
    """Open an LMDB, or give it if it is open."""
    if path not in _environments:
        _environments[path] = _open(path)
    return _environments[path]


def _close() -> None:
    """Close all that a forked process has inherited, which belongs to its parent."""
    while _environments:
        _environments.popitem()[1].close()


# Windows cannot fork
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_close)


def _open(path: Path) -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise MissingDependency(
            f'{path} needs the package lmdb, which is not installed.',
            "Install it with: pip install 'torchgeo_ext[lmdb]'.",
        ) from error
    if not (path / 'data.mdb').is_file():
        raise BadInput(f'{path} is not the folder of an LMDB.', 'Name the one rico-hdl wrote.')
    # pages are read in no order; a lock would need a folder that can be written
    return lmdb.open(str(path), readonly=True, lock=False, readahead=False)
