"""How often each pixel is sampled, on a map."""

import numpy as np
from affine import Affine
from matplotlib.figure import Figure
from numpy.typing import NDArray

from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers._place import corners
from torchgeo_ext.samplers._sampler import PatchSampler

#: Bins along the longer side of a raster at most.
_BINS = 512


def coverage(sampler: PatchSampler, epochs: int = 1) -> list[tuple[Grid, NDArray[np.float64]]]:
    """Count how often each pixel is sampled.

    Args:
        sampler: One of ours; its epoch is left as it was.
        epochs: Epochs to count, from 0.

    Returns:
        For each raster a grid, coarser for large rasters, and how often its pixels are sampled on
        average, (h, w).
    """
    coarse = [_coarse(grid) for grid in sampler.place.grids]
    counts = [np.zeros(grid.shape) for grid, _, _ in coarse]
    before = sampler.epoch
    try:
        for epoch in range(epochs):
            sampler.set_epoch(epoch)
            for cut in sampler.cuts():
                _, height, width = coarse[cut.scene]
                count = counts[cut.scene]
                rows = _share(cut.window.row_off, cut.window.height, height, count.shape[0])
                columns = _share(cut.window.col_off, cut.window.width, width, count.shape[1])
                count += rows[:, None] * columns
    finally:
        sampler.set_epoch(before)
    return [(grid, count) for (grid, _, _), count in zip(coarse, counts, strict=True)]


def plot_coverage(sampler: PatchSampler, epochs: int = 1) -> Figure:
    """Draw how often each pixel is sampled; rasters of the same pixels count together.

    Args:
        sampler: One of ours; its epoch is left as it was.
        epochs: Epochs to count, from 0.
    """
    counted: dict[Grid, NDArray[np.float64]] = {}
    for grid, count in coverage(sampler, epochs):
        counted[grid] = counted.get(grid, 0) + count
    most = max(count.max() for count in counted.values())
    figure = Figure(figsize=(7, 7), layout='constrained')
    axes = figure.subplots()
    crs = sampler.place.crs
    for grid, count in counted.items():
        drawn = axes.pcolormesh(*corners(grid, crs), count, vmin=0, vmax=most, cmap='viridis')
    axes.set_aspect('equal')
    axes.set_title(f'{type(sampler).__name__}, epochs: {epochs}')
    figure.colorbar(drawn, ax=axes, label='times sampled', shrink=0.7)
    return figure


def _coarse(grid: Grid) -> tuple[Grid, float, float]:
    """Give a grid of few bins and their height and width in pixels."""
    rows, columns = (min(length, _BINS) for length in grid.shape)
    height, width = grid.height / rows, grid.width / columns
    return (
        Grid(grid.crs, grid.transform @ Affine.scale(width, height), columns, rows),
        height,
        width,
    )


def _share(start: int, length: int, bin_length: float, bins: int) -> NDArray[np.float64]:
    """Give the part of each bin that an interval of pixels covers."""
    edges = np.arange(bins + 1) * bin_length
    shared = np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start)
    return np.maximum(shared, 0) / bin_length
