"""Arithmetic of windows: whole pixels of one grid."""

from rasterio.windows import Window

from torchgeo_ext.inference.grid import Grid


def intersection(one: Window, other: Window) -> Window | None:
    """Give the pixels two windows have in common; None if there are none."""
    first, first_row = max(one.col_off, other.col_off), max(one.row_off, other.row_off)
    end = min(one.col_off + one.width, other.col_off + other.width)
    end_row = min(one.row_off + one.height, other.row_off + other.height)
    if first >= end or first_row >= end_row:
        return None
    return Window(first, first_row, end - first, end_row - first_row)


def shifted(window: Window, origin: Window) -> Window:
    """Count the pixels of a window from the corner of another one."""
    return Window(
        window.col_off - origin.col_off,
        window.row_off - origin.row_off,
        window.width,
        window.height,
    )


def inside(window: Window, grid: Grid) -> Window:
    """Give the part of a window that lies on a grid; may be empty."""
    first_row, first = max(0, window.row_off), max(0, window.col_off)
    end_row = min(grid.height, window.row_off + window.height)
    end = min(grid.width, window.col_off + window.width)
    return Window(first, first_row, max(0, end - first), max(0, end_row - first_row))


def tile_starts(length: int, size: int, step: int) -> list[int]:
    """Say where tiles begin along a side; the last one ends with it."""
    return [*range(0, length - size, step), length - size]
