"""Several images on one grid: where they overlap, the first with a measurement counts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._geometry import window_of
from torchgeo_ext.datasets._image import Image
from torchgeo_ext.datasets._windows import intersection, shifted
from torchgeo_ext.inference.grid import Grid


class Mosaic:
    """Reads windows of a grid from images; those that lie elsewhere are left out.

    Args:
        images: The images, of the same bands; the first counts before the second. There may be
            none.
        grid: The grid.
        bands: Number of bands.
    """

    def __init__(self, images: Sequence[Image], grid: Grid, bands: int) -> None:
        self.bands = bands
        places = ((image, window_of(grid, image.grid)) for image in images)
        # the grid of a part only, since what lies inside of a raster needs no warping
        self._parts = [
            (place, image.on(grid.part(place))) for image, place in places if place is not None
        ]
        self._whole = len(self._parts) == 1 and self._parts[0][0] == grid.window

    def read(
        self, window: Window, out: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read physical values (c, h, w) as float32 and validity (h, w).

        Args:
            window: Whole pixels inside of the grid.
            out: Array to write the values to.
        """
        if self._whole:
            return self._parts[0][1].read(window, out)
        shape = window.height, window.width
        values = np.empty((self.bands, *shape), np.float32) if out is None else out
        values[:] = 0
        valid = np.zeros(shape, dtype=bool)
        for place, reader in self._parts:
            common = intersection(window, place)
            if common is None:
                continue
            rows, columns = shifted(common, window).toslices()
            part, there = reader.read(shifted(common, place))
            new = there & ~valid[rows, columns]
            np.copyto(values[:, rows, columns], part, where=new)
            valid[rows, columns] |= there
            if valid.all():
                break
        return values, valid
