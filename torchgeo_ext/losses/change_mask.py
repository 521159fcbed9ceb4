"""The set loss of CDMaskFormer: one of the proposed masks is to be the change.

Ma, X. et al. (2024). Rethinking remote sensing change detection with a mask view.
https://arxiv.org/abs/2406.15320

Cheng, B. et al. (2022). Masked-attention mask transformer for universal image segmentation. CVPR.
https://arxiv.org/abs/2112.01527

Axes: b batch, q queries, h height, w width, p pixels.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss


class ChangeMaskLoss(nn.Module):
    """Matches the change of each image with its cheapest mask; all other masks are to be nothing.

    There is one target per image, all changed pixels together (none if nothing changed), so the
    Hungarian matching of the publication is a choice of the smallest cost.

    Args:
        class_weight: Weight of the classes' cross-entropy.
        mask_weight: Weight of the masks' binary cross-entropy; in the matching, of the focal loss.
        dice_weight: Weight of the masks' dice loss.
        nothing_weight: Weight of masks that are nothing within the cross-entropy.
    """

    nothing: Tensor

    def __init__(
        self,
        class_weight: float = 1.0,
        mask_weight: float = 10.0,
        dice_weight: float = 10.0,
        nothing_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.register_buffer('nothing', torch.tensor([nothing_weight, 1.0]))

    def forward(self, proposals: Iterable[tuple[Tensor, Tensor]], change: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            proposals: For each layer of the decoder, logits of the classes nothing and change
                (b, q, 2) and of the masks (b, q, h, w).
            change: Labels (b, H, W): 1 where changed, 0 elsewhere, -1 where unknown.

        Returns:
            Sum over layers.
        """
        return torch.stack([self._layer(*proposal, change) for proposal in proposals]).sum()

    def _layer(self, classes: Tensor, masks: Tensor, change: Tensor) -> Tensor:
        masks = F.interpolate(masks, change.shape[1:], mode='bilinear')
        wanted = torch.zeros(classes.shape[:2], dtype=torch.long, device=classes.device)
        losses = []
        for image, label in enumerate(change):
            if not (label == 1).any():
                continue
            known = label >= 0
            target = (label[known] == 1).to(masks.dtype)
            proposed = masks[image][:, known]
            best = self._cost(classes[image], proposed, target).argmin()
            wanted[image, best] = 1
            entropy = F.binary_cross_entropy_with_logits(proposed[best], target)
            dice = _dice(proposed[best], target)
            losses.append(self.mask_weight * entropy + self.dice_weight * dice)
        named = F.cross_entropy(classes.flatten(0, 1), wanted.flatten(), self.nothing)
        # without any change the masks must still be part of the graph
        mask_loss = torch.stack(losses).mean() if losses else masks.sum() * 0
        return self.class_weight * named + mask_loss

    @torch.no_grad()
    def _cost(self, classes: Tensor, masks: Tensor, target: Tensor) -> Tensor:
        """Cost (q,) of calling each of the masks (q, p) the change."""
        focal = sigmoid_focal_loss(masks, target.expand_as(masks)).mean(dim=1)
        return (
            -self.class_weight * classes.softmax(dim=-1)[:, 1]
            + self.mask_weight * focal
            + self.dice_weight * _dice(masks, target)
        )


def _dice(mask: Tensor, target: Tensor) -> Tensor:
    """Dice loss (...) of masks (..., p)."""
    probability = mask.sigmoid()
    common = (probability * target).sum(dim=-1)
    return 1 - (2 * common + 1) / (probability.sum(dim=-1) + target.sum(dim=-1) + 1)
