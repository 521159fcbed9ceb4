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
from PIL import Image

from torchgeo_ext.tasks._fit import Epoch


def png(picture: NDArray[Any]) -> str:
    """Write colours (h, w, 3) in 0..1 as the address of an image."""
    file = io.BytesIO()
    Image.fromarray((np.asarray(picture) * 255).round().astype(np.uint8)).save(file, 'PNG')
    return f'data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}'


def curves(epochs: Sequence[Epoch], best: Epoch) -> str:
    """Draw loss and scores over the epochs as SVG."""
    figure = Figure(figsize=(9, 3), layout='constrained')
    losses, scores = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in epochs]
    losses.plot(numbers, [epoch.train_loss for epoch in epochs], label='training', color='#4477aa')
    losses.plot(numbers, [epoch.val_loss for epoch in epochs], label='validation', color='#ee6677')
    losses.set(xlabel='epoch', ylabel='loss')
    scores.plot(numbers, [epoch.mean_iou for epoch in epochs], label='mean IoU', color='#228833')
    scores.plot(
        numbers, [epoch.overall_accuracy for epoch in epochs], label='accuracy', color='#aa3377'
    )
    scores.plot(best.number, best.mean_iou, 'o', color='#228833', label=f'best: {best.number}')
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
