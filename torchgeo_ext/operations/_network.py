"""Builds the network that a user asked for by name, with the weights to start from."""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from torchgeo_ext.errors import BadParameter, MissingWeights
from torchgeo_ext.operations._validate import near_matches

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

    from torchgeo_ext.bundles import BundleCard
    from torchgeo_ext.models.channels import Adaptation
    from torchgeo_ext.tasks import MaskedChangeDetection, MaskedSegmentation
    from torchgeo_ext.tasks._weights import StartingPoint

log = logging.getLogger(__name__)

Architecture = Literal[
    'unet', 'unet++', 'cnn1d', 'cvmhunet', 'deeplabv3', 'deeplabv3+', 'dpt', 'fcn', 'fpn',
    'hybridsn', 'linknet', 'manet', 'pan', 'pspnet', 'segformer', 'spectralformer', 'upernet',
]  # fmt: skip
RegisteredArchitecture = Literal[
    'bit', 'cfnet', 'changeformer', 'changemamba_bcd_tiny', 'fsgnet', 'tinycd',
]  # fmt: skip
ChangeArchitecture = Literal[
    'fcsiamdiff', 'fcsiamconc', 'changevit', 'btc', RegisteredArchitecture,
    'unet', 'unet++', 'deeplabv3', 'deeplabv3+', 'dpt', 'fcn', 'fpn', 'linknet',
    'manet', 'pan', 'pspnet', 'segformer', 'upernet',
]  # fmt: skip

#: The word for weights learnt from photographs, which every backbone has.
IMAGENET = 'imagenet'

#: Networks without a choice of backbones, which start at random.
_WHOLE = (
    'cnn1d', 'cvmhunet', 'fcn', 'hybridsn', 'spectralformer', *get_args(RegisteredArchitecture),
)  # fmt: skip

#: Backbones of the one architecture that brings its own.
_BTC_BACKBONES = ('swin_base', 'swin_small', 'swin_tiny')


def build_task(
    kind: Literal['segmentation', 'change'],
    arguments: dict[str, Any],
    weights: str | None,
    bands: Sequence[str],
    adaptation: 'Adaptation' = 'auto',
) -> 'tuple[MaskedSegmentation | MaskedChangeDetection, str]':
    """Build a task with its network.

    Args:
        kind: Which of the two.
        arguments: Arguments of the task; ``model`` and ``backbone`` come from the user.
        weights: ``imagenet``, the name of published weights, a file, a bundle, or nothing.
        bands: Names of the bands.
        adaptation: How filters of weights come to these bands.

    Returns:
        The task and what it starts from, in a sentence.

    Raises:
        BadParameter: If architecture, backbone and weights do not go together.
        MissingWeights: If weights cannot be had.
    """
    from torchgeo_ext.tasks import MaskedChangeDetection, MaskedSegmentation
    from torchgeo_ext.tasks._registered import takes_any_backbone
    from torchgeo_ext.tasks._weights import load_into

    task_class: Any = MaskedSegmentation if kind == 'segmentation' else MaskedChangeDetection
    model, backbone = arguments['model'], arguments['backbone']
    check_backbone(model, backbone, kind)
    if model in _WHOLE and weights:
        raise BadParameter(
            f'weights: there are none for the architecture {model}, but {weights!r} was asked for.',
            'Choose another architecture, or leave weights empty.',
        )
    registered = kind == 'segmentation' and takes_any_backbone(model, backbone)
    if registered and weights == IMAGENET:
        raise BadParameter(
            f'weights: {backbone} has none by the name of imagenet.',
            'Name published weights of this backbone, or leave weights empty to start at random.',
        )
    named = None if weights in (None, '', IMAGENET) else str(weights)
    start = None if named is None else find_weights(named, backbone if registered else None)
    if start is None and adaptation != 'auto':
        raise BadParameter(
            f'band_adaptation is {adaptation}, but there are no weights it can be chosen for.',
            'Name published weights, a checkpoint or a model folder, or leave it at auto.',
        )
    try:
        task = task_class(**arguments, weights=True if weights == IMAGENET else None)
    except OSError as error:  # what Hugging Face's client raises when it has no connection
        raise MissingWeights(
            f'weights: the ImageNet weights of {backbone} are not on this machine and could not be '
            f'downloaded ({error}).',
            'Connect to the network once, or leave weights empty to start at random.',
        ) from error
    except (AttributeError, AssertionError, KeyError, TypeError, ValueError) as error:
        raise BadParameter(
            f'backbone: {backbone!r} cannot be used with the architecture {model} ({error}).',
            'Choose another backbone, for instance resnet18.',
        ) from error
    if start is not None:
        return task, load_into(task.model, start, bands, adaptation=adaptation)
    if weights == IMAGENET:
        repeated = '' if len(bands) == 3 else f', repeated over the {len(bands)} bands'
        return task, f'The encoder starts from ImageNet: filters of three colours{repeated}.'
    return task, 'The network starts from random weights.'


def check_backbone(
    architecture: str, backbone: str, kind: Literal['segmentation', 'change']
) -> None:
    """See that there is a backbone of that name.

    Args:
        architecture: What it is for.
        backbone: Its name.
        kind: What the network is to do.

    Raises:
        BadParameter: If not; the hint has similar names.
    """
    import timm
    from segmentation_models_pytorch.encoders import get_encoder_names

    from torchgeo_ext.tasks._registered import takes_any_backbone

    if architecture in _WHOLE:
        return
    if architecture == 'btc':
        known: Sequence[str] = _BTC_BACKBONES
    elif architecture == 'changevit':
        known = [name for name in timm.list_models() if name.startswith('vit_')]
    else:
        if kind == 'segmentation' and takes_any_backbone(architecture, backbone):
            return
        known = [*get_encoder_names(), *(f'tu-{name}' for name in timm.list_models())]
    # timm's names may be followed by a training tag
    if backbone.split('.')[0] not in known:
        raise BadParameter(
            f'backbone: {backbone!r} is not known for the architecture {architecture}.',
            near_matches(backbone, known) if len(backbone) else 'Try resnet18.',
        )


def find_weights(weights: str, backbone: str | None = None) -> 'StartingPoint':
    """Load weights by name or from a file.

    Args:
        weights: A name such as ``ResNet18_Weights.SENTINEL2_ALL_MOCO``, a checkpoint (``.ckpt``,
            ``.pt``, ``.pth``, ``.safetensors``) or a bundle.
        backbone: The backbone of the registry they are for, whose builder knows how published
            weights name things.

    Raises:
        BadParameter: If there are no weights of that name.
        BadInput: If the file holds no weights.
        MissingWeights: If they are not on this machine and cannot be downloaded.
    """
    from torchgeo_ext.tasks._weights import StartingPoint, read_tensors

    path = Path(weights).expanduser()
    if not path.exists():
        return _published(weights, backbone)
    if _is_bundle(path):
        from torchgeo_ext.bundles import read_bundle

        bundle = read_bundle(path, 'weights')
        names = tuple(band.name for band in bundle.card.bands)
        return StartingPoint(f'the bundle "{bundle.card.name}"', bundle.load(), names)
    return StartingPoint(path.name, read_tensors(path))


def _is_bundle(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in ('.json', '.zip')


def card_of_weights(weights: str) -> 'BundleCard | None':
    """Give what is known of a model folder; None for what is none."""
    path = Path(weights).expanduser()
    if not path.exists() or not _is_bundle(path):
        return None
    from torchgeo_ext.bundles import read_bundle

    return read_bundle(path, 'weights').card


def published_weights(name: str) -> 'WeightsEnum | None':
    """Find published weights by their name; None if it is that of none."""
    return {str(weights): weights for weights in _all_weights()}.get(name)


def _published(name: str, backbone: str | None) -> 'StartingPoint':
    from torchgeo_ext.hub import weights_file
    from torchgeo_ext.models.features import backbone_features, goes_by_wavelength
    from torchgeo_ext.tasks._weights import StartingPoint, read_tensors

    known = {str(weights): weights for weights in _all_weights()}
    if name not in known:
        looks_like_path = os.sep in name or Path(name).suffix in ('.ckpt', '.pt', '.pth')
        raise BadParameter(
            f'weights: {name!r} is neither a file nor the name of weights.',
            'Check the path.' if looks_like_path else near_matches(name, [IMAGENET, *known]),
        )
    weights = known[name]
    bands = tuple(weights.meta.get('bands', ()))
    if backbone is not None:
        if weights not in _weights_of(backbone):
            raise BadParameter(
                f'weights: {name} does not fit the backbone {backbone}.',
                'Choose the backbone the weights were trained with.',
            )
        if type(weights).__module__.startswith('torchgeo.'):
            # its builders fetch files themselves, but take a verified one from where it is kept
            weights_file(weights)
        # weights are the same for any wavelengths
        some = [0.665] if goes_by_wavelength(backbone) else []
        state = backbone_features(backbone, weights, bands=some).state_dict()
        return StartingPoint(name, state, bands)
    return StartingPoint(name, read_tensors(weights_file(weights)), bands)


def _all_weights() -> Iterator[Any]:
    from torchgeo.models import list_models

    from torchgeo_ext import registry

    len(registry.models)  # makes our own models known to TorchGeo
    for model in list_models():
        yield from _weights_of(model)


def _weights_of(model: str) -> Iterator[Any]:
    from torchgeo.models import get_model_weights

    # TorchGeo raises it for models without published weights
    with contextlib.suppress(KeyError):
        members: Any = get_model_weights(model)
        yield from members


def choose_patch_size(task: Any, wanted: int, smallest_raster: int, shape: Sequence[int]) -> int:
    """Choose a patch size that the network takes and that suits the rasters.

    Args:
        task: The task.
        wanted: What the user asked for.
        smallest_raster: Height or width of the rasters, whichever is smaller.
        shape: Of a batch, up to height and width: (b, c) or (b, t, c).

    Returns:
        ``wanted``, rounded to a multiple of the network's stride. If rasters are smaller than
        that, about two thirds of them, so that patches differ; or, for networks that take one size
        only, ``wanted`` all the same, as patches may reach beyond rasters.

    Raises:
        BadParameter: If the network takes neither.
    """
    stride = getattr(getattr(task.model, 'encoder', None), 'output_stride', None) or _STRIDE
    rounded = max(stride, round(wanted / stride) * stride)
    if rounded <= smallest_raster:
        sizes = [rounded]
    else:
        sizes = [max(stride, smallest_raster * 2 // 3 // stride * stride), rounded]
    for size in sizes:
        problem = _try_out(task, (*shape, size, size))
        if problem is None:
            if size != wanted:
                log.info('Patches have %d instead of %d pixels.', size, wanted)
            return int(size)
    name, backbone = task.hparams['model'], task.hparams['backbone']
    raise BadParameter(
        f'patch_size: the network {name} with backbone {backbone} does not take batches of '
        f'{shape[0]} patches of {sizes[-1]} pixels and {shape[-1]} bands ({problem}).',
        'Choose another patch_size (for instance 224 or 256), a batch_size of at least 2, or '
        'another architecture.',
    ) from problem


#: Where a network does not tell, this suits all we know.
_STRIDE = 32


def _try_out(task: Any, shape: tuple[int, ...]) -> Exception | None:
    """Run a batch of zeros through the network as in training; tell what went wrong."""
    import torch

    before = {name: value.clone() for name, value in task.named_buffers()}
    try:
        with torch.no_grad():
            task.train()(torch.zeros(shape))
    # each network refuses a shape in its own way
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        return error
    finally:
        # running means have seen the zeros
        for name, value in task.named_buffers():
            value.copy_(before[name])
    return None


def takes(task: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether the network can predict images of another size than it was trained with."""
    import torch

    try:
        with torch.inference_mode():
            task.eval()(torch.zeros(shape))
    except (AssertionError, RuntimeError, ValueError):
        return False
    return True
