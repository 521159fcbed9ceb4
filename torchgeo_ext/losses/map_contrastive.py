"""Image features that agree with the land-cover map where the map still holds.

Bernhard, M., Strauß, N., Schubert, M. (2023). MapFormer: boosting change detection by using
pre-change information. ICCV. https://arxiv.org/abs/2303.17859
"""

import torch.nn.functional as F
from torch import Tensor, nn


class MapContrastiveLoss(nn.Module):
    """Draws features of both dates to those of the map, and changed ones away from them.

    The map shows the first date, so all pixels before and unchanged pixels after are to have the
    direction of the map's features, changed pixels after another one. Pixels without a label of
    change count before only.

    Args:
        balance: Whether changed pixels weigh as much as all others together (DynamicEarthNet), or
            each pixel the same (HRSCD).
        margin: Likeness to the map below which a changed pixel is far enough away.
    """

    def __init__(self, balance: bool = True, margin: float = 0.0) -> None:
        super().__init__()
        self.balance = balance
        self.margin = margin

    def forward(self, before: Tensor, after: Tensor, land_cover: Tensor, change: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            before: Image features of the first date (b, c, h, w).
            after: Of the second date.
            land_cover: Features of the map.
            change: Labels (b, H, W) of any size: 1 where changed, 0 elsewhere, -1 where unknown.
        """
        size = land_cover.shape[2:]
        change = F.interpolate(change[:, None].float(), size, mode='nearest')[:, 0]
        likeness_before = F.cosine_similarity(before, land_cover, dim=1)
        likeness_after = F.cosine_similarity(after, land_cover, dim=1)
        unchanged, changed = likeness_after[change == 0], likeness_after[change == 1]
        attracted, repelled = likeness_before.numel() + unchanged.numel(), changed.numel()
        if not self.balance:
            attracted = repelled = attracted + repelled
        attract = -(likeness_before.sum() + unchanged.sum()) / attracted
        repel = (changed - self.margin).clamp(min=0).sum() / max(repelled, 1)
        return attract + repel + self.margin
