"""What published systems of change detection are trained with.

Axes: b batch, k channels, h height, w width.
"""

from collections.abc import Sequence
from typing import Any, Literal

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchgeo_ext.losses import ChangeMaskLoss, ContentLoss
from torchgeo_ext.models import CDMaskFormer, CFNet, ChangeFormer, LENet
from torchgeo_ext.tasks._masked import LabelledPixels
from torchgeo_ext.tasks._pair_task import IGNORE, change_logit, change_of, two_classes
from torchgeo_ext.tasks._pixel_losses import cross_entropy, lovasz

type Loss = Literal[
    'ce', 'dice', 'ce+dice', 'ce+lovasz', 'cdmaskformer', 'cfnet', 'changeformer', 'lenet'
]

#: Losses that look at more than the logits, and the networks that tell it.
SYSTEMS: dict[str, type[nn.Module]] = {
    'cdmaskformer': CDMaskFormer,
    'cfnet': CFNet,
    'changeformer': ChangeFormer,
    'lenet': LENet,
}
LOSSES = ('ce', 'dice', 'ce+dice', 'ce+lovasz', *SYSTEMS)

#: Weight of the Lovász-softmax of ChangeMamba (https://arxiv.org/abs/2404.03425).
_LOVASZ = 0.75
#: Weight of CFNet's content loss (https://arxiv.org/abs/2503.08505).
_CONTENT = 0.1
#: Weights of ChangeFormer's maps from coarse to fine (https://github.com/wgcban/ChangeFormer).
_CHANGEFORMER = (0.5, 0.5, 0.5, 0.8, 1.0)
#: Weights of LENet's main head and of those that help (https://github.com/dyzy41/lenet).
_LENET = (1.0, 0.3, 0.3)


class ChangeLoss(nn.Module):
    """Loss of a map of change that sees labelled pixels only.

    Args:
        name: One of :data:`LOSSES`.
    """

    def __init__(self, name: Loss) -> None:
        super().__init__()
        self.name = name
        self.entropy = cross_entropy()
        self.lovasz = lovasz()
        self.dice = LabelledPixels(smp.losses.DiceLoss('binary', smooth=1e-5), IGNORE)
        self.distance = LabelledPixels(nn.MSELoss(), IGNORE)
        self.masks = ChangeMaskLoss()
        self.content = ContentLoss()

    def forward(self, network: Any, images: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Predict and compute the loss.

        Args:
            network: Gives logits of change, with one or two channels.
            images: Images before and after (b, t=2, c, h, w).
            change: Labels (b, h, w): 0 unchanged, 1 changed, -1 unknown.

        Returns:
            Logits of change (b, 1, h, w), and the loss.
        """
        height, width = images.shape[-2:]
        match self.name:
            case 'cdmaskformer':
                proposals = network.propose(images)
                logits = network.logits(proposals[-1], height, width)
                size = [4 * side for side in proposals[-1].masks.shape[-2:]]
                return logits, self.masks(proposals, _padded(change, size))
            case 'cfnet':
                logits, score, contents = network.outputs(images)
                distance = self.distance(score[:, 0], change.to(score.dtype))
                return change_logit(logits), distance + _CONTENT * self.content(*contents)
            case 'changeformer':
                maps = network.scales(images)
                return (
                    change_logit(maps[-1][..., :height, :width]),
                    self._weighted(maps, _CHANGEFORMER, _padded(change, maps[-1].shape[-2:])),
                )
            case 'lenet':
                main, others = network.scales(images)
                size = [4 * side for side in main.shape[-2:]]
                maps = [_resized(logits, size) for logits in (main, *others)]
                return (
                    change_logit(maps[0][..., :height, :width]),
                    self._weighted(maps, _LENET, _padded(change, size)),
                )
        logits = change_of(network(images))
        return change_logit(logits), self._sum(logits, change)

    def _sum(self, logits: Tensor, change: Tensor) -> Tensor:
        loss = logits.new_zeros(())
        terms = self.name.split('+')
        if 'ce' in terms:
            loss = loss + self.entropy(two_classes(logits), change)
        if 'lovasz' in terms:
            loss = loss + _LOVASZ * self.lovasz(two_classes(logits), change)
        if 'dice' in terms:
            loss = loss + self.dice(change_logit(logits)[:, 0], change)
        return loss

    def _weighted(self, maps: Sequence[Tensor], weights: Sequence[float], change: Tensor) -> Tensor:
        """Weigh the cross-entropy of maps of any size."""
        losses = []
        for logits, weight in zip(maps, weights, strict=True):
            # the nearest label, as published
            labels = F.interpolate(change[:, None].float(), logits.shape[-2:])[:, 0].long()
            losses.append(weight * self.entropy(two_classes(logits), labels))
        return torch.stack(losses).sum()


def _resized(logits: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(logits, size, mode='bilinear')


def _padded(change: Tensor, size: Sequence[int]) -> Tensor:
    """Mark what networks pad at the bottom and right as unknown."""
    bottom, right = size[0] - change.shape[-2], size[1] - change.shape[-1]
    return F.pad(change, (0, right, 0, bottom), value=IGNORE)
