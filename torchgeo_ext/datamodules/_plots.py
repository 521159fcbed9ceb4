"""Draws samples, the split on a map and how often each place is drawn, as matplotlib figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from torchgeo_ext.datamodules._pictures import paint
from torchgeo_ext.datasets._classes import LabelClass

#: Colours of unchanged and changed.
_CHANGE = ('#d9d9d9', '#d7191c')
#: Height and width of a picture in inches.
_SIDE = 3.0


@dataclass(frozen=True)
class Row:
    """One sample to draw.

    Args:
        images: Colours (h, w, 3) of each date by title.
        maps: Class numbers (h, w) by title, -1 where there is none; or colours (h, w, 3) of what
            has other classes.
    """

    images: Mapping[str, NDArray[Any]]
    maps: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class MapView:
    """A raster seen from afar, with something painted over it.

    Args:
        title: What it shows.
        image: (h, w, 3) colours.
        values: (h, w) what is painted over.
        extent: Left, right, bottom, top in map units.
    """

    title: str
    image: NDArray[Any]
    values: NDArray[Any]
    extent: tuple[float, float, float, float]


def paint_change(change: NDArray[Any]) -> NDArray[np.float64]:
    """Give what changed (h, w), and what did not, colours (h, w, 3)."""
    return paint(change, _CHANGE)


def draw_samples(rows: Sequence[Row], classes: Sequence[LabelClass]) -> Figure:
    """Draw samples in rows: images, label, prediction; the legend below.

    Args:
        rows: The samples; all with the same titles.
        classes: Names and colours.
    """
    titles = [*rows[0].images, *rows[0].maps]
    figure = Figure(figsize=(_SIDE * len(titles), _SIDE * len(rows) + 0.6), layout='constrained')
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    colors = [entry.color for entry in classes]
    for axes, row in zip(grid, rows, strict=True):
        maps = [v if v.ndim == 3 else paint(v, colors) for v in row.maps.values()]
        pictures = [*row.images.values(), *maps]
        for axis, title, picture in zip(axes, titles, pictures, strict=True):
            axis.imshow(picture, interpolation='nearest')
            axis.set(xticks=[], yticks=[])
            axis.set_title(title if row is rows[0] else '')
    _legend(figure, {entry.name: entry.color for entry in classes} | {'no label': '#ffffff'})
    return figure


def draw_roles(views: Sequence[MapView], names: Sequence[str], colors: Sequence[str]) -> Figure:
    """Draw what pixels are used for over images of their places.

    Args:
        views: Places; ``values`` are positions in ``names``.
        names: What a pixel can be used for; the first is not painted.
        colors: One for each.
    """
    figure, axes = _maps(len(views))
    present = sorted({int(value) for view in views for value in np.unique(view.values)} - {0})
    for axis, view in zip(axes, views, strict=True):
        tint = paint(view.values, colors)
        strength = np.where(view.values > 0, 0.45, 0.0)[..., None]
        _show(axis, view, view.image * (1 - strength) + tint * strength)
    _legend(figure, {names[value]: colors[value] for value in present})
    return figure


def draw_counts(views: Sequence[MapView], label: str) -> Figure:
    """Draw how often each pixel was drawn over images of their places."""
    figure, axes = _maps(len(views))
    most = max(1.0, max(float(view.values.max()) for view in views))
    for axis, view in zip(axes, views, strict=True):
        _show(axis, view, view.image.mean(-1), cmap='gray', vmin=0, vmax=1)
        drawn = np.ma.masked_equal(view.values, 0)
        shown = axis.imshow(
            drawn, extent=view.extent, cmap='viridis', alpha=0.7, vmin=0, vmax=most,
            interpolation='nearest',
        )  # fmt: skip
    figure.colorbar(shown, ax=axes, label=label, shrink=0.8)
    return figure


def _maps(number: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(1.8 * _SIDE * number, 1.8 * _SIDE + 0.6), layout='constrained')
    axes: Iterable[Axes] = figure.subplots(1, number, squeeze=False)[0]
    return figure, list(axes)


def _show(axis: Axes, view: MapView, picture: NDArray[Any], **settings: Any) -> None:
    axis.imshow(picture, extent=view.extent, interpolation='nearest', **settings)
    axis.set_title(view.title, fontsize='small')
    axis.tick_params(labelsize='x-small')
    axis.ticklabel_format(useOffset=False, style='plain')
    for label in axis.get_yticklabels():
        label.set(rotation=90, verticalalignment='center')
    axis.locator_params(nbins=4)


def _legend(figure: Figure, colors: Mapping[str, str]) -> None:
    patches = [
        Patch(facecolor=color, edgecolor='#888888', label=name) for name, color in colors.items()
    ]
    columns = max(1, int(figure.get_figwidth() / _SIDE * 2))
    figure.legend(handles=patches, loc='outside lower center', ncols=columns, frameon=False)
