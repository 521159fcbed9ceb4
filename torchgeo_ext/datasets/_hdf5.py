"""HDF5 files, whose library is optional."""

from pathlib import Path
from typing import Any

from torchgeo_ext.errors import BadInput, MissingDependency


def opened_hdf5(path: Path) -> Any:
    """Open an HDF5 file to be read.

    Args:
        path: The file.

    Raises:
        MissingDependency: If h5py is not installed.
        BadInput: If it is no such file.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependency(
            f'{path} needs the package h5py, which is not installed.',
            "Install it with: pip install 'torchgeo_ext[hdf5]'.",
        ) from error
    try:
        return h5py.File(path)
    except OSError as error:
        raise BadInput(f'{path} cannot be opened: {error}.', 'Fetch it again.') from error
