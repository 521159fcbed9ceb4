"""Positions as waves, and those that are learnt for images of one size, for images of any size.

Axes: n positions, d features.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def resize_positions(table: Tensor, grid: int, height: int, width: int) -> Tensor:
    """Interpolate positions for another number of rows and columns.

    Args:
        table: Positions (1, n, d) of a square grid, row by row.
        grid: Its rows and columns.
        height: Rows wanted.
        width: Columns wanted.

    Returns:
        Positions (1, height * width, d).
    """
    if (height, width) == (grid, grid):
        return table
    square = rearrange(table, '1 (h w) d -> 1 d h w', h=grid)
    resized = F.interpolate(square, (height, width), mode='bicubic', antialias=True)
    return resized.flatten(2).mT


def waves(positions: Tensor, width: int) -> Tensor:
    """Give sines, then cosines (n, width) of positions (n,), in double precision."""
    rates = 10_000.0 ** -(torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angles = positions[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
