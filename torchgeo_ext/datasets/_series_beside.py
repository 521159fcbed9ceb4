"""A time series of the surroundings of patches, on pixels of its own."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._geometry import pixel_box, project_box
from torchgeo_ext.datasets.raster_series import RasterSeries
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.statistics import Moments

#: Height and width of what is read at once.
_CHUNK = 1024


@dataclass(frozen=True)
class SeriesBeside:
    """Gives the series around the middle of patches of other images.

    Args:
        series: The series, of one or more places.
        size: Height and width of what is given in pixels of the series.

    Raises:
        BadParameter: If ``size`` is not positive.
    """

    series: RasterSeries
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BadParameter(f'series_size is {self.size}; it must be at least 1 pixel.')

    def check(self, grids: tuple[Grid, ...]) -> None:
        """See that there is a series of each place.

        Raises:
            BadInput: If there is none.
        """
        for grid in grids:
            if self._scene(grid, grid.window) is None:
                path = self.series.scenes[0].images[0].path
                raise BadInput(
                    f'series: no image of it, such as {path}, covers the middle of '
                    f'{tuple(grid.bounds)} in {grid.crs}.',
                    'Give images of the same places as before and after.',
                )

    def sample(self, grid: Grid, window: Window) -> Sample:
        """Read what is around a patch.

        Args:
            grid: The grid of the patch.
            window: Its pixels.

        Returns:
            ``series`` float32 (t, c, size, size), 0 where nothing was measured, and
            ``series_days`` int64 (t,), days since the first of the dates.
        """
        number = self._scene(grid, window)
        if number is None:
            # a patch may reach beyond what there is
            number = self._scene(grid, grid.window)
        assert number is not None
        row, column = self._middle(grid, window, number)
        half = self.size // 2
        pixels = self.series.pixels(number, Window(column - half, row - half, self.size, self.size))
        series = np.where(pixels.measured[:, None], pixels.image, np.float32(0))
        times = [time.left for time in self.series.scenes[0].times if time is not None]
        return {
            'series': torch.from_numpy(series),
            'series_days': torch.tensor([(time - times[0]).days for time in times]),
        }

    def statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute mean and standard deviation of each band over all dates."""
        moments = Moments(len(self.series.bands))
        for number, grid in enumerate(self.series.grids):
            for window in grid.windows(_CHUNK):
                pixels = self.series.pixels(number, window)
                for image, measured in zip(pixels.image, pixels.measured, strict=True):
                    moments.add(image[:, measured])
        return moments.mean, moments.std

    def _scene(self, grid: Grid, window: Window) -> int | None:
        """Find the scene of the series that covers the middle of a patch."""
        for number, other in enumerate(self.series.grids):
            row, column = self._middle(grid, window, number)
            if 0 <= row < other.height and 0 <= column < other.width:
                return number
        return None

    def _middle(self, grid: Grid, window: Window, number: int) -> tuple[int, int]:
        """Give row and column of the middle of a patch in a scene of the series."""
        left, bottom, right, top = grid.part(window).bounds
        x, y = (left + right) / 2, (bottom + top) / 2
        other = self.series.grids[number]
        near = (other.bounds.left + other.bounds.right) / 2
        column, row, *_ = pixel_box(other, project_box((x, y, x, y), grid.crs, other.crs, near))
        return row, column
