"""Writes bundles: whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torchgeo_ext.bundles._architecture import (
    build_network,
    count_parameters,
    fitting_state,
    load_weights,
)
from torchgeo_ext.bundles._card import DETECTING, BundleCard
from torchgeo_ext.bundles._item import (
    ITEM,
    WEIGHTS,
    FileEntry,
    card_to_item,
    item_files,
    parse_item,
)
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.hub import sha256
from torchgeo_ext.staging import check_destination, staged

if TYPE_CHECKING:
    from torch import Tensor, nn

StrPath = str | os.PathLike[str]
Export = Literal['pt2', 'onnx']

_WEIGHTS_FILE = 'model.safetensors'


def check_bundle_folder(folder: StrPath, argument: str = 'output') -> Path:
    """Check, before any work, that a bundle can be written to a folder.

    An existing folder is replaced as a whole, so it must be empty or hold a bundle and nothing
    else.

    Args:
        folder: Where the bundle shall be.
        argument: The argument it came from, for messages.

    Returns:
        The absolute path.

    Raises:
        BadParameter: If it cannot be created there or the folder holds other files.
    """
    path = check_destination(folder, argument)
    if path.is_file():
        raise BadParameter(f'{argument}: {path} is a file.', 'Give the name of a folder.')
    if not path.is_dir():
        return path
    ours = _files_of_bundle(path)
    others = sorted(
        name
        for name in (file.relative_to(path).as_posix() for file in path.rglob('*'))
        if name not in ours
    )
    if others:
        raise BadParameter(
            f'{argument}: the folder {path} holds other things than a bundle, '
            f'for instance {others[0]}.',
            'Choose a new folder, so that nothing of yours is replaced.',
        )
    return path


def _files_of_bundle(folder: Path) -> set[str]:
    try:
        item = parse_item((folder / ITEM).read_bytes(), str(folder))
        names = [entry.name for entry in item_files(item, str(folder)).values()]
    except (OSError, BadInput):
        return set()  # no bundle
    parents = {parent.as_posix() for name in names for parent in Path(name).parents}
    return {ITEM, *names, *parents}


def write_bundle(
    folder: StrPath,
    card: BundleCard,
    model: 'nn.Module | Mapping[str, Tensor]',
    extra_files: Iterable[StrPath] = (),
    *,
    exports: Iterable[Export] = (),
    argument: str = 'output',
) -> Path:
    """Write a trained model as a bundle.

    The model is tried on an empty tile first, so that what is written can be used. An existing
    bundle is replaced only when the new one is complete.

    Args:
        folder: Where to write it.
        card: What is known of the model.
        model: The trained task or network, or its weights by name. Must fit
            ``card.architecture``; the state of losses is left out.
        extra_files: Further files to keep with it, such as a report.
        exports: Also write the network as ``model.pt2`` (torch.export) or ``model.onnx``.
        argument: The argument ``folder`` came from, for messages.

    Returns:
        The folder.

    Raises:
        BadInput: If the weights do not fit the architecture.
        BadParameter: If the card does not describe the network, for instance its tile size, or
            the folder holds other files.
        MissingDependency: If ONNX is asked for and not installed.
    """
    import torch

    destination = check_bundle_folder(folder, argument)
    predictor, weights = _assemble(card, model)
    with staged(destination, argument) as part:
        part.mkdir()
        files = {WEIGHTS: _save_weights(part, weights)}
        for kind in dict.fromkeys(exports):
            files[kind] = _export(part, kind, predictor, card)
        for entry in _copy(extra_files, part):
            files[entry.name] = entry
        item = card_to_item(
            card, files, framework_version=torch.__version__, parameters=count_parameters(predictor)
        )
        text = json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False)
        (part / ITEM).write_text(text + '\n', encoding='utf-8')
    return destination


def _assemble(
    card: BundleCard, model: 'nn.Module | Mapping[str, Tensor]'
) -> 'tuple[nn.Module, dict[str, Tensor]]':
    """Build the predictor as a reader of the bundle will, and see it work."""
    from torch import nn

    from torchgeo_ext.bundles._detector import complete

    network = build_network(card.architecture, 'architecture')
    state = model.state_dict() if isinstance(model, nn.Module) else model
    weights = fitting_state(network, state, 'model')
    load_weights(network, weights, 'model')
    predictor = complete(network, card).eval()
    _try_out(predictor, card)
    return predictor, weights


def _try_out(predictor: 'nn.Module', card: BundleCard) -> None:
    import torch

    tile = example(card, batch=1)
    try:
        with torch.inference_mode():
            scores = predictor(tile)
    # a network refuses a shape in its own way
    except Exception as error:
        raise BadParameter(
            f'The network does not accept an image of {len(card.bands)} bands with tile_size '
            f'{card.tile_size} ({type(error).__name__}: {error}).',
            'Give as many bands as it was trained with, and a tile_size it accepts (most need a '
            'multiple of 32).',
        ) from error
    if card.task in DETECTING:
        return  # whatever is found in nothing
    expected = (1, *card.output_shape)
    if scores.shape != expected:
        raise BadParameter(
            f'The network gives scores of shape {tuple(scores.shape)}, but {len(card.classes)} '
            f'classes and tile_size {card.tile_size} mean {expected}.',
            'Name as many classes as the network tells apart.',
        )
    if not torch.isfinite(scores).all():
        raise BadParameter(
            'The network gives NaN for an empty tile.',
            'Its training has diverged: train again with a lower learning rate.',
        )


def example(card: BundleCard, batch: int) -> 'Tensor':
    """Make an input of zeros for the model of a card."""
    import torch

    return torch.zeros(batch, *card.input_shape)


def _save_weights(folder: Path, weights: 'Mapping[str, Tensor]') -> FileEntry:
    from safetensors.torch import save_file

    # safetensors refuses tensors that share memory, as tied weights do
    own = {key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
    save_file(own, folder / _WEIGHTS_FILE, metadata={'format': 'pt'})
    return _entry(
        folder / _WEIGHTS_FILE,
        'Weights',
        roles=('mlm:model', 'mlm:weights'),
        details={
            'type': 'application/octet-stream; framework=pytorch',
            'mlm:artifact_type': 'safetensors.torch.save_file',
        },
    )


def _export(folder: Path, kind: Export, predictor: 'nn.Module', card: BundleCard) -> FileEntry:
    from torchgeo_ext.bundles import export

    path = folder / f'model.{kind}'
    if kind == 'onnx':
        export.write_onnx(predictor, example(card, batch=2), path)
    else:
        export.write_program(predictor, example(card, batch=2), path)
    return _entry(
        path,
        'Complete model',
        roles=('mlm:model',),
        details={
            'description': 'From stored pixel values (float32) to scores: scaling, normalisation '
            'and activation are part of it.',
            'type': 'application/octet-stream; '
            + ('framework=onnx' if kind == 'onnx' else 'framework=pytorch'),
            'mlm:artifact_type': 'onnx' if kind == 'onnx' else 'torch.export.save',
        },
    )


def _copy(extra_files: Iterable[StrPath], folder: Path) -> Iterable[FileEntry]:
    for path in map(Path, extra_files):
        target = folder / path.name
        if target.exists() or path.name == ITEM:
            raise BadParameter(
                f'extra_files has {path}, but the bundle already has a file {path.name}.',
                'Rename it.',
            )
        if not path.is_file():
            raise BadParameter(f'extra_files has {path}, which is no file.', 'Check the path.')
        shutil.copyfile(path, target)
        yield _entry(target, path.stem.replace('_', ' ').capitalize())


def _entry(
    path: Path,
    title: str,
    roles: tuple[str, ...] = ('metadata',),
    details: Mapping[str, Any] | None = None,
) -> FileEntry:
    return FileEntry(path.name, sha256(path), path.stat().st_size, title, roles, details)
