"""Thins areas to lines one pixel wide."""

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

#: Steps (row, column) to the neighbours of a pixel, clockwise from the one above it.
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def reach(width: int) -> int:
    """Tell how many pixels away :func:`thin` looks, for lines of up to some pixels."""
    return width + 5 + 2 * _rounds(width)


def thin(
    area: NDArray[np.bool_], width: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.bool_]]:
    """Thin whatever is not too wide to its middle line.

    Layers are taken off in two turns, from one side each, so that lines stay connected and in the
    middle. Each turn sees the pixels next to one alone and there is a fixed number of them, so the
    result at a pixel depends on what lies within :func:`reach` and on nothing else: parts of a
    raster can be thinned one by one.

    See Guo & Hall (1989), Parallel thinning with two-subiteration algorithms,
    https://doi.org/10.1145/62065.62074.

    Args:
        area: (h, w).
        width: Pixels that lines may be wide; what is wider is left out.

    Returns:
        The lines (h, w), the distance in pixels (h, w) of each pixel from the next one outside, and
        what was left out (h, w).
    """
    if area.all():
        return np.zeros_like(area), np.full(area.shape, np.inf), area
    distance: NDArray[np.float64] = distance_transform_edt(area)
    core = distance > (width + 1) / 2
    wide = np.zeros_like(area)
    if core.any():
        wide = area & (distance_transform_edt(~core) <= (width + 1) / 2 + 1)
        # pixels beside a wide area, which would become a line around it
        wide |= area & binary_dilation(wide)
    line = area & ~wide
    for _ in range(_rounds(width)):
        before = line
        for table in _tables():
            line = line & ~table[_codes(line)]
        if (line == before).all():
            break
    return line, distance, wide


def _rounds(width: int) -> int:
    # a round takes a layer off every side
    return width // 2 + 2


def _codes(line: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Say in one number which of its neighbours each pixel has."""
    height, width = line.shape
    framed = np.pad(line, 1).view(np.uint8)
    codes = np.zeros(line.shape, np.uint8)
    for bit, (row, column) in enumerate(_AROUND):
        codes |= framed[1 + row : 1 + row + height, 1 + column : 1 + column + width] << bit
    return codes


@functools.cache
def _tables() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell of each of the 256 neighbourhoods whether a turn takes the pixel in its middle away."""
    around = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(bool)
    # in the words of the paper, clockwise from the pixel above
    p2, p3, p4, p5, p6, p7, p8, p9 = around.T
    joins = (
        (~p2 & (p3 | p4)).astype(int) + (~p4 & (p5 | p6)) + (~p6 & (p7 | p8)) + (~p8 & (p9 | p2))
    )
    one = (p9 | p2).astype(int) + (p3 | p4) + (p5 | p6) + (p7 | p8)
    other = (p2 | p3).astype(int) + (p4 | p5) + (p6 | p7) + (p8 | p9)
    fewer = np.minimum(one, other)
    loose = (joins == 1) & (fewer >= 2) & (fewer <= 3)
    return loose & ~((p6 | p7 | ~p9) & p8), loose & ~((p2 | p3 | ~p5) & p4)
