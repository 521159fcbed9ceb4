"""Images that also say where they are: for models that read the place of a tile."""

import numpy as np
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.mixed import MixedReader, MixedSource
from torchgeo_ext.inference.reader import RasterSource, WindowReader


class LocatedSource(RasterSource):
    """A raster with two more bands: longitude and latitude of the middle of each window read.

    Both are the same at all pixels of a window, so that nothing is interpolated where longitudes
    jump, and what is done to a tile leaves them alone.
    """

    def open(self, grid: Grid | None = None) -> 'LocatedReader':
        """Open the raster for reading windows of a grid, see :class:`RasterSource`.

        Raises:
            BadInput: If the raster lies nowhere.
        """
        return LocatedReader(self, grid)


class LocatedReader(WindowReader):
    """Reads windows of a :class:`LocatedSource`."""

    def __init__(self, source: LocatedSource, grid: Grid | None = None) -> None:
        super().__init__(source, grid)
        self.count += 2
        if self.grid.crs is None:
            self.close()
            raise BadInput(
                f'{source.argument}: {source.path} has no coordinate reference system, but the '
                'model reads where an image lies.',
                'Assign the CRS to the file, for example with "Assign projection" in QGIS.',
            )

    def read(self, window: Window, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read a window, see :class:`WindowReader`; the last two bands are degrees (WGS 84)."""
        if out is None:
            out = np.empty((self.count, window.height, window.width), np.float32)
        _, valid = super().read(window, out=out[:-2])
        place = self.grid.part(window).middle(self.source.argument)
        out[-2:] = np.array(place)[:, None, None]
        return out, valid


class LocatedMixedSource(LocatedSource, MixedSource):
    """A :class:`~torchgeo_ext.inference.mixed.MixedSource` with the two bands of the place."""

    def open(self, grid: Grid | None = None) -> 'LocatedMixedReader':
        """Open the raster for reading windows of a grid, see :class:`LocatedSource`."""
        return LocatedMixedReader(self, grid)


class LocatedMixedReader(LocatedReader, MixedReader):
    """Reads windows of a :class:`LocatedMixedSource`."""
