"""Pictures for reports, as PNG or SVG text that stands inside a page."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from torchgeo_ext.tasks._fit import Epoch

#: Of the two scores that are drawn.
_COLORS = ('#228833', '#aa3377')


def png(picture: NDArray[Any]) -> str:
    """Write colours (h, w, 3) in 0..1 as the address of an image."""
    file = io.BytesIO()
    Image.fromarray((np.asarray(picture) * 255).round().astype(np.uint8)).save(file, 'PNG')
    return f'data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}'


def outlined(
    picture: NDArray[Any], outlines: Sequence[NDArray[Any]], colors: Sequence[str]
) -> NDArray[np.float64]:
    """Draw closed lines of points x, y (k, 2), each in its colour, on colours (h, w, 3) in 0..1."""
    image = Image.fromarray((np.asarray(picture) * 255).round().astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for points, color in zip(outlines, colors, strict=True):
        draw.polygon([tuple(point) for point in points.tolist()], outline=color)
    return np.asarray(image) / 255


def curves(epochs: Sequence[Epoch], best: Epoch) -> str:
    """Draw loss and scores over the epochs as SVG."""
    figure = Figure(figsize=(9, 3), layout='constrained')
    losses, scores = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in epochs]
    losses.plot(numbers, [epoch.train_loss for epoch in epochs], label='training', color='#4477aa')
    judged = [epoch.val_loss for epoch in epochs]
    if not np.isnan(judged).all():
        losses.plot(numbers, judged, label='validation', color='#ee6677')
    losses.set(xlabel='epoch', ylabel='loss')
    for name, color in zip(best.figures, _COLORS, strict=True):
        scores.plot(numbers, [epoch.figures[name] for epoch in epochs], label=name, color=color)
    scores.plot(best.number, best.score, 'o', color=_COLORS[0], label=f'best: {best.number}')
    scores.set(xlabel='epoch', ylabel='score on the hold-out', ylim=(0, 1))
    for axes in (losses, scores):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[['top', 'right']].set_visible(False)
    return svg(figure)


def svg(figure: Figure) -> str:
    """Write a figure as SVG that stands inside a page."""
    file = io.StringIO()
    # no date and no random names, so that the same run gives the same picture
    with rc_context({'svg.hashsalt': 'torchgeo_ext'}):
        figure.savefig(file, format='svg', metadata={'Date': None, 'Creator': None})
    text = file.getvalue()
    return text[text.index('<svg') :]
