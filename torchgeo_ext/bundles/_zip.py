"""Bundles in zip files.

Only files that ``model.json`` names are extracted, each of the size it names, so that neither
paths nor compression can do harm.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from torchgeo_ext.bundles._item import GET_AGAIN, ITEM, item_files, parse_item
from torchgeo_ext.errors import BadInput
from torchgeo_ext.hub import sha256
from torchgeo_ext.staging import staged

#: Far more than any description of a model.
_LARGEST_ITEM = 50_000_000


def cache_folder() -> Path:
    """Give the folder for unpacked bundles: ``$TORCHGEO_EXT_CACHE`` or a default of the system."""
    if chosen := os.environ.get('TORCHGEO_EXT_CACHE'):
        return Path(chosen)
    home = Path.home()
    if sys.platform == 'win32':
        default = Path(os.environ.get('LOCALAPPDATA', home / 'AppData' / 'Local'))
    else:
        default = Path(os.environ.get('XDG_CACHE_HOME', home / '.cache'))
    return default / 'torchgeo_ext'


def read_item(path: Path, argument: str) -> bytes:
    """Read the ``model.json`` of a zipped bundle.

    Args:
        path: The zip.
        argument: The argument it came from, for messages.

    Raises:
        BadInput: If there is none or the zip is damaged.
    """
    with _opened(path, argument) as archive:
        return archive.read(_item_name(archive, path, argument))


def unpack(path: Path, argument: str) -> Path:
    """Unpack a zipped bundle, or find it where it was unpacked before.

    Args:
        path: The zip.
        argument: The argument it came from, for messages.

    Returns:
        The folder it is in, named by the hash of the zip.

    Raises:
        BadInput: If the zip is damaged or lacks a file.
    """
    folder = cache_folder() / 'bundles' / sha256(path)
    if (folder / ITEM).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    where = f'{argument}: {path}'
    with _opened(path, argument) as archive, staged(folder, argument) as part:
        name = _item_name(archive, path, argument)
        content = archive.read(name)
        part.mkdir()
        (part / ITEM).write_bytes(content)
        for entry in item_files(parse_item(content, where), where).values():
            _extract(archive, name.removesuffix(ITEM), entry.name, entry.size, part, where)
    return folder


@contextmanager
def _opened(path: Path, argument: str) -> Iterator[ZipFile]:
    try:
        with ZipFile(path) as archive:
            yield archive
    # RuntimeError: the zip is encrypted
    except (BadZipFile, RuntimeError, NotImplementedError) as error:
        raise BadInput(
            f'{argument}: {path} cannot be read as a zip file ({error}).', GET_AGAIN
        ) from error


def _item_name(archive: ZipFile, path: Path, argument: str) -> str:
    """Find ``model.json`` at the top or, as zipping a folder gives it, one level down."""
    names = [name for name in archive.namelist() if PurePosixPath(name).name == ITEM]
    shallow = sorted((name for name in names if name.count('/') <= 1), key=lambda n: n.count('/'))
    if not shallow or archive.getinfo(shallow[0]).file_size > _LARGEST_ITEM:
        raise BadInput(
            f'{argument}: {path} holds no bundle: it has no {ITEM}.',
            'Zip the folder that was written, or choose that folder.',
        )
    return shallow[0]


def _extract(archive: ZipFile, prefix: str, name: str, size: int, folder: Path, where: str) -> None:
    try:
        info = archive.getinfo(prefix + name)
    except KeyError as error:
        raise BadInput(f'{where}: the file {name} of the bundle is missing.', GET_AGAIN) from error
    if info.file_size != size:
        raise BadInput(
            f'{where}: {name} was changed or damaged: it has {info.file_size} bytes instead of '
            f'{size}.',
            GET_AGAIN,
        )
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as packed, target.open('wb') as file:
        shutil.copyfileobj(packed, file)
