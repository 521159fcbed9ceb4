"""Plots of what depends on wavelength, for reports."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.sensors import WATER_VAPOUR
from torchgeo_ext.tasks._pictures import svg

#: Lines break where neighbouring bands are this many times farther apart than usual.
_GAP = 4.0


def profiles(
    cube: Cube,
    spectra: NDArray[np.floating],
    names: Sequence[str],
    colors: Sequence[str],
    *,
    label: str = 'value',
    spread: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
) -> str:
    """Draw spectra over wavelength (or, where that is not known, the number of the band) as SVG.

    Args:
        cube: The bands.
        spectra: Values (k, c); NaN is left out.
        names: What each is.
        colors: Colour of each.
        label: What the values are.
        spread: Lower and upper values (c) to shade between.
    """
    figure = Figure(figsize=(9, 3.5), layout='constrained')
    axes = figure.subplots()
    x, order = _positions(cube)
    for spectrum, name, color in zip(spectra, names, colors, strict=True):
        for number, run in enumerate(_runs(x, order, spectrum)):
            named = name if number == 0 else None
            # a band by itself is no line
            style = '.' if len(run) == 1 else '-'
            axes.plot(x[run], spectrum[run], style, color=color, label=named, linewidth=1.2)
    if spread is not None:
        for run in _runs(x, order, spread[0]):
            axes.fill_between(x[run], spread[0][run], spread[1][run], color=colors[0], alpha=0.15)
    known = bool(cube.bands.order)
    if known:
        for low, high in WATER_VAPOUR:
            axes.axvspan(1000 * low, 1000 * high, color='#888888', alpha=0.15, linewidth=0)
    axes.set(xlabel='wavelength (nm)' if known else 'band', ylabel=label)
    axes.set_xlim(float(x[order].min()), float(x[order].max()))
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    if len(names) > 1:
        axes.legend(frameon=False, fontsize='small', loc='upper left', bbox_to_anchor=(1, 1))
    return svg(figure)


def matrix(cube: Cube, values: NDArray[np.floating]) -> str:
    """Draw the correlation (c, c) of bands, by their numbers, as SVG."""
    figure = Figure(figsize=(5, 4.2), layout='constrained')
    axes = figure.subplots()
    numbers = np.array(cube.source.bands, float)
    edges = np.append(numbers - 0.5, numbers[-1] + 0.5)
    image = axes.pcolormesh(edges, edges, values, vmin=-1, vmax=1, cmap='RdBu_r', rasterized=True)
    axes.set(xlabel='band', ylabel='band', aspect='equal')
    axes.invert_yaxis()
    figure.colorbar(image, label='correlation')
    return svg(figure)


def _positions(cube: Cube) -> tuple[NDArray[Any], list[int]]:
    """Give the place of each band along the axis, and the order to draw them in.

    That of the file, so that detectors whose bands overlap have lines of their own.
    """
    if not cube.bands.order:
        return np.array(cube.source.bands, float), list(range(len(cube.bands)))
    x, inside = 1000 * np.array(cube.bands.centre), sorted(cube.bands.order)
    backwards = np.diff(x[inside]) < 0
    return x, list(cube.bands.order) if backwards.sum() > 1 else inside


def _runs(
    x: NDArray[Any], order: Sequence[int], values: NDArray[np.floating]
) -> Iterator[list[int]]:
    """Yield the bands that belong to one line."""
    steps = np.diff(x[order])
    usual = float(np.median(steps)) if len(steps) else 0.0
    run: list[int] = []
    for place in order:
        far = run and not 0 <= x[place] - x[run[-1]] <= _GAP * usual
        if run and (far or math.isnan(values[place])):
            yield run
            run = []
        if not math.isnan(values[place]):
            run.append(place)
    if run:
        yield run
