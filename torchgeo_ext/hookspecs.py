"""Everything a plugin can add or change: the hooks, one paragraph each.

Hooks that offer things take nothing and return an iterable. Import your heavy modules inside the
hook, so that asking for sensors does not load models.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, LightningModule
    from torch import nn
    from torchgeo.datasets import GeoDataset, NonGeoDataset
    from torchgeo.samplers import GeoSampler
    from torchvision.models import WeightsEnum

    from torchgeo_ext.operations._operation import Operation, OperationFunction
    from torchgeo_ext.progress import Progress
    from torchgeo_ext.sensors import Sensor

hookspec = pluggy.HookspecMarker('torchgeo_ext')


@hookspec
def register_sensors() -> 'Iterable[Sensor]':  # type: ignore[empty-body]
    """Offer sensors: bands, wavelengths, scaling; known by their ``name``."""


@hookspec
def register_datasets() -> 'Iterable[type[GeoDataset] | type[NonGeoDataset]]':  # type: ignore[empty-body]
    """Offer dataset classes that keep TorchGeo's contract; known by their class name."""


@hookspec
def register_datamodules() -> 'Iterable[type[LightningDataModule]]':  # type: ignore[empty-body]
    """Offer Lightning data modules; known by their class name."""


@hookspec
def register_samplers() -> 'Iterable[type[GeoSampler]]':  # type: ignore[empty-body]
    """Offer geo-samplers of TorchGeo's hierarchy; known by their class name."""


@hookspec
def register_transforms() -> 'Iterable[type[nn.Module]]':  # type: ignore[empty-body]
    """Offer transforms (kornia-style modules); known by their class name."""


@hookspec
def register_models() -> 'Iterable[Callable[..., nn.Module]]':  # type: ignore[empty-body]
    """Offer model builders; known by the function's name, also to TorchGeo's ``get_model``.

    The weights that fit are read from the annotation of the builder's ``weights`` argument.
    """


@hookspec
def register_tasks() -> 'Iterable[type[LightningModule]]':  # type: ignore[empty-body]
    """Offer Lightning modules, one per kind of task; known by their class name."""


@hookspec
def register_operations() -> 'Iterable[OperationFunction[..., Any]]':  # type: ignore[empty-body]
    """Offer functions marked with ``@operation``; they become commands and QGIS algorithms."""


@hookspec(firstresult=True)
def locate_weights(weights: 'WeightsEnum', folder: Path) -> Path | None:
    """Say where the file of some published weights is on this machine, or None.

    Asked before anything is downloaded; ``folder`` is where a download would be kept. For mirrors
    and offline stores. The file's SHA-256 is verified wherever it came from.
    """


@hookspec(firstresult=True)
def run_operation(operation: 'Operation', parameters: dict[str, Any], progress: 'Progress') -> Any:
    """Run an operation and return its result.

    The built-in implementation comes last and simply calls the function. Use
    ``@hookimpl(wrapper=True)`` and yield once to time, cache or record runs.
    """
