"""Going through the pixels of a cube, and what is gathered on the way.

Arrays of pixels are (c, n): c bands of n pixels.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.mask import MaskSource
from torchgeo_ext.inference.moments import Floats, Moments, dependent, pieces, pixels_needed
from torchgeo_ext.inference.pairs import per_pixel
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.sensors import BandWavelengths

#: Values in a window or tile; memory holds a few copies of them.
_VALUES = 2**24
#: Sides of windows and tiles.
_SMALLEST, _LARGEST = 32, 512
#: Bytes of decoded blocks that GDAL keeps; by default it takes a share of the whole memory.
_GDAL_CACHE = 128 * 2**20
#: Rows and columns of pixels and of their neighbours to the left in every second row, and above in
#: every second column.
_SECOND = slice(None, None, 2)
_NEXT, _LAST = slice(1, None), slice(None, -1)
_NEIGHBOURS = (((_SECOND, _NEXT), (_SECOND, _LAST)), ((_NEXT, _SECOND), (_LAST, _SECOND)))


class Part(NamedTuple):
    """A part of a cube.

    Args:
        window: Where it is.
        values: Values (c, h, w) of all its pixels.
        valid: Which of them count (h, w): those valid in all bands.
    """

    window: Window
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @property
    def pixels(self) -> NDArray[np.float32]:
        """The pixels that count (c, n), row by row."""
        return _chosen(self.values, self.valid)


@dataclass(frozen=True)
class Cube:
    """A raster of many bands, or a part of it.

    Args:
        source: The raster and the numbers of its bands that count.
        grid: The pixels that count.
        bands: Where these bands lie in the spectrum, as far as it is known.
        mask: Where pixels count, if not everywhere.
    """

    source: RasterSource
    grid: Grid
    bands: BandWavelengths
    mask: MaskSource | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What to call each band, for messages and tables."""
        return tuple(
            f'band {number}' if math.isnan(centre) else f'band {number} ({centre * 1000:.0f} nm)'
            for number, centre in zip(self.source.bands or (), self.bands.centre, strict=True)
        )

    def select(self, positions: Sequence[int]) -> Self:
        """Give some of the bands, by positions from 0."""
        numbers = self.source.bands or ()
        chosen = tuple(numbers[position] for position in positions)
        return dataclasses.replace(
            self,
            source=dataclasses.replace(self.source, bands=chosen),
            bands=self.bands.select(positions),
        )

    def filled(self, value: float) -> Self:
        """Have pixels that do not count in all bands read as this value."""
        source = dataclasses.replace(self.source, fill=(value,))
        return dataclasses.replace(self, source=source)

    @property
    def tile_size(self) -> int:
        """Height and width of windows that bound the memory used, however many bands there are."""
        side = math.isqrt(_VALUES // len(self.bands))
        # whole blocks of tiled files are read once
        return min(_LARGEST, max(_SMALLEST, 2 ** (side.bit_length() - 1)))

    def windows(self, progress: Progress = silent, text: str = '') -> Iterator[Part]:
        """Go through all pixels.

        Args:
            progress: Told about every window.
            text: What is done with them.
        """
        places = list(self.grid.windows(self.tile_size))
        with ExitStack() as stack:
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_GDAL_CACHE))
            reader = stack.enter_context(self.source.open(self.grid))
            masked = None if self.mask is None else stack.enter_context(self.mask.open(self.grid))
            for number, window in enumerate(places):
                progress(number / len(places), text)
                values, valid = reader.read(window)
                if masked is not None:
                    valid &= masked.read(window)
                yield Part(window, values, valid)

    def blocks(self, progress: Progress = silent, text: str = '') -> Iterator[Floats]:
        """Go through the pixels that count, in pieces (c, n) that are quick to compute with."""
        for part in self.windows(progress, text):
            yield from pieces(part.pixels)


class PixelModel:
    """Treats each pixel by itself; subclasses say how in :meth:`scores`."""

    def scores(self, pixels: Floats) -> Floats:
        """Compute scores (k, n) of pixels (c, n)."""
        raise NotImplementedError

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        """Compute scores (b, k, h, w) of tiles (b, c, h, w)."""
        return per_pixel(self.scores, tiles[:, None])


def signal_moments(cube: Cube, progress: Progress = silent) -> Moments:
    """Compute means and covariances of the bands in one pass."""
    moments = Moments(len(cube.bands))
    for pixels in cube.blocks(progress, 'Gathering statistics'):
        moments.add(pixels)
    return moments


def noise_moments(cube: Cube, progress: Progress = silent) -> tuple[Moments, Moments]:
    """Compute means and covariances of the bands, and of their noise, in one pass.

    What neighbouring pixels differ by is twice the noise, as far as the ground is the same (shift
    difference). Every second row gives the differences to the right, every second column those
    downwards.

    Returns:
        Moments of the bands, and of the differences divided by the root of two.
    """
    signal, noise = Moments(len(cube.bands)), Moments(len(cube.bands))
    for part in cube.windows(progress, 'Gathering statistics'):
        for pixels in pieces(part.pixels):
            signal.add(pixels)
        for first, second in _NEIGHBOURS:
            both = part.valid[first] & part.valid[second]
            differences = part.values[:, *first] - part.values[:, *second]
            for pixels in pieces(_chosen(differences, both)):
                noise.add(pixels * math.sqrt(0.5))
    return signal, noise


def _chosen(values: NDArray[np.float32], there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the pixels (c, n) of values (c, h, w) that are there (h, w)."""
    # looking for each of them takes longer than anything else
    return values.reshape(len(values), -1) if there.all() else values[:, there]


def check_pixels(moments: Moments, cube: Cube) -> None:
    """Refuse pixels that are too few, and bands that say nothing.

    Raises:
        BadInput: Naming the bands that are constant.
    """
    argument, path, count = cube.source.argument, cube.source.path, len(cube.bands)
    needed = pixels_needed(count)
    if moments.weight < needed:
        raise BadInput(
            f'{argument}: {path} has {moments.weight:.0f} pixels that are valid in all of the '
            f'{count} bands; at least {needed} are needed for so many bands.',
            'Use a larger part or fewer bands; leave out bands that have no data.',
        )
    constant = [name for name, v in zip(cube.names, moments.variance, strict=True) if v == 0]
    if constant:
        raise BadInput(
            f'{argument}: there is only one value in {", ".join(constant)} of {path}.',
            'Leave such bands out with bands.',
        )


def regularised(covariance: Floats, cube: Cube, regularisation: float) -> Floats:
    """Add to the variances of the bands, and check that the result can be inverted.

    Args:
        covariance: Covariance matrix (c, c) of bands that all vary.
        cube: Where it is from.
        regularisation: Share of its variance that is added to each band.

    Raises:
        BadInput: If bands depend on each other.
    """
    scale = np.sqrt(np.diag(covariance))
    result: Floats = covariance + regularisation * np.diag(scale**2)
    if involved := dependent(result / np.outer(scale, scale), cube.names):
        raise BadInput(
            f'{cube.source.argument}: {", ".join(involved)} of {cube.source.path} depend on each '
            'other: each of them can be computed from the others.',
            'Leave one of them out, or set regularisation to a small number such as 0.001.',
        )
    return result


def background(
    cube: Cube, regularisation: float = 0.0, progress: Progress = silent
) -> tuple[Floats, Floats]:
    """Describe the whole image as a background, in one pass.

    Args:
        cube: The image.
        regularisation: Share of its variance that is added to each band.
        progress: Told how far it is.

    Returns:
        Mean (c) and covariance (c, c), which can be inverted.

    Raises:
        BadInput: If there are too few pixels, or bands are constant or depend on each other.
    """
    moments = signal_moments(cube, progress)
    check_pixels(moments, cube)
    return moments.mean, regularised(moments.covariance, cube, regularisation)


def sample_pixels(
    cube: Cube, count: int, seed: int = 0, progress: Progress = silent
) -> NDArray[np.float32]:
    """Draw pixels at random from all that count, each equally likely (Vitter's reservoir by keys).

    Args:
        cube: The cube.
        count: How many to draw; all of them if there are fewer.
        seed: Another seed, other pixels.
        progress: Told how far it is.

    Returns:
        Pixels (c, n) in the order of the raster.

    Raises:
        BadInput: If no pixel is valid.
    """
    random = np.random.default_rng(seed)
    kept: NDArray[np.float32] = np.empty((len(cube.bands), 0), np.float32)
    keys: NDArray[Any] = np.empty(0)
    for part in cube.windows(progress, 'Drawing pixels'):
        new = random.random(int(part.valid.sum()))
        most = np.sort(np.concatenate([keys, new]))[:count].max(initial=0)
        kept = np.concatenate([kept[:, keys <= most], part.pixels[:, new <= most]], axis=1)
        keys = np.concatenate([keys[keys <= most], new[new <= most]])
    if not len(keys):
        raise nothing_valid(cube)
    return kept


def nothing_valid(cube: Cube) -> BadInput:
    """Make the error that says that no pixel is valid."""
    return BadInput(
        f'{cube.source.argument}: {cube.source.path} has no pixel that is valid in all of the '
        f'{len(cube.bands)} bands and inside of extent and mask.',
        'Look at nodata values, extent and mask; leave out bands that have no data at all.',
    )


def whitening(covariance: Floats) -> Floats:
    """Give the matrix (c, c) that makes bands of this covariance uncorrelated, of variance one."""
    lower = np.linalg.cholesky(covariance)
    result: Floats = np.linalg.solve(lower, np.eye(len(lower)))
    return result
