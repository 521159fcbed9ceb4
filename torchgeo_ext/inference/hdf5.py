"""HDF5 files, whose library is optional."""

from pathlib import Path
from typing import Any

from torchgeo_ext.errors import BadInput, MissingDependency


def open_hdf5(path: str | Path, what: str = '', hint: str = 'Fetch it again.') -> Any:
    """Open an HDF5 file, or a netCDF-4 file, to be read.

    Args:
        path: The file.
        what: The argument it came from, for messages.
        hint: What to do if it is no such file.

    Raises:
        MissingDependency: If h5py is not installed.
        BadInput: If it is no such file.
    """
    named = f'{what}: {path}' if what else str(path)
    try:
        import h5py
    except ImportError as error:
        raise MissingDependency(
            f'{named} needs the package h5py, which is not installed.',
            "Install it into the environment of the engine: pip install 'torchgeo_ext[hdf5]'.",
        ) from error
    try:
        return h5py.File(path)
    except OSError as error:
        raise BadInput(f'{named} cannot be opened as HDF5 or netCDF-4 ({error}).', hint) from error
