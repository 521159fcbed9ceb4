"""This package's own content, offered through the same hooks as everyone else's."""

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchgeo_ext import hookimpl

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

    from torchgeo_ext.operations._operation import Operation
    from torchgeo_ext.progress import Progress
    from torchgeo_ext.sensors import Sensor


def _content(room: str) -> list[Any]:
    """Everything a room exports."""
    module = importlib.import_module(f'torchgeo_ext.{room}')
    return [getattr(module, name) for name in module.__all__]


@hookimpl
def register_sensors() -> 'Iterable[Sensor]':
    """Offer the sensors described in :mod:`torchgeo_ext.sensors`."""
    from torchgeo_ext.sensors._read import builtin_sensors

    return builtin_sensors()


@hookimpl
def register_datasets() -> Iterable[type]:
    """Offer the dataset classes of :mod:`torchgeo_ext.datasets`."""
    return [content for content in _content('datasets') if isinstance(content, type)]


@hookimpl
def register_datamodules() -> Iterable[type]:
    """Offer the data modules of :mod:`torchgeo_ext.datamodules`."""
    return _content('datamodules')


@hookimpl
def register_samplers() -> Iterable[type]:
    """Offer the samplers of :mod:`torchgeo_ext.samplers`."""
    from torchgeo.samplers import GeoSampler

    return [
        content
        for content in _content('samplers')
        if isinstance(content, type) and issubclass(content, GeoSampler)
    ]


@hookimpl
def register_transforms() -> Iterable[type]:
    """Offer the transforms of :mod:`torchgeo_ext.transforms`."""
    return [content for content in _content('transforms') if isinstance(content, type)]


@hookimpl
def register_models() -> Iterable[Callable[..., Any]]:
    """Offer the builders of :mod:`torchgeo_ext.models` (its functions)."""
    return [content for content in _content('models') if not isinstance(content, type)]


@hookimpl
def register_tasks() -> Iterable[type]:
    """Offer the Lightning modules of :mod:`torchgeo_ext.tasks`."""
    return _content('tasks')


@hookimpl
def register_operations() -> Iterable[Any]:
    """Offer the operations of :mod:`torchgeo_ext.operations`."""
    return _content('operations')


@hookimpl(trylast=True)
def locate_weights(weights: 'WeightsEnum', folder: Path) -> Path | None:
    """Look among the files downloaded earlier."""
    from torchgeo_ext.hub import file_name

    path = folder / file_name(weights)
    return path if path.is_file() else None


@hookimpl(trylast=True)
def run_operation(operation: 'Operation', parameters: dict[str, Any], progress: 'Progress') -> Any:
    """Call the function."""
    return operation(parameters, progress)
