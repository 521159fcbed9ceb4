"""Contents that agree across dates where nothing changed.

Wu, F. et al. (2025). CFNet: optimizing remote sensing change detection through content-aware
enhancement. IEEE JSTARS. https://arxiv.org/abs/2503.08505

Axes: b batch, c channel, h height, w width, n pairs of pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ContentLoss(nn.Module):
    """Compares, between dates, how alike two random pixels of one date are.

    Of features weighted by where contents differ the likeness is to differ, of features weighted by
    where they agree it is to be the same. Add it, weighted by 0.1, to the mean squared error of
    CFNet's score.

    As published, likeness is a cosine, which positive weights leave as it is; the two terms differ
    by the pixels drawn only, and their sum stays near 1.
    """

    def forward(
        self, before: Sequence[Tensor], after: Sequence[Tensor], focus: Sequence[Tensor]
    ) -> Tensor:
        """Compute the loss.

        Args:
            before: Content features of the first date, a map (b, c, h, w) for each scale.
            after: Of the second date.
            focus: Maps (b, 1, h, w), from 0 where contents agree to 1.

        Returns:
            Mean over scales.
        """
        losses = []
        for one, other, weight in zip(before, after, focus, strict=True):
            changed = _unlikeness(one * weight, other * weight)
            unchanged = _unlikeness(one * (1 - weight), other * (1 - weight))
            losses.append(1 - changed + unchanged)
        return torch.stack(losses).mean()


def _unlikeness(before: Tensor, after: Tensor) -> Tensor:
    """Draw as many pairs of pixels as the map is wide and compare their likeness by date."""
    width = before.shape[3]
    before, after = before.flatten(2), after.flatten(2)
    pairs = torch.randint(before.shape[2], (2, width), device=before.device)
    one, other = (
        F.cosine_similarity(date[:, :, pairs[0]], date[:, :, pairs[1]], dim=1)
        for date in (before, after)
    )
    return (one - other).abs().mean()
