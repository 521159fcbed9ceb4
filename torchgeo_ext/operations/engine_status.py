"""Tell whether the engine is ready and what it runs on."""

import json
import platform
from importlib import metadata
from typing import Annotated, NamedTuple

from torchgeo_ext import __version__
from torchgeo_ext.operations._operation import Label, operation

_LIBRARIES = ('torch', 'torchgeo', 'lightning', 'rasterio', 'segmentation-models-pytorch', 'timm')


class EngineStatus(NamedTuple):
    """Result of :func:`engine_status`.

    Attributes:
        ready: Whether operations can run: all libraries are installed and all plugins loaded.
        state: One sentence on what was found.
        action_required: What to do before operations can run; empty when nothing is.
        device: Devices operations can choose from, separated by commas.
        versions: Versions of the engine, of Python and of the main libraries, as JSON.
        plugins: Third-party plugins with version and, if it failed, the error, as JSON.
    """

    ready: bool
    state: str
    action_required: str
    device: str
    versions: str
    plugins: str


@operation(
    label='Engine status', group='Engine', tags=('diagnostics', 'version', 'gpu', 'cuda', 'plugins')
)
def engine_status(*, load_torch: Annotated[bool, Label('Load PyTorch')] = False) -> EngineStatus:
    """Tell which engine answers, which versions it has and on which devices it can work.

    Args:
        load_torch: Load PyTorch (takes some seconds) to be sure which devices it can use; without
            it they are guessed from what the machine shows.
    """
    from torchgeo_ext.devices import guess_devices, usable_devices
    from torchgeo_ext.plugins import plugins

    versions = {'torchgeo_ext': __version__, 'python': platform.python_version()}
    versions |= {name: _version(name) for name in _LIBRARIES}
    missing = [name for name, version in versions.items() if not version]
    failed = [plugin for plugin in plugins().all if plugin.error]
    action = ''
    if missing:
        action = f'Install {", ".join(missing)} into the Python environment of the engine.'
    elif failed:
        action = 'Update or uninstall ' + ', '.join(f'{p.name} ({p.error})' for p in failed) + '.'
    return EngineStatus(
        ready=not missing,
        state=f'torchgeo_ext {__version__} on Python {platform.python_version()}, '
        f'torch {versions["torch"] or "missing"}, {len(failed)} failing plugins',
        action_required=action,
        device=', '.join(usable_devices() if load_torch else guess_devices()),
        versions=json.dumps(versions),
        plugins=json.dumps(
            [{'name': p.name, 'version': p.version, 'error': p.error} for p in plugins().all[1:]]
        ),
    )


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ''
