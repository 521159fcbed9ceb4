"""Prediction of what a date of a series showed, from its other dates.

Axes: b batch, t date, c channel, h height, w width, p pixels, k classes.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

_HEADS = 4
#: Days that the slowest wave of a position is long, over two pi.
_PERIOD = 1000.0


class _Layer(nn.Module):
    """Lets a pixel of one date look at the same pixel of the others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, _HEADS, batch_first=True)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
        """Keep the shape of the query (p, 1, c)."""
        seen, _ = self.attention(
            self.norm1(query), keys, values, key_padding_mask=hidden, need_weights=False
        )
        query = query + seen
        y: Tensor = query + self.perceptron(self.norm2(query))
        return y


class HistoryDecoder(nn.Module):
    """Predicts the map of a date that it does not see, and the classes there.

    Args:
        width: Channels of the maps; a multiple of 4.
        outputs: Channels of the logits.
        layers: How often it looks at the other dates.
    """

    def __init__(self, width: int, outputs: int, layers: int = 2) -> None:
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(
        self, dates: Tensor, days: Tensor, present: Tensor, held: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict a date.

        Args:
            dates: Maps (b, t, c, h, w); that of the date held out is not looked at.
            days: When they were (b, t).
            present: Which dates there are (b, t); at least one that is not held out.
            held: Which date is held out (b,).

        Returns:
            Its map (b, c, h, w) and logits (b, k, h, w).
        """
        height, width = dates.shape[-2:]
        values = rearrange(dates, 'b t c h w -> (b h w) t c')
        apart = days - days.gather(1, held[:, None])
        waves = _waves(apart, dates.shape[2]).repeat_interleave(height * width, dim=0)
        hidden = ~present | nn.functional.one_hot(held, present.shape[1]).bool()
        hidden = hidden.repeat_interleave(height * width, dim=0)
        query = self.query.expand(len(values), -1, -1)
        for layer in self.layers:
            query = layer(query, values + waves, values, hidden)
        found = rearrange(query, '(b h w) 1 c -> b c h w', h=height, w=width)
        normal = rearrange(self.norm(query), '(b h w) 1 c -> b c h w', h=height, w=width)
        return found, self.head(normal)


def _waves(days: Tensor, width: int) -> Tensor:
    """Sines and cosines (b, t, width) of days (b, t)."""
    rates = _PERIOD ** -(torch.arange(width // 2, device=days.device) / (width // 2))
    angles = days[..., None].to(rates.dtype) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
