"""VMamba's scan of images in four directions, the same in eight, and the block made of it.

Liu, Y., Tian, Y., Zhao, Y., Yu, H., Xie, L., Wang, Y., Ye, Q., Jiao, J., Liu, Y. (2024). VMamba:
visual state space model. NeurIPS. https://arxiv.org/abs/2401.10166

Axes: b batch, h height, w width, l pixels, k directions, c channels, d inner channels, n states,
r rank and states, f features of a text.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.layers.drop import DropPath
from torch import Tensor, nn

from torchgeo_ext.layers.mamba import log_rates, step_bias, step_rank
from torchgeo_ext.layers.selective_scan import selective_scan


class _Scans(nn.Module):
    """What SS2D consists of."""

    #: Directions an image is scanned in.
    directions = 4

    def __init__(
        self, channels: int, states: int = 1, expand: float = 2.0, kernel_size: int = 3
    ) -> None:
        super().__init__()
        inner, self.rank = int(expand * channels), step_rank(channels)
        self.in_proj = _linear(channels, inner, bias=False)
        self.conv2d = nn.Conv2d(
            inner, inner, kernel_size, padding=kernel_size // 2, groups=inner, bias=False
        )
        self.x_proj_weight = nn.Parameter(
            torch.empty(self.directions, self.rank + 2 * states, inner).uniform_(-1, 1)
            * inner**-0.5
        )
        self.dt_projs_weight = nn.Parameter(
            torch.empty(self.directions, inner, self.rank).uniform_(-1, 1) * self.rank**-0.5
        )
        self.dt_projs_bias = nn.Parameter(step_bias(self.directions, inner))
        self.A_logs = nn.Parameter(log_rates(self.directions * inner, states))
        self.Ds = nn.Parameter(torch.ones(self.directions * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = _linear(inner, channels, bias=False)

    def mix(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Mix the pixels of an image (b, h, w, c); see :meth:`scan` for the shift."""
        x = rearrange(self.in_proj(x), 'b h w d -> b d h w')
        x = rearrange(F.silu(self.conv2d(x)), 'b d h w -> b h w d')
        return self.out_proj(self.out_norm(self.scan(x, shift)))

    def scan(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Scan an image in all directions and add what they give.

        Args:
            x: Image (b, h, w, d).
            shift: Added to what lengths of steps, B and C are made of (b, k, r).

        Returns:
            Image of the same shape.
        """
        states = self.A_logs.shape[1]
        # the projections see single pixels, so they can come before the pixels are put in order
        projected = torch.einsum('bhwd,krd->bhwkr', x, self.x_proj_weight)
        if shift is not None:
            projected = projected + shift[:, None, None]
        raw, b, c = self.read(projected.unbind(3)).split([self.rank, states, states], dim=-1)
        delta = torch.einsum('blkr,kdr->blkd', raw, self.dt_projs_weight)
        y = selective_scan(
            _channels_first(self.read([x] * self.directions)),
            _channels_first(delta),
            -self.A_logs.exp(),
            rearrange(b, 'b l k n -> b k n l'),
            rearrange(c, 'b l k n -> b k n l'),
            self.Ds,
            self.dt_projs_bias.flatten(),
            delta_softplus=True,
        )
        y = rearrange(y, 'b (k d) l -> b l k d', k=self.directions)
        return self.write(y, *x.shape[1:3])

    @staticmethod
    def read(images: Sequence[Tensor]) -> Tensor:
        """List the pixels of an image (b, h, w, d) for each direction: (b, l, k, d)."""
        return cross_scan(*images)

    @staticmethod
    def write(y: Tensor, height: int, width: int) -> Tensor:
        """Add sequences (b, l, k, d) back to an image (b, h, w, d)."""
        return cross_merge(y, height, width)


class SS2D(_Scans):
    """Depthwise convolution and a selective scan along rows and columns, both ways.

    The attributes have the names of the published code; it is its variant ``v3noz``, without gate.

    Args:
        channels: Channels of the image.
        states: Numbers in the state of each inner channel.
        expand: Inner channels per channel.
        kernel_size: Size of the convolution, odd.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Mix the pixels of an image (b, h, w, c)."""
        return self.mix(x)


class CS2D(_Scans):
    """SS2D that also scans along both diagonals, both ways: eight directions.

    Args:
        channels: Channels of the image.
        states: Numbers in the state of each inner channel.
        expand: Inner channels per channel.
        kernel_size: Size of the convolution, odd.
    """

    directions = 8

    def forward(self, x: Tensor) -> Tensor:
        """Mix the pixels of an image (b, h, w, c)."""
        return self.mix(x)

    @staticmethod
    def read(images: Sequence[Tensor]) -> Tensor:
        """List the pixels of an image (b, h, w, d) for each direction: (b, l, k, d)."""
        height, width = images[0].shape[1:3]
        orders = diagonals(height, width, images[0].device)
        slanted = [
            image.flatten(1, 2)[:, order]
            for image, order in zip(images[4:], [*orders, *orders.flip(1)], strict=True)
        ]
        return torch.cat([cross_scan(*images[:4]), torch.stack(slanted, dim=2)], dim=2)

    @staticmethod
    def write(y: Tensor, height: int, width: int) -> Tensor:
        """Add sequences (b, l, k, d) back to an image (b, h, w, d)."""
        straight, slanted = y.chunk(2, dim=2)
        forwards, backwards = slanted.chunk(2, dim=2)
        one, other = (forwards + backwards.flip(1)).unbind(2)
        places = diagonals(height, width, y.device).argsort(dim=1)
        added = one[:, places[0]] + other[:, places[1]]
        return cross_merge(straight, height, width) + added.unflatten(1, (height, width))


class TextSS2D(_Scans):
    """SS2D whose steps and weights also depend on a text: the scan of TCSSM.

    No code of TCSSM is published. This is built from its description: lengths of the steps, B and C
    come from the image and from a text about the place and the disaster. The text is seen by all
    pixels and adds to the projections of the image; it starts without effect, so that weights of
    :class:`SS2D` can be the beginning.

    Ghazaei, E., Aptoula, E. (2025). Text-conditioned state space model for domain-generalized
    change detection visual question answering. https://arxiv.org/abs/2508.08974

    Args:
        channels: Channels of the image.
        text_features: Features of the text.
        states: Numbers in the state of each inner channel.
        expand: Inner channels per channel.
        kernel_size: Size of the convolution, odd.
    """

    def __init__(
        self,
        channels: int,
        text_features: int,
        states: int = 1,
        expand: float = 2.0,
        kernel_size: int = 3,
    ) -> None:
        super().__init__(channels, states, expand, kernel_size)
        self.text_norm = nn.LayerNorm(text_features)
        self.text_proj = nn.Linear(text_features, self.directions * (self.rank + 2 * states))
        nn.init.zeros_(self.text_proj.weight)
        nn.init.zeros_(self.text_proj.bias)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Mix the pixels of an image.

        Args:
            x: Image (b, h, w, c).
            text: Features of a text for each image (b, f), from any text encoder.

        Returns:
            Image of the same shape.
        """
        shift = self.text_proj(self.text_norm(text)).unflatten(1, (self.directions, -1))
        return self.mix(x, shift)


def _linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    linear = nn.Linear(inputs, outputs, bias)
    nn.init.trunc_normal_(linear.weight, std=0.02)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def cross_scan(rows: Tensor, columns: Tensor, rows_back: Tensor, columns_back: Tensor) -> Tensor:
    """List the pixels of four images (b, h, w, d), which may be the same one.

    Args:
        rows: Image to read row by row.
        columns: Image to read column by column.
        rows_back: Image to read row by row from its end.
        columns_back: Image to read column by column from its end.

    Returns:
        Sequences (b, l, k=4, d).
    """
    columns, columns_back = columns.transpose(1, 2), columns_back.transpose(1, 2)
    backwards = (image.flatten(1, 2).flip(1) for image in (rows_back, columns_back))
    return torch.stack([rows.flatten(1, 2), columns.flatten(1, 2), *backwards], dim=2)


def cross_merge(y: Tensor, height: int, width: int) -> Tensor:
    """Add the sequences of :func:`cross_scan` (b, l, k=4, d) back to an image (b, h, w, d)."""
    forwards, backwards = y.chunk(2, dim=2)
    rows, columns = (forwards + backwards.flip(1)).unbind(2)
    return rows.unflatten(1, (height, width)) + columns.unflatten(1, (width, height)).transpose(
        1, 2
    )


def diagonals(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Give the numbers of an image's pixels along its rising and its falling diagonals (2, l)."""
    row = torch.arange(height, device=device)[:, None]
    column = torch.arange(width, device=device)
    # by diagonal first, by row within it
    keys = torch.stack([(row + column) * height + row, (row - column + width) * height + row])
    return keys.flatten(1).argsort(dim=1)


def _channels_first(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


class VSSBlock(nn.Module):
    """A scan and a perceptron for each pixel, both added to what comes in.

    Args:
        channels: Channels of the image.
        drop_path: Probability of leaving out an addition during training.
        text_features: Features of a text that the scan depends on; without one if not given.
    """

    def __init__(
        self, channels: int, drop_path: float = 0.0, text_features: int | None = None
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.op: nn.Module = (
            SS2D(channels) if text_features is None else TextSS2D(channels, text_features)
        )
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            OrderedDict(
                fc1=_linear(channels, 4 * channels),
                act=nn.GELU(),
                fc2=_linear(4 * channels, channels),
            )
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, *text: Tensor) -> Tensor:
        """Mix an image (b, h, w, c), told a text (b, f) if the block is made for one."""
        x = x + self.drop_path(self.op(self.norm(x), *text))
        return x + self.drop_path(self.mlp(self.norm2(x)))
