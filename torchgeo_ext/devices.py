"""Which devices there are, with and without loading torch."""

import platform
from importlib import metadata
from pathlib import Path


def guess_devices() -> list[str]:
    """Say, in no time, which devices torch could probably use.

    Torch needs seconds to load, so this looks at the machine instead: an NVIDIA driver under Linux
    or Windows, an Apple chip under macOS.
    """
    devices = ['cpu']
    driver = Path('/proc/driver/nvidia/version'), Path('C:/Windows/System32/nvcuda.dll')
    if any(path.exists() for path in driver) and '+cpu' not in _torch_version():
        devices.append('cuda')
    if platform.system() == 'Darwin' and platform.machine() == 'arm64':
        devices.append('mps')
    return devices


def usable_devices() -> list[str]:
    """Ask torch which devices it can use, the best one last."""
    import torch

    devices = ['cpu']
    if torch.backends.mps.is_available():
        devices.append('mps')
    if torch.cuda.is_available():
        devices += [
            f'cuda:{i} ({torch.cuda.get_device_name(i)})' for i in range(torch.cuda.device_count())
        ]
    return devices


def _torch_version() -> str:
    try:
        return metadata.version('torch')
    except metadata.PackageNotFoundError:
        return '+cpu'
