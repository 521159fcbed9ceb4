"""Features of two dates that are near where nothing changed and far apart where something did.

Chen, H., Shi, Z. (2020). A spatial-temporal attention-based method and a new dataset for remote
sensing image change detection. Remote Sensing 12. https://doi.org/10.3390/rs12101662
"""

import torch
from torch import Tensor, nn


class BalancedContrastiveLoss(nn.Module):
    """The batch-balanced contrastive loss of STANet, also used by SemiCD-VL.

    The squared distance of unchanged pixels plus the squared lack of distance of changed ones, each
    a mean over its pixels, halved.

    Args:
        margin: Distance at which changed pixels are far enough apart.
    """

    def __init__(self, margin: float = 2.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, before: Tensor, after: Tensor, change: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            before: Features of the first date (b, c, h, w).
            after: Of the second date.
            change: Labels (b, h, w): 1 where changed, 0 elsewhere, -1 where unknown.
        """
        # the small number keeps the gradient of the root finite at distance 0
        distance = ((before - after).square().sum(dim=1) + 1e-12).sqrt()
        return self.of_distance(distance, change)

    def of_distance(self, distance: Tensor, change: Tensor) -> Tensor:
        """Compute the loss of distances.

        Args:
            distance: Of the features (b, h, w), not negative.
            change: Labels (b, h, w): 1 where changed, 0 elsewhere, -1 where unknown.
        """
        wrong = self.of_pixels(distance, change)
        return (_mean(wrong[change == 0]) + _mean(wrong[change == 1])) / 2

    def of_pixels(self, distance: Tensor, change: Tensor) -> Tensor:
        """Give what each pixel (b, h, w) is wrong by; 0 where the label is unknown."""
        near, far = distance.square(), (self.margin - distance).clamp(min=0).square()
        return near.where(change == 0, far.where(change == 1, 0))


def _mean(values: Tensor) -> Tensor:
    """Mean, 0 of nothing."""
    return values.sum() / torch.tensor(max(values.numel(), 1), dtype=values.dtype)
