"""Memory for images that will be joined to a batch, which then need no copy.

Joining samples costs as much as reading them from a cache does: images are written where the batch
has them from the beginning instead.
"""

import math
from collections.abc import Sequence

import torch
from torch.utils.data import get_worker_info


def one_after_another(shapes: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
    """Give float32 memory for images: of one shape together, in a worker shared with its parent.

    Args:
        shapes: Shape of each image.

    Returns:
        A tensor for each, nothing written to it yet.
    """
    if len(set(shapes)) > 1:
        return [torch.empty(shape) for shape in shapes]
    return list(_memory(len(shapes), *shapes[0])) if shapes else []


def _memory(*shape: int) -> torch.Tensor:
    if get_worker_info() is None:
        return torch.empty(shape)
    memory = torch.empty(0)
    # what default_collate does for its own copy
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * memory.element_size())
    return memory.set_(storage).view(shape)


def already_joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Give tensors of one shape as one, if they lie one after another in memory.

    Args:
        tensors: They, (...).

    Returns:
        A view (n, ...) of the same memory, or None if they are elsewhere.
    """
    first = tensors[0]
    storage, step = first.untyped_storage().data_ptr(), first.numel()
    if not all(
        tensor.is_contiguous()
        and tensor.untyped_storage().data_ptr() == storage
        and tensor.storage_offset() == first.storage_offset() + number * step
        for number, tensor in enumerate(tensors)
    ):
        return None
    return first.as_strided((len(tensors), *first.shape), (step, *first.stride()))
