"""Pictures for reports, as PNG or SVG text that stands inside a page."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from torchgeo_ext.tasks._fit import Epoch

#: Words for the bands that are shown as red, green and blue, first come first served.
_VISIBLE = (('red', 'green', 'blue'), ('r', 'g', 'b'), ('b04', 'b03', 'b02'), ('b4', 'b3', 'b2'))
#: Pixels without label.
_UNLABELLED = (1.0, 1.0, 1.0)


def rgb_bands(names: Sequence[str]) -> tuple[int, ...]:
    """Choose three bands to show (positions), or one if there are fewer than three."""
    plain = [name.strip().lower() for name in names]
    for words in _VISIBLE:
        if all(word in plain for word in words):
            return tuple(plain.index(word) for word in words)
    return (0, 1, 2) if len(names) >= 3 else (0,)


def quicklook(
    image: NDArray[Any], mean: NDArray[Any], std: NDArray[Any], bands: Sequence[int]
) -> NDArray[np.float64]:
    """Stretch an image (c, h, w) to colours (h, w, 3) in 0..1, two deviations to either side."""
    shown = np.stack([(image[b] - mean[b]) / (4 * std[b]) + 0.5 for b in bands], -1)
    return np.broadcast_to(np.clip(shown, 0, 1), (*shown.shape[:2], 3))


def paint(mask: NDArray[Any], colors: Sequence[str]) -> NDArray[np.float64]:
    """Give class numbers (h, w) their colours (h, w, 3); what is below 0 becomes white."""
    table = np.array([*(to_rgb(color) for color in colors), _UNLABELLED])
    painted: NDArray[np.float64] = table[mask]  # -1 is the last
    return painted


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
    file = io.StringIO()
    # no date and no random names, so that the same run gives the same picture
    with rc_context({'svg.hashsalt': 'torchgeo_ext'}):
        figure.savefig(file, format='svg', metadata={'Date': None, 'Creator': None})
    text = file.getvalue()
    return text[text.index('<svg') :]
