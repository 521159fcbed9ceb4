"""Rasters of what is known of each cell of a grid."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import nn

from torchgeo_ext.inference.embedding import Components
from torchgeo_ext.inference.writer import RasterLayout, RasterWriter
from torchgeo_ext.operations._location import PlaceEncoder, PlaceGrid, Vectors
from torchgeo_ext.progress import Progress


def each_window(
    cells: PlaceGrid, encoder: PlaceEncoder, progress: Progress, text: str
) -> Iterator[tuple[Window, Vectors]]:
    """Encode a grid window by window.

    Args:
        cells: The grid.
        encoder: Gives the vectors.
        progress: Told how far the work is.
        text: What is done.

    Yields:
        A window and its vectors (h, w, d), NaN where is no place.
    """
    windows = list(cells.windows())
    for number, window in enumerate(windows):
        progress(number / len(windows), text)
        yield window, cells.vectors(encoder, window)


@contextmanager
def optional_raster(
    path: Any, cells: PlaceGrid, layout: RasterLayout, argument: str = 'output'
) -> Iterator[Callable[[Window, NDArray[Any]], None]]:
    """Open a raster to write window by window, if it is wanted at all.

    Args:
        path: The raster, or None.
        cells: Its cells.
        layout: Its bands.
        argument: The argument the path came from, for messages.

    Yields:
        Takes a window and its values (bands, h, w).
    """
    if path is None:
        yield lambda window, values: None
        return
    with RasterWriter(Path(path), cells.grid, layout, argument) as writer:
        yield writer.write
        writer.finish()


def components_of(sample: Vectors, count: int) -> Components:
    """Find principal components.

    Args:
        sample: Vectors of some cells (n, d).
        count: Components to give; 0 for those of a picture only.
    """
    return Components(nn.Identity(), torch.from_numpy(sample), count)


@dataclass(frozen=True)
class GridLayers:
    """An embedding of a grid and a picture of it.

    Args:
        encoder: Gives the vectors.
        turned: Turns them to principal components and shows these; None if neither is wanted.
        reduced: Whether the embedding is made of the components.
    """

    encoder: PlaceEncoder
    turned: Components | None
    reduced: bool

    @property
    def dimensions(self) -> int:
        """Bands of the embedding."""
        return self.turned.count if self.turned and self.reduced else self.encoder.dimensions

    def write(self, cells: PlaceGrid, output: Any, picture: Any, progress: Progress) -> None:
        """Write both in one go.

        Args:
            cells: The grid.
            output: The embedding.
            picture: The picture; None if it is not wanted.
            progress: Told how far the work is.
        """
        name = 'component' if self.reduced else self.encoder.name
        tags = self.encoder.tags
        bands = [f'{name} {number}' for number in range(1, self.dimensions + 1)]
        layout = RasterLayout(
            self.dimensions, np.dtype('float32'), np.nan, descriptions=bands, tags=tags
        )
        colors = ['red', 'green', 'blue']
        shown = RasterLayout(3, np.dtype('uint8'), 0, descriptions=colors, tags=tags)
        with (
            optional_raster(output, cells, layout) as write,
            optional_raster(picture, cells, shown, 'picture') as draw,
        ):
            for window, vectors in each_window(cells, self.encoder, progress, 'Embedding'):
                values, seen = self._bands(vectors)
                write(window, values)
                draw(window, seen)
            progress(1.0, 'Writing')

    def _bands(self, vectors: Vectors) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Give the values (bands, h, w) of the embedding and of the picture."""
        values = np.moveaxis(vectors, -1, 0)
        if self.turned is None:
            return values, np.zeros((3, *values.shape[1:]), np.uint8)
        with torch.inference_mode():
            both = self.turned(torch.from_numpy(np.ascontiguousarray(values))[None])[0].numpy()
        picture = np.nan_to_num(both[self.dimensions :], nan=0.0)
        return both[: self.dimensions], picture.astype(np.uint8)
