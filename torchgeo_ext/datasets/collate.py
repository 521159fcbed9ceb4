"""Joins samples to batches, with whatever they carry, and takes batches apart again."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import default_collate
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._batch import already_joined


def collate_samples(samples: Sequence[Sample]) -> dict[str, Any]:
    """Join samples to a batch.

    Tensors of one shape and type are stacked, numbers become a tensor. All else stays a list with
    an entry per sample: text, file names, tensors of different shapes such as series of different
    lengths; None stands for what a sample lacks. Tensors that lie one after another in memory, as
    our datasets read the images of a batch, are not copied: the batch is a view of them.

    Args:
        samples: One or more samples.

    Returns:
        A batch with every key of any sample, in the order they first appear.
    """
    keys = dict.fromkeys(key for sample in samples for key in sample)
    return {key: _join([sample.get(key) for sample in samples]) for key in keys}


def unbind_samples(batch: dict[str, Any]) -> list[Sample]:
    """Take a batch apart, the reverse of :func:`collate_samples`.

    Args:
        batch: Tensors with a leading batch axis and lists, of equal length.

    Returns:
        The samples, without what they lacked.
    """
    number = min((len(values) for values in batch.values()), default=0)
    return [
        {key: values[i] for key, values in batch.items() if values[i] is not None}
        for i in range(number)
    ]


def _join(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, torch.Tensor):
        alike = all(
            isinstance(value, torch.Tensor)
            and value.shape == first.shape
            and value.dtype == first.dtype
            for value in values
        )
        if not alike:
            return values
        joined = already_joined(values)
        # in a worker it writes into memory that the main process shares
        return default_collate(values) if joined is None else joined
    if all(isinstance(value, int | float) for value in values):
        return torch.tensor(values)
    return values
