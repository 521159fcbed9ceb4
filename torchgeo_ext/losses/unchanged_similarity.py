"""Land cover that did not change looks the same on both dates.

Chen, H. et al. (2024). ChangeMamba: remote sensing change detection with spatiotemporal state space
model. IEEE TGRS 62. https://arxiv.org/abs/2404.03425
"""

import torch.nn.functional as F
from torch import Tensor, nn


class UnchangedSimilarityLoss(nn.Module):
    """Mean squared difference of the two dates' class probabilities where nothing changed.

    As ChangeMamba and Mamba-FCS have it, the mean is over all pixels, changed ones counting 0.
    """

    def forward(self, before: Tensor, after: Tensor, unchanged: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            before: Logits of the land cover before (b, classes, h, w).
            after: Logits of the land cover after, of the same shape.
            unchanged: True where nothing changed (b, h, w).
        """
        weight = unchanged[:, None].to(before.dtype)
        return F.mse_loss(before.softmax(dim=1) * weight, after.softmax(dim=1) * weight)
