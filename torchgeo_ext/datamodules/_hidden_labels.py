"""Datasets of which only some samples are labelled, for semi-supervised training."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchgeo.datasets import NonGeoDataset

#: What says that a pixel has no label.
_IGNORE = -1

#: Seed of the choice, so that every run and process makes the same one.
_SEED = 0


class HiddenLabels(Dataset[dict[str, Any]]):
    """Keeps the labels of a share of the samples and hides those of the others.

    Args:
        dataset: Gives samples with ``mask`` and others whose names begin so.
        share: Of the samples that keep their labels, 0 to 1; at least one does.
    """

    def __init__(self, dataset: NonGeoDataset, share: float) -> None:
        self.dataset = dataset
        number = len(dataset)
        order = torch.randperm(number, generator=torch.Generator().manual_seed(_SEED))
        self.labelled = set(order[: max(1, round(share * number))].tolist())

    def __len__(self) -> int:
        """Count the samples, labelled or not."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Give a sample, with -1 for the labels of those that are hidden."""
        sample: Mapping[str, Any] = self.dataset[index]
        if index in self.labelled:
            return dict(sample)
        return {key: _hidden(value) if _is_label(key) else value for key, value in sample.items()}


def _is_label(key: str) -> bool:
    # what was measured, and what another source thinks, is no label of this dataset
    return key.startswith('mask') and not key.startswith(('mask_valid', 'mask_pseudo'))


def _hidden(value: Tensor) -> Tensor:
    return torch.full_like(value, _IGNORE)
