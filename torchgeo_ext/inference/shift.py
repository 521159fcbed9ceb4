"""How well two dates lie on each other: their offset to a fraction of a pixel.

Windows spread over the common area are compared by phase correlation: a shift of one image against
the other is a linear phase of their cross-power spectrum, whose inverse transform has a peak there.
Brightness, contrast and change in parts of a window matter little. The offset is the median over
all windows with enough detail and a clear peak; it is reported, and nothing is moved by it.

References:
    Kuglin, C. D. & Hines, D. C. (1975). The phase correlation image alignment method.
    International Conference on Cybernetics and Society, 163-165.
    Guizar-Sicairos, M., Thurman, S. T. & Fienup, J. R. (2008). Efficient subpixel image
    registration algorithms. Optics Letters 33(2), 156-158. https://doi.org/10.1364/OL.33.000156
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import fft

from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.pairs import check_bands
from torchgeo_ext.inference.reader import RasterSource, WindowReader
from torchgeo_ext.progress import Progress, silent

Floats = NDArray[np.float64]
Images = NDArray[np.floating]

#: Side of a window in pixels, and how many there are along each axis at most.
_SIDE, _ALONG = 256, 4
#: A smaller window has too little to say.
_SMALLEST = 32
#: Bands compared; more of them say the same.
_BANDS = 4
#: Invalid pixels a window may have, as a share.
_INVALID = 0.1
#: Height of a peak over the noise around it, in standard deviations. Windows of two unrelated
#: aerial images stay below 9, mostly around 6; those of one place at two dates reach 10 to 50.
_CLEAR = 8.0
#: A second peak this high, as a share of the highest, makes the offset ambiguous: rows of a field
#: look the same from one row to the next. Peaks are apart from this many pixels on.
_RIVAL, _APART = 0.8, 4
#: Pixels that must differ from their neighbours along each axis, as a share, and by how many
#: standard deviations. With a few objects on even ground any of them seems to fit any other, and
#: along a single edge nothing tells where one is.
_DETAIL, _FAINT = 0.05, 1e-3
#: Frequencies above this many cycles per pixel are left out: resampling and noise live there.
_CUTOFF = 0.4
#: Fractions of a pixel that are told apart.
_STEPS = 50


class Shift(NamedTuple):
    """How far ``after`` lies off ``before``.

    Args:
        x: Columns to the right.
        y: Rows down.
        spread: Standard deviation between windows in pixels, found robustly.
        windows: Number of windows with a clear peak.
    """

    x: float
    y: float
    spread: float
    windows: int


class WindowShift(NamedTuple):
    """How far ``after`` lies off ``before`` in one window.

    Args:
        column: Middle of the window, in pixels of the grid ...
        row: ... from its upper left corner.
        x: Columns to the right.
        y: Rows down.
    """

    column: float
    row: float
    x: float
    y: float


def measure_shifts(
    before: RasterSource,
    after: RasterSource,
    grid: Grid,
    *,
    along: int = _ALONG,
    progress: Progress = silent,
) -> tuple[list[WindowShift], int]:
    """Measure the offset of two dates in windows spread over their common grid.

    Args:
        before: The earlier date.
        after: The later date; compared band by band.
        grid: Where to look, and whose pixels offsets are given in.
        along: Windows of 256 pixels along each axis at most.
        progress: Told about every window.

    Returns:
        The windows with enough detail and a clear peak, and how many were looked at.

    Raises:
        BadInput: If a date cannot be read, or their numbers of bands differ.
    """
    windows = _windows(grid, along)
    found: list[WindowShift] = []
    with before.open(grid) as first, after.open(grid) as second:
        check_bands(first, second)
        for index, window in enumerate(windows):
            progress(index / len(windows), 'Comparing the positions of the dates')
            pair = _read_pair(first, second, window)
            if pair is not None and all(map(has_detail, pair)):
                x, y, clarity = phase_shift(*pair)
                if clarity >= _CLEAR:
                    column = window.col_off + window.width / 2
                    found.append(WindowShift(column, window.row_off + window.height / 2, x, y))
    return found, len(windows)


def estimate_shift(
    before: RasterSource, after: RasterSource, grid: Grid, progress: Progress = silent
) -> Shift | None:
    """Estimate the offset of two dates on their common grid.

    Args:
        before: The earlier date.
        after: The later date; compared band by band.
        grid: Where to look, and whose pixels the offset is given in.
        progress: Told about every window.

    Returns:
        The offset, or ``None`` where it cannot be measured: few pixels, too little detail, a
        pattern that repeats itself, or change almost everywhere.

    Raises:
        BadInput: If a date cannot be read, or their numbers of bands differ.
    """
    found, windows = measure_shifts(before, after, grid, progress=progress)
    # one clear peak among many windows may be chance
    if len(found) < max(1, windows / 4):
        return None
    offsets = np.array(found)[:, 2:]
    x, y = np.median(offsets, 0)
    # 1.48 medians of absolute deviations are one standard deviation of normal errors
    spread = 1.48 * np.median(np.hypot(offsets[:, 0] - x, offsets[:, 1] - y))
    return Shift(round(float(x), 2), round(float(y), 2), round(float(spread), 2), len(found))


def phase_shift(before: Images, after: Images) -> tuple[float, float, float]:
    """Find the offset between two images by phase correlation.

    Args:
        before: Image (c, h, w).
        after: Image (c, h, w); its bands are compared with those of ``before`` one by one.

    Returns:
        Columns to the right and rows down by which ``after`` is off, and how clear the peak is, in
        standard deviations of the correlation; 0 if another one is about as high.
    """
    spectrum = (np.conj(_spectrum(before)) * _spectrum(after)).sum(0)
    (height, width), size = spectrum.shape, np.abs(spectrum)
    fy, fx = fft.fftfreq(height), fft.fftfreq(width)
    phases = np.divide(spectrum, size, out=np.zeros_like(spectrum), where=size > 0)
    phases *= _low_pass(fy)[:, None] * _low_pass(fx)
    correlation = fft.ifft2(phases).real
    row, column = np.unravel_index(correlation.argmax(), correlation.shape)
    deviation = float(correlation.std())
    highest = float(correlation.max())
    clarity = highest / deviation if deviation else 0.0
    if _second(correlation, row, column) > _RIVAL * highest:
        clarity = 0.0
    # the transform of the phases can be had at any position between pixels too
    near = np.arange(-_STEPS, _STEPS + 1) / _STEPS
    rows, columns = row + near, column + near
    along_y, along_x = (
        np.exp(2j * np.pi * np.outer(at, f)) for at, f in ((rows, fy), (columns, fx))
    )
    around = (along_y @ phases @ along_x.T).real
    peak_row, peak_column = np.unravel_index(around.argmax(), around.shape)
    return _signed(columns[peak_column], width), _signed(rows[peak_row], height), clarity


def has_detail(image: Images) -> bool:
    """Tell whether an image (c, h, w) has enough detail along both axes to be compared."""
    step = _FAINT * image.std((1, 2), keepdims=True)
    shares = [(np.abs(np.diff(image, axis=axis)) > step).any(0).mean() for axis in (1, 2)]
    return bool(min(shares) >= _DETAIL)


def _second(correlation: Floats, row: Any, column: Any) -> float:
    """Give the height of the highest peak beside the highest one; positions go round."""
    rest = np.roll(correlation, (_APART - row, _APART - column), (0, 1))
    rest[: 2 * _APART + 1, : 2 * _APART + 1] = -np.inf
    return float(rest.max())


def _spectrum(image: Images) -> NDArray[np.complexfloating]:
    """Transform bands (c, h, w) that are standardised and fade out towards the edges."""
    centred = image - image.mean((1, 2), keepdims=True)
    deviation = centred.std((1, 2), keepdims=True)
    centred /= np.where(deviation > 0, deviation, 1)
    # the Hann window without its outermost zeros
    fade_y, fade_x = (np.hanning(length + 2)[1:-1] for length in image.shape[1:])
    spectrum: NDArray[np.complexfloating] = fft.fft2(centred * fade_y[:, None] * fade_x)
    return spectrum


def _low_pass(frequency: Floats) -> Floats:
    near = np.abs(frequency) / _CUTOFF
    return np.where(near < 1, np.cos(np.pi / 2 * near) ** 2, 0.0)


def _signed(position: float, length: int) -> float:
    """Turn a position on a circle of pixels into the shorter way there."""
    return float((position + length / 2) % length - length / 2)


def _windows(grid: Grid, along: int) -> list[Window]:
    """Spread windows evenly over the grid."""
    height, width = (min(_SIDE, length) for length in grid.shape)
    if min(height, width) < _SMALLEST:
        return []
    return [
        Window(column, row, width, height)
        for row in _starts(grid.height, height, along)
        for column in _starts(grid.width, width, along)
    ]


def _starts(length: int, side: int, along: int) -> list[int]:
    count = min(along, math.ceil(length / side))
    return np.linspace(0, length - side, count).astype(int).tolist()


def _read_pair(
    before: WindowReader, after: WindowReader, window: Window
) -> tuple[Images, Images] | None:
    """Read some bands of both dates with their mean at invalid pixels; None if these are many."""
    (first, ours), (second, theirs) = before.read(window), after.read(window)
    valid = ours & theirs
    if valid.mean() < 1 - _INVALID:
        return None
    bands = np.unique(np.linspace(0, len(first) - 1, _BANDS).astype(int))
    pair = first[bands], second[bands]
    for image in pair:
        image[:, ~valid] = image[:, valid].mean(1, keepdims=True)
    return pair
