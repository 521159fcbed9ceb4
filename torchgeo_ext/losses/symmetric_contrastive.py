"""Pairs that find each other among all pairs of a batch, in both directions: InfoNCE.

Radford, A. et al. (2021). Learning transferable visual models from natural language supervision.
ICML. https://arxiv.org/abs/2103.00020

Several right answers: Khosla, P. et al. (2020). Supervised contrastive learning. NeurIPS.
https://arxiv.org/abs/2004.11362

Axes: n pairs, m pairs of all processes, d features.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from torchgeo_ext.errors import BadInput, BadParameter


class SymmetricContrastiveLoss(nn.Module):
    """The loss of CLIP and SatCLIP, with a learnable temperature.

    Each first member of a pair is to find the second one among the seconds of all pairs, and the
    other way round; the loss is the mean of both cross entropies. It grows with the number of
    pairs: log(n) is that of guessing, and a single pair has nothing to learn from.

    Args:
        temperature: What likenesses are divided by at first.
        learn: Whether the temperature is learned, as ``logit_scale``, the logarithm of its inverse.
        largest_scale: What the inverse of the temperature may grow to; 100 in CLIP, without limit
            in SatCLIP.
        gather: Whether to look among the pairs of all processes of a distributed training. The
            gradient is that of one process with all pairs.

    Raises:
        BadParameter: If the temperature is not positive, or its inverse above the limit.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        learn: bool = True,
        largest_scale: float | None = None,
        gather: bool = False,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise BadParameter(f'temperature is {temperature}; it must be above 0.')
        if largest_scale is not None and 1 / temperature > largest_scale:
            raise BadParameter(
                f'largest_scale is {largest_scale}, but the scale is {1 / temperature:g} at first.',
                'Choose a larger one, or a higher temperature.',
            )
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)), requires_grad=learn)
        self.largest = math.inf if largest_scale is None else math.log(largest_scale)
        self.gather = gather

    def forward(self, first: Tensor, second: Tensor, groups: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            first: Features (n, d) of the first members, of any length.
            second: Of the second ones, in the same order.
            groups: A whole number (n,) for each pair; pairs of one number are right answers to each
                other. By default each is only to itself.

        Raises:
            BadInput: If the shapes do not go together, or processes have different numbers of
                pairs.
        """
        if first.shape != second.shape or first.ndim != 2:
            raise BadInput(
                f'first has the shape {tuple(first.shape)} and second {tuple(second.shape)}; both '
                'must be (pairs, features).',
                'Project both onto the same number of features.',
            )
        first, second = (F.normalize(each.float(), dim=1) for each in (first, second))
        scale = self._scale()
        own = torch.arange(len(first), device=first.device) if groups is None else groups
        firsts, seconds, others, shift = first, second, own, 0
        if self.gather and distributed.is_available() and distributed.is_initialized():
            firsts, seconds, others, shift = _of_all(first, second, own, apart=groups is None)
        positives = own[:, None] + shift == others
        return (
            contrast(scale * first @ seconds.T, positives)
            + contrast(scale * second @ firsts.T, positives)
        ) / 2

    def _scale(self) -> Tensor:
        with torch.no_grad():
            # the parameter itself is held back: a clamped copy would have no gradient to come back
            self.logit_scale.clamp_(max=self.largest)
        return self.logit_scale.float().exp()


def contrast(logits: Tensor, positives: Tensor) -> Tensor:
    """Compute the cross entropy of finding right answers, all of them equally likely.

    Args:
        logits: Likenesses (n, m) of questions and answers.
        positives: Which answers are right (n, m), bool; at least one for each question.
    """
    share = positives.float() / positives.sum(dim=1, keepdim=True)
    return -(logits.log_softmax(dim=1) * share).sum(dim=1).mean()


def _of_all(
    first: Tensor, second: Tensor, groups: Tensor, *, apart: bool
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Collect the pairs of all processes, with their gradients.

    Args:
        first: Features (n, d) of this process.
        second: The other ones.
        groups: Numbers (n,) of this process.
        apart: Whether numbers count anew in each process.

    Returns:
        Features and numbers of all, and what to add to the numbers of this process.
    """
    from torch.distributed.nn.functional import all_gather

    number = torch.tensor([len(first)], device=first.device)
    numbers = [torch.zeros_like(number) for _ in range(distributed.get_world_size())]
    distributed.all_gather(numbers, number)
    found = [int(each) for each in numbers]
    if len(set(found)) > 1:
        raise BadInput(
            f'The processes have {", ".join(map(str, found))} pairs; they must have as many each.',
            'Leave out a last, smaller batch (drop_last).',
        )
    collected = [torch.zeros_like(groups) for _ in found]
    distributed.all_gather(collected, groups.contiguous())
    shift = 0
    if apart:
        collected = [each + place * len(first) for place, each in enumerate(collected)]
        shift = distributed.get_rank() * len(first)
    firsts, seconds = (torch.cat(all_gather(each.contiguous())) for each in (first, second))
    return firsts, seconds, torch.cat(collected), shift
