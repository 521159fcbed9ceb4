"""How well objects are found: average precision, whatever outlines they have.

As COCO has it: an object that was found counts if it overlaps a labelled one of its class by at
least some share (intersection over union), each labelled one once, those of the highest score
first; precision is averaged over 101 shares of recall. Lin, T.-Y. et al. (2014). Microsoft COCO:
common objects in context. ECCV. https://arxiv.org/abs/1405.0312

torchmetrics has it for upright boxes and masks but not for rotated boxes, and looks at no more than
100 objects of an image.

Axes: n found and m labelled objects of an image, t shares of overlap, k classes.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

#: Shares of overlap from which on an object counts as found.
OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
#: Score from which on precision and recall count what was found.
_SURE = 0.5
_RECALLS = 101


class ObjectPrecision(Metric):
    """Average precision of objects, pooled over all images.

    Args:
        num_classes: Number of classes, which are counted from 0.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.
    """

    full_state_update = False
    scores: list[Tensor]
    labels: list[Tensor]
    hits: list[Tensor]
    labelled: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        for name in ('scores', 'labels', 'hits'):
            self.add_state(name, [], dist_reduce_fx='cat')
        self.add_state('labelled', torch.zeros(num_classes, dtype=torch.long), dist_reduce_fx='sum')

    def update(self, overlaps: Tensor, scores: Tensor, labels: Tensor, wanted: Tensor) -> None:
        """Add an image.

        Args:
            overlaps: Intersection over union (n, m) of what was found and what is labelled.
            scores: Of what was found (n).
            labels: Its classes (n), from 0.
            wanted: Classes (m) of what is labelled.
        """
        order = scores.argsort(descending=True, stable=True)
        scores, labels, overlaps = scores[order], labels[order], overlaps[order]
        fits = torch.where(labels[:, None] == wanted, overlaps, -1.0)
        self.scores.append(scores.float())
        self.labels.append(labels)
        self.hits.append(_match(fits))
        self.labelled += torch.bincount(wanted, minlength=self.num_classes)

    def compute(self) -> dict[str, Tensor]:
        """Compute the scores.

        Returns:
            ``map`` (mean over shares of overlap from 0.5 to 0.95), ``map_50`` and ``map_75``, means
            over the classes that are labelled; the same of each class as ``ap`` (k) and ``ap_50``
            (k), NaN without labels; and, for an overlap of 0.5 and scores of at least 0.5,
            ``precision`` (k) and ``recall`` (k), NaN where nothing was found or is labelled.
        """
        device = self.labelled.device
        nothing = torch.zeros(0, device=device)
        scores = dim_zero_cat([nothing, *self.scores])
        labels = dim_zero_cat([nothing.long(), *self.labels])
        hits = dim_zero_cat([nothing.bool()[:, None].expand(0, len(OVERLAPS)), *self.hits])
        table = torch.full((self.num_classes, len(OVERLAPS)), torch.nan, device=device)
        rates = torch.full((2, self.num_classes), torch.nan, device=device)
        for number in range(self.num_classes):
            own = labels == number
            count = int(self.labelled[number])
            if count:
                table[number] = _average_precision(scores[own], hits[own], count)
            sure = hits[own & (scores >= _SURE), 0]
            right = sure.sum() if len(sure) else torch.zeros((), device=device)
            rates[0, number] = right / len(sure) if len(sure) else torch.nan
            rates[1, number] = right / count if count else torch.nan
        means = table.nanmean(dim=0)
        return {
            'map': means.mean(),
            'map_50': means[0],
            'map_75': means[OVERLAPS.index(0.75)],
            'ap': table.mean(dim=1),
            'ap_50': table[:, 0],
            'precision': rates[0],
            'recall': rates[1],
        }


def _match(fits: Tensor) -> Tensor:
    """Tell which of the found objects count, (n, t).

    Args:
        fits: Overlaps (n, m), best scores first, below 0 where classes differ.
    """
    shares = torch.tensor(OVERLAPS, device=fits.device)
    hits = torch.zeros(len(fits), len(shares), dtype=torch.bool, device=fits.device)
    if not fits.shape[1]:
        return hits
    free = torch.ones(len(shares), fits.shape[1], dtype=torch.bool, device=fits.device)
    numbers = torch.arange(len(shares), device=fits.device)
    for number in (fits.max(dim=1).values >= shares[0]).nonzero()[:, 0].tolist():
        best, place = torch.where(free, fits[number], -1.0).max(dim=1)
        hits[number] = best >= shares
        free[numbers[hits[number]], place[hits[number]]] = False
    return hits


def _average_precision(scores: Tensor, hits: Tensor, count: int) -> Tensor:
    """Average precision over recall, (t), for a class of which ``count`` objects are labelled."""
    if not len(scores):
        return torch.zeros(hits.shape[1], device=hits.device)
    right = hits[scores.argsort(descending=True, stable=True)].double().cumsum(dim=0)
    found = torch.arange(1, len(right) + 1, device=hits.device)[:, None]
    recall, precision = right / count, right / found
    # the best that there is at this recall or a higher one
    precision = precision.flip(0).cummax(dim=0).values.flip(0)
    wanted = torch.linspace(0, 1, _RECALLS, dtype=torch.float64, device=hits.device)
    places = torch.searchsorted(recall.T.contiguous(), wanted.repeat(hits.shape[1], 1))
    reached = torch.cat([precision, torch.zeros_like(precision[:1])])
    return reached.T.gather(1, places).mean(dim=1).float()
