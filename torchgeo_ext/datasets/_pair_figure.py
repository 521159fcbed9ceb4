"""Draws a pair of images with its labels and predictions."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torchgeo.datasets.utils import Sample, quantile_normalization

#: A name that matplotlib knows, or red, green and blue from 0 to 255.
type Color = str | tuple[int, int, int]

#: Colour of pixels without label, which no class has.
_NO_LABEL = 'lavender'

#: Pixels shown per row or column, more or less.
_SHOWN = 1000

_DATES = ('before', 'after')


def draw_pair(
    sample: Sample,
    rgb: Sequence[int],
    colors: Sequence[Color],
    *,
    show_titles: bool = True,
    suptitle: str | None = None,
    names: Sequence[str] = _DATES,
) -> Figure:
    """Draw the images of a sample, and its ``mask`` and ``prediction`` if there are.

    Args:
        sample: ``image`` (t, c, h, w), maps (1 or t, h, w), -1 = no label.
        rgb: Positions of red, green and blue.
        colors: Colour of each class.
        show_titles: Write what is what above.
        suptitle: Title of the figure.
        names: What the images are called.
    """
    step = max(1, sample['image'].shape[-1] // _SHOWN)
    views = {
        date.capitalize(): quantile_normalization(image[list(rgb), ::step, ::step]).movedim(0, -1)
        for date, image in zip(names, sample['image'], strict=False)
    }
    maps = {
        title if len(sample[key]) == 1 else f'{title} {date}': classes[::step, ::step]
        for key, title in (('mask', 'Labels'), ('prediction', 'Prediction'))
        if key in sample
        for date, classes in zip(names, sample[key], strict=False)
    }
    number = len(views) + len(maps)
    figure, axes = plt.subplots(ncols=number, figsize=(4 * number, 4), squeeze=False)
    shown = {'cmap': colormap(colors), 'vmin': -1, 'vmax': len(colors) - 1}
    for axis, view in zip(axes[0], views.values(), strict=False):
        axis.imshow(view)
    for axis, classes in zip(axes[0, len(views) :], maps.values(), strict=True):
        axis.imshow(classes, interpolation='none', **shown)
    for axis, title in zip(axes[0], [*views, *maps], strict=True):
        axis.axis('off')
        if show_titles:
            axis.set_title(title)
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure


def colormap(colors: Sequence[Color]) -> ListedColormap:
    """Colours of -1, no label, and of each class."""
    parts = [c if isinstance(c, str) else tuple(v / 255 for v in c) for c in colors]
    return ListedColormap([_NO_LABEL, *parts])
