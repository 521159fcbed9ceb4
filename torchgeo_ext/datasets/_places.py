"""Gathers images by place and by date."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rasterio.windows import Window

from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.datasets._geometry import pixel_box, project_box
from torchgeo_ext.datasets._image import Image
from torchgeo_ext.inference.grid import Grid

#: What makes one image: a path, or paths of a mosaic. A sequence of these are several places.
Places = str | os.PathLike[str] | Sequence[str | os.PathLike[str] | Sequence[str]]


def list_places(paths: Places) -> list[Paths]:
    """List what is given for each place."""
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def covering_grid(images: Sequence[Image]) -> Grid:
    """Extend the grid of the first image, by whole pixels, until it covers all of them."""
    first = images[0].grid
    middle = (first.bounds.left + first.bounds.right) / 2
    boxes = np.array(
        [
            pixel_box(first, project_box(image.grid.bounds, image.grid.crs, first.crs, middle))
            for image in images
        ]
    )
    (left, top), (right, bottom) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    return first.part(Window(left, top, right - left, bottom - top))


def dates_of(times: Sequence[pd.Interval], apart: pd.Timedelta) -> list[pd.Interval]:
    """Join times that begin at most ``apart`` after the first of them to dates, in order."""
    dates: list[pd.Interval] = []
    for time in sorted(times, key=lambda time: time.left):
        if not dates or time.left - dates[-1].left > apart:
            dates.append(time)
    return dates


def date_number(time: pd.Interval, dates: Sequence[pd.Interval]) -> int:
    """Give the date that a time belongs to: the last one that begins no later."""
    return int(np.searchsorted([date.left for date in dates], time.left, side='right')) - 1
