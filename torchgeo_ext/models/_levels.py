"""Which maps of a backbone a detector looks at, and where the places of a map lie.

Axes: h height, w width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.features import Backbone, Stage


def stages_from(backbone: Backbone, finest: int) -> Sequence[Stage]:
    """Choose the last maps of a backbone, from some scale on.

    Args:
        backbone: The backbone.
        finest: Pixels of the image, along one side, for each place of the finest map.

    Returns:
        Its last stages; one only if all maps have one scale.

    Raises:
        BadParameter: If the backbone has no map that coarse.
    """
    stages = [stage for stage in backbone.feature_info if stage.reduction >= finest]
    if not stages:
        coarsest = max(stage.reduction for stage in backbone.feature_info)
        raise BadParameter(
            f'finest is {finest}, but the backbone gives one place for {coarsest} pixels at most.',
            f'Choose {coarsest} or less, or another backbone.',
        )
    # of networks that keep one scale the last map counts
    return stages[-1:] if len({stage.reduction for stage in stages}) == 1 else stages


def place_points(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Give x and y (h, w, 2), in pixels of the image, of the middles of the places of a map."""
    rows, columns = ((torch.arange(size, device=device) + 0.5) * stride for size in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing='ij')
    return torch.stack([x, y], dim=-1)
