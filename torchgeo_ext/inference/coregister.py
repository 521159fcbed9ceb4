"""Where an image would have to lie to fit another one of the same place.

Offsets measured in many windows (see :mod:`~torchgeo_ext.inference.shift`) are joined to one
correction of the image's georeference: a shift, or an affine map, which also turns, scales and
shears. Windows in which something changed, or which deceive, are left out by their distance from
what the others say.

Axes: n windows.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import transform as reproject

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.grid import Grid, transform_points
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.rewrite import moved
from torchgeo_ext.inference.shift import WindowShift, measure_shifts
from torchgeo_ext.progress import Progress, portion, silent

Floats = NDArray[np.float64]
Correction = Literal['shift', 'affine']

CORRECTIONS = get_args(Correction)
#: Windows it takes at least; six numbers of an affine map need some to spare.
_FEWEST = {'shift': 1, 'affine': 6}
#: A window is left out if its error is this many robust standard deviations ...
_OUTLYING = 3.0
#: ... but never below this many pixels, three times the precision of a single window.
_TOLERANCE = 0.3
#: A second measurement, on the corrected image, sees what a large offset hid.
_ROUNDS = 2


@dataclass(frozen=True)
class Registration:
    """What came of comparing an image with a reference.

    Args:
        transform: The corrected georeference of the image, from (column, row) to (x, y).
        x: Columns of the reference by which the image lay too far to the right, in the middle.
        y: Rows by which it lay too far down.
        residual: Root mean square distance, in pixels of the reference, of the windows used from
            what the correction says.
        windows: What was measured before any correction.
        used: Windows that agreed with the correction in the last round.
        looked_at: Windows that were compared.
    """

    transform: Affine
    x: float
    y: float
    residual: float
    windows: list[WindowShift]
    used: int
    looked_at: int


def register(
    reference: RasterSource,
    image: RasterSource,
    grid: Grid,
    correction: Correction = 'shift',
    *,
    along: int = 8,
    progress: Progress = silent,
) -> Registration:
    """Find the georeference with which an image fits a reference.

    Args:
        reference: What to fit to.
        image: What to move; with as many bands, compared one by one.
        grid: The part of the reference's grid that both cover.
        correction: What may be done to the image.
        along: Windows along each axis at most.
        progress: Told how far it is.

    Returns:
        The corrected georeference and how well it fits.

    Raises:
        BadInput: If too few windows have a clear offset.
    """
    with image.open() as reader:
        own = reader.grid
    first: list[WindowShift] = []
    place, looked_at = own.transform, 0
    total = Affine.identity()
    for number in range(_ROUNDS):
        share = portion(progress, number / _ROUNDS, (number + 1) / _ROUNDS)
        with moved(image.path, place) as path:
            source = RasterSource(
                path, image.bands, image.nodata, image.resampling, argument=image.argument
            )
            windows, looked_at = measure_shifts(
                reference, source, grid, along=along, progress=share
            )
        _check_enough(windows, looked_at, correction, image)
        first = first or windows
        there, wanted = _positions(windows, grid, own)
        pixel = _pixel(grid, own)
        step, used = fit_affine(there, wanted, correction, _TOLERANCE * pixel)
        error = _distance(step, there, wanted)[used] / pixel
        place, total = step @ place, step @ total
    middle = np.array([own.transform @ (own.width / 2, own.height / 2)])
    x, y = _offset(total, middle, grid, own)
    residual = float(np.sqrt((error**2).mean()))
    return Registration(place, x, y, residual, first, len(error), looked_at)


def fit_affine(
    there: Floats, wanted: Floats, correction: Correction, tolerance: float
) -> tuple[Affine, NDArray[np.bool_]]:
    """Fit a map from positions to positions, leaving out those that do not agree.

    Args:
        there: (n, 2) where things are.
        wanted: (n, 2) where they ought to be.
        correction: ``shift`` or ``affine``.
        tolerance: Distance that is never too far off.

    Returns:
        The map, and which of the n agree with it.
    """
    middle = there.mean(0)
    used = np.ones(len(there), bool)
    fitted = Affine.translation(*np.median(wanted - there, 0))
    for _ in range(20):
        error = _distance(fitted, there, wanted)
        agreeing = error <= max(_OUTLYING * 1.48 * float(np.median(error)), tolerance)
        if correction == 'affine' and agreeing.sum() >= _FEWEST['affine']:
            # around the middle, as coordinates of millions of metres cost digits
            terms = np.column_stack([there[agreeing] - middle, np.ones(agreeing.sum())])
            (a, d), (b, e), (c, f) = np.linalg.lstsq(terms, wanted[agreeing] - middle)[0]
            around = Affine(a, b, c, d, e, f)
            fitted = Affine.translation(*middle) @ around @ Affine.translation(*-middle)
        else:
            fitted = Affine.translation(*(wanted - there)[agreeing].mean(0))
        if (agreeing == used).all():
            break
        used = agreeing
    return fitted, used


def _distance(fitted: Affine, there: Floats, wanted: Floats) -> Floats:
    x, y = transform_points(fitted, *there.T)
    distance: Floats = np.hypot(x - wanted[:, 0], y - wanted[:, 1])
    return distance


def _check_enough(
    windows: list[WindowShift], looked_at: int, correction: Correction, image: RasterSource
) -> None:
    if len(windows) >= max(_FEWEST[correction], looked_at / 8):
        return
    raise BadInput(
        f'{image.argument}: {image.path} and the reference have a clear offset in only '
        f'{len(windows)} of {looked_at} windows; {correction} needs '
        f'{max(_FEWEST[correction], -(-looked_at // 8))}.',
        'Check that both show the same place, leave out clouds, compare similar bands'
        + (', or correct a shift only.' if correction == 'affine' else '.'),
    )


def _positions(windows: list[WindowShift], grid: Grid, own: Grid) -> tuple[Floats, Floats]:
    """Give where the windows' middles are and ought to be, in the image's reference system."""
    measured = np.array(windows)
    wanted = _to_map(measured[:, :2], grid, own)
    return _to_map(measured[:, :2] + measured[:, 2:], grid, own), wanted


def _to_map(pixels: Floats, grid: Grid, own: Grid) -> Floats:
    x, y = transform_points(grid.transform, *pixels.T)
    if grid.crs is not None and own.crs is not None and grid.crs != own.crs:
        x, y = reproject(grid.crs, own.crs, x, y)
    return np.column_stack([x, y]).astype(np.float64)


def _pixel(grid: Grid, own: Grid) -> float:
    """Give the width of a pixel of the grid in units of the image's reference system."""
    x, y = grid.width / 2, grid.height / 2
    left, right = _to_map(np.array([[x, y], [x + 1, y]]), grid, own)
    return float(np.hypot(*(right - left)))


def _offset(total: Affine, middle: Floats, grid: Grid, own: Grid) -> tuple[float, float]:
    """Give how far a point of the image lay off, in pixels of the reference."""
    before = middle
    after = np.array([total @ tuple(middle[0])])
    if grid.crs is not None and own.crs is not None and grid.crs != own.crs:
        before, after = (
            np.column_stack(reproject(own.crs, grid.crs, points[:, 0], points[:, 1]))
            for points in (before, after)
        )
    there, wanted = (np.array(~grid.transform @ tuple(points[0])) for points in (before, after))
    x, y = there - wanted
    return round(float(x), 3), round(float(y), 3)
