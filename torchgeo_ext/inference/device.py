"""Where a model runs, how much at once, and what running out of memory looks like."""

import torch

from torchgeo_ext.errors import BadParameter

#: Pixels of input that are one comfortable batch: beyond these a batch gains no speed.
_BATCH_PIXELS = {'cpu': 256**2, 'mps': 2 * 512**2, 'cuda': 8 * 512**2}


def pick_device(name: str = 'auto') -> torch.device:
    """Turn a name into a device that is there.

    Args:
        name: ``auto`` (the first of cuda, mps, cpu that is there) or a name of PyTorch's such as
            ``cpu``, ``cuda:1``.

    Raises:
        BadParameter: If there is no such device.
    """
    if name == 'auto':
        name = next(kind for kind in ('cuda', 'mps', 'cpu') if _count(kind))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadParameter(
            f'device: {name!r} is not a device.', 'Choose auto, cpu, cuda, cuda:1 or mps.'
        ) from error
    if (device.index or 0) >= _count(device.type):
        raise BadParameter(
            f'device: {name} is not available on this machine.',
            'Choose auto or cpu, or install a PyTorch that supports the device.',
        )
    return device


def available_devices() -> list[str]:
    """Return the names of all devices, best first."""
    return [
        f'{kind}:{index}' if kind == 'cuda' else kind
        for kind in ('cuda', 'mps', 'cpu')
        for index in range(_count(kind))
    ]


def automatic_batch_size(device: torch.device, tile_size: int) -> int:
    """Return how many tiles to predict at once.

    Processors are fastest with little at once, accelerators with much; where it is too much, the
    caller halves it.
    """
    pixels = _BATCH_PIXELS.get(device.type, _BATCH_PIXELS['cuda'])
    return min(64, max(1, pixels // tile_size**2))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory was too small, whatever the device calls it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ('out of memory', "can't allocate memory", 'not enough memory')


def _count(kind: str) -> int:
    match kind:
        case 'cpu':
            return 1
        case 'cuda':
            return torch.cuda.device_count() if torch.cuda.is_available() else 0
        case 'mps':
            return int(torch.backends.mps.is_available())
    module = getattr(torch, kind, None)
    return module.device_count() if module is not None and module.is_available() else 0
