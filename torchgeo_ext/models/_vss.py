"""What decoders made of VMamba's blocks share.

Axes: b batch, c channels, h height, w width.
"""

import torch.nn.functional as F
from einops.layers.torch import Rearrange
from torch import Tensor, nn

from torchgeo_ext.layers import VSSBlock

#: Probability of leaving out an addition of a decoder's block during training.
_DROP_PATH = 0.1


def vss_layers(channels: int) -> tuple[nn.Module, ...]:
    """Give the layers of a VSS block for maps (b, c, h, w)."""
    return (
        Rearrange('b c h w -> b h w c'),
        VSSBlock(channels, _DROP_PATH),
        Rearrange('b h w c -> b c h w'),
    )


class ResidualBlock(nn.Module):
    """Two convolutions added to what comes in.

    Args:
        channels: Channels of the map.
        gate: Applied to the result of the convolutions.
    """

    def __init__(self, channels: int, gate: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = gate or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of x (b, c, h, w)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(x + self.se(y))


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Interpolate x to the height and width of another map or image."""
    return F.interpolate(x, size=like.shape[-2:], mode='bilinear')
