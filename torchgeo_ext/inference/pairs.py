"""The pixels two dates have in common, for methods that treat each pixel by itself.

Arrays of pixels are (b, n): the c bands of ``before``, then the c bands of ``after`` (b = 2c), of
n pixels. Axis letters of tensors: b batch, t date, c band, h height, w width.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import torch
from einops import rearrange
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.mask import MaskSource
from torchgeo_ext.inference.moments import Floats, Moments, pieces, pixels_needed
from torchgeo_ext.inference.reader import RasterSource, WindowReader

#: Values in a block of pixels; memory holds a few float64 copies of one.
_BLOCK_VALUES = 2**21
#: Bytes of decoded blocks that GDAL keeps; by default it takes a share of the whole memory.
_GDAL_CACHE = 128 * 2**20


class PixelPairs(Collection[NDArray[Any]]):
    """The pixels that are valid at both dates, block by block.

    Blocks are kept as long as they fit into ``remember`` bytes, so that going through a small
    raster again costs no reading; the rest is read again every time.

    Attributes:
        names: What to call each band of both dates in messages.

    Args:
        before: The earlier date.
        after: The later date, with as many bands.
        grid: Where to read.
        mask: Source of a mask that says which pixels count, if not all do.
        remember: Bytes of pixels to keep in memory.

    Raises:
        BadInput: If a raster cannot be read on the grid, or the numbers of bands differ.
    """

    def __init__(
        self,
        before: RasterSource,
        after: RasterSource,
        grid: Grid,
        mask: MaskSource | None = None,
        remember: int = 128 * 2**20,
    ) -> None:
        self._stack = ExitStack()
        with ExitStack() as failing:
            failing.callback(self._stack.close)
            self._stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_GDAL_CACHE))
            self._before = self._stack.enter_context(before.open(grid))
            self._after = self._stack.enter_context(after.open(grid))
            self._mask = None if mask is None else self._stack.enter_context(mask.open(grid))
            check_bands(self._before, self._after)
            failing.pop_all()
        self.names = (*_names(self._before), *_names(self._after))
        self._windows = tuple(grid.windows(window_size(len(self._before.bands))))
        self._remember = remember
        self._kept: dict[int, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for index, window in enumerate(self._windows):
            block = self._kept.get(index)
            if block is None:
                block = self._read(window)
                if self._remember >= block.nbytes:
                    self._remember -= block.nbytes
                    self._kept[index] = block
            yield block

    def __contains__(self, block: object) -> bool:
        return any(block is other for other in self)

    def _read(self, window: Window) -> NDArray[Any]:
        values, valid = zip(self._before.read(window), self._after.read(window), strict=True)
        both = valid[0] & valid[1]
        if self._mask is not None:
            both &= self._mask.read(window)
        return np.concatenate([date[:, both] for date in values])

    def close(self) -> None:
        """Close the rasters and forget the pixels."""
        self._stack.close()
        self._kept.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def window_size(bands: int) -> int:
    """Return the side of windows of two dates of ``bands`` bands that bound the memory used."""
    side = math.isqrt(_BLOCK_VALUES // (2 * bands))
    # whole blocks of tiled files are read once
    return max(64, side // 256 * 256 or side // 64 * 64)


def check_bands(before: WindowReader, after: WindowReader) -> None:
    """Refuse dates whose bands do not belong together.

    Raises:
        BadInput: If their numbers differ, or they have the same names in another order and nobody
            has chosen them.
    """
    bands, arguments = (before.count, after.count), _arguments(before, after)
    hint = 'Name those that belong together with {}_bands and {}_bands.'.format(*arguments)
    if bands[0] != bands[1]:
        raise BadInput(
            f'{arguments[0]} has {bands[0]} bands, but {arguments[1]} has {bands[1]}.', hint
        )
    first, second = _told(before), _told(after)
    chosen = before.source.bands or after.source.bands
    if not chosen and all(first) and first != second and sorted(first) == sorted(second):
        raise BadInput(
            f'{arguments[0]} has the bands {", ".join(first)}, but {arguments[1]} has them in the '
            f'order {", ".join(second)}.',
            hint,
        )


def _arguments(*readers: WindowReader) -> list[str]:
    return [reader.source.argument for reader in readers]


def _told(reader: WindowReader) -> list[str]:
    return [(reader.dataset.descriptions[band - 1] or '').strip() for band in reader.bands]


def check_moments(moments: Moments, names: Sequence[str]) -> None:
    """Refuse pixels that are too few, and bands that say nothing.

    Raises:
        BadInput: Naming the bands that are constant.
    """
    needed = pixels_needed(len(names))
    if moments.weight == 0:
        raise BadInput(
            'before and after have no valid pixel in common.',
            'Look at nodata values, extent and mask; leave out bands that have no data at all.',
        )
    if moments.weight < needed:
        raise BadInput(
            f'before and after have only {moments.weight:.0f} valid pixels in common; at least '
            f'{needed} are needed for {len(names) // 2} bands.',
            'Use a larger part of the images or fewer bands.',
        )
    constant = [name for name, v in zip(names, moments.variance, strict=True) if v == 0]
    if constant:
        # names end with the argument the raster came from
        arguments = dict.fromkeys(f'{name.split(" of ")[-1]}_bands' for name in names)
        raise BadInput(
            f'There is only one value in {", ".join(constant)}.',
            f'Leave such bands out with {" and ".join(arguments)}.',
        )


def per_pixel(function: Callable[[Floats], Floats], pairs: torch.Tensor) -> torch.Tensor:
    """Apply a function of pixels to pairs of tiles.

    Args:
        function: From pixels (b, n) in float64 to scores (k, n).
        pairs: Tiles (b, t, c, h, w).

    Returns:
        Scores (b, k, h, w) of the type and on the device of ``pairs``.
    """
    pixels = rearrange(pairs.cpu().numpy(), 'b t c h w -> (t c) (b h w)')
    scores = [function(piece) for piece in pieces(pixels)]
    return torch.from_numpy(
        rearrange(
            np.concatenate(scores, 1), 'k (b h w) -> b k h w', b=len(pairs), h=pairs.shape[-2]
        )
    ).to(pairs)


def _names(reader: WindowReader) -> list[str]:
    """Name bands by number and, if it has one, description."""
    described = ((band, reader.dataset.descriptions[band - 1]) for band in reader.bands)
    return [
        f'band {band} ({name}) of {reader.source.argument}'
        if name
        else f'band {band} of {reader.source.argument}'
        for band, name in described
    ]
