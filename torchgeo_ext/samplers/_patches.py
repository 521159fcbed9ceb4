"""What our samplers yield: a slice TorchGeo understands that also knows its exact pixels."""

from typing import Any, NamedTuple, Self

from rasterio.windows import Window


class Cut(NamedTuple):
    """Pixels to take out of one raster of a dataset.

    Args:
        scene: Which raster.
        window: Pixels to read from it; may reach beyond its edges.
        core: The part of ``window`` that belongs to this cut and to no other.
        tile_id: Number of the tile, cell or feature it was made for.
        time: First and last moment to read; everything if not given.
    """

    scene: int
    window: Window
    core: Window
    tile_id: int
    time: slice | None = None


class Location(tuple[slice, slice]):
    """``[xmin:xmax, ymin:ymax]`` for any GeoDataset; a third slice, of time, if that is narrowed.

    Args:
        x: From west to east in the dataset's reference system.
        y: From south to north.
        time: From the first to the last moment.
        tile_id: Number that the sampler knows the place by.
    """

    tile_id: int

    def __new__(cls, x: slice, y: slice, time: slice | None = None, *, tile_id: int = 0) -> Self:
        location = super().__new__(cls, (x, y) if time is None else (x, y, time))
        location.tile_id = tile_id
        return location

    def __getnewargs_ex__(self) -> tuple[tuple[slice, ...], dict[str, Any]]:
        # locations travel to the workers of a DataLoader
        return tuple(self), self.__dict__


class Patch(Location):
    """A location that names its pixels, for datasets that read each raster on its own grid.

    Coordinates go through floating point and, for rasters in several reference systems, through a
    projection; the window does not.

    Args:
        x: From west to east in the dataset's reference system.
        y: From south to north.
        time: From the first to the last moment.
        scene: Which raster of the dataset.
        window: Pixels to read from it; may reach beyond its edges.
        core: The part of ``window`` that belongs to this patch and to no other.
        tile_id: Number that the sampler knows the place by.
    """

    scene: int
    window: Window
    core: Window

    def __new__(
        cls,
        x: slice,
        y: slice,
        time: slice | None = None,
        *,
        scene: int,
        window: Window,
        core: Window,
        tile_id: int = 0,
    ) -> Self:
        patch = super().__new__(cls, x, y, time, tile_id=tile_id)
        patch.scene, patch.window, patch.core = scene, window, core
        return patch
