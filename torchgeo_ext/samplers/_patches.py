"""What our samplers yield: a slice TorchGeo understands that also knows its exact pixels."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset

from torchgeo_ext.inference.grid import Grid


class Patch(tuple[slice, slice]):
    """``[xmin:xmax, ymin:ymax]`` for any GeoDataset, and integer pixels for those that know them.

    Coordinates go through floating point and, for rasters in several reference systems, through a
    projection; the window does not.

    Args:
        x: From west to east in the dataset's reference system.
        y: From south to north.
        scene: Which raster of the dataset.
        window: Pixels to read from it; may reach beyond its edges.
        core: The part of ``window`` that belongs to this patch and to no other.
    """

    scene: int
    window: Window
    core: Window

    def __new__(cls, x: slice, y: slice, *, scene: int, window: Window, core: Window) -> Self:
        patch = super().__new__(cls, (x, y))
        patch.scene, patch.window, patch.core = scene, window, core
        return patch

    def __getnewargs_ex__(self) -> tuple[tuple[slice, slice], dict[str, Any]]:
        # patches travel to the workers of a DataLoader
        return (self[0], self[1]), {'scene': self.scene, 'window': self.window, 'core': self.core}


class Place:
    """Cuts patches out of the rasters of one dataset.

    Args:
        dataset: A dataset with ``grids`` (one per raster); of any other, its bounds at its
            resolution are taken as one raster.
    """

    def __init__(self, dataset: GeoDataset) -> None:
        self.crs = dataset.crs
        self.grids: Sequence[Grid] = getattr(dataset, 'grids', None) or (_whole(dataset),)
        # comparing reference systems is slow, patches are many
        self._foreign = [bool(grid.crs and self.crs != grid.crs) for grid in self.grids]

    def patch(self, scene: int, window: Window, core: Window | None = None) -> Patch:
        """Make the patch of some pixels of a raster."""
        grid = self.grids[scene]
        left, bottom, right, top = grid.part(window).bounds
        if self._foreign[scene]:
            left, bottom, right, top = transform_bounds(
                grid.crs, self.crs, left, bottom, right, top
            )
        return Patch(
            slice(left, right), slice(bottom, top), scene=scene, window=window, core=core or window
        )

    def __iter__(self) -> Iterator[Grid]:
        return iter(self.grids)


def _whole(dataset: GeoDataset) -> Grid:
    x, y, _ = dataset.bounds
    width, height = (round((s.stop - s.start) / s.step) for s in (x, y))
    crs = None if dataset.crs is None else CRS.from_user_input(dataset.crs)
    return Grid(crs, Affine(x.step, 0, x.start, 0, -y.step, y.stop), width, height)
