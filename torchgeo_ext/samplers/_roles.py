"""What each pixel of a place is used for: asked, proved and drawn on a map."""

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch as Swatch
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers._place import corners

#: What a pixel is used for.
UNUSED, TRAINING, VALIDATION, MARGIN = range(4)

_NAMES = ('unused', 'training', 'validation', 'margin')
_COLORS = ('#dddddd', '#4477aa', '#ee6677', '#ccbb44')
#: Height and width of what is looked at at once, and of a drawn raster at most.
_CHUNK, _DRAWN = 1024, 300
#: Metres by which a projection and back again may be off.
_EXACT = 0.01


class Separation(NamedTuple):
    """What was found by looking at every pixel.

    Args:
        training: Pixels to learn from.
        validation: Pixels to be judged by.
        distance: Metres that the two are apart at least; infinite if either is missing.
    """

    training: int
    validation: int
    distance: float


class Roles(abc.ABC):
    """Land to learn from and land to be judged by, the same in every raster of a place."""

    #: Metres around validation land that are not learned from.
    buffer: float

    @abc.abstractmethod
    def roles(self, grid: Grid, window: Window) -> NDArray[np.uint8]:
        """Say of each pixel of a window what it is used for.

        Returns:
            (h, w): ``UNUSED``, ``TRAINING``, ``VALIDATION`` or ``MARGIN``.
        """

    @abc.abstractmethod
    def distances(self, grid: Grid, window: Window) -> NDArray[np.float64]:
        """Measure how far each pixel centre is from validation land at least, (h, w) in metres.

        Negative inside of it. Computed in another way than the roles, so that one can prove the
        other.
        """

    @property
    @abc.abstractmethod
    def crs(self) -> Any | None:
        """Reference system to draw in."""

    def check(self, grids: Sequence[Grid]) -> Separation:
        """Prove for every pixel of some rasters that training keeps away from validation.

        Raises:
            BadInput: If a training pixel is nearer to validation land than the buffer, or a
                validation pixel lies outside of it.
        """
        counts = np.zeros(4, np.int64)
        nearest = np.inf
        for number, grid in enumerate(grids):
            for window in grid.windows(_CHUNK):
                roles, distances = self.roles(grid, window), self.distances(grid, window)
                counts += np.bincount(roles.ravel(), minlength=4)
                learned = distances[roles == TRAINING]
                nearest = min(nearest, learned.min(initial=np.inf))
                outside = distances[roles == VALIDATION].max(initial=-np.inf)
                if nearest < self.buffer - _EXACT or outside > _EXACT:
                    raise BadInput(
                        f'raster {number}: at column {window.col_off}, row {window.row_off} '
                        f'training comes within {nearest:g} m of validation, which should be '
                        f'{self.buffer:g} m.'
                    )
        apart = float(nearest) if counts[TRAINING] and counts[VALIDATION] else np.inf
        return Separation(int(counts[TRAINING]), int(counts[VALIDATION]), apart)

    def plot(self, grids: Sequence[Grid]) -> Figure:
        """Draw a map of what some rasters are used for."""
        figure = Figure(figsize=(7, 7), layout='constrained')
        axes = figure.subplots()
        for grid in grids:
            step = max(1.0, max(grid.shape) / _DRAWN)
            rows, columns = (max(1, round(length / step)) for length in grid.shape)
            small = Grid(
                grid.crs,
                grid.transform @ Affine.scale(grid.width / columns, grid.height / rows),
                columns,
                rows,
            )
            axes.pcolormesh(
                *corners(small, self.crs),
                self.roles(small, small.window),
                cmap=ListedColormap(_COLORS),
                vmin=-0.5,
                vmax=3.5,
            )
        axes.set_aspect('equal')
        axes.legend(
            handles=[
                Swatch(color=color, label=name) for name, color in zip(_NAMES, _COLORS, strict=True)
            ],
            loc='upper left',
            bbox_to_anchor=(1, 1),
        )
        return figure
