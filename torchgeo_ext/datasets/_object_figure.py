"""Draws an image with the outlines of objects."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from torch import Tensor
from torchgeo.datasets.utils import Sample, quantile_normalization

#: Positions in x1, y1, x2, y2 of the corners of a box, one after the other.
_CORNERS = (0, 1, 2, 1, 2, 3, 0, 3)


def draw_objects(
    sample: Sample,
    classes: Sequence[str],
    colors: Sequence[str],
    *,
    show_titles: bool = True,
    suptitle: str | None = None,
) -> Figure:
    """Draw the image of a sample and what is known of its objects.

    Args:
        sample: ``image`` (3, h, w), ``label`` (n,) and ``bbox`` (n, 8), rotated, or ``bbox_xyxy``
            (n, 4); ``mask`` (h, w) is laid over it.
        classes: Names of the classes.
        colors: Colour of each.
        show_titles: Write the names of the classes.
        suptitle: Title of the figure.
    """
    figure, axis = plt.subplots(figsize=(8, 8))
    axis.imshow(quantile_normalization(sample['image']).movedim(0, -1))
    if 'mask' in sample:
        mask = sample['mask'].numpy()
        axis.imshow(mask, alpha=0.4 * (mask > 0), interpolation='none')
    for prefix, style in (('', '-'), ('prediction_', '--')):
        label = sample.get(f'{prefix}label')
        corners = _corners(sample, prefix)
        if label is None or corners is None:
            continue
        for number, points in zip(label.tolist(), corners, strict=True):
            axis.add_patch(Polygon(points, fill=False, edgecolor=colors[number], linestyle=style))
            if show_titles:
                x, y = points[0].tolist()
                axis.text(x, y, classes[number], color=colors[number], size='x-small')
    axis.axis('off')
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure


def _corners(sample: Sample, prefix: str) -> Tensor | None:
    """Give the corners (n, 4, 2) of boxes, rotated ones if there are."""
    rotated, upright = sample.get(f'{prefix}bbox'), sample.get(f'{prefix}bbox_xyxy')
    if rotated is None and upright is not None:
        rotated = upright[:, _CORNERS]
    return None if rotated is None else rotated.reshape(-1, 4, 2)
