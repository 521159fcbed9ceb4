"""A hold-out of a whole region, given as polygons."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.windows import Window
from shapely.affinity import translate

from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers._place import differ, to_pixels, transformer
from torchgeo_ext.samplers._roles import MARGIN, TRAINING, UNUSED, VALIDATION, Roles

#: A round corner is drawn with this many segments per quarter, which cut it. So much larger, a
#: buffer is wide enough everywhere, and a little wider where its outline is straight.
_SEGMENTS = 16
_ROUND = 1 / np.cos(np.pi / (4 * _SEGMENTS))


@dataclass(frozen=True, eq=False)
class RegionRoles(Roles):
    """A region to be judged by; all others are learned from, as far as they are far enough away.

    Args:
        plane: Reference system of the polygons, with true metres.
        held_out: Polygons of the region held out.
        others: Polygons of the others; where they overlap the region held out, that counts.
        buffer: Metres around it that are not learned from.
        stretch: The most units of the plane that a metre on the ground takes.
    """

    plane: CRS | None
    held_out: Any
    others: Any
    buffer: float = 0.0
    stretch: float = 1.0
    _on: dict[Grid, list[tuple[Any, int]]] = field(default_factory=dict, repr=False)

    @property
    def crs(self) -> CRS | None:
        """Reference system of the polygons."""
        return self.plane

    def roles(self, grid: Grid, window: Window) -> NDArray[np.uint8]:
        """Say of each pixel of a window what it is used for, by its centre."""
        if grid not in self._on:
            self._on[grid] = self._shapes(grid)
        # far from the origin of a window rasterize would round pixel coordinates
        shapes = [
            (translate(shape, -window.col_off, -window.row_off), role)
            for shape, role in self._on[grid]
            if not shape.is_empty
        ]
        shape = window.height, window.width
        if not shapes:
            return np.full(shape, UNUSED, np.uint8)
        roles: NDArray[np.uint8] = rasterize(shapes, shape, fill=UNUSED, dtype='uint8')
        return roles

    def distances(self, grid: Grid, window: Window) -> NDArray[np.float64]:
        """Measure how far each pixel centre is from the region held out; negative inside."""
        columns, rows = np.meshgrid(
            np.arange(window.width) + window.col_off + 0.5,
            np.arange(window.height) + window.row_off + 0.5,
        )
        x, y = grid.transform @ (columns, rows)
        if differ(self.plane, grid.crs):
            x, y = transformer(grid.crs, self.plane).transform(x, y)
        points, edge = shapely.points(x, y), shapely.boundary(self.held_out)
        shapely.prepare(self.held_out)
        shapely.prepare(edge)
        distances: NDArray[np.float64] = shapely.distance(edge, points) / self.stretch
        return np.where(shapely.contains(self.held_out, points), -distances, distances)

    def _shapes(self, grid: Grid) -> list[tuple[Any, int]]:
        """Give what to draw on a raster, one over the other, in pixels."""
        wanted = [(self.others, TRAINING), (self.held_out, VALIDATION)]
        if self.buffer:
            width = self.buffer * self.stretch * _ROUND
            near = shapely.buffer(self.held_out, width, quad_segs=_SEGMENTS)
            wanted.insert(1, (shapely.intersection(near, self.others), MARGIN))
        plane = None if self.plane is None else pyproj.CRS.from_user_input(self.plane)
        return [(to_pixels(shape, plane, grid), role) for shape, role in wanted]
