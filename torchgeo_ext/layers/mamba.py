"""Mamba's mixer of sequences.

Gu, A., Dao, T. (2023). Mamba: linear-time sequence modeling with selective state spaces.
https://arxiv.org/abs/2312.00752

Axes: b batch, l steps, c channels, d inner channels, n states.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchgeo_ext.layers.selective_scan import selective_scan


class Mamba(nn.Module):
    """A gated causal convolution followed by a selective scan.

    The attributes have the names of ``mamba_ssm.Mamba`` and of ``transformers``' MambaMixer.

    Args:
        channels: Width of the sequence.
        states: Numbers in the state of each inner channel.
        kernel_size: Steps the convolution sees.
        expand: Inner channels per channel.
        rank: Rank of the projection to the lengths of the steps; a sixteenth of the channels,
            rounded up, unless given.
    """

    def __init__(
        self,
        channels: int,
        states: int = 16,
        kernel_size: int = 4,
        expand: float = 2.0,
        rank: int | None = None,
    ) -> None:
        super().__init__()
        inner = int(expand * channels)
        self.rank = step_rank(channels) if rank is None else rank
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, kernel_size, padding=kernel_size - 1, groups=inner)
        self.x_proj = nn.Linear(inner, self.rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        self.dt_proj.bias = nn.Parameter(step_bias(inner))
        self.A_log = nn.Parameter(log_rates(inner, states))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix a sequence (b, l, c); no step sees a later one."""
        length, states = x.shape[1], self.A_log.shape[1]
        x, gate = self.in_proj(x).chunk(2, dim=-1)
        x = F.silu(self.conv1d(x.transpose(1, 2))[..., :length]).transpose(1, 2).contiguous()
        raw, b, c = self.x_proj(x).split([self.rank, states, states], dim=-1)
        y = selective_scan(
            x.transpose(1, 2),
            F.linear(raw, self.dt_proj.weight).transpose(1, 2),
            -self.A_log.exp(),
            b.transpose(1, 2)[:, None],
            c.transpose(1, 2)[:, None],
            self.D,
            self.dt_proj.bias,
            delta_softplus=True,
        )
        return self.out_proj(y.transpose(1, 2) * F.silu(gate))


def step_rank(channels: int) -> int:
    """Give the usual rank of the projection to the lengths of the steps."""
    return math.ceil(channels / 16)


def step_bias(*shape: int) -> Tensor:
    """Draw biases that make softplus give lengths from 0.001 to 0.1, evenly by their logarithm."""
    lengths = torch.exp(torch.empty(shape).uniform_(math.log(1e-3), math.log(1e-1)))
    # the inverse of softplus
    return lengths + torch.log(-torch.expm1(-lengths))


def log_rates(channels: int, states: int) -> Tensor:
    """Give logarithms of the decay rates 1 ... n for each channel (d, n)."""
    return torch.arange(1.0, states + 1).log().repeat(channels, 1)
