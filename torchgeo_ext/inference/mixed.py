"""Images whose bands are sums of those of a file: what another sensor would have seen."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy.sparse import csr_array

from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, WindowReader


@dataclass(frozen=True)
class MixedSource(RasterSource):
    """A raster of which weighted sums of bands are given instead of the bands.

    Axes: t bands given, c bands read. There is a value of ``fill`` for each band given.

    Args:
        weights: (t, c) weight of each band read in each band given.
        offsets: (t,) what is added.
    """

    weights: NDArray[np.float32] = field(kw_only=True, compare=False, repr=False)
    offsets: NDArray[np.float32] = field(kw_only=True, compare=False, repr=False)

    def open(self, grid: Grid | None = None) -> 'MixedReader':
        """Open the raster for reading windows of a grid, see :class:`RasterSource`."""
        return MixedReader(self, grid)


class MixedReader(WindowReader):
    """Reads windows of a :class:`MixedSource`."""

    def __init__(self, source: MixedSource, grid: Grid | None = None) -> None:
        read = RasterSource(
            source.path, source.bands, source.nodata, source.resampling, argument=source.argument
        )
        super().__init__(read, grid)
        self.count = len(source.weights)
        # bands of a spectrometer say something about their neighbours and nothing about others
        self._weights = csr_array(source.weights)
        self._offsets = source.offsets[:, None]
        fill = np.array(source.fill or (0,), np.float32)
        self._given = np.broadcast_to(fill, self.count)[:, None]

    def read(self, window: Window, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read a window, see :class:`WindowReader`."""
        values, valid = super().read(window)
        if out is None:
            out = np.empty((self.count, *valid.shape), np.float32)
        mixed = self._weights @ values.reshape(len(values), -1)
        mixed += self._offsets
        np.copyto(mixed, self._given, where=~valid.ravel())
        out[...] = mixed.reshape(out.shape)
        return out, valid
