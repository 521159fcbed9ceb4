"""What masked autoencoders give, so that one task trains them all."""

from typing import NamedTuple

import torch
from torch import Tensor


class Reconstruction(NamedTuple):
    """Images of which a network saw a part, and what it made of them.

    Attributes:
        loss: (b,) what is to become small, of each image.
        target: (b, c, h, w) the images as they were to be reconstructed.
        prediction: (b, c, h, w) the images as they were reconstructed.
        hidden: (b, c, h, w) bool, True where the network did not see them.
    """

    loss: Tensor
    target: Tensor
    prediction: Tensor
    hidden: Tensor


def draw_noise(images: int, tokens: int, device: torch.device, training: bool) -> Tensor:
    """Draw the numbers (images, tokens) that decide which tokens are hidden.

    Outside of training they are the same every time, so that losses of epochs compare.
    """
    if training:
        return torch.rand(images, tokens, device=device)
    fixed = torch.Generator().manual_seed(0)
    return torch.rand(images, tokens, generator=fixed).to(device)
