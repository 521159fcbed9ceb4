"""Low-rank efficient spatial-spectral attention: bands and places attend apart, then multiply.

Si, H., Wan, Y., Do, M., Vasisht, D., Zhao, H., Hamann, H. F. (2025). Towards scalable foundation
model for multi-modal and hyperspectral geospatial data. https://arxiv.org/abs/2503.12843

Tokens form a table of bands and places, each with a first row or column of summaries. Axes: b
batch, s bands, n places (both with the summary), d features, a heads, r rank, e features of a head,
c and p features along bands and places.
"""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import Tensor, nn

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class LESSSize(NamedTuple):
    """Size of an encoder or a decoder.

    Attributes:
        width: Features of a token.
        depth: Blocks.
        heads: Heads of their attention.
        band_width: Features of a head along bands; those along places are the rest, so that both
            multiply to the features of a head.
        rank: Products that are averaged.
    """

    width: int
    depth: int
    heads: int
    band_width: int = 4
    rank: int = 1

    @property
    def widths(self) -> tuple[int, int]:
        """Features along bands and along places, of all heads."""
        return self.heads * self.band_width, self.width // self.band_width


class Turns(NamedTuple):
    """Sines and cosines (n, e), one after the other, of how far tokens are turned (RoPE).

    Attributes:
        bands: Of each band.
        places: Of each place.
    """

    bands: tuple[Tensor, Tensor]
    places: tuple[Tensor, Tensor]


class _Summary(nn.Module):
    """Attention of the first token of a sequence to all of them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Summarise sequences (b, s, n, c): (b, s, c)."""
        split = partial(rearrange, pattern='b s n (a e) -> b s a n e', a=self.heads)
        key, value = self.kv(x).chunk(2, dim=-1)
        seen = F.scaled_dot_product_attention(split(self.q(x[:, :, :1])), split(key), split(value))
        summary: Tensor = self.proj(rearrange(seen, 'b s a 1 e -> b s (a e)'))
        return summary


class _LowDimPool(nn.Module):
    """Makes one sequence of bands and one of places from the table."""

    def __init__(self, size: LESSSize) -> None:
        super().__init__()
        bands, places = size.widths
        self.channel_norm, self.spatial_norm = LayerNorm(bands), LayerNorm(places)
        self.channel_pool = _Summary(bands, size.heads)
        self.spatial_pool = _Summary(places, size.heads)
        self.channel_linear = nn.Linear(size.width, bands)
        self.spatial_linear = nn.Linear(size.width, places)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pool a table (b, s, n, d): bands (b, s, c) and places (b, n, p)."""
        bands = self.channel_linear(x)
        places = rearrange(self.spatial_linear(x), 'b s n p -> b n s p')
        return (
            bands[:, :, 0] + self.channel_pool(self.channel_norm(bands)),
            places[:, :, 0] + self.spatial_pool(self.spatial_norm(places)),
        )


class _Branch(nn.Module):
    """Attention along one of both axes."""

    def __init__(self, width: int, heads: int, rank: int) -> None:
        super().__init__()
        self.heads, self.rank = heads, rank
        self.qk = nn.Linear(width, 2 * width * rank)
        self.v = nn.Linear(width, width * rank)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor] | None, allowed: Tensor | None = None
    ) -> Tensor:
        """Attend along a sequence (b, n, c), which gives (b, r, a, n, e)."""
        names = {'a': self.heads, 'r': self.rank}
        value = rearrange(self.v(x), 'b n (a r e) -> b r a n e', **names)
        query, key = rearrange(self.qk(x), 'b n (t a r e) -> t b r a n e', t=2, **names)
        if turn is not None:
            query, key = _turn(query, *turn), _turn(key, *turn)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)


def _turn(x: Tensor, sines: Tensor, cosines: Tensor) -> Tensor:
    """Turn all but the first token of sequences (..., n, e)."""
    first, rest = x[..., :1, :], x[..., 1:, :]
    one, other = rest.chunk(2, dim=-1)
    return torch.cat([first, rest * cosines + torch.cat([-other, one], dim=-1) * sines], dim=-2)


class _LowRank(nn.Module):
    """The product of both attentions at every place of the table."""

    def __init__(self, size: LESSSize) -> None:
        super().__init__()
        bands, places = size.widths
        self.channel_branch = _Branch(bands, size.heads, size.rank)
        self.spatial_branch = _Branch(places, size.heads, size.rank)
        self.proj = nn.Linear(size.width, size.width)

    def forward(
        self, bands: Tensor, places: Tensor, turns: Turns | None, allowed: Tensor | None
    ) -> Tensor:
        along_bands = self.channel_branch(bands, turns and turns.bands)
        along_places = self.spatial_branch(places, turns and turns.places, allowed)
        table = einsum(along_bands, along_places, 'b r a s c, b r a n p -> b s n a c p')
        table = rearrange(table, 'b s n a c p -> b s n (a c p)') / self.channel_branch.rank
        result: Tensor = self.proj(table)
        return result


class _LESSAttention(nn.Module):
    def __init__(self, size: LESSSize) -> None:
        super().__init__()
        self.low_dim_pool = _LowDimPool(size)
        self.channel_norm, self.spatial_norm = map(LayerNorm, size.widths)
        self.attn = _LowRank(size)

    def forward(self, x: Tensor, turns: Turns | None, allowed: Tensor | None) -> Tensor:
        bands, places = self.low_dim_pool(x)
        mixed: Tensor = self.attn(
            self.channel_norm(bands), self.spatial_norm(places), turns, allowed
        )
        return mixed


class _LayerScale(nn.Module):
    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(start * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


def _layer_scale(width: int, start: float) -> nn.Module:
    return _LayerScale(width, start) if start else nn.Identity()


class LESSBlock(nn.Module):
    """Attention and a perceptron, each added to what it saw.

    Args:
        size: Width and heads.
        drop_path: Probability of leaving it out during training.
        layer_scale: Factor that what is added starts with, trained for each feature; 0 for none.
    """

    def __init__(self, size: LESSSize, drop_path: float = 0.0, layer_scale: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(size.width), LayerNorm(size.width)
        self.attn = _LESSAttention(size)
        self.mlp = Mlp(size.width, 4 * size.width)
        self.ls1, self.ls2 = (_layer_scale(size.width, layer_scale) for _ in range(2))
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Tensor, turns: Turns | None = None, allowed: Tensor | None = None
    ) -> Tensor:
        """Mix a table of tokens.

        Args:
            x: (b, s, n, d) with summaries in the first row and column.
            turns: How tokens are turned, if their positions are told so.
            allowed: (n, n) or (b, 1, 1, n, n) bool, which place sees which; all if not given.
        """
        x = x + self.drop_path(self.ls1(self.attn(self.norm1(x), turns, allowed)))
        mixed: Tensor = x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
        return mixed
