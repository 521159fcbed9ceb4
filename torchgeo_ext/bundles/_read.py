"""Reads bundles: every file is verified before use, nothing is ever unpickled."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torchgeo_ext.bundles import _zip
from torchgeo_ext.bundles._card import BundleCard
from torchgeo_ext.bundles._item import (
    GET_AGAIN,
    ITEM,
    WEIGHTS,
    FileEntry,
    item_files,
    item_to_card,
    parse_item,
)
from torchgeo_ext.errors import BadInput
from torchgeo_ext.hub import sha256

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

log = logging.getLogger(__name__)

_CHECKPOINT = '.ckpt'
#: How files begin that torch.save and pickle write.
_PICKLES = (b'PK\x03\x04', b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')


@dataclass(frozen=True)
class Bundle:
    """A trained model, ready to be built.

    Args:
        path: The folder or checkpoint it came from.
        card: What is known of it.
        load: Gives the weights by name.
    """

    path: Path
    card: BundleCard
    load: 'Callable[[], Mapping[str, Tensor]]' = field(repr=False, compare=False)

    def fill(self, date: int = 0) -> tuple[float, ...]:
        """Give the stored value of each band that the network sees as 0: the mean of that band."""
        return tuple((b.mean - b.offset) / b.scale for b in self.card.bands_of(date))

    def build(self, device: 'str | torch.device' = 'cpu') -> 'nn.Module':
        """Build the complete predictor.

        Args:
            device: Where to put it.

        Returns:
            A module in evaluation mode. It takes stored pixel values as float32, (b, c, h, w) or
            (b, t, c, h, w) for two dates, and gives scores (b, k, h, w): probabilities, or the
            predicted values of a regression. A model of two classes may give a single score,
            that of the second class. A ``map_update`` takes (b, t * c + 1, h, w), the map last;
            what a ``detection`` gives is said at
            :class:`~torchgeo_ext.bundles._detector.Detector`.

        Raises:
            BadInput: If the architecture is not known or the weights do not fit it.
        """
        from torchgeo_ext.bundles._architecture import build_network, load_weights
        from torchgeo_ext.bundles._detector import complete

        where = str(self.path)
        network = build_network(self.card.architecture, where)
        load_weights(network, self.load(), where)
        return complete(network, self.card).to(device).eval()


@dataclass(frozen=True)
class BundleInfo:
    """What can be told of a bundle without loading it.

    Args:
        path: Where it is.
        card: What is known of it.
        parameters: How many numbers the network has learnt.
        size: Size of all files together, in bytes.
        files: Names of the files.
    """

    path: Path
    card: BundleCard
    parameters: int
    size: int
    files: tuple[str, ...]


def read_bundle(path: str | os.PathLike[str], argument: str = 'bundle') -> Bundle:
    """Read a bundle and verify all of its files.

    Args:
        path: A folder with a ``model.json``, that file, a zip of the folder, or a Lightning
            checkpoint (``.ckpt``) of a task that predicts rasters.
        argument: The argument it came from, for messages.

    Returns:
        The bundle.

    Raises:
        BadInput: If there is no bundle, a file is missing or is not what was written, the format
            is newer than this version, or weights are something else than safetensors.
    """
    source = _existing(path, argument)
    if source.suffix.lower() == _CHECKPOINT:
        return _read_bare_checkpoint(source, argument)
    item_path = _item_path(_zip.unpack(source, argument) if _is_zip(source) else source, argument)
    where = f'{argument}: {item_path}'
    item = parse_item(item_path.read_bytes(), where)
    card = item_to_card(item, where)
    files = item_files(item, where)
    if WEIGHTS not in files:
        raise BadInput(f'{where} names no {WEIGHTS}.', GET_AGAIN)
    for entry in files.values():
        _verify(item_path.parent / entry.name, entry, argument)
    weights = item_path.parent / files[WEIGHTS].name
    _refuse_pickles(weights, argument)
    return Bundle(item_path.parent, card, lambda: _load_safetensors(weights, argument))


def describe_bundle(path: str | os.PathLike[str], argument: str = 'bundle') -> BundleInfo:
    """Tell what a bundle is from its ``model.json`` alone; files are not verified.

    torch is loaded for checkpoints only.

    Args:
        path: As for :func:`read_bundle`.
        argument: The argument it came from, for messages.

    Raises:
        BadInput: If there is no bundle or it cannot be understood.
    """
    source = _existing(path, argument)
    if source.suffix.lower() == _CHECKPOINT:
        return _describe_checkpoint(source, argument)
    where = f'{argument}: {source}'
    if _is_zip(source):
        content = _zip.read_item(source, argument)
    else:
        content = _item_path(source, argument).read_bytes()
    item = parse_item(content, where)
    card = item_to_card(item, where)
    files = item_files(item, where).values()
    return BundleInfo(
        path=source,
        card=card,
        parameters=int(item['properties'].get('mlm:total_parameters', 0)),
        size=sum(entry.size for entry in files),
        files=tuple(entry.name for entry in files),
    )


def _existing(path: str | os.PathLike[str], argument: str) -> Path:
    source = Path(path).expanduser()
    if not source.exists():
        raise BadInput(f'{argument}: {source} does not exist.', 'Check the path.')
    return source


def _is_zip(source: Path) -> bool:
    return source.is_file() and source.suffix.lower() == '.zip'


def _item_path(source: Path, argument: str) -> Path:
    if source.is_dir():
        if not (source / ITEM).is_file():
            raise BadInput(
                f'{argument}: the folder {source} is no bundle: it has no {ITEM}.',
                f'Choose the folder that holds {ITEM}.',
            )
        return source / ITEM
    if source.suffix.lower() != '.json':
        raise BadInput(
            f'{argument}: {source} is no bundle.',
            f'Choose a folder with a {ITEM}, that file, a .zip of the folder or a Lightning '
            f'checkpoint ({_CHECKPOINT}).',
        )
    return source


def _verify(path: Path, entry: FileEntry, argument: str) -> None:
    if not path.is_file():
        raise BadInput(f'{argument}: the file {path} of the bundle is missing.', GET_AGAIN)
    found = sha256(path)
    if found != entry.sha256:
        raise BadInput(
            f'{argument}: {path} was changed or damaged: its SHA-256 is {found[:16]}..., '
            f'but {ITEM} says {entry.sha256[:16]}...',
            GET_AGAIN,
        )


def _refuse_pickles(path: Path, argument: str) -> None:
    with path.open('rb') as file:
        start = file.read(4)
    if start.startswith(_PICKLES):
        raise BadInput(
            f'{argument}: {path} is a pickle, not safetensors; opening one can run any code.',
            'Do not rename files of torch.save; make a bundle from the checkpoint with '
            'create_bundle.',
        )


def _load_safetensors(path: Path, argument: str) -> 'Mapping[str, Tensor]':
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise BadInput(
            f'{argument}: {path} is no safetensors file ({error}).', GET_AGAIN
        ) from error


def _read_bare_checkpoint(path: Path, argument: str) -> Bundle:
    from torchgeo_ext.bundles.checkpoint import TORCHGEO_STD, read_checkpoint

    bundle = read_checkpoint(path, argument)
    if all((band.mean, band.std) == (0, TORCHGEO_STD) for band in bundle.card.bands):
        log.warning(
            '%s: %s does not say how its pixel values were normalised; they are divided by 255 as '
            "TorchGeo's data modules do unless told otherwise. Make a bundle with create_bundle to "
            'say it.',
            argument,
            path,
        )
    return bundle


def _describe_checkpoint(path: Path, argument: str) -> BundleInfo:
    from torchgeo_ext.bundles._architecture import build_network, count_parameters
    from torchgeo_ext.bundles.checkpoint import read_checkpoint

    card = read_checkpoint(path, argument).card
    network = build_network(card.architecture, str(path))
    return BundleInfo(
        path=path,
        card=card,
        parameters=count_parameters(network),
        size=path.stat().st_size,
        files=(path.name,),
    )
