"""Writes the complete model for programs that know neither TorchGeo nor this package."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from torchgeo_ext.errors import BadParameter, MissingDependency

if TYPE_CHECKING:
    from torch import Tensor, nn


def write_program(model: 'nn.Module', example: 'Tensor', path: Path) -> None:
    """Write a model as a program of ``torch.export``, with any batch size.

    Such a file is tied to the version of PyTorch's export format; safetensors is what lasts.

    Args:
        model: In evaluation mode.
        example: An input with a batch of at least 2; its other sizes are fixed.
        path: The file to write, ending in ``.pt2``.

    Raises:
        BadParameter: If the network cannot be traced.
    """
    import torch

    batch = torch.export.Dim('batch')
    try:
        # one example for each argument of forward, and its dimensions that may vary
        program = torch.export.export(model, (example,), dynamic_shapes=({0: batch},))
    # tracing fails in as many ways as there are networks
    except Exception as error:
        raise _cannot_export('pt2', error) from error
    torch.export.save(program, path)


def write_onnx(model: 'nn.Module', example: 'Tensor', path: Path) -> None:
    """Write a model as ONNX, with any batch size; inputs are called ``image``, ``scores``.

    Args:
        model: In evaluation mode.
        example: An input with a batch of at least 2; its other sizes are fixed.
        path: The file to write.

    Raises:
        MissingDependency: If the packages for ONNX are not installed.
        BadParameter: If the network cannot be written as ONNX.
    """
    import torch

    _require_onnx()
    batch = torch.export.Dim('batch')
    try:
        torch.onnx.export(
            model,
            (example,),
            path,
            input_names=['image'],
            output_names=['scores'],
            dynamic_shapes=({0: batch},),
            # one file, which the bundle's hash covers as a whole
            external_data=False,
            verbose=False,
        )
    # tracing fails in as many ways as there are networks
    except Exception as error:
        raise _cannot_export('onnx', error) from error


def _require_onnx() -> None:
    missing = [name for name in ('onnx', 'onnxscript') if find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f'exports has onnx, which needs packages that are not installed: {", ".join(missing)}.',
            "Install them with: pip install 'torchgeo_ext[onnx]'",
        )


def _cannot_export(kind: str, error: Exception) -> BadParameter:
    reason = (str(error).splitlines() or [''])[0]
    return BadParameter(
        f'exports has {kind}, but this network cannot be written so '
        f'({type(error).__name__}: {reason}).',
        f'Leave {kind} out; the bundle works without it.',
    )
