"""How many answers are right, of all questions and of each kind of question.

Yuan, Z. et al. (2022). Change detection meets visual question answering. IEEE TGRS 60.
https://arxiv.org/abs/2112.06343

Axes: b batch, q questions.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from torchgeo_ext.errors import BadInput
from torchgeo_ext.metrics._ratios import ratio


class AnswerAccuracy(Metric):
    """Overall and average accuracy of answers.

    Args:
        kinds: How many kinds of questions there are.
        ignore_index: Label of questions that are left out.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.
    """

    full_state_update = False
    right: Tensor
    asked: Tensor

    def __init__(self, kinds: int, ignore_index: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore = ignore_index
        for name in ('right', 'asked'):
            self.add_state(name, torch.zeros(kinds, dtype=torch.long), dist_reduce_fx='sum')

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add pairs.

        Args:
            preds: Predicted answers (b, q), one for each kind of question, in order.
            target: Right answers of the same shape.

        Raises:
            BadInput: If the shapes are others.
        """
        if preds.shape != target.shape or preds.ndim != 2 or preds.shape[1] != len(self.asked):
            raise BadInput(
                f'preds has the shape {tuple(preds.shape)} and target {tuple(target.shape)}; '
                f'both must be (batch, {len(self.asked)}).',
                'Ask one question of each kind on each pair; mark those left out in the target.',
            )
        known = target != self.ignore
        self.right += ((preds == target) & known).sum(dim=0)
        self.asked += known.sum(dim=0)

    def compute(self) -> dict[str, Tensor]:
        """Compute ``oa``, of all questions, and ``aa``, the mean over kinds that were asked."""
        of_kinds = ratio(self.right.double(), self.asked.double())
        return {
            'oa': ratio(self.right.sum().double(), self.asked.sum().double()),
            'aa': ratio(of_kinds.sum(), self.asked.gt(0).sum().double()),
        }
