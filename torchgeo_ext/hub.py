"""Published weights as files on this machine: mirrors first, then a verified download."""

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

from torchgeo_ext.errors import BadInput, MissingWeights

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

#: ``name-1a2b3c4d.pth``: torchvision's way to say how the SHA-256 begins.
_HASH_IN_NAME = re.compile(r'-([a-f0-9]{8,64})\.\w+$')

_AGAIN = 'Delete the file and try again, or fetch it anew from where it is published.'


def weights_folder() -> Path:
    """Give the folder downloads are kept in: ``$TORCH_HOME/hub/checkpoints``, as torch's own."""
    home = os.environ.get('TORCH_HOME') or Path(
        os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache'), 'torch'
    )
    return Path(home, 'hub', 'checkpoints')


def weights_file(weights: 'WeightsEnum') -> Path:
    """Find or fetch the file of some published weights.

    Args:
        weights: A member of a weights enum.

    Returns:
        A file whose SHA-256 (or MD5, where only that was published, in ``meta['md5']``) was
        compared with what is known of it.

    Raises:
        MissingWeights: If the file is not here and cannot be downloaded.
        BadInput: If the file is not what was published.
    """
    from torchgeo_ext.plugins import plugins

    folder = weights_folder()
    found = plugins().hook.locate_weights(weights=weights, folder=folder)
    path = Path(found) if found else _download(weights, folder)
    _verify(weights, path)
    return path


def file_name(weights: 'WeightsEnum') -> str:
    """Give the name of the file in :func:`weights_folder`.

    It is that of the URL. Where weights are published under a name that is not known here, the URL
    is empty, ``meta['published_at']`` names the page, and the file is called as the weights are.
    """
    return Path(str(weights.url)).name or f'{weights}.pth'


def known_hash(weights: 'WeightsEnum') -> str:
    """Give what is known of the SHA-256: all of it from ``meta``, or its start from the name."""
    match = _HASH_IN_NAME.search(str(weights.url))
    return str(weights.meta.get('sha256') or (match.group(1) if match else ''))


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, as hexadecimal digits."""
    return _digest(path, 'sha256')


def _digest(path: Path, algorithm: str) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _verify(weights: 'WeightsEnum', path: Path) -> None:
    expected, found = known_hash(weights), sha256(path)
    if not found.startswith(expected):
        raise BadInput(
            f'{path} is not the published file of {weights}: its SHA-256 begins with '
            f'{found[: len(expected)]} instead of {expected}.',
            _AGAIN,
        )
    published = weights.meta.get('md5')
    if not expected and published and _digest(path, 'md5') != published:
        raise BadInput(
            f'{path} is not the published file of {weights}: its MD5 is not {published}.', _AGAIN
        )


def _download(weights: 'WeightsEnum', folder: Path) -> Path:
    from torch.hub import download_url_to_file

    url = str(weights.url)
    path = folder / file_name(weights)
    if not url:
        raise MissingWeights(
            f'The weights {weights} are not on this machine, and what their file is called where '
            'they are published is not known here.',
            f'Fetch it from {weights.meta["published_at"]} and save it as {path}.',
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # writes to a temporary file and renames it when the hash is right
        download_url_to_file(
            url, str(path), hash_prefix=known_hash(weights) or None, progress=False
        )
    except (URLError, OSError, RuntimeError) as error:
        raise MissingWeights(
            f'The weights {weights} are not on this machine and could not be downloaded ({error}).',
            f'Fetch {url} on a machine with network access and save it as {path}.',
        ) from error
    return path
