"""Multi-scale deformable attention without a compiled operator.

Zhu, X. et al. (2021). Deformable DETR: deformable transformers for end-to-end object detection.
ICLR. https://arxiv.org/abs/2010.04159

Axes: b batch, c channel, h height, w width, l tokens of all levels, n heads, s levels, k points.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

_HEADS = 8
_POINTS = 4


class DeformableAttention(nn.Module):
    """Each token looks at a few places of every level, which it chooses itself.

    Args:
        width: Features of the tokens.
        levels: Number of levels.
    """

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.sampling_offsets = nn.Linear(width, _HEADS * levels * _POINTS * 2)
        self.attention_weights = nn.Linear(width, _HEADS * levels * _POINTS)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        self._start_in_eight_directions()

    @torch.no_grad()
    def _start_in_eight_directions(self) -> None:
        """Let each head look in a direction of its own, each point a step further."""
        angles = torch.arange(_HEADS) * (2 * math.pi / _HEADS)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, _POINTS + 1)[:, None] * directions[:, None, None]
        self.sampling_offsets.bias.copy_(steps.expand(-1, self.levels, -1, -1).flatten())
        self.sampling_offsets.weight.zero_()
        self.attention_weights.weight.zero_()
        self.attention_weights.bias.zero_()

    def forward(
        self, query: Tensor, tokens: Tensor, places: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Look around.

        Args:
            query: What decides where to look (b, l, c).
            tokens: What is looked at (b, l, c), level after level.
            places: Where each token is (l, 2), x and y from 0 to 1.
            sizes: Height and width of each level.

        Returns:
            (b, l, c).
        """
        offsets = rearrange(
            self.sampling_offsets(query),
            'b l (n s k xy) -> s b n l k xy',
            n=_HEADS,
            s=self.levels,
            k=_POINTS,
        )
        weights = rearrange(
            self.attention_weights(query), 'b l (n s k) -> b n l s k', n=_HEADS, s=self.levels
        )
        weights = weights.flatten(3).softmax(dim=-1).unflatten(3, (self.levels, _POINTS))
        levels = self.value_proj(tokens).split([h * w for h, w in sizes], dim=1)
        seen = torch.zeros((), device=query.device)
        for level, (height, width) in enumerate(sizes):
            values = rearrange(levels[level], 'b (h w) (n d) -> (b n) d h w', h=height, n=_HEADS)
            steps = offsets[level] / offsets.new_tensor([width, height])
            # grid_sample counts from -1 to 1
            grid = (2 * (places[:, None] + steps) - 1).flatten(0, 1)
            sampled = F.grid_sample(values, grid, align_corners=False)
            sampled = rearrange(sampled, '(b n) d l k -> b n d l k', n=_HEADS)
            seen = seen + torch.einsum('bndlk,bnlk->bndl', sampled, weights[:, :, :, level])
        return self.output_proj(rearrange(seen, 'b n d l -> b l (n d)'))


class DeformableLayer(nn.Module):
    """Deformable attention and a perceptron, each followed by a normalisation.

    Args:
        width: Features of the tokens.
        levels: Number of levels.
        inner: Width of the perceptron.
    """

    def __init__(self, width: int, levels: int, inner: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(width, levels)
        self.norm1 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, inner)
        self.linear2 = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(
        self, tokens: Tensor, position: Tensor, places: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Keep the shape (b, l, c); ``position`` is added to what decides where to look."""
        seen = self.self_attn(tokens + position, tokens, places, sizes)
        tokens = self.norm1(tokens + seen)
        return self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens))))


def centres(sizes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    """Give the centres (l, 2) of the cells of all levels, x and y from 0 to 1."""
    levels = []
    for height, width in sizes:
        y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
        x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
        levels.append(torch.cartesian_prod(y, x).flip(1))
    return torch.cat(levels)
