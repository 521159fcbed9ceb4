"""Arithmetic of confusion matrices shared by the metrics of this room."""

import torch
from torch import Tensor


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide; where there is nothing to divide by the result is 0, as in published evaluators."""
    return torch.where(denominator == 0, 0.0, numerator / denominator.where(denominator != 0, 1.0))


def cohen_kappa(confusion: Tensor) -> Tensor:
    """Compute Cohen's kappa; 0 where chance alone explains everything.

    Args:
        confusion: Counts (k, k) in double precision: torchmetrics' own kappa works in single
            precision, which is not enough for the pixels of a test set.
    """
    total = confusion.sum()
    observed = ratio(confusion.trace(), total)
    expected = ratio(confusion.sum(dim=0) @ confusion.sum(dim=1), total.square())
    return ratio(observed - expected, 1 - expected)
