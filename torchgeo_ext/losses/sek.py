"""A differentiable relative of the SeK metric.

Wijenayake, B. et al. (2026). Mamba-FCS: joint spatio-frequency feature fusion, change-guided
attention, and SeK inspired loss for enhanced semantic change detection in remote sensing. IEEE
JSTARS 19, 7680-7698. https://arxiv.org/abs/2508.08232

Axes: n changed pixels, k classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON = 1e-7


class SeKLoss(nn.Module):
    """Rewards agreement on the classes of changed pixels: -log(κ exp(β IoU)) - γ log(IoU).

    κ is Cohen's kappa of a soft confusion matrix, IoU the mean over classes with rare classes
    weighted up; both are means over the dates and see only pixels labelled as changed. The loss is
    at least 0, and 0 if nothing changed.

    Where the published code takes the logarithm of a negative κ, κ counts as 0 here; classes
    without pixels, whose weight would dwarf all others there, are left out.

    Args:
        beta: Emphasis on the IoU within the first term.
        gamma: Weight of the second term.
    """

    def __init__(self, beta: float = 1.5, gamma: float = 0.5) -> None:
        super().__init__()
        self.beta = beta
        self.gamma = gamma

    def forward(
        self, before: Tensor, after: Tensor, before_target: Tensor, after_target: Tensor
    ) -> Tensor:
        """Compute the loss.

        Args:
            before: Logits of the land cover before (b, k + 1, h, w); class 0 is "unchanged".
            after: Logits of the land cover after, of the same shape.
            before_target: Labels (b, h, w): 0 where unchanged, -1 where unknown.
            after_target: Likewise.
        """
        changed = (before_target > 0) & (after_target > 0)
        if not changed.any():
            return before.sum() * 0 + after.sum() * 0
        terms = [
            _kappa_and_iou(logits.softmax(dim=1).movedim(1, -1)[changed], target[changed])
            for logits, target in ((before, before_target), (after, after_target))
        ]
        kappa, iou = torch.stack([torch.stack(term) for term in terms]).mean(dim=0)
        sek = kappa.clamp(min=0) * (self.beta * iou).exp()
        loss = -(sek + _EPSILON).log() - self.gamma * (iou + _EPSILON).log()
        return loss.clamp(min=0)


def _kappa_and_iou(probabilities: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Compare probabilities (n, k + 1) with classes (n,) from 1 to k."""
    labels = F.one_hot(target.long(), probabilities.shape[1]).to(probabilities.dtype)[:, 1:]
    probabilities = probabilities[:, 1:]
    confusion = probabilities.mT @ labels
    confusion = confusion / (confusion.sum() + _EPSILON)
    expected = confusion.sum(dim=0) @ confusion.sum(dim=1)
    kappa = (confusion.trace() - expected) / (1 - expected + _EPSILON)

    pixels = labels.sum(dim=0)
    present = pixels > 0
    common = (probabilities * labels).sum(dim=0)
    ious = common / (probabilities.sum(dim=0) + pixels - common + _EPSILON)
    weights = 1 / (pixels[present] + 1).log()
    return kappa, (ious[present] * weights).sum() / weights.sum()
