"""Where scores are so high that something was found."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from torchgeo_ext.datasets._classes import LabelClass, make_classes
from torchgeo_ext.inference import Grid, RasterOutput, RasterSource, open_raster, predict_raster
from torchgeo_ext.inference.histogram import ValueHistogram
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.operations._change import ground_by_value, outline_values
from torchgeo_ext.operations._operation import Style, Styles
from torchgeo_ext.operations._predict import class_table
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

_TILE = 512
#: Where nothing was found.
NOTHING = LabelClass(0, 'nothing', '#f0f0f0')


class Marked(NamedTuple):
    """What was found.

    Attributes:
        thresholds: Score from which on a pixel counts, for each band of scores.
        areas: Square metres by name.
        styles: A style for each output.
    """

    thresholds: tuple[float, ...]
    areas: dict[str, float]
    styles: Styles


def mark(
    scores: Any,
    names: Sequence[str],
    *,
    threshold: float | None,
    share: float,
    lowest: bool = False,
    found: Any = None,
    polygons: Any = None,
    minimum_area: float = 0.0,
    progress: Progress,
) -> Marked:
    """Mark the pixels with the highest scores.

    Args:
        scores: Raster with a band of scores for each name. A pixel counts for the one that it
            exceeds the threshold of most.
        names: What each band looks for.
        threshold: Score from which on a pixel counts; None to find it.
        share: Share of the pixels that count if it is to be found.
        lowest: Whether low scores are those that count.
        found: Class raster to write, or None.
        polygons: GeoPackage to write, or None.
        minimum_area: Leave out smaller polygons, in square metres.
        progress: Told how far it is.
    """
    source = RasterSource(str(scores), argument='output')
    with open_raster(str(scores), 'output') as dataset:
        grid = Grid.of(dataset)
    sign = -1 if lowest else 1
    limits = [sign * threshold] * len(names) if threshold is not None else []
    limits = limits or _limits(source, grid, sign, share, portion(progress, 0, 0.4))
    classes = [NOTHING, *make_classes(range(1, len(names) + 1), dict(enumerate(names, 1)))]
    shown = class_table(classes)

    def excess(tiles: 'Tensor') -> 'Tensor':
        above = sign * tiles - torch.tensor(limits)[:, None, None]
        # what just reaches the threshold counts
        none = torch.full_like(above[:, :1], -1e-30)
        return torch.cat([none, above], 1)

    with TemporaryDirectory() as folder:
        raster = str(found or Path(folder) / 'found.tif')
        written = RasterOutput(raster, 'classes', classes, argument='found')
        predict_raster(
            excess, source, grid, [written], tile_size=_TILE, merge='crop', device='cpu',
            progress=portion(progress, 0.4, 0.8),
        )  # fmt: skip
        styles: Styles = {}
        if found is not None:
            styles['found'] = {'type': 'classes', 'classes': shown}
            write_style(found, styles['found'])
        if polygons is not None:
            styles['polygons'] = outline_values(
                raster, polygons, shown[1:], minimum_area, portion(progress, 0.8, 1)
            )
        ground = ground_by_value(raster)
    areas = {entry.name: ground.get(entry.value, (0, 0.0))[1] for entry in classes[1:]}
    return Marked(tuple(sign * limit for limit in limits), areas, styles)


def _limits(
    source: RasterSource, grid: Grid, sign: int, share: float, progress: Progress
) -> list[float]:
    """Find what only a share of the scores of each band exceeds."""
    windows = list(grid.windows(_TILE))
    with source.open(grid) as reader:
        histograms = [ValueHistogram(np.float32) for _ in reader.bands]
        for number, window in enumerate(windows):
            progress(number / len(windows), 'Looking for the strongest')
            values, valid = reader.read(window)
            for band, histogram in zip(values, histograms, strict=True):
                histogram.add(sign * band[valid])
    return [histogram.quantile(1 - share) for histogram in histograms]


def score_style(scores: Any, lowest: bool = False) -> Style:
    """Choose how a raster of scores is drawn: from its middle to its strongest values."""
    source = RasterSource(str(scores), bands=(1,), argument='output')
    with open_raster(str(scores), 'output') as dataset:
        grid = Grid.of(dataset)
    sign = -1 if lowest else 1
    ends = [sign * _limits(source, grid, sign, share, silent)[0] for share in (0.5, 0.001)]
    low, high = sorted(ends)
    if not (math.isfinite(low) and low < high):
        low, high = low - 0.5, low + 0.5
    style: Style = {
        'type': 'range', 'minimum': low, 'maximum': high, 'unit': '',
        'ramp': 'magma_r' if lowest else 'magma',
    }  # fmt: skip
    write_style(scores, style)
    return style
