"""Vectors of many places, and of the cells of grids, in memory that does not grow with them.

Axes: n places, d features, r rows of a block, h and w rows and columns of a grid.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from torchgeo_ext.inference.device import pick_device
from torchgeo_ext.models.location import LocationEncoder, check_coordinates
from torchgeo_ext.progress import Progress, silent

#: Cells of a grid that are encoded at once, within the cache of a processor.
_CELLS = 4096


def embed_coordinates(
    encoder: LocationEncoder,
    coordinates: ArrayLike,
    *,
    batch_size: int | None = None,
    device: str = 'auto',
    on_progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Encode places.

    Args:
        encoder: From coordinates to vectors; moved to the device.
        coordinates: Longitude and latitude (n, 2) in degrees, longitude first; float64.
        batch_size: Places at once; as the encoder prefers if not given.
        device: Where to compute; see :func:`~torchgeo_ext.inference.device.pick_device`.
        on_progress: Told how far the work is.

    Returns:
        Vectors (n, d).

    Raises:
        BadCoordinates: If a row is no place on Earth.
        BadParameter: If there is no such device.
    """
    progress = on_progress or silent
    places = torch.as_tensor(np.asarray(coordinates))
    check_coordinates(places)
    vectors = np.empty((len(places), encoder.embed_dim), np.float32)
    with _at_work(encoder, device) as encode:
        size = batch_size or encoder.batch_size
        for start in range(0, len(places), size):
            batch = slice(start, start + size)
            vectors[batch] = encode(places[batch])
            progress(min(1.0, (start + size) / len(places)), 'Encoding places')
    return vectors


def stream_coordinates(
    encoder: LocationEncoder,
    batches: Iterable[ArrayLike],
    *,
    batch_size: int | None = None,
    device: str = 'auto',
) -> Iterator[NDArray[np.float32]]:
    """Encode places that come in batches, one batch at a time.

    Args:
        encoder: From coordinates to vectors; moved to the device.
        batches: Longitudes and latitudes (n, 2) in degrees, longitude first; float64.
        batch_size: Most places at once, whatever the batches are; as the encoder prefers if not
            given.
        device: Where to compute; see :func:`~torchgeo_ext.inference.device.pick_device`.

    Yields:
        Vectors (n, d) of each batch.

    Raises:
        BadCoordinates: If a row is no place on Earth.
        BadParameter: If there is no such device.
    """
    for batch in batches:
        yield embed_coordinates(encoder, batch, batch_size=batch_size, device=device)


def embed_grid_rows(
    encoder: LocationEncoder,
    longitudes: ArrayLike,
    latitudes: ArrayLike,
    *,
    device: str = 'auto',
    on_progress: Progress | None = None,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Encode the cells of a grid whose rows are parallels and whose columns are meridians.

    Encoders that know of rows use that: SatCLIP is several times faster than point by point, with
    the same vectors up to rounding.

    Args:
        encoder: From coordinates to vectors; moved to the device.
        longitudes: Of the columns (w), in degrees; centres of cells.
        latitudes: Of the rows (h), in degrees.
        device: Where to compute; see :func:`~torchgeo_ext.inference.device.pick_device`.
        on_progress: Told how far the work is.

    Yields:
        Rows, and the vectors (r, w, d) of their cells.

    Raises:
        BadCoordinates: If a row or a column is not on Earth.
        BadParameter: If there is no such device.
    """
    progress = on_progress or silent
    across, down = (
        torch.as_tensor(np.asarray(each, np.float64)) for each in (longitudes, latitudes)
    )
    check_coordinates(torch.stack([across, torch.zeros_like(across)], dim=1))
    check_coordinates(torch.stack([torch.zeros_like(down), down], dim=1))
    size = max(1, _CELLS // max(1, len(across)))
    with _at_work(encoder, device, across) as encode:
        for start in range(0, len(down), size):
            rows = slice(start, min(len(down), start + size))
            yield rows, encode(down[rows])
            progress(rows.stop / len(down), 'Encoding cells')


@contextmanager
def _at_work(
    encoder: LocationEncoder, device: str, columns: Tensor | None = None
) -> Iterator[Callable[[Tensor], NDArray[np.float32]]]:
    """Move an encoder to a device in evaluation mode, and leave it in the mode it was in.

    Args:
        encoder: The encoder.
        device: Name of the device.
        columns: Longitudes of the columns of a grid, if it is to encode rows of one.

    Yields:
        A function from coordinates, or latitudes of rows, to vectors.
    """
    chosen = pick_device(device)
    # Apple's devices have no float64, which coordinates are in
    angles = 'cpu' if chosen.type == 'mps' else chosen
    modes = {module: module.training for module in encoder.modules()}
    encoder.to(chosen).eval()
    try:
        with torch.inference_mode():
            encode = encoder if columns is None else encoder.rows(columns.to(angles))

        def to_vectors(places: Tensor) -> NDArray[np.float32]:
            # entered for each batch, as it would stay on while a caller holds a generator
            with torch.inference_mode():
                vectors: NDArray[np.float32] = encode(places.to(angles)).float().cpu().numpy()
            return vectors

        yield to_vectors
    finally:
        for module, training in modes.items():
            module.training = training
